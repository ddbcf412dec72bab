"""Our own load: calls at a fixed rate that does not wait for the server, or as fast as it answers.

At a fixed rate a latency counts from the moment at which the request should have been sent. A server that stands still
is so charged for all who would have called meanwhile.
"""

import asyncio
import json
import random
import selectors
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from datetime import UTC, datetime
from itertools import count

PERCENTILES = (50.0, 90.0, 99.0, 99.9)
MAX_AT_ONCE = 256
PATIENCE_S = 60.0
Item = tuple[bytes, float]  # a request, and the moment from which its latency counts
Outcome = tuple[list[float], int, float]  # latencies in milliseconds, wrong answers, seconds in all


def percentiles(latencies: Sequence[float]) -> tuple[float, ...]:
    """Return the PERCENTILES and the largest of some latencies."""
    found = sorted(latencies)
    return (*(found[int(len(found) * share / 100)] for share in PERCENTILES), found[-1])


def fixed_rate(port: int, path: str, run: int, rate: float, seconds: int) -> Outcome:
    """Send a call every 1 / `rate` seconds."""

    async def drive() -> Outcome:
        loop, waiting, requests = asyncio.get_running_loop(), deque[Item](), _requests(path, run)
        lines = _Lines(lambda: waiting.popleft() if waiting else None)
        await lines.connect(port, MAX_AT_ONCE)
        started = loop.time() + 0.1
        for place in range(int(rate * seconds)):
            request, due = next(requests), started + place / rate
            if (pause := due - loop.time()) > 0.0:
                await asyncio.sleep(pause)
            waiting.append((request, due))
            lines.wake()
        return await lines.ended(started)

    return _run(drive)


def closed_loop(port: int, path: str, run: int, seconds: int, connections: int, body: str | None) -> Outcome:
    """Send the next request on each connection as soon as the last one was answered."""

    async def drive() -> Outcome:
        loop, requests = asyncio.get_running_loop(), _requests(path, run, body)
        started = loop.time()
        lines = _Lines(lambda: (next(requests), loop.time()) if loop.time() < started + seconds else None, body is None)
        await lines.connect(port, connections)
        await asyncio.sleep(started + seconds - loop.time())
        return await lines.ended(started)

    return _run(drive)


def _run(drive: Callable[[], Coroutine[None, None, Outcome]]) -> Outcome:
    # epoll waits whole milliseconds, select waits microseconds.
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    try:
        return loop.run_until_complete(drive())
    finally:
        loop.close()


def _requests(path: str, run: int, body: str | None = None) -> Iterator[bytes]:
    """Make requests as calls.lua does: each a new call, unless there is a `body` to be sent as it is."""
    draw = random.Random(run)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
    for place in count(1):
        sent = (body or json.dumps(_call(draw, run, place), separators=(",", ":"))).encode()
        yield f"{head}{len(sent)}\r\n\r\n".encode() + sent


def _call(draw: random.Random, run: int, place: int) -> dict[str, object]:
    kind = draw.random()
    known, new = f"+62812{draw.randrange(5_000):08d}", f"+6285{run % 1_000:03d}{place:06d}"
    return {
        "call_id": f"{run}-{place}",
        "received_at": datetime.now(UTC).isoformat(timespec="microseconds"),
        "caller": known if kind < 0.70 else new if kind < 0.95 else None,
        "line": "mobile",
        "centre": "north",
        "queue": "112",
        "duration_s": round(draw.uniform(0.0, 20.0), 1),
        "silence_ratio": round(draw.random(), 2),
    }


class _Lines:
    """Connections, what they are to send next, and what was answered."""

    def __init__(self, take: Callable[[], Item | None], kept: bool = True) -> None:
        self._take, self._kept = take, kept
        # Used in turn, so that none is idle for so long that the server closes it.
        self._idle: deque[_Line] = deque()
        self._latencies: list[float] = []
        self._wrong, self._all, self._ending = 0, 0, False
        self._loop = asyncio.get_running_loop()
        self._done = self._loop.create_future()

    async def connect(self, port: int, connections: int) -> None:
        self._all = connections
        for _ in range(connections):
            await self._loop.create_connection(lambda: _Line(self), "127.0.0.1", port)

    def wake(self) -> None:
        if self._idle:
            self.free(self._idle.popleft())

    def free(self, line: "_Line") -> None:
        item = self._take()
        if item is not None:
            line.send(*item)
            return
        self._idle.append(line)
        if self._ending and len(self._idle) == self._all and not self._done.done():
            self._done.set_result(None)

    def answered(self, line: "_Line", due: float, head: bytes, body: bytes) -> None:
        self._latencies.append(1_000.0 * (self._loop.time() - due))
        kept = not self._kept or (b'"durable":true' in body and b'"degraded":false' in body)
        self._wrong += not (kept and head.startswith(b"HTTP/1.1 200"))
        self.free(line)

    def lost(self) -> None:
        if not self._done.done():
            self._done.set_exception(RuntimeError("the server closed a connection"))

    async def ended(self, started: float) -> Outcome:
        self._ending = True
        if len(self._idle) < self._all:
            await asyncio.wait_for(self._done, PATIENCE_S)
        taken = self._loop.time() - started
        self._done.cancel()
        for line in self._idle:
            line.close()
        return self._latencies, self._wrong, taken


class _Line(asyncio.Protocol):
    """One connection, with at most one request under way."""

    def __init__(self, lines: _Lines) -> None:
        self._lines, self._due, self._buffer = lines, 0.0, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._lines.free(self)

    def send(self, request: bytes, due: float) -> None:
        self._due, self._buffer = due, b""
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if found and len(body) >= int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]):
            self._lines.answered(self, self._due, head, body)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lines.lost()

    def close(self) -> None:
        self._transport.close()
