"""A workbook (.xlsx) as a table of strings: the sheet that holds the log, its cells as the contract writes values."""

import warnings
from collections.abc import Collection
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd
import pyarrow as pa

from model.calls.files.file_format import FileFormat
from model.calls.files.raw_log import RawLog
from model.calls.grammar import spell_caller
from model.errors import LogError


def read_workbook(path: Path, file: FileFormat, known: Collection[str]) -> RawLog:
    """Read the sheet whose first row names columns of the log; or the only sheet, whatever it names.

    Parameters
    ----------
    path : Path
    file : FileFormat
    known : collection of str
        Names that a column may have.

    Returns
    -------
    RawLog
        A cell with a time has no offset; one with a length of time is in seconds.

    Raises
    ------
    LogError
        When it is no workbook, no sheet holds anything, or it cannot be told which one is the log.
    """
    with file.open() as opened, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl's, of styles and validations that it does not know
        try:
            found = pd.read_excel(
                opened, sheet_name=None, header=None, dtype=object, na_filter=False, engine="openpyxl"
            )
        except (BadZipFile, KeyError, ValueError, TypeError, SyntaxError) as error:
            raise LogError(f"{path}: is packed like a workbook (.xlsx), but cannot be read as one") from error
    sheets = {str(name): cells for name, cells in found.items() if (cells != "").to_numpy().any()}
    if not sheets:
        raise LogError(f"{path}: the workbook is empty, expected a first row that names the columns")
    named = [name for name, cells in sheets.items() if any(text in known for text in _names(cells))]
    if len(named) != 1 and len(sheets) > 1:
        raise LogError(f"{path}: {len(named) or len(sheets)} sheets could be the log; keep only one")
    name = named[0] if named else next(iter(sheets))
    cells = sheets[name]
    head = _head(cells)
    texts = [pa.array(_texts(cells[place].iloc[head + 1 :]), pa.string()) for place in cells]
    log = RawLog(
        path,
        pa.table(texts, names=_names(cells)),
        lambda rows: [row + head + 2 for row in rows],
        decimal=".",
        notes=[f"read as {file.name}" + (f", sheet {name}" if len(found) > 1 else "")],
    )
    log.drop_empty_rows()
    return log


def _head(cells: pd.DataFrame) -> int:
    """Return the first row that is not empty."""
    return int(np.flatnonzero((cells != "").any(axis="columns").to_numpy())[0])


def _names(cells: pd.DataFrame) -> list[str]:
    return [text or "" for text in _texts(cells.iloc[_head(cells)])]


def _texts(values: pd.Series) -> list[str | None]:
    return [_text(value) for value in values]


def _text(value: object) -> str | None:
    """Write a cell as the contract writes a value."""
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return None if np.isnan(value) else spell_caller(value) or repr(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, time):
        value = timedelta(hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond)
    return repr(value.total_seconds()) if isinstance(value, timedelta) else str(value)
