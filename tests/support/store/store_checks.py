"""What must be in a database when all that was told was acknowledged, reckoned from what was told alone."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg

from model.calls.call_events import events_of, sort_calls
from model.calls.columns import COLUMNS
from model.calls.phone_numbers import Numbering
from model.history.caller_history import FIELDS, read
from model.history.log_histories import LogHistories
from model.release.folder import read_release
from service.intake.history_cache import restore_stream
from service.security.pseudonyms import Pseudonyms, read_keys
from service.store.records import stream_of
from service.store.store import Store
from service.timestamps import microseconds
from tests.support.store.event_teller import ToldCall

#: Histories are held against each other as of so long after the first call.
LATER = timedelta(days=1)


def rows_of(database: str, query: str) -> list[dict[str, Any]]:
    """Ask a database."""
    with psycopg.connect(database, row_factory=psycopg.rows.dict_row) as connection:
        return connection.execute(query.encode()).fetchall()


def assert_all_there_once(database: str, folder: Path, release: Path, calls: list[ToldCall]) -> None:
    """See that a database holds what was acknowledged, each event once, and nothing else."""
    told = expected_events(calls)
    asked = ", ".join(f"'{call.call_id}'" for call in calls)
    counted = rows_of(database, f"SELECT call_id, kind, count(*) FROM events WHERE call_id IN ({asked}) GROUP BY 1, 2")
    found = {(row["call_id"], row["kind"]): row["count"] for row in counted}
    # What was told again after a cut may have been scored twice: what was answered then is kept, too.
    degraded = {call.call_id for call in calls if any(answer["degraded"] for _, _, answer in call.acknowledged)}
    kinds = {key: count for key, count in found.items() if key[1] != "scored" or key[0] not in degraded}
    expected = {key: count for key, count in told.items() if key[1] != "scored" or key[0] not in degraded}
    assert kinds == expected, (kinds.items() - expected.items(), expected.items() - kinds.items())
    gaps = "SELECT chain FROM events GROUP BY chain HAVING count(*) <> max(nth) OR min(nth) <> 1"
    assert rows_of(database, gaps) == []
    expected = expected_rows(calls)
    for row in rows_of(database, f"SELECT * FROM calls WHERE call_id IN ({asked})"):
        assert {name: row[name] for name in expected[row["call_id"]]} == expected[row["call_id"]], row["call_id"]
    assert answers_in(database, asked) == {
        (call.call_id, answer["stage"]): answer
        for call in calls
        for kind, _, answer in call.acknowledged
        if kind == "score"
    }
    opened, as_of = read_release(release), calls[0].received_at + LATER
    states = expected_states(calls, dict(opened.labels), opened.numbering)
    store = Store(database)
    try:
        read = histories(store, Pseudonyms(read_keys(folder / "saring.key")), list(states), as_of)
    finally:
        store.close()
    assert_same_histories(read, states, as_of)


def answers_in(database: str, asked: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Give the last answer of each call at the stages of its queue."""
    scored = f"SELECT body FROM events WHERE call_id IN ({asked}) AND kind IN ('received', 'scored') ORDER BY nth"
    answers = [json.loads(row["body"])["answer"] for row in rows_of(database, scored)]
    return {(answer["call_id"], answer["stage"]): answer for answer in answers}


def expected_rows(calls: Sequence[ToldCall]) -> dict[str, dict[str, Any]]:
    """Give what the acknowledged events make of each call."""
    return {call.call_id: _row(call) for call in calls}


