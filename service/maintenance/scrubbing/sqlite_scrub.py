"""What is left of a caller in the unused space of a SQLite file, and how it goes."""

import json
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path

from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from model.errors import StoreError
from service.maintenance.scrubbing import unused_space
from service.store.database import driver_message

#: So long for others to let go of the log beside the file, and for the look at a file of a terabyte.
PATIENCE_S, LOOK_S = 5.0, 3_600.0


def scrub(engine: Engine, hashes: Collection[bytes], call_ids: Collection[str]) -> None:
    """Bring a SQLite file to where nothing that was deleted of a caller is left in it or beside it.

    Few erasures leave copies in unused space (docs/log.md has figures). Then the whole file is written anew (VACUUM),
    which holds up other writers for about ten seconds per gigabyte. Nothing is done on PostgreSQL, where VACUUM works
    in its own time.

    Parameters
    ----------
    engine : Engine
    hashes : collection of bytes
        Of the caller.
    call_ids : collection of str
        Of the calls that were deleted.

    Raises
    ------
    StoreError
        When others do not let go of the file, or it cannot be looked at or written anew.
    """
    if engine.dialect.name != "sqlite":
        return
    _flush(engine)
    if _remains(Path(engine.url.database or ""), [*hashes, *map(str.encode, call_ids)]):
        compact(engine)


def compact(engine: Engine) -> None:
    """Write a SQLite file anew, with nothing in it but what is stored; other writers wait as long.

    Raises
    ------
    StoreError
    """
    if engine.dialect.name == "sqlite":
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql("VACUUM")
        except SQLAlchemyError as error:
            raise StoreError(f"{engine.url.database}: cannot be written anew: {driver_message(error)}") from error
        _flush(engine)


def _remains(path: Path, texts: Collection[bytes]) -> bool:
    """Have another process look: this one would lose SQLite's locks on the file, and stop the event loop meanwhile."""
    asked = json.dumps({"path": str(path.absolute()), "texts": [text.hex() for text in texts]})
    look = ["nice", "-n", "10", sys.executable, "-I", "-S", unused_space.__file__]
    try:
        answer = subprocess.run(look, input=asked, capture_output=True, text=True, check=True, timeout=LOOK_S).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise StoreError(f"{path}: its unused space cannot be looked at: {error}") from error
    return bool(json.loads(answer))


def _flush(engine: Engine) -> None:
    """Bring what stands in the log beside the file into it, and empty the log."""
    until = time.monotonic() + PATIENCE_S
    try:
        with engine.connect() as connection:
            while connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]:
                if time.monotonic() > until:
                    raise StoreError(f"{engine.url.database}: others use its log without a pause: erase once more")
                time.sleep(0.05)
    except SQLAlchemyError as error:
        raise StoreError(f"{engine.url.database}: its log cannot be emptied: {driver_message(error)}") from error
