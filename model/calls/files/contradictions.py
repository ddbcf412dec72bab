"""What cannot be so of calls, whatever each value is by itself: their order in time, their lengths, a row of totals."""

from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa

from model.calls.caller_text import read_text
from model.calls.files.raw_log import ROW, TOTALS, Problem, names_totals, problems_where

NOT_LATER = "a time that is not later than now"
#: So far may the clock that wrote a log be ahead of the one that reads it, and so much may rounding add to a length.
_AHEAD, _ROUNDING_S = timedelta(minutes=10), 2.0
#: A call so far from all others, of which there are so many, has a wrong date.
_FAR, _FEWEST_OTHERS, _LONELY_SHARE = pd.Timedelta(days=365), 2, 0.01
_TIMES = ("received_at", "answered_at", "ended_at", "disposed_at")


def contradictions(calls: pd.DataFrame, now: datetime | None) -> list[Problem]:
    """List what cannot be so of calls.

    What a service took itself, which its `release` shows, may have been told by a clock that was wrong, and stays.

    Parameters
    ----------
    calls : pandas.DataFrame
        The contract's columns; a value that could not be read is missing.
    now : datetime, optional
        No call is later.
    """
    twice = (calls["call_id"].duplicated() & calls["call_id"].notna()).to_numpy()
    problems = problems_where(calls["call_id"], twice, "a name that no other call has")
    foreign = calls["release"].isna().to_numpy()
    late = {name: later_than(calls[name], now) & foreign for name in _TIMES}
    for name in ("answered_at", "ended_at", "disposed_at"):
        early = (calls[name] < calls["received_at"]).to_numpy()
        problems += problems_where(calls[name], early & ~late["received_at"], "a time not before received_at")
    early = ((calls["ended_at"] < calls["answered_at"]) & (calls["ended_at"] >= calls["received_at"])).to_numpy()
    problems += problems_where(
        calls["ended_at"], early & foreign & ~late["answered_at"], "a time not before answered_at"
    )
    for name, rows in late.items():
        problems += problems_where(calls[name], rows, NOT_LATER)
    problems += _lonely(calls["received_at"].mask(late["received_at"]), foreign) + _longer_than_the_call(calls, foreign)
    problems += _cut_numbers(calls["caller"])
    disposed, known = calls["disposition"].notna(), calls["disposed_at"].notna()
    problems += problems_where(
        calls["disposed_at"], (disposed & ~known).to_numpy(), "a time, since there is a disposition"
    )
    return problems + problems_where(
        calls["disposition"], (known & ~disposed).to_numpy(), "a disposition, since there is disposed_at"
    )


def totals_row(table: pa.Table, received_at: pd.Series, written: pa.ChunkedArray) -> list[Problem]:
    """Find a last row that sums up the others: it alone was received at no time, and says so or leaves most empty.

    Parameters
    ----------
    table : pyarrow.Table
        The file.
    received_at : pandas.Series
        When calls were received, missing where that cannot be read.
    written : pyarrow.ChunkedArray
        The same as it stands in the file.
    """
    last = len(received_at) - 1
    if last < 1 or received_at.isna().sum() != 1 or received_at.notna().iloc[last]:
        return []
    values = [value for column in table.columns if (value := column[last].as_py()) is not None]
    texts = [value for value in values if isinstance(value, str)]
    sums = written[last].as_py() is None and len(values) <= table.num_columns // 2
    if sums or any(map(names_totals, texts)):
        return [Problem(last, ROW, f"{len(values)} values", TOTALS)]
    return []


def later_than(times: pd.Series, now: datetime | None) -> np.ndarray:
    """Return which times are later than now, by more than clocks may differ; without `now` none is."""
    if now is None:
        return np.zeros(len(times), dtype=bool)
    return (times > pd.Timestamp(now) + _AHEAD).to_numpy()


def _lonely(received_at: pd.Series, foreign: np.ndarray) -> list[Problem]:
    """Find calls that are few, and years away from all others."""
    times = received_at.dropna().sort_values()
    most = max(1, int(len(times) * _LONELY_SHARE))
    if len(times) < most + _FEWEST_OTHERS:
        return []
    gaps = np.flatnonzero((times.diff() > _FAR).to_numpy())
    first = max((gap for gap in gaps if gap <= most), default=0)
    last = min((gap for gap in gaps if gap >= len(times) - most), default=len(times))
    lonely = received_at.index.isin(times.index[:first].append(times.index[last:]))
    return problems_where(received_at, lonely & foreign, "a time less than a year away from all other calls")


def _longer_than_the_call(calls: pd.DataFrame, foreign: np.ndarray) -> list[Problem]:
    """Find conversations that took longer than from the call's arrival to its end."""
    span_s = (calls["ended_at"] - calls["received_at"]).dt.total_seconds()
    longer = ((calls["duration_s"] > span_s + _ROUNDING_S) & (span_s >= 0.0)).to_numpy() & foreign
    thousandth = calls["duration_s"].between(1_000.0, 1_000.0 * (span_s + _ROUNDING_S)).to_numpy()
    expected = "seconds not longer than the call's span, from received_at to ended_at"
    return problems_where(calls["duration_s"], longer & ~thousandth, expected) + problems_where(
        calls["duration_s"], longer & thousandth, f"{expected} (are these milliseconds?)"
    )


def _cut_numbers(callers: pd.Series) -> list[Problem]:
    """Find the callers of which a spreadsheet has lost digits: they would be one person; the number is not shown."""
    texts = callers[callers.str.contains(r"[0-9]E\+?[0-9]", case=False, na=False)]
    cut = callers.index.isin(texts.index[[read_text(text).shape == "cut" for text in texts]])
    hidden = texts.str.replace(r".*(E\+?[0-9]+).*", r"[number]\1", case=False, regex=True)
    expected = "all digits of a number: digits were lost (scientific notation)"
    return problems_where(hidden.reindex(callers.index), cut, expected)
