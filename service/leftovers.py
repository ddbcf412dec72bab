"""What is left of a caller in the unused space of a SQLite file, and how it goes.

SQLite writes zeros over what is deleted, but when it moves rows between pages it may leave copies of them behind, in
space that belongs to no row. Nobody can ask for those; whoever reads the bytes of the file can see them.
"""

import mmap
import re
import time
from collections.abc import Collection
from pathlib import Path

from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from model.errors import StoreError
from service.database import cause

PATIENCE_S = 5.0


def scrub(engine: Engine, hashes: Collection[bytes], call_ids: Collection[str]) -> None:
    """Bring a SQLite file to where nothing that was deleted of a caller is left in it or beside it.

    When copies of it are found in unused space, the whole file is written anew (VACUUM), which holds up other writers
    for about ten seconds per gigabyte. Nothing is done on PostgreSQL, where VACUUM works in its own time.

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
        When others do not let go of the file, or it cannot be written anew.
    """
    if engine.dialect.name != "sqlite":
        return
    _flush(engine)
    path = Path(engine.url.database or "")
    if found(path, hashes, call_ids):
        compact(engine)
        if found(path, hashes, call_ids):
            raise StoreError(f"{path}: traces of the caller came back into it: erase once more")


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
            raise StoreError(f"{engine.url.database}: cannot be written anew: {cause(error)}") from error
        _flush(engine)


def found(path: Path, hashes: Collection[bytes], call_ids: Collection[str]) -> bool:
    """Tell whether a file has a hash in it, or an entry of a call_id in an index."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if any(data.find(one) >= 0 for one in hashes):
            return True
        of_size: dict[int, set[bytes]] = {}
        for text in map(str.encode, call_ids):
            of_size.setdefault(len(text), set()).add(text)
        for size, texts in of_size.items():
            head = _head(size)
            for entry in re.finditer(re.escape(head) + rb"[\x01-\x06\x08\x09]", data):
                if data[entry.end() : entry.end() + size] in texts:
                    return True
    return False


def _head(size: int) -> bytes:
    """Give how an entry of the index of call_ids begins: the bytes of this head, and that a text of `size` follows."""
    kind = 13 + 2 * size
    return bytes((3, kind)) if kind < 0x80 else bytes((4, 0x80 | kind >> 7, kind & 0x7F))


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
        raise StoreError(f"{engine.url.database}: its log cannot be emptied: {cause(error)}") from error
