"""What is given to a command: a log with its corrections, a time, a database."""

import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from model.calls.columns import TIMESTAMP
from model.errors import SaringError
from service.cli.output import Bar

Corrections = Annotated[Path | None, typer.Option(help="Later dispositions of the log's calls.")]


def read_log(calls: Path, corrections: Path | None) -> tuple[Any, Any]:
    """Read a log, and its corrections when there are any.

    Raises
    ------
    LogError
    """
    from model.calls.call_log import read_calls, read_corrections

    with Bar(f"reading {calls}"):
        log = read_calls(calls)
        return log, read_corrections(corrections, log) if corrections else None


def database_of(url: str | None) -> str:
    """Give the URL of the database: that of a command line, else SARING_DATABASE."""
    from service.settings import Settings

    if url is None:
        return Settings().database
    if re.search(r"://[^/@]*:[^/@]+@", url):
        print("note: others on this machine can see a password on a command line; put the URL into SARING_DATABASE",
              file=sys.stderr)  # fmt: skip
    return url


def parse_timestamp(option: str, text: str) -> Any:
    """Read a time that was given with an option; gives a Timestamp in UTC.

    Raises
    ------
    SaringError
    """
    import pandas as pd

    if not re.fullmatch(TIMESTAMP, text):
        raise SaringError(f"{option}: {text!r}, expected a time with an offset, like 2024-01-31T08:15:00+07:00")
    return pd.Timestamp(text).tz_convert("UTC")
