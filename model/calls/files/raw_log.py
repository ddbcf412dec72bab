"""A file as a table of what it holds, and what is wrong with it: problems, each with its place."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from model.calls.caller_text import FEWEST_DIGITS
from model.calls.grammar import DecimalSign
from model.errors import LogError

NUMBER = "[number]"
#: The column of a problem of a whole row, whose value is no text of the file.
ROW = "(row)"
TOTALS = "a call; this row looks like one of totals"
_TOTALS = re.compile(
    r"\W*(grand total|totals?|subtotal|sum|count|average|jumlah|total keseluruhan|rata-rata)\b", re.IGNORECASE
)
#: What a time may be written as, also without its offset; a telephone number has no colons.
_TIME = re.compile(
    r"[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}[Tt ][0-9]{1,2}:[0-9]{2}[0-9:.]*\s*([Zz]|[+-][0-9:]{2,6})?"
)
_DIGITS = re.compile(r"\+?\d(?:[^\dA-Za-z]{0,3}\d)*")


class Problem(NamedTuple):
    """One thing that breaks the contract.

    Parameters
    ----------
    row : int
        Of the table, from 0; -1 for the file as a whole.
    column : str
    value : object
        What stands there.
    expected : str
        What should, in words after "expected".
    """

    row: int
    column: str
    value: object
    expected: str


class BrokenLogError(LogError):
    """A log with rows or columns that break the contract.

    Parameters
    ----------
    problems : pandas.DataFrame
        `line` (of a text, or row of a Parquet file or workbook, from 1; 0 for the file as a whole), `column`, `value`
        and `expected`, in the order of the lines. No caller's number stands in it.
    """

    def __init__(self, path: Path, problems: pd.DataFrame) -> None:
        self.path, self.problems = path, problems
        first = problems.iloc[0]
        more = "" if len(problems) == 1 else f" (and {len(problems) - 1} more; `saring check` lists all)"
        place = f"line {first['line']}, " if first["line"] else ""
        super().__init__(
            f"{path}: {place}column {first['column']}: {first['value']!r}, expected {first['expected']}{more}"
        )


@dataclass
class RawLog:
    """A file before anything is read from its values.

    Parameters
    ----------
    path : Path
    table : pyarrow.Table
        Its columns under the names of the file; of a text all are strings.
    lines : callable
        From rows of the file to their lines, from 1.
    decimal : {".", ","} or None
        The decimal sign where no value says another, None where each has to say its own.
    rows : int64 (n,), optional
        Of each row of the table its row in the file; absent when these are the same.
    broken : list of Problem
        Of rows of the file, also of such as are not in the table.
    notes : list of str
        What is said of a file that is read all the same.
    """

    path: Path
    table: pa.Table
    lines: Callable[[Sequence[int]], list[int]]
    decimal: DecimalSign | None = None
    rows: np.ndarray | None = None
    broken: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def drop_empty_rows(self) -> None:
        """Leave out rows without any value, as spreadsheets leave them behind."""
        empty = np.ones(self.table.num_rows, dtype=bool)
        for column in self.table.columns:
            if not column.null_count or not empty.any():
                return
            empty &= pc.is_null(column).to_numpy()
        if empty.any():
            self.table = self.table.filter(pa.array(~empty))
            self.rows = (np.arange(len(empty)) if self.rows is None else self.rows)[~empty]
            self.notes.append(f"rows without any value are left out: {int(empty.sum()):,}")

    def refuse(self, problems: Sequence[Problem]) -> None:
        """Raise `BrokenLogError` if there is any problem, here or in `broken`."""
        placed = [self.placed(problem) for problem in problems] + self.broken
        if not placed:
            return
        found = [problem.row for problem in placed if problem.row >= 0]
        line_of = dict(zip(found, self.lines(found), strict=True)) | {-1: 0}
        told = [
            (line_of[problem.row], hide_numbers(problem.column), _shown(problem), problem.expected)
            for problem in placed
        ]
        table = pd.DataFrame(told, columns=["line", "column", "value", "expected"], dtype=object)
        raise BrokenLogError(self.path, table.sort_values("line", kind="stable", ignore_index=True))

    def placed(self, problem: Problem) -> Problem:
        """Return a problem of a row of the table as one of a row of the file."""
        if self.rows is None or problem.row < 0:
            return problem
        return problem._replace(row=int(self.rows[problem.row]))


def problems_where(values: pd.Series, wrong: np.ndarray, expected: str, column: str = "") -> list[Problem]:
    """List a problem for each value that is wrong; the column is that of the series if none is named."""
    rows = np.flatnonzero(wrong)
    shown = values[wrong].astype("object") if len(rows) else values[:0]
    shown = shown.where(shown.notna(), None)
    return [
        Problem(int(row), column or str(values.name), value, expected) for row, value in zip(rows, shown, strict=True)
    ]


def is_time(text: str) -> bool:
    """Return whether a text looks like a time, with or without its offset."""
    return _TIME.fullmatch(text.strip()) is not None


def names_totals(text: str) -> bool:
    """Return whether a text begins as a row of totals does."""
    return _TOTALS.match(text) is not None


def hide_numbers(text: str) -> str:
    """Put [number] where digits may be a caller's number; a time alone stays.

    Examples
    --------
    >>> hide_numbers("0812-9041-7733 at 12.5"), hide_numbers("2024-06-01 09:00:00"), hide_numbers("sip:812904177@x")
    ('[number] at 12.5', '2024-06-01 09:00:00', 'sip:[number]@x')
    """
    if is_time(text):
        return text
    return _DIGITS.sub(lambda run: run[0] if sum(map(str.isdigit, run[0])) < FEWEST_DIGITS else NUMBER, text)


def _shown(problem: Problem) -> object:
    """Return the value of a problem without a number; seconds and shares are numbers too, but small ones."""
    value = problem.value
    if problem.column == ROW or value is None or isinstance(value, bool | pd.Timestamp | pd.Timedelta):
        return value
    if isinstance(value, int | float):
        return value if abs(value) < 10**FEWEST_DIGITS or abs(value) == inf else NUMBER
    return hide_numbers(str(value))
