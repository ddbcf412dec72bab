"""Which column of a file is which of the contract's: its names, those of the mapping, and columns that have none."""

import re
from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from model.calls.columns import Column
from model.calls.files.mapping import Mapping
from model.calls.files.raw_log import Problem, RawLog, hide_numbers, is_time
from model.errors import LogError

#: What pandas calls a column that it wrote without a name, and its index in a Parquet file.
_UNNAMED = re.compile(r"(Unnamed: [0-9]+(\.[0-9]+)*|__index_level_[0-9]+__)?")
_WHOLE = r"^[0-9]+(\.0)?$"
_CDR_RESULTS = frozenset(("ANSWERED", "NO ANSWER", "BUSY", "FAILED", "CONGESTION"))
_CDR_FLAGS = frozenset(("DOCUMENTATION", "BILLING", "OMIT", "DEFAULT", "1", "2", "3"))
#: A record of an Asterisk CDR has 16 to 21 values.
_CDR_LEAST = 14
Named = dict[str, pa.ChunkedArray]


def known_names(columns: Iterable[Column], mapping: Mapping) -> frozenset[str]:
    """Return the names that columns of a file are known by."""
    return frozenset(column.name for column in columns) | frozenset(mapping.columns.values())


def name_columns(log: RawLog, columns: Sequence[Column], mapping: Mapping) -> tuple[Named, Named, list[Problem]]:
    """Return the columns of the contract that a file has, its columns named `x_*`, and what is wrong with its names.

    An empty column without a name, and the index of a pandas table, are left out and noted.

    Raises
    ------
    LogError
        When the first line holds no names.
    """
    _check_names(log, columns, mapping)
    problems = _drop_unnamed(log)
    names = log.table.column_names
    theirs = {column.name: mapping.columns.get(column.name, column.name) for column in columns}
    extras = {ours: name for ours, name in mapping.columns.items() if ours not in theirs}
    for ours, name in mapping.columns.items():
        if name not in names:
            problems.append(Problem(-1, ours, name, "a column of the file, since the mapping names it"))
    used = {*theirs.values(), *extras.values()}
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            problems.append(Problem(-1, name, name, "each column once"))
        elif name in used:
            continue
        elif name.startswith("x_") and name not in extras:
            extras[name] = name
        elif mapping.other_columns == "keep" and f"x_{name}" not in extras and f"x_{name}" not in names:
            extras[f"x_{name}"] = name
        elif mapping.other_columns != "leave_out":
            expected = f"a column of the contract; an extra column is named x_{hide_numbers(name)}"
            problems.append(Problem(-1, name, name, expected))
    for column in columns:
        if column.required and column.name not in mapping.columns and column.name not in names:
            problems.append(Problem(-1, column.name, None, "this column, which is required"))

    def found(wanted: dict[str, str]) -> Named:
        return {ours: log.table.column(name) for ours, name in wanted.items() if names.count(name) == 1}

    return found(theirs), found(extras), problems


def _check_names(log: RawLog, columns: Sequence[Column], mapping: Mapping) -> None:
    """Refuse a first line that is a row of values."""
    names = log.table.column_names
    required = {mapping.columns.get(column.name, column.name) for column in columns if column.required}
    if required & set(names) or not any(is_time(name) or hide_numbers(name) != name for name in names):
        return
    cdr = len(names) >= _CDR_LEAST and _CDR_RESULTS & set(names) and _CDR_FLAGS & set(names)
    raise LogError(
        f"{log.path}: the first line is not a header: it holds values, expected the names of the columns"
        + (
            "; it looks like an Asterisk CDR, which `saring import-asterisk --cdr` makes a call log of"
            if cdr
            else ", such as call_id and received_at"
        )
    )


def _drop_unnamed(log: RawLog) -> list[Problem]:
    """Leave out the columns without a name that hold nothing of a call; any other is a problem."""
    problems, kept = [], []
    for place, (name, values) in enumerate(zip(log.table.column_names, log.table.columns, strict=True)):
        if not _UNNAMED.fullmatch(name):
            kept.append(place)
        elif values.null_count == len(values) and not name:
            log.notes.append(f"column {place + 1} has no name and is empty; it is left out")
        elif name.startswith("__index") or _numbers_rows(values):
            shown = f"column {name}" if name else f"column {place + 1}, which has no name,"
            log.notes.append(f"{shown} is the index of a pandas table and is left out (to_csv(index=False) omits it)")
        else:
            problems.append(Problem(-1, name or f"(column {place + 1})", name or None, "a name"))
    log.table = log.table.select(kept)
    return problems


def _numbers_rows(values: pa.ChunkedArray) -> bool:
    """Return whether values are whole numbers, each once, no larger than a table of these rows may have had."""
    texts = values.cast(pa.string())
    if texts.null_count or not pc.all(pc.match_substring_regex(texts, _WHOLE)).as_py():
        return False
    if pc.count_distinct(texts).as_py() < len(texts):
        return False
    largest = pc.max(pc.cast(texts, pa.float64())).as_py() or 0.0
    return bool(largest < max(100_000, 100 * len(texts)))
