"""The call log on disk: reads CSV and Parquet, refuses every row that breaks the contract, writes.

Every column is brought to the type of the contract, and what could not be brought there is a problem. So a wrong type,
a value out of range and a missing value are found by one mechanism and told in one form.
"""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from model.calls.caller_text import read_text
from model.calls.columns import COLUMNS, CORRECTION_COLUMNS, TIMESTAMP, Column
from model.calls.log_writer import LogWriter
from model.calls.spreadsheet_formulas import unescape_formulas
from model.errors import LogError

EARLIEST = pd.Timestamp("1990-01-01", tz="UTC")
LATEST = pd.Timestamp("2100-01-01", tz="UTC")
_FLAGS = {"true": True, "1": True, "false": False, "0": False}
Problem = tuple[int, str, object, str]  # row (-1: the file itself), column, value, what was expected


class BrokenLogError(LogError):
    """A log with rows or columns that break the contract.

    Parameters
    ----------
    problems : pandas.DataFrame
        `line` (of a CSV, or row of a Parquet file, from 1; 0 for the file as a whole), `column`, `value` and
        `expected`, in the order of the lines.
    """

    def __init__(self, path: Path, problems: pd.DataFrame) -> None:
        self.path, self.problems = path, problems
        first = problems.iloc[0]
        more = "" if len(problems) == 1 else f" (and {len(problems) - 1} more; `saring check` lists all)"
        place = f"line {first['line']}, " if first["line"] else ""
        super().__init__(
            f"{path}: {place}column {first['column']}: {first['value']!r}, expected {first['expected']}{more}"
        )


def read_calls(path: Path) -> pd.DataFrame:
    """Read a call log in the order it was written in.

    Parameters
    ----------
    path : Path
        A `.parquet` file, or CSV in UTF-8 (a byte order mark and any line ends are fine).

    Returns
    -------
    pandas.DataFrame
        The contract's columns, absent ones as missing, then the extra columns named `x_*`. Times are
        `datetime64[us, UTC]`; `ended_at` is filled with received_at + duration_s where it was absent.

    Raises
    ------
    LogError
        When the file cannot be read at all.
    BrokenLogError
        When any row or column breaks the contract. Nothing is dropped.
    """
    calls = _read_log(path, COLUMNS, _contradictions)
    length = pd.to_timedelta(calls["duration_s"], unit="s").astype("timedelta64[us]")
    calls["ended_at"] = calls["ended_at"].fillna(calls["received_at"] + length)
    return calls


def read_corrections(path: Path, calls: pd.DataFrame) -> pd.DataFrame:
    """Read corrections of dispositions: call_id, disposition, category, disposed_at.

    Raises
    ------
    LogError, BrokenLogError
        As `read_calls`; and for a call that is not in `calls`, or a correction before its call.
    """
    received_at = calls.set_index("call_id")["received_at"]

    def contradictions(corrections: pd.DataFrame) -> list[Problem]:
        received = received_at.reindex(corrections["call_id"])
        unknown = received.isna().to_numpy()
        early = (corrections["disposed_at"] < received.to_numpy()).to_numpy()
        problems = _problems(corrections["call_id"], unknown, "a call of the log")
        return problems + _problems(corrections["disposed_at"], early, "a time not before received_at")

    return _read_log(path, CORRECTION_COLUMNS, contradictions)


def write_log(calls: pd.DataFrame, path: Path) -> None:
    """Write calls or corrections as Parquet or, by the name's ending, as CSV; the file appears whole or not at all."""
    with LogWriter(path) as log:
        log.write(calls)


def _read_log(
    path: Path, columns: Sequence[Column], contradictions: Callable[[pd.DataFrame], list[Problem]]
) -> pd.DataFrame:
    table, ragged = _read(path)
    names = table.column_names
    problems: list[Problem] = []
    known = {column.name for column in columns}
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            problems.append((-1, name, name, "each column once"))
        elif name not in known and not name.startswith("x_"):
            problems.append((-1, name, name, f"a column of the contract; an extra column is named x_{name}"))
    data: dict[str, pd.Series] = {}
    for column in columns:
        if names.count(column.name) == 1:
            data[column.name], wrong = _parse(table.column(column.name), column)
            problems += wrong
        else:
            data[column.name] = _parse(pa.nulls(table.num_rows, pa.string()), column)[0]
            if column.required and column.name not in names:
                problems.append((-1, column.name, None, "this column, which is required"))
    # What could not be read has become missing; that it is missing is no further problem.
    told = {(row, name) for row, name, *_ in problems}
    for problem in contradictions(pd.DataFrame(data)):
        if not told & {(problem[0], problem[1]), (-1, problem[1])}:
            problems.append(problem)
    if ragged:  # the table lacks those rows, so what follows them stands further down in the file
        kept = np.delete(np.arange(table.num_rows + len(ragged)), [row for row, *_ in ragged])
        problems = [
            (int(kept[row]) if row >= 0 else row, column, value, expected) for row, column, value, expected in problems
        ] + ragged
    _refuse(path, problems)
    extra = {name: table.column(name).to_pandas() for name in names if name.startswith("x_")}
    return pd.DataFrame(data | extra)


def _read(path: Path) -> tuple[pa.Table, list[Problem]]:
    if not path.is_file():
        raise LogError(f"{path}: there is no such file")
    try:
        if path.suffix == ".parquet":
            return pa.parquet.read_table(path), []
        return _read_csv(path)
    except (pa.ArrowException, UnicodeDecodeError, csv.Error) as error:
        raise LogError(f"{path}: cannot be read: {error}") from error


