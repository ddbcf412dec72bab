"""What became known of each call, and when: a call log as plain arrays that a kernel can read."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from model.arrays import Booleans, Floats, Integers
from model.calls.phone_numbers import Numbering, normalise_number, valid_pattern

#: The time of what has not become known.
NEVER = np.iinfo(np.int64).max
UNLABELLED = -1
#: Valid numbers that may stand for many telephones all the same; they are read one by one.
_DOUBTFUL = "(?:" + "|".join(f"{digit}{{6}}" for digit in range(10)) + r")$|[25]11[0-9]{4}$"


@dataclass(frozen=True, slots=True)
class Events:
    """A call log as arrays: one row a call in order of (received_at, call_id), and the labels beside it.

    Parameters
    ----------
    caller : int64 (n,)
        A code for each number, from 0; -1 when there is none.
    callers : int
        How many numbers there are.
    received_us, ended_us : int64 (n,)
        Microseconds since 1970; `NEVER` when the end is not known.
    answered : bool (n,)
        Whether an operator answered: there is an answered_at or a conversation.
    duration_s, silence_ratio : float64 (n,)
        NaN when not known.
    label_row, label_us : int64 (k,)
        The call of each label and when it became known, by call and then by time.
    label_genuine, label_not_genuine : float64 (k,)
        What the label adds to what was known of the call: -1, 0 or 1.
    outcome : int8 (n,)
        The last label known: 0 genuine, 1 not genuine, -1 none.
    outcome_us : int64 (n,)
        When the first label of the call became known, `NEVER` without one.
    incident : int64 (n,)
        A code for each incident that the log names, from 0; -1 where it names none.
    duplicate : bool (n,)
        Whether the call was last closed as a duplicate: it was about an incident that was known already.
    """

    caller: Integers
    callers: int
    received_us: Integers
    ended_us: Integers
    answered: Booleans
    duration_s: Floats
    silence_ratio: Floats
    label_row: Integers
    label_us: Integers
    label_genuine: Floats
    label_not_genuine: Floats
    outcome: NDArray[np.int8]
    outcome_us: Integers
    incident: Integers
    duplicate: Booleans

    def __len__(self) -> int:
        return len(self.received_us)


def sort_calls(calls: pd.DataFrame) -> pd.DataFrame:
    """Sort a call log by (received_at, call_id), with rows numbered anew from 0."""
    received = microseconds(calls["received_at"])
    rows = np.argsort(received, kind="stable")
    times = received[rows]
    same = np.flatnonzero(times[1:] == times[:-1])
    if len(same):  # call_id decides only where times are equal: sorting millions of names costs much more
        tied = np.unique(np.concatenate([same, same + 1]))
        names = calls["call_id"].to_numpy()[rows[tied]]
        rows[tied] = rows[tied][np.lexsort((names.astype(str), times[tied]))]
    return calls.iloc[rows].reset_index(drop=True)


def known_at(calls: pd.DataFrame, until: pd.Timestamp) -> pd.DataFrame:
    """Return the log as known at `until`: calls received before it, ends and dispositions known before it."""
    calls = calls[calls["received_at"] < until].copy()
    calls.loc[calls["answered_at"] >= until, "answered_at"] = pd.NaT
    calls.loc[~(calls["ended_at"] < until), ["ended_at", "ended_by", "duration_s", "silence_ratio"]] = None
    said = [name for name in ("disposition", "disposed_at", "category", "incident_id") if name in calls]
    calls.loc[~(calls["disposed_at"] < until), said] = None
    return calls


def events_of(
    calls: pd.DataFrame, labels: Mapping[str, int], numbering: Numbering, corrections: pd.DataFrame | None = None
) -> Events:
    """Turn a call log in the order of `sort_calls` into arrays.

    Parameters
    ----------
    labels : mapping of str to {0, 1}
        The label of each disposition; one that is not named gives no label.
    numbering : Numbering
        How callers are read.
    corrections : pandas.DataFrame, optional
        As `read_corrections` gives them; those of calls that are not in `calls` are left out.
    """
    codes, numbers = pd.factorize(calls["caller"])
    merged, distinct = pd.factorize(normalise_numbers(pd.Series(numbers, dtype="str"), numbering))
    caller = np.where(codes >= 0, np.append(merged, -1)[codes], -1).astype(np.int64)

    row, known_us, outcome, duplicates = _labels(calls, corrections, labels)
    before = np.where(np.diff(row, prepend=-1) == 0, np.roll(outcome, 1), UNLABELLED)
    genuine = (outcome == 0) * 1.0 - (before == 0)
    not_genuine = (outcome == 1) * 1.0 - (before == 1)
    says = (genuine != 0) | (not_genuine != 0)
    last = np.full(len(calls), UNLABELLED, dtype=np.int8)
    last[row] = outcome  # of several labels of one call the last one stays
    first = np.full(len(calls), NEVER)
    np.minimum.at(first, row[outcome != UNLABELLED], known_us[outcome != UNLABELLED])
    duplicate = np.zeros(len(calls), dtype=np.bool_)
    duplicate[row] = duplicates

    return Events(
        caller=caller,
        callers=len(distinct),
        received_us=microseconds(calls["received_at"]),
        ended_us=microseconds(calls["ended_at"]),
        answered=(calls["answered_at"].notna() | calls["duration_s"].notna()).to_numpy(),
        duration_s=calls["duration_s"].to_numpy(np.float64),
        silence_ratio=calls["silence_ratio"].to_numpy(np.float64),
        label_row=row[says],
        label_us=known_us[says],
        label_genuine=genuine[says],
        label_not_genuine=not_genuine[says],
        outcome=last,
        outcome_us=first,
        incident=_incidents(calls, corrections),
        duplicate=duplicate,
    )


def normalise_numbers(texts: pd.Series, numbering: Numbering) -> pd.Series:
    """Return the callers that texts show, missing where one shows none: `normalise_number` of a whole column.

    Examples
    --------
    >>> normalise_numbers(pd.Series(["+6281290417733", "081290417733", "112"], dtype="str"), Numbering("ID")).tolist()
    ['+6281290417733', '+6281290417733', nan]
    """
    by_hand = numbering.shared or numbering.pseudonym is not None
    plain = texts.notna() & (False if by_hand else texts.str.fullmatch(valid_pattern(numbering.region), na=False))
    plain &= ~texts.str.contains(_DOUBTFUL, na=False)
    callers = texts.copy()
    read = {text: normalise_number(text, numbering) for text in texts[~plain].dropna().unique()}
    callers[~plain] = [read.get(text) for text in texts[~plain]]
    return callers


def microseconds(times: pd.Series) -> Integers:
    """Return times as microseconds since 1970, missing ones as `NEVER`."""
    values = times.dt.as_unit("us").dt.tz_localize(None).to_numpy().astype(np.int64)
    return np.where(times.isna().to_numpy(), NEVER, values)


def drop_missing(row: Mapping[Hashable, Any]) -> dict[str, Any]:
    """Return one row of a log without its missing values."""
    return {str(name): value for name, value in row.items() if not pd.isna(value)}


def _labels(
    calls: pd.DataFrame, corrections: pd.DataFrame | None, labels: Mapping[str, int]
) -> tuple[Integers, Integers, NDArray[np.int8], Booleans]:
    """List every disposition as (row of its call, time known, outcome, duplicate), by row and then by time."""
    closed = calls["disposition"].notna().to_numpy()
    row = np.flatnonzero(closed)
    disposition, disposed_at = calls["disposition"][closed], calls["disposed_at"][closed]
    if corrections is not None and len(corrections):
        where = pd.Index(calls["call_id"]).get_indexer(pd.Index(corrections["call_id"]))
        here = where >= 0
        row = np.concatenate([row, where[here]])
        disposition = pd.concat([disposition, corrections["disposition"][here]])
        disposed_at = pd.concat([disposed_at, corrections["disposed_at"][here]])
    outcome = disposition.astype("object").map(dict(labels)).fillna(UNLABELLED).to_numpy(np.int8)
    known_us = microseconds(disposed_at)
    rank = np.lexsort((known_us, row))  # stable: of labels known at the same moment the later row of the file stays
    duplicate = (disposition == "duplicate").to_numpy(np.bool_, na_value=False)
    return row[rank].astype(np.int64), known_us[rank], outcome[rank].astype(np.int8), duplicate[rank]


def _incidents(calls: pd.DataFrame, corrections: pd.DataFrame | None) -> Integers:
    """Return a code for the incident of each call, as last named; -1 where none ever was."""
    names = calls.get("incident_id", pd.Series(None, index=calls.index, dtype="str"))
    if corrections is not None and "incident_id" in corrections:
        named = corrections[corrections["incident_id"].notna()].sort_values("disposed_at", kind="stable")
        last = named.drop_duplicates("call_id", keep="last").set_index("call_id")["incident_id"]
        names = calls["call_id"].map(last).fillna(names) if len(last) else names
    return pd.factorize(names)[0].astype(np.int64)
