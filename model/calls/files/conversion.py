"""The values of a column as the contract's type: every value that cannot be one is a problem and becomes missing."""

from collections.abc import Iterable
from typing import NamedTuple, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from model.calls.columns import TIMESTAMP, Column
from model.calls.files.mapping import NOTHING, Mapping
from model.calls.files.raw_log import Problem, problems_where
from model.calls.grammar import NUMBERS, DecimalSign, spell_caller

EARLIEST = pd.Timestamp("1990-01-01", tz="UTC")
LATEST = pd.Timestamp("2100-01-01", tz="UTC")
_FLAGS = {"true": True, "1": True, "false": False, "0": False}
_LOCAL = r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?"
_WHOLLY = {sign: f"^(?:{pattern})$" for sign, pattern in NUMBERS.items()}
#: Half of all calls are longer than so many seconds only if these are milliseconds.
_LONG_S, _FEWEST_LENGTHS = 1_000.0, 3
_LENGTHS = ("duration_s", "opening_duration_s")
MILLISECONDS = "{}: half of the calls are longer than a quarter of an hour; are these milliseconds?"
AMBIGUOUS = "a number that says which sign is the decimal one (1.234 may be 1234), or `decimal` in the mapping"
Refused = dict[str, pd.Series]


class Numbers(NamedTuple):
    """How the numbers of a file are written.

    Parameters
    ----------
    decimal : {".", ","} or None
        The decimal sign; None when nothing says which it is.
    certain : bool
        Whether a value or the mapping says it, or only the format of the file.
    """

    decimal: DecimalSign | None
    certain: bool = False


class Converted(NamedTuple):
    """A column in the type of the contract, what is wrong with its values, and what is said of them all the same."""

    values: pd.Series
    problems: list[Problem]
    notes: list[str]


def numbers_of(columns: Iterable[pa.ChunkedArray], default: DecimalSign | None, mapping: Mapping) -> Numbers:
    """Return how numbers are written, as texts show that can be read in one way only.

    Parameters
    ----------
    columns : iterable of pyarrow.ChunkedArray
        All columns of numbers; what is no text says nothing.
    default : {".", ","} or None
        What the format of the file says. Where values disagree with each other it decides, else the more of them.
    mapping : Mapping
        What it says comes first.
    """
    if mapping.decimal:
        return Numbers(mapping.decimal, certain=True)
    texts = [values for values in columns if _is_text(values.type)]
    if default == "." and not any(pc.any(pc.match_substring(values, ",")).as_py() for values in texts):
        return Numbers(default)
    count: dict[DecimalSign, int] = {".": 0, ",": 0}
    for values in texts:
        trimmed = pc.utf8_trim_whitespace(values)
        point, comma = (pc.fill_null(pc.match_substring_regex(trimmed, _WHOLLY[sign]), False) for sign in NUMBERS)
        count["."] += pc.sum(pc.and_not(point, comma)).as_py() or 0
        count[","] += pc.sum(pc.and_not(comma, point)).as_py() or 0
    if not any(count.values()):
        return Numbers(default)
    if all(count.values()) and default:
        return Numbers(default, certain=True)
    return Numbers("." if count["."] >= count[","] else ",", certain=True)


def convert(values: pa.ChunkedArray, column: Column, mapping: Mapping, numbers: Numbers) -> Converted:
    """Convert a column; what it cannot be is a problem each, and missing.

    Parameters
    ----------
    values : pyarrow.ChunkedArray
        Texts, or whatever type a Parquet file has them in; lengths of time of any unit become seconds.
    column : Column
    mapping : Mapping
        What values mean, and what times without an offset are.
    numbers : Numbers
        How the numbers of the file are written.
    """
    words = mapping.words_of(column.name)
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if (pa.types.is_integer(values.type) and (words or column.kind == "string")) or pa.types.is_string_view(
        values.type
    ):
        values = values.cast(pa.string())
    text = _is_text(values.type)
    raw = values.to_pandas()
    if text:
        raw = raw.astype("str").str.strip()
        raw = raw.mask(raw == "")
        if words:
            meant = raw.str.casefold().map(words)
            raw = raw.mask(meant.notna(), meant).replace(NOTHING, None).astype("str")
    parsed, refused = _read(raw, values.type, column, mapping, numbers)
    notes = [MILLISECONDS.format(column.name)] if column.name in _LENGTHS and _is_long(parsed) else []
    if column.kind == "number":
        parsed = parsed.where(parsed.between(column.low, column.high))
    elif column.kind == "time":
        parsed = parsed.where(parsed.between(EARLIEST, LATEST))
    expected = column.expected + (", or a value that the mapping names" if words else "")
    unread = raw.notna().to_numpy() & parsed.isna().to_numpy()
    problems = []
    for reason, refused_rows in refused.items():
        rows = refused_rows.to_numpy()
        problems += problems_where(raw, rows & unread, reason, column.name)
        unread &= ~rows
    problems += problems_where(raw, unread, expected, column.name)
    if column.required:
        problems += problems_where(raw, raw.isna().to_numpy(), expected, column.name)
    return Converted(parsed.rename(column.name), problems, notes)


