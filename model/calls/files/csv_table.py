"""A text with separators as a table of strings: CSV (RFC 4180), and what people and spreadsheets write instead."""

import csv
import io
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from model.calls.files.file_format import FileFormat
from model.calls.files.raw_log import ROW, TOTALS, Problem, RawLog, hide_numbers, is_time, names_totals
from model.calls.spreadsheet_formulas import unescape_formulas
from model.errors import LogError

#: What may separate the values of a line, and what people call it.
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
ONE_VALUE = "one value; a quoted value holds further rows, since a quote in it is not doubled or not closed"
#: What spreadsheets write and read as a line of its own.
_DECLARED = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_LONGEST = 2**31 - 1
_SHOWN = 60


def read_csv(path: Path, file: FileFormat, known: Collection[str]) -> RawLog:
    """Read a text with a first line of names.

    Parameters
    ----------
    path : Path
    file : FileFormat
    known : collection of str
        Names that a column may have: the separator is the one that finds most of them.

    Returns
    -------
    RawLog
        Every column is of strings; an empty value is missing. Rows with too many or too few values, or with a value
        that holds further rows, are in `broken`.

    Raises
    ------
    LogError
        When there is not even a line of names, or values are separated by what this does not read.
    """
    records = _Records(file, known)
    if records.separator not in SEPARATORS:
        raise LogError(f"{path}: separated by {records.separator!r}, expected one of {', '.join(SEPARATORS.values())}")
    names, lines, follows = records.head()
    if not names:
        raise LogError(f"{path}: the file is empty, expected a first line that names the columns")
    ragged: list[Problem] = []

    def keep(row: pa.csv.InvalidRow) -> str:
        expected = f"{row.expected_columns} values, one for each column"
        if _holds_rows(row.text, records.separator, len(names)):
            expected = ONE_VALUE
        elif names_totals(row.text):
            expected = TOTALS
        shown = records.separator.join(map(hide_numbers, row.text.split(records.separator)))
        value = f"{row.actual_columns} values: {shown[:_SHOWN]}"
        ragged.append(Problem(row.number - 1 - lines, ROW, value, expected))
        return "skip"

    table = pa.table([pa.array([], pa.string())] * len(names), names)
    if follows:
        with file.open() as opened:
            table = pa.csv.read_csv(
                opened,
                read_options=pa.csv.ReadOptions(column_names=names, skip_rows=lines, use_threads=False),
                parse_options=pa.csv.ParseOptions(
                    delimiter=records.separator, newlines_in_values=True, invalid_row_handler=keep
                ),
                convert_options=pa.csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
                ),
            )
    table = pa.table([unescape_formulas(column) for column in table.columns], names=[name.strip() for name in names])
    log = RawLog(
        path,
        table,
        records.lines,
        decimal="." if records.separator == "," else None,
        notes=[f"read as {file.name}, separated by {SEPARATORS[records.separator]}"],
    )
    if ragged:  # what follows them stands further down in the file
        log.rows = np.delete(np.arange(table.num_rows + len(ragged)), [problem.row for problem in ragged])
    log.broken = ragged + [log.placed(problem) for problem in _swallowed(table, records)]
    log.drop_empty_rows()
    return log


class _Records:
    """The records of a text: what separates their values and ends their lines, and the line that each begins on."""

    def __init__(self, file: FileFormat, known: Collection[str]) -> None:
        self._file, self._skipped = file, 0
        with self._text() as text:
            first = text.readline()
            declared, self.line_end = _DECLARED.fullmatch(first), "\n" if first.endswith("\n") else "\r"
        if declared:
            self.separator, self._skipped = declared[1], 1
        else:
            self.separator = max(SEPARATORS, key=partial(self._fitness, known))

    def head(self) -> tuple[list[str], int, bool]:
        """Return the names of the columns, how many lines end with them, and whether anything follows."""
        return self._head(self.separator)

    def lines(self, rows: Sequence[int]) -> list[int]:
        """Find the line of each row: values may hold line ends, so this needs a walk through the file."""
        wanted, found, start = set(rows), {}, self._skipped + 1
        with self._text() as text:
            row = -1  # the line of names
            reader = self._reader(text, self.separator)
            for record in reader:
                if record:
                    if row in wanted:
                        found[row] = start
                    row += 1
                start = self._skipped + reader.line_num + 1
        return [found[row] for row in rows]

    def _head(self, separator: str) -> tuple[list[str], int, bool]:
        with self._text() as text:
            reader = self._reader(text, separator)
            return next(filter(None, reader), []), self._skipped + reader.line_num, bool(text.read(1))

    def _fitness(self, known: Collection[str], separator: str) -> tuple[int, int]:
        """Return how many names a separator finds: known ones, then any."""
        names = [name.strip() for name in self._head(separator)[0]]
        return sum(name in known for name in names), len(names)

    def _reader(self, text: io.TextIOWrapper, separator: str) -> Any:
        for _ in range(self._skipped):
            text.readline()
        csv.field_size_limit(_LONGEST)
        return csv.reader(text, delimiter=separator)

    @contextmanager
    def _text(self) -> Iterator[io.TextIOWrapper]:
        with self._file.open() as opened, io.TextIOWrapper(opened, encoding="utf-8-sig", newline="") as text:
            yield text


def _swallowed(table: pa.Table, records: _Records) -> list[Problem]:
    """Find the values that hold further rows, which a quote has swallowed."""
    found = []
    for name, values in zip(table.column_names, table.columns, strict=True):
        several = pc.fill_null(pc.match_substring(values, records.line_end), False)
        for row in np.flatnonzero(several.to_numpy()):
            text = values[int(row)].as_py()
            if _holds_rows(text, records.separator, table.num_columns):
                found.append(Problem(int(row), name, f"a value of {len(text.splitlines())} lines", ONE_VALUE))
    return found


def _holds_rows(text: str, separator: str, columns: int) -> bool:
    """Return whether a value goes over lines as rows do: with their separators, and a time between two of them."""
    lines = list(filter(None, text.splitlines()))
    if len(lines) < 2 or text.count(separator) < (len(lines) - 1) * (columns - 1):
        return False
    return any(is_time(value.strip(' "')) for line in lines for value in line.split(separator)[:columns])
