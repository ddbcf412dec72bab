"""Replays a call log into a running service, event by event, as an intake system would have told it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import pandas as pd

from model.calls.call_events import drop_missing, sort_calls
from model.errors import ReplayError

WEEK = timedelta(weeks=1)
#: So long one event is told again to a service that cannot keep it.
PATIENCE_S = 60.0


class Step(NamedTuple):
    """One request: when, what kind (in the order in which equal times are taken), the call, its path and body."""

    at: pd.Timestamp
    kind: int
    received_at: pd.Timestamp
    call_id: str
    path: str
    body: dict[str, Any]


def steps(calls: pd.DataFrame, corrections: pd.DataFrame | None = None) -> list[Step]:
    """Turn a log into requests in the order in which they became known.

    Parameters
    ----------
    calls : pandas.DataFrame
        As `read_calls` gives it.
    corrections : pandas.DataFrame, optional
    """
    calls = sort_calls(calls)
    found: list[Step] = []
    names = calls.set_index("call_id")["received_at"]
    for row in calls.to_dict("records"):
        found.extend(_of_call(drop_missing(row)))
    if corrections is not None:
        rows = corrections.to_dict("records")
        found.extend(_disposed(drop_missing(row), names[row["call_id"]]) for row in rows)
    found.sort(key=lambda step: step[:4])
    return found


def _of_call(row: dict[str, Any]) -> Iterator[Step]:
    received_at, call_id = row["received_at"], row["call_id"]
    score = _some(row, "caller", "line", "attestation", "centre", "queue")
    score |= {name: value for name, value in row.items() if name.startswith("x_")}
    for name in ("duration_s", "silence_ratio"):
        if f"opening_{name}" in row:
            score[name] = row[f"opening_{name}"]
    body = {"call_id": call_id, "received_at": received_at, "stage": "opening", **score}
    yield Step(received_at, 0, received_at, call_id, "/v1/score", body)
    if "answered_at" in row:
        path = _path(call_id, "answered")
        yield Step(row["answered_at"], 1, received_at, call_id, path, {"answered_at": row["answered_at"]})
    if "ended_at" in row:
        heard = _some(row, "ended_at", "ended_by", "duration_s", "silence_ratio")
        yield Step(row["ended_at"], 2, received_at, call_id, _path(call_id, "ended"), heard)
    if "disposition" in row:
        yield _disposed(row, received_at)


def _disposed(row: dict[str, Any], received_at: pd.Timestamp) -> Step:
    said = _some(row, "disposition", "category", "incident_id", "disposed_at")
    path = _path(row["call_id"], "disposition")
    return Step(row["disposed_at"], 3, received_at, row["call_id"], path, said)


def _path(call_id: str, event: str) -> str:
    return f"/v1/calls/{quote(call_id, safe='')}/{event}"


def _some(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: row[name] for name in names if name in row}


def shift_to_now(found: list[Step], now: datetime) -> list[Step]:
    """Move a log by whole weeks, so that its last call is the latest that lies before `now`."""
    last = max(step.received_at for step in found)
    shift = ((now - last) // WEEK) * WEEK

    def moved(value: object) -> object:
        return value + shift if isinstance(value, pd.Timestamp) else value

    return [
        step._replace(
            at=step.at + shift,
            received_at=step.received_at + shift,
            body={name: moved(value) for name, value in step.body.items()},
        )
        for step in found
    ]


def replay(
    found: list[Step],
    client: httpx.Client,
    *,
    as_recorded: bool,
    speed: float | None = None,
    told: Callable[[Step, dict[str, Any]], None] | None = None,
) -> None:
    """Send the requests one after another.

    Parameters
    ----------
    found : list of Step
    client : httpx.Client
        With the service's address as its base_url.
    as_recorded : bool
        Whether the service takes `now` from the events. Live, what lies in the future is waited for.
    speed : float, optional
        How many seconds of the log pass in one; as fast as the service answers by default.
    told : callable, optional
        Is given each step and its answer.

    Raises
    ------
    ReplayError
        At the first event that the service refuses, or cannot keep for PATIENCE_S.
    """
    headers = {"Saring-Clock": "as-recorded"} if as_recorded else {}
    started = monotonic()
    for step in found:
        if speed:
            sleep(max(0.0, (step.at - found[0].at).total_seconds() / speed - (monotonic() - started)))
        elif not as_recorded:
            sleep(max(0.0, (step.at - datetime.now(UTC)).total_seconds()))
        answer = _send(step, client, headers)
        if told:
            told(step, answer)


def _send(step: Step, client: httpx.Client, headers: dict[str, str]) -> dict[str, Any]:
    """Send a request, and again while the service cannot keep it: nothing of a log is lost because a disk was slow."""
    body = {name: _json(value) for name, value in step.body.items()}
    until_s, pause_s = monotonic() + PATIENCE_S, 0.05
    while True:
        try:
            answer = client.post(step.path, json=body, headers=headers)
        except httpx.HTTPError as error:
            raise ReplayError(f"{client.base_url}: {error}") from error
        kept = answer.status_code == httpx.codes.OK and answer.json().get("durable", False)
        if kept:
            found: dict[str, Any] = answer.json()
            return found
        if answer.status_code not in (httpx.codes.OK, httpx.codes.SERVICE_UNAVAILABLE) or monotonic() > until_s:
            raise ReplayError(f"{step.path} for call {step.call_id}: {answer.status_code}: {answer.text}")
        sleep(pause_s)
        pause_s = min(1.0, 2.0 * pause_s)


def _json(value: object) -> object:
    return value.isoformat() if isinstance(value, pd.Timestamp) else value
