"""A made-up rush for the demo: callers of a log ring again, now, and colleagues answer some of them.

Everything is told over HTTP as an intake system and operators would. Who is not answered in time hangs up. Calls that
somebody at the board takes are left to them.
"""

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pandas as pd

from model.calls.call_events import drop_missing
from model.calls.columns import GENUINE

#: A call every so many seconds, on average, and the colleagues, each of whom lets a call wait so long at least.
GAP_S, COLLEAGUES, LEFT_S = 8.0, ("sari", "budi"), 20.0
#: Mean patience of genuine callers and of others, as in docs/queueing.md.
PATIENCE_S = (320.0, 155.0)
SHORTEST_S, LONGEST_S = 8.0, 90.0
LOOK_S = 0.5
#: So many ring at the beginning.
AT_ONCE = 6


class DemoTraffic:
    """Callers and colleagues.

    Parameters
    ----------
    calls : pandas.DataFrame
        Whose callers ring again, and how each of their calls went.
    client : httpx.Client
        With the service's address and an admin's key.
    seed : int
    """

    def __init__(self, calls: pd.DataFrame, client: httpx.Client, seed: int = 0) -> None:
        self._rows, self._client, self._draw = calls.to_dict("records"), client, random.Random(seed)
        self._started = f"{datetime.now(UTC):%H%M%S}"
        self.rung = 0
        self._next_s = 0.0
        #: By call_id: how it goes, and when its caller hangs up, by the monotonic clock.
        self._ringing: dict[str, tuple[dict[str, Any], float]] = {}
        #: By colleague: the call, how it goes, and when it is over.
        self._talking: dict[str, tuple[str, dict[str, Any], float]] = {}

    def run(self, going_on: Callable[[], bool]) -> None:
        """Go on for as long as is asked for."""
        while going_on():
            self.step(time.monotonic())
            time.sleep(LOOK_S)

    def step(self, now_s: float) -> None:
        """Let happen what is due."""
        for who, (call_id, row, over_s) in list(self._talking.items()):
            if now_s >= over_s:
                self._close(who, call_id, row)
        waiting = {call["call_id"]: call for call in self._client.get("/v1/queue").json()["calls"]}
        free = [call_id for call_id, call in waiting.items() if call["state"] == "waiting"]
        for call_id, (_, patience_s) in list(self._ringing.items()):
            if call_id not in waiting:
                del self._ringing[call_id]
            elif now_s >= patience_s and call_id in free:
                self._send(call_id, "ended", {"ended_at": _now(), "ended_by": "caller"})
                free.remove(call_id)
        for who in COLLEAGUES:
            due = (call_id for call_id in free if call_id in self._ringing and _age_s(waiting[call_id]) > LEFT_S)
            found = next(due, None)
            if who not in self._talking and found is not None:
                free.remove(found)
                self._answer(who, found, now_s)
        if now_s >= self._next_s:
            self._next_s = now_s + self._draw.expovariate(1.0 / GAP_S)
            for _ in range(1 if self.rung else AT_ONCE):
                self._ring(now_s)

    def _ring(self, now_s: float) -> None:
        row = drop_missing(self._draw.choice(self._rows))
        self.rung += 1
        call_id = f"live-{self._started}-{self.rung}"
        body = {"call_id": call_id, "received_at": _now(), "stage": "opening"}
        body |= {name: row[name] for name in ("caller", "line") if name in row}
        for name in ("duration_s", "silence_ratio"):
            if f"opening_{name}" in row:
                body[name] = row[f"opening_{name}"]
        self._client.post("/v1/score", json=body).raise_for_status()
        patience_s = PATIENCE_S[row.get("disposition") not in GENUINE]
        self._ringing[call_id] = (row, now_s + self._draw.expovariate(1.0 / patience_s))

    def _answer(self, who: str, call_id: str, now_s: float) -> None:
        if self._send(call_id, "take", {"operator": who}):
            self._send(call_id, "answered", {"answered_at": _now(), "operator": who})
            row = self._ringing.pop(call_id)[0]
            talk_s = min(max(row.get("duration_s", SHORTEST_S), SHORTEST_S), LONGEST_S)
            self._talking[who] = (call_id, row, now_s + talk_s)

    def _close(self, who: str, call_id: str, row: dict[str, Any]) -> None:
        self._send(call_id, "ended", {"ended_at": _now(), **_some(row, "ended_by", "duration_s", "silence_ratio")})
        if closing := _some(row, "disposition", "category", "incident_id"):
            self._send(call_id, "disposition", {**closing, "disposed_at": _now(), "operator": who})
        del self._talking[who]

    def _send(self, call_id: str, what: str, body: dict[str, Any]) -> bool:
        """Tell something of a call; False when somebody at the board was there before."""
        return self._client.post(f"/v1/calls/{call_id}/{what}", json=body).is_success


def _some(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: row[name] for name in names if name in row}


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _age_s(call: dict[str, Any]) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(call["received_at"])).total_seconds()
