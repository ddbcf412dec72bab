"""Calls told to several services at once, over many connections, and what each acknowledged of them."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

#: A number for every caller of every telling; the first of each is the hot one.
NUMBER = "+62812{seed:03}{caller:04}"
OTHERS = 300
PATIENCE_S = 60.0


class Line:
    """One connection to one service, kept open; a client that takes so little time that the services get it."""

    def __init__(self, url: str, key: str = "") -> None:
        self._address, self._key = url.removeprefix("http://").split(":"), key
        self._ends: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, said: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Ask; gives the status and the answer."""
        body = json.dumps(said).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: {':'.join(self._address)}\r\nAuthorization: Bearer {self._key}"
        request = f"{head}\r\nSaring-Clock: as-recorded\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if self._ends is None:
                    self._ends = await asyncio.open_connection(*self._address)
                reader, writer = self._ends
                writer.write(request)
                try:
                    headers = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                except (asyncio.IncompleteReadError, ConnectionError):
                    # The service hung up, since nothing was said for some seconds.
                    await self.close()
                    continue
                length = int(headers.split("content-length:")[1].split("\r\n")[0])
                return int(headers.split(" ")[1]), json.loads(await reader.readexactly(length))

    async def close(self) -> None:
        """Hang up."""
        if self._ends is not None:
            self._ends[1].close()
            with suppress(ConnectionError):
                await self._ends[1].wait_closed()
            self._ends = None


@dataclass
class ToldCall:
    """A call, what is to be told of it in this order, and what was acknowledged of that, each with its answer."""

    call_id: str
    caller: str | None
    received_at: datetime
    steps: list[tuple[str, dict[str, Any]]]
    acknowledged: list[tuple[str, dict[str, Any], dict[str, Any]]] = field(default_factory=list)

    def known(self, kind: str) -> list[dict[str, Any]]:
        """Give what was acknowledged of a kind, in its order."""
        return [said for name, said, _ in self.acknowledged if name == kind]


def calls_to_tell(count: int, seed: int, start: datetime, *, name: str = "call") -> list[ToldCall]:
    """Make calls a second apart, a quarter of one hot caller, one in ten without a number, others for each seed."""
    draw = random.Random(seed)
    callers = [NUMBER.format(seed=seed, caller=caller) for caller in range(OTHERS + 1)]
    return [_call(f"{name} {n}", start + timedelta(seconds=n), callers, draw) for n in range(count)]


def _call(call_id: str, received_at: datetime, callers: Sequence[str], draw: random.Random) -> ToldCall:
    caller = callers[0] if draw.random() < 0.25 else None if draw.random() < 0.1 else draw.choice(callers[1:])

    def at(seconds: float) -> str:
        return (received_at + timedelta(seconds=seconds)).isoformat()

    ring = {"call_id": call_id, "received_at": at(0), "caller": caller, "line": "mobile", "x_trunk": draw.choice("ab")}
    steps = [("score", ring)]
    if draw.random() < 0.5:
        steps.append(("score", ring | {"duration_s": draw.uniform(1, 9), "silence_ratio": draw.random()}))
    if draw.random() < 0.8:
        steps.append(("answered", {"answered_at": at(20), "operator": "rina"}))
    heard = {"duration_s": draw.uniform(1, 90), "silence_ratio": draw.random()} if len(steps) > 1 else {}
    steps.append(("ended", {"ended_at": at(draw.uniform(30, 300)), "ended_by": "caller", **heard}))
    closings = draw.sample(["genuine", "prank", "silent", "information"], draw.choice([0, 1, 1, 2, 3]))
    for place, closing in enumerate(closings):
        steps.append(("disposition", {"disposition": closing, "disposed_at": at(400 + 100 * place)}))
    return ToldCall(call_id, caller, received_at, steps)


@dataclass
class Teller:
    """Tells calls over many connections, each thing at a process that is drawn by chance.

    Parameters
    ----------
    urls : sequence of str
    connections : int
    twice : float
        The share of what is told at two processes at the same moment.
    faithful : bool
        Whether all of one call is told at one process, as by an intake system that has a service of its own.
    until_acknowledged : bool
        Whether what was not acknowledged is told again, as long as it takes.
    key : str
        An access key.
    """

    urls: Sequence[str]
    connections: int = 64
    twice: float = 0.15
    faithful: bool = False
    until_acknowledged: bool = False
    seed: int = 1
    key: str = ""
    answers: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    longest_s: float = 0.0

    async def tell(self, calls: Sequence[ToldCall]) -> None:
        """Tell all of them; what is said of one call is said in its order.

        An eighth of the connections tell the calls of the hot caller, so that no more of them are under way at once.
        """
        draw = random.Random(self.seed)
        callers = Counter(call.caller for call in calls if call.caller)
        hot = max(callers, key=callers.__getitem__)
        waiting = {
            of_hot: [call for call in reversed(calls) if (call.caller == hot) is of_hot] for of_hot in (True, False)
        }

        async def work(*, of_hot: bool) -> None:
            lines = [Line(url, self.key) for url in self.urls]
            while waiting[of_hot]:
                call = waiting[of_hot].pop()
                own = draw.choice(lines)
                for kind, said in call.steps:
                    both = draw.sample(lines, 2 if draw.random() < self.twice else 1)
                    answer = await self._one([own] if self.faithful else both, call.call_id, kind, said)
                    call.acknowledged.append((kind, said, answer))
            for line in lines:
                await line.close()

        async with asyncio.TaskGroup() as workers:
            for number in range(self.connections):
                workers.create_task(work(of_hot=number % 8 == 0))

    async def _one(self, lines: Sequence["Line"], call_id: str, kind: str, said: dict[str, Any]) -> dict[str, Any]:
        path = "/v1/score" if kind == "score" else f"/v1/calls/{quote(call_id)}/{kind}"
        while True:
            started = time.perf_counter()
            answers = await asyncio.gather(*(line.post(path, said) for line in lines))
            self.longest_s = max(self.longest_s, time.perf_counter() - started)
            self.answers += answers
            (status, answer), *other = answers
            if status == 200:
                if other and other[0][0] == 200:
                    assert other[0][1] == answer, (kind, call_id, other[0][1], answer)
                if answer["durable"]:
                    return answer
            assert self.until_acknowledged, (kind, call_id, status, answer)
            await asyncio.sleep(0.05)

    def statuses(self) -> set[int]:
        """Give the statuses that were answered."""
        return {status for status, _ in self.answers}

    def degraded(self) -> int:
        """Give how many answers were degraded."""
        return sum(bool(answer.get("degraded")) for _, answer in self.answers)
