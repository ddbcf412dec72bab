"""What commands are given: options that several share, and what they name opened or read."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from model.calls.columns import TIMESTAMP
from model.errors import SaringError
from service.cli.output import Bar

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from service.settings import Settings

Calls = Annotated[Path, typer.Option(help="Call log: CSV, Parquet or an Excel workbook.")]
NamesAndValues = Annotated[
    Path | None, typer.Option("--map", help="TOML file: what the log calls the contract's columns and values.")
]
Corrections = Annotated[Path | None, typer.Option(help="Later dispositions of the log's calls.")]
ReleaseFolder = Annotated[Path, typer.Option(help="Release folder.")]
ServedRelease = Annotated[Path | None, typer.Option(help="Release folder; default: SARING_RELEASE.")]
Database = Annotated[str | None, typer.Option(help="SQLAlchemy URL of the service's store; default: SARING_DATABASE.")]
KeyFile = Annotated[Path | None, typer.Option(help="Keys of the hash of callers' numbers; default: SARING_KEY_FILE.")]
Journal = Annotated[Path | None, typer.Option(help="Folder of the service's journals; default: SARING_JOURNAL.")]
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def settings(**given: Any) -> "Settings":
    """Read the settings from the environment; those given on the command line, if not None, come first.

    Raises
    ------
    SaringError
        When one of them makes no sense.
    """
    from pydantic import ValidationError

    from service.settings import Settings

    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        found = error.errors()[0]
        raise SaringError(f"SARING_{str(found['loc'][0]).upper()}: {found['msg']}") from None


def database_of(url: str | None) -> str:
    """Return the URL of the database: that of the command line, else SARING_DATABASE."""
    if url is not None and re.search(r"://[^/@]*:[^/@]+@", url):
        print("note: others on this machine can see a password on a command line; put the URL into SARING_DATABASE",
              file=sys.stderr)  # fmt: skip
    return settings(database=url).database


@contextmanager
def open_database(url: str | None, *, create: bool = False) -> Iterator["Engine"]:
    """Open a database, and close it in the end; with `create`, one that is not there is made.

    Raises
    ------
    SaringError
        When it is not there, or does not do what is asked of it.
    """
    import sqlalchemy as sa
    from sqlalchemy.exc import SQLAlchemyError

    from service.store.database import connect, driver_message

    url = database_of(url)
    parsed = sa.make_url(url) if "://" in url else None
    sqlite = parsed is not None and parsed.get_backend_name() == "sqlite"
    if parsed is not None and sqlite and not create and not Path(parsed.database or "").is_file():
        raise SaringError(f"{parsed.database}: there is no such database")
    engine = connect(url)
    try:
        yield engine
    except SQLAlchemyError as error:
        raise SaringError(f"the database did not do it: {driver_message(error)}") from error
    finally:
        engine.dispose()


def read_log(
    calls: Path | list[Path], corrections: Path | list[Path] | None, mapping: Path | None, *, say_all: bool = False
) -> tuple[Any, Any]:
    """Read a log, or several as one, and corrections when there are any; what is odd is told on standard error.

    With `say_all` that and how each file was read is told on standard output.

    Raises
    ------
    LogError
    """
    import pandas as pd

    from model.calls.call_log import join_logs, read_calls, read_corrections
    from model.calls.files.mapping import AS_IS, read_mapping

    names = read_mapping(mapping) if mapping else AS_IS
    notes: dict[Path, list[str]] = {}
    try:
        logs, later, now = {}, [], datetime.now(UTC)
        for path in dict.fromkeys(calls if isinstance(calls, list) else [calls]):
            with Bar(f"reading {path}"):
                logs[path] = read_calls(path, names, now=now, tell=notes.setdefault(path, []).append)
        log = next(iter(logs.values())) if len(logs) == 1 else join_logs(logs)
        for path in [] if corrections is None else corrections if isinstance(corrections, list) else [corrections]:
            with Bar(f"reading {path}"):
                later.append(read_corrections(path, log, now=now, tell=notes.setdefault(path, []).append))
    finally:
        for told in notes.values():
            for note in told if say_all else told[1:]:
                print(note, file=sys.stdout if say_all else sys.stderr)
    return log, pd.concat(later, ignore_index=True) if later else None


def parse_timestamp(option: str, text: str) -> Any:
    """Parse the time given with an option; returns a Timestamp in UTC.

    Raises
    ------
    SaringError
    """
    import pandas as pd

    if not re.fullmatch(TIMESTAMP, text):
        raise SaringError(f"{option}: {text!r}, expected a time with an offset, like 2024-01-31T08:15:00+07:00")
    return pd.Timestamp(text).tz_convert("UTC")


def parse_duration(option: str, text: str) -> timedelta:
    """Parse the duration given with an option: a number of up to four digits with its unit.

    Raises
    ------
    SaringError

    Examples
    --------
    >>> parse_duration("--expires", "90d"), parse_duration("--grace", "0m")
    (datetime.timedelta(days=90), datetime.timedelta(0))
    """
    match = re.fullmatch(r"([0-9]{1,4})([mhdw])", text)
    if match is None:
        raise SaringError(f"{option}: {text!r}, expected minutes, hours, days or weeks, such as 30m, 1h, 90d or 2w")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})