def _read_csv(path: Path) -> tuple[pa.Table, list[Problem]]:
    ragged: list[Problem] = []

    def keep(row: pa.csv.InvalidRow) -> str:
        expected = f"{row.expected_columns} values, one for each column"
        ragged.append((row.number - 1 - lines, "(row)", f"{row.actual_columns} values: {row.text[:60]}", expected))
        return "skip"

    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        names = next(filter(None, reader), None)
        lines = reader.line_num
    if not names:
        raise LogError(f"{path}: the file is empty, expected a first line that names the columns")
    table = pa.csv.read_csv(
        path,
        read_options=pa.csv.ReadOptions(column_names=names, skip_rows=lines, use_threads=False),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=keep),
        convert_options=pa.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
        ),
    )
    return pa.table([unescape_formulas(column) for column in table.columns], names=names), ragged


def _parse(values: pa.ChunkedArray | pa.Array, column: Column) -> tuple[pd.Series, list[Problem]]:
    """Convert one column to its type; every value that cannot be is a problem and becomes missing."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    whole = column.kind == "string" and pa.types.is_integer(values.type)
    if whole or pa.types.is_string_view(values.type):
        values = values.cast(pa.string())
    text = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
    raw = values.to_pandas()
    if text:
        raw = raw.astype("str").str.strip()
        raw = raw.mask(raw == "")
    if column.kind == "time":
        parsed = _times(raw, values.type, text)
        parsed = parsed.where(parsed.between(EARLIEST, LATEST))
    elif column.kind == "number":
        parsed = pd.to_numeric(raw, errors="coerce").astype("float64")
        parsed = parsed.where(parsed.between(column.low, column.high))
    elif column.kind == "choice":
        parsed = raw.astype("str").str.lower().map({choice.lower(): choice for choice in column.choices}).astype("str")
    elif column.kind == "flag":
        parsed = raw.astype("str").str.lower().map(_FLAGS).astype("boolean")
    else:
        parsed = (raw if text else raw.mask(raw.notna())).astype("str")  # 6.2e12, or bytes, is nobody's name
    present = raw.notna().to_numpy()
    problems = _problems(raw, present & parsed.isna().to_numpy(), column.expected, column.name)
    if column.required:
        problems += _problems(raw, ~present, column.expected, column.name)
    return parsed.rename(column.name), problems


def _times(raw: pd.Series, kind: pa.DataType, text: bool) -> pd.Series:
    if text:
        right = raw.str.fullmatch(TIMESTAMP).fillna(False)
        raw = pd.to_datetime(raw.where(right).str.upper(), utc=True, format="ISO8601", errors="coerce")
    elif not (pa.types.is_timestamp(kind) and kind.tz):
        raw = pd.to_datetime(pd.Series(pd.NaT, index=raw.index), utc=True)  # a time without an offset
    return cast("pd.Series", raw.dt.tz_convert("UTC").astype("datetime64[us, UTC]"))


def _contradictions(calls: pd.DataFrame) -> list[Problem]:
    twice = (calls["call_id"].duplicated() & calls["call_id"].notna()).to_numpy()
    problems = _problems(calls["call_id"], twice, "a name that no other call has")
    for name in ("answered_at", "ended_at", "disposed_at"):
        early = (calls[name] < calls["received_at"]).to_numpy()
        problems += _problems(calls[name], early, "a time not before received_at")
    problems += _cut_numbers(calls["caller"])
    disposed, known = calls["disposition"].notna(), calls["disposed_at"].notna()
    problems += _problems(calls["disposed_at"], (disposed & ~known).to_numpy(), "a time, since there is a disposition")
    problems += _problems(
        calls["disposition"], (known & ~disposed).to_numpy(), "a disposition, since there is disposed_at"
    )
    return problems


def _cut_numbers(callers: pd.Series) -> list[Problem]:
    """Find the callers of which a spreadsheet has lost digits: they would be one person; the number is not shown."""
    suspect = callers[callers.str.contains(r"[0-9]E\+?[0-9]", case=False, na=False)]
    cut = callers.index.isin(suspect.index[[read_text(text).shape == "cut" for text in suspect]])
    hidden = callers.str.replace(r".*(E\+?[0-9]+).*", r"[number]\1", case=False, regex=True)
    return _problems(hidden, cut, "all digits of a number: digits were lost (scientific notation)")


def _problems(values: pd.Series, wrong: np.ndarray, expected: str, name: str = "") -> list[Problem]:
    rows = np.flatnonzero(wrong)
    shown = values[wrong].astype("object") if len(rows) else values[:0]
    shown = shown.where(shown.notna(), None)
    column = name or str(values.name)
    return [(int(row), column, value, expected) for row, value in zip(rows, shown, strict=True)]


def _refuse(path: Path, problems: list[Problem]) -> None:
    if not problems:
        return
    rows = [row for row, *_ in problems]
    lines = dict(zip(rows, _lines(path, rows), strict=True))
    table = pd.DataFrame(
        [(lines[row], column, value, expected) for row, column, value, expected in problems],
        columns=["line", "column", "value", "expected"],
        dtype=object,
    )
    raise BrokenLogError(path, table.sort_values("line", kind="stable", ignore_index=True))


def _lines(path: Path, rows: Sequence[int]) -> list[int]:
    """Find the line of each row: values may hold line ends, so this needs a walk through the file."""
    if path.suffix == ".parquet":
        return [row + 1 for row in rows]
    wanted, found, start = set(rows), {-1: 0}, 1
    csv.field_size_limit(2**31 - 1)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        row = -1  # the line of names
        for record in reader:
            if record:
                if row in wanted and row >= 0:
                    found[row] = start
                row += 1
            start = reader.line_num + 1
    return [found[row] for row in rows]
