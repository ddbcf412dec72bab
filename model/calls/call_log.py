"""The call log on disk: reads it from whatever file holds it, refuses every row that breaks the contract, writes.

Every column is brought to the type of the contract, and what could not be brought there is a problem. So a wrong type,
a value out of range and a missing value are found by one mechanism and told in one form.
"""

import csv
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from model.calls.columns import COLUMNS, CORRECTION_COLUMNS, Column
from model.calls.files.contradictions import NOT_LATER, contradictions, later_than, totals_row
from model.calls.files.conversion import convert, numbers_of
from model.calls.files.csv_table import read_csv
from model.calls.files.file_format import recognise
from model.calls.files.header import known_names, name_columns
from model.calls.files.mapping import AS_IS, Mapping
from model.calls.files.raw_log import BrokenLogError, Problem, RawLog, problems_where
from model.calls.files.workbook import read_workbook
from model.calls.log_writer import LogWriter
from model.errors import LogError

__all__ = ["BrokenLogError", "join_logs", "read_calls", "read_corrections", "read_outcomes", "write_log"]
Tell = Callable[[str], object]


def read_calls(
    path: Path, mapping: Mapping = AS_IS, *, now: datetime | None = None, tell: Tell = lambda _: None
) -> pd.DataFrame:
    """Read a call log in the order it was written in.

    Parameters
    ----------
    path : Path
        Parquet, a workbook (.xlsx) or CSV; which it is, its encoding and its separator are recognised.
    mapping : Mapping
        What the file calls the columns and values of the contract.
    now : datetime, optional
        A call later than this is a problem.
    tell : callable
        Is told in a sentence each how the file was read, and what is odd in it.

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
        When any row or column breaks the contract. Nothing is dropped but rows and columns without any value, and a
        pandas index.
    """
    calls = _read_log(path, COLUMNS, partial(contradictions, now=now), mapping, tell)
    length = pd.to_timedelta(calls["duration_s"], unit="s").astype("timedelta64[us]")
    calls["ended_at"] = calls["ended_at"].fillna(calls["received_at"] + length)
    return calls


def read_corrections(
    path: Path, calls: pd.DataFrame, *, now: datetime | None = None, tell: Tell = lambda _: None
) -> pd.DataFrame:
    """Read corrections of dispositions: call_id, disposition, category, incident_id, disposed_at.

    Raises
    ------
    LogError, BrokenLogError
        As `read_calls`; and for a call that is not in `calls`, or a correction before its call.
    """
    received_at = calls.set_index("call_id")["received_at"]

    def of_calls(corrections: pd.DataFrame) -> list[Problem]:
        received = received_at.reindex(corrections["call_id"])
        unknown = received.isna().to_numpy()
        early = (corrections["disposed_at"] < received.to_numpy()).to_numpy()
        problems = problems_where(corrections["call_id"], unknown, "a call of the log")
        problems += problems_where(corrections["disposed_at"], early, "a time not before received_at")
        return problems + problems_where(
            corrections["disposed_at"], later_than(corrections["disposed_at"], now), NOT_LATER
        )

    return _read_log(path, CORRECTION_COLUMNS, of_calls, AS_IS, tell)


def join_logs(logs: dict[Path, pd.DataFrame]) -> pd.DataFrame:
    """Put several call logs into one; a LogError when a call_id stands in two of them."""
    calls = pd.concat(logs.values(), ignore_index=True)
    again = calls["call_id"].duplicated()
    if again.any():
        names = np.repeat([str(path) for path in logs], [len(log) for log in logs.values()])
        row = int(np.flatnonzero(again)[0])
        first = names[int(np.flatnonzero(calls["call_id"] == calls["call_id"].iloc[row])[0])]
        raise LogError(
            f"{names[row]}: call_id: {again.sum():,} calls stand in another log too, the first of them in {first}, "
            "expected call_ids that no other log has"
        )
    return calls


def read_outcomes(
    path: Path, mapping: Mapping = AS_IS, *, now: datetime | None = None, tell: Tell = lambda _: None
) -> pd.DataFrame:
    """Read outcomes of calls that somebody else knows, such as a service: the columns of `read_corrections`.

    Raises
    ------
    LogError, BrokenLogError
        As `read_calls`.
    """

    def not_later(outcomes: pd.DataFrame) -> list[Problem]:
        return problems_where(outcomes["disposed_at"], later_than(outcomes["disposed_at"], now), NOT_LATER)

    return _read_log(path, CORRECTION_COLUMNS, not_later, mapping, tell)


def write_log(calls: pd.DataFrame, path: Path) -> None:
    """Write calls or corrections as Parquet or, by the name's ending, as CSV; the file appears whole or not at all."""
    with LogWriter(path) as log:
        log.write(calls)


def _read_log(
    path: Path,
    columns: Sequence[Column],
    contradictions: Callable[[pd.DataFrame], list[Problem]],
    mapping: Mapping,
    tell: Tell,
) -> pd.DataFrame:
    log = _read(path, known_names(columns, mapping))
    try:
        found, extras, problems = name_columns(log, columns, mapping)
        values = {column.name: values for column in columns if (values := found.get(column.name)) is not None}
        numbers = numbers_of(
            [values[column.name] for column in columns if column.kind == "number" and column.name in values],
            log.decimal,
            mapping,
        )
        if numbers.certain and numbers.decimal == ",":
            log.notes[0] += ", decimal comma"
        data: dict[str, pd.Series] = {}
        for column in columns:
            there = column.name in values
            held = values.get(column.name, pa.chunked_array([pa.nulls(log.table.num_rows, pa.string())]))
            data[column.name], wrong, notes = convert(held, column, mapping, numbers)
            problems += wrong if there else []
            log.notes += notes
    finally:
        for note in log.notes:
            tell(f"{path}: {note}")
    if "disposed_at" in mapping.columns:  # it is the time of something else, which calls without a disposition have too
        data["disposed_at"] = data["disposed_at"].where(data["disposition"].notna())
    # What could not be read has become missing; that it is missing is no further problem.
    told = {(row, name) for row, name, *_ in problems}
    for problem in contradictions(pd.DataFrame(data)):
        if not told & {(problem.row, problem.column), (-1, problem.column)}:
            problems.append(problem)
    if "received_at" in values and (totals := totals_row(log.table, data["received_at"], values["received_at"])):
        problems = [problem for problem in problems if problem.row != totals[0].row] + totals
    log.refuse(problems)
    return pd.DataFrame(data | {name: column.to_pandas() for name, column in extras.items()})


def _read(path: Path, known: frozenset[str]) -> RawLog:
    file = recognise(path)
    try:
        if file.kind == "text":
            return read_csv(path, file, known)
        if file.kind == "workbook":
            return read_workbook(path, file, known)
        with file.open() as opened:
            table = pa.parquet.read_table(opened)
    except LogError:
        raise
    except (pa.ArrowException, UnicodeDecodeError, csv.Error) as error:
        raise LogError(f"{path}: cannot be read: {error}") from error
    return RawLog(path, table, lambda rows: [row + 1 for row in rows], notes=[f"read as {file.name}"])