def _read(
    raw: pd.Series, kind: pa.DataType, column: Column, mapping: Mapping, numbers: Numbers
) -> tuple[pd.Series, Refused]:
    """Return values, missing where there is none, and by reason the rows that are refused for one of their own."""
    text = _is_text(kind)
    if column.kind == "time":
        return _times(raw, kind, mapping)
    if column.kind == "number":
        return _numbers(raw, kind, numbers)
    if column.kind == "choice":
        return raw.astype("str").str.lower().map({word.lower(): word for word in column.choices}).astype("str"), {}
    if column.kind == "flag":
        return raw.astype("str").str.lower().map(_FLAGS).astype("boolean"), {}
    if pa.types.is_floating(kind):  # as pandas has a column of whole numbers of which some are missing
        return pd.Series([None if pd.isna(one) else spell_caller(one) for one in raw], index=raw.index, dtype="str"), {}
    return (raw if text else raw.mask(raw.notna())).astype("str"), {}  # bytes are nobody's name


def _times(raw: pd.Series, kind: pa.DataType, mapping: Mapping) -> tuple[pd.Series, Refused]:
    """Read times with their offset; those without one are the mapping's."""
    refused: Refused = {}
    if _is_text(kind):
        whole = raw.str.fullmatch(TIMESTAMP).fillna(False)
        times = pd.to_datetime(raw.where(whole).str.upper(), utc=True, format="ISO8601", errors="coerce")
        rest = raw[raw.notna() & ~whole] if mapping.time_zone or mapping.time_format else raw[:0]
        if len(rest):
            written, refused = _local(_unzoned(rest, mapping), mapping)
            times = times.fillna(written.reindex(raw.index))
            refused = {reason: rows.reindex(raw.index, fill_value=False) for reason, rows in refused.items()}
    elif not pa.types.is_timestamp(kind):
        times = pd.to_datetime(pd.Series(pd.NaT, index=raw.index), utc=True)
    else:
        times, refused = (raw, {}) if kind.tz else _local(raw, mapping)
    microseconds = cast("pd.Series", times.dt.tz_convert("UTC").astype("datetime64[us, UTC]"))
    return microseconds, refused


def _unzoned(texts: pd.Series, mapping: Mapping) -> pd.Series:
    """Read times as the mapping has them written; in UTC already where that writes their offset."""
    if mapping.time_format is None:
        texts = texts.where(texts.str.fullmatch(_LOCAL)).str.upper()
        return pd.to_datetime(texts, format="ISO8601", errors="coerce")
    return pd.to_datetime(texts, format=mapping.time_format, errors="coerce", utc="%z" in mapping.time_format)


def _local(times: pd.Series, mapping: Mapping) -> tuple[pd.Series, Refused]:
    """Set times to the mapping's zone; what its clocks showed twice or never is refused."""
    if times.dt.tz is not None:
        return times, {}
    if mapping.time_zone is None:
        return pd.to_datetime(pd.Series(pd.NaT, index=times.index), utc=True), {}
    first, second = (
        times.dt.tz_localize(mapping.time_zone, ambiguous=np.full(len(times), dst), nonexistent="NaT")
        for dst in (True, False)
    )
    twice = first.ne(second) & first.notna()
    found = first if mapping.double_hour == "first" else second
    if mapping.double_hour is None:
        found = found.mask(twice)
    zone = mapping.time_zone
    return found.dt.tz_convert("UTC"), {
        f"a time with an offset, or double_hour in the mapping: the clocks of {zone} showed this hour twice": twice,
        f"a time that the clocks of {zone} showed: they were put forward over it": first.isna() & times.notna(),
    }


def _numbers(raw: pd.Series, kind: pa.DataType, numbers: Numbers) -> tuple[pd.Series, Refused]:
    """Read numbers; a text that may be two of them is refused where nothing says which it is."""
    if pa.types.is_duration(kind):
        return raw.dt.total_seconds(), {}
    if not _is_text(kind) or (numbers.decimal == "." and not raw.str.contains(",", regex=False, na=False).any()):
        return pd.to_numeric(raw, errors="coerce").astype("float64"), {}
    point, comma = (raw.str.fullmatch(NUMBERS[sign]).eq(True) for sign in NUMBERS)
    group = {".": ",", ",": "."}.get(numbers.decimal or "")
    signed = raw.str.contains("[.,]" if group is None else group, regex=group is None, na=False)
    unsure = point & comma & signed & (not numbers.certain)
    wanted = {".": point, ",": comma}.get(numbers.decimal or "", point | comma)
    plain = raw.where(wanted & ~unsure)
    if group:
        plain = plain.str.replace(group, "", regex=False)
    found = pd.to_numeric(plain.str.replace(",", ".", regex=False), errors="coerce").astype("float64")
    return found, {AMBIGUOUS: unsure}


def _is_long(seconds: pd.Series) -> bool:
    return int(seconds.count()) >= _FEWEST_LENGTHS and float(seconds.median()) > _LONG_S


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