def _row(call: ToldCall) -> dict[str, Any]:
    answered, ended, closed = (call.known(kind) for kind in ("answered", "ended", "disposition"))
    opening = [said for said in call.known("score") if "duration_s" in said]
    state = "waiting"
    if answered:
        state = "answered"
    if ended:
        state = "ended" if answered or "duration_s" in ended[0] else "abandoned"
    if closed:
        state = "closed"
    return {
        "received_at_us": microseconds(call.received_at),
        "opening_duration_s": opening[0]["duration_s"] if opening else None,
        "opening_silence_ratio": opening[0]["silence_ratio"] if opening else None,
        "answered_at_us": _us(answered[0]["answered_at"]) if answered else None,
        "operator": "rina" if answered else None,
        "ended_at_us": _us(ended[0]["ended_at"]) if ended else None,
        "duration_s": ended[0].get("duration_s") if ended else None,
        "silence_ratio": ended[0].get("silence_ratio") if ended else None,
        "disposition": closed[-1]["disposition"] if closed else None,
        "disposed_at_us": _us(closed[-1]["disposed_at"]) if closed else None,
        "state": state,
    }


def expected_events(calls: Sequence[ToldCall]) -> dict[tuple[str, str], int]:
    """Give how many events of each kind each call must have had: each once, however often it was told."""
    names = {"answered": "answered", "ended": "ended", "disposition": "disposed"}
    found: dict[tuple[str, str], int] = {}
    for call in calls:
        scores = len(call.known("score"))
        found[call.call_id, "received"] = min(scores, 1)
        found[call.call_id, "scored"] = max(scores - 1, 0)
        for told, kept in names.items():
            found[call.call_id, kept] = len(call.known(told))
    return {key: count for key, count in found.items() if count}


def log_of(calls: Sequence[ToldCall]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give the acknowledged events as a call log and its corrections, as if one process had taken them in."""
    rows, corrections = [], []
    for call in calls:
        row: dict[str, Any] = {"call_id": call.call_id, "caller": call.caller, "received_at": call.received_at}
        for said in call.known("answered")[:1] + call.known("ended")[:1]:
            row |= {name: value for name, value in said.items() if name != "operator"}
        first, *later = call.known("disposition") or [{}]
        rows.append(row | first)
        corrections += [{"call_id": call.call_id, **said} for said in later]
    return _frame(rows), _frame(corrections)


def expected_states(calls: Sequence[ToldCall], labels: dict[str, int], numbering: Numbering) -> dict[str, np.ndarray]:
    """Give the state of each caller once all events are known, as the offline replay of the log gives it."""
    log, corrections = log_of(calls)
    log = sort_calls(log)
    states = LogHistories(events_of(log, labels, numbering, corrections)).states()
    return dict(zip(pd.unique(log["caller"].dropna()), states, strict=True))


def histories(store: Store, pseudonyms: Pseudonyms, callers: Sequence[str], as_of: datetime) -> dict[str, np.ndarray]:
    """Read the history of callers at a moment, from the store."""

    async def all_of_them() -> dict[str, np.ndarray]:
        chains = {caller: stream_of(pseudonyms.hash(caller), "") for caller in callers}
        return {
            caller: restore_stream(*await store.read_stream(chain)).caller.read(microseconds(as_of))
            for caller, chain in chains.items()
        }

    return asyncio.run(all_of_them())


def assert_same_histories(found: dict[str, np.ndarray], states: dict[str, np.ndarray], as_of: datetime) -> None:
    """Hold histories against states: counts exactly, sums that fade to 1e-9."""
    counts = [place for place, name in enumerate(FIELDS) if name.endswith(("_ever", "_us")) and "duration" not in name]
    counts = [place for place in counts if "silence" not in FIELDS[place]]
    assert found.keys() == states.keys()
    for caller, state in states.items():
        expected = np.empty(len(FIELDS))
        read(state, float(microseconds(as_of)), expected)
        assert np.array_equal(found[caller][counts], expected[counts]), caller
        assert np.allclose(found[caller], expected, rtol=1e-9, atol=1e-9), caller


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    kinds = {"time": "datetime64[us, UTC]", "number": "float64", "flag": "boolean"}
    data = {}
    for column in COLUMNS:
        values = [row.get(column.name) for row in rows]
        if column.kind == "time":
            values = [None if value is None else pd.Timestamp(value).tz_convert(UTC) for value in values]
        data[column.name] = pd.Series(values, dtype=kinds.get(column.kind, "str"))
    return pd.DataFrame(data)


def _us(text: str) -> int:
    return microseconds(datetime.fromisoformat(text))
