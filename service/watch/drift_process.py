"""Looks at the latest calls of a store for drift: a process of its own, so that no call ever waits for it.

    python -m service.watch.drift_process < what to look at > what was found

Both are JSON. The process that serves starts it now and then (`service.watch.drift_monitor`).
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from model.calls.call_events import NEVER
from model.calls.columns import ENDED_BY, LINES
from model.certification.drift import DAYS, measure_drift, select_recent_calls
from model.certification.profile import DAY_US, Sample
from model.scorecard.features import CALL, FEATURES, NAMES, STAGES, WIDTHS, fill_feature_rows, local_time
from model.scorecard.scorecard import Scorecard
from service.queue.states import OVER
from service.store.database import engine_of, transaction
from service.store.tables import calls

#: So many calls, the latest, tell enough of any centre.
MAX_CALLS = 50_000
_READ = ("received_at_us", "caller", "line", "opening_duration_s", "opening_silence_ratio", "duration_s",
         "silence_ratio", "ended_by", "disposition", "disposed_at_us", "history", "surge_calls",
         "surge_new")  # fmt: skip
_HEARD = ("opening_duration_s", "opening_silence_ratio", "duration_s", "silence_ratio")
_LINE, _ENDED_BY = ({word: float(code) for code, word in enumerate(words)} for words in (LINES, ENDED_BY))
Columns = Mapping[str, tuple[Any, ...]]


def drift_of_store(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Look at the calls of a store: `database` (URL), `now_us`, and of the release what `drift_monitor` sends.

    Returns
    -------
    dict
        As `model.certification.drift.Drift.document` gives it, and `of_scores`: whether a score moved that the queue
        goes by.

    Raises
    ------
    StoreError
    """
    engine = engine_of(asked["database"])
    try:
        with transaction(engine) as connection:
            columns = _read(connection, asked["now_us"])
    finally:
        engine.dispose()
    drift = measure_drift(asked["fingerprint"], _sample(columns, asked))
    return drift.document() | {"of_scores": drift.of_scores}


def _read(connection: Connection, now_us: int) -> Columns:
    """Read the latest calls that are over, column by column."""
    query = (
        sa.select(*(calls.c[name] for name in _READ))
        .where(calls.c.received_at_us >= now_us - DAYS * DAY_US, calls.c.received_at_us < now_us)
        .where(calls.c.state.in_(OVER))
        .order_by(calls.c.received_at_us.desc())
        .limit(MAX_CALLS)
    )
    rows = connection.execute(query).all()
    return dict(zip(_READ, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(_READ, ())


def _sample(columns: Columns, asked: Mapping[str, Any]) -> Sample:
    received, now_us = np.array(columns["received_at_us"], dtype=np.int64), int(asked["now_us"])
    chosen = np.flatnonzero(select_recent_calls(received, now_us))
    columns = {name: tuple(values[row] for row in chosen) for name, values in columns.items()}
    received = received[chosen]
    features = _features(columns, asked["time_zone"])
    log_odds = {}
    for stage in STAGES:
        card = Scorecard.from_json(stage, asked["scorecards"][stage])
        log_odds[stage] = card.log_odds(card.contributions(features[:, : WIDTHS[stage]], NAMES[: WIDTHS[stage]]))
    outcome = np.array([asked["labels"].get(closed, -1) for closed in columns["disposition"]], dtype=np.int8)
    # Of a call that was closed again, the last time is known here and not the first: few are.
    label_us = np.array([NEVER if at is None else at for at in columns["disposed_at_us"]], dtype=np.int64)
    return Sample(features, log_odds, _codes(columns["caller"]), received, label_us, outcome, now_us)


def _features(columns: Columns, time_zone: str) -> NDArray[np.float64]:
    """Make the features of the calls, as `service.scoring.scorer` does of one."""
    size = len(columns["received_at_us"])
    times = np.array([local_time(at, time_zone) for at in columns["received_at_us"]]).reshape(size, 2)
    known: dict[str, Any] = {name: columns[name] for name in _HEARD}
    known |= {"received_us": columns["received_at_us"], "local_hour": times[:, 0], "weekday": times[:, 1]}
    known |= {name: columns[name] for name in ("surge_calls", "surge_new")}
    known["line"] = [_LINE.get(line or "unknown") for line in columns["line"]]
    known["ended_by"] = [_ENDED_BY.get(who or "") for who in columns["ended_by"]]
    known["number_shown"] = [caller is not None for caller in columns["caller"]]
    vectors = np.column_stack([np.array(known[name], dtype=np.float64) for name in CALL])
    histories = np.frombuffer(b"".join(columns["history"]), dtype=np.float64).reshape(size, -1)
    features = np.empty((size, len(FEATURES)))
    fill_feature_rows(histories, vectors, features)
    return features


def _codes(callers: tuple[bytes | None, ...]) -> NDArray[np.int64]:
    codes: dict[bytes, int] = {}
    return np.array([-1 if one is None else codes.setdefault(one, len(codes)) for one in callers], dtype=np.int64)


if __name__ == "__main__":
    json.dump(drift_of_store(json.load(sys.stdin)), sys.stdout, allow_nan=False)
