"""The short way for what comes with every call: from the connection to the reception, past ASGI, routing and FastAPI.

These cost as much as a score. A request that is as plain as an intake system sends it is read, let in, counted and
answered here, by the same guard, reception and metrics as any other; whatever is not plain takes the long way, which
answers the same.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from time import perf_counter
from typing import Any, NamedTuple

from starlette.types import Scope
from uvicorn.protocols.http.flow_control import FlowControl

from service.guard import Guard, Pair, Seen, not_let_in
from service.logs import request_state
from service.observed import GONE, Observed
from service.problems import Problem, unforeseen

#: Under this name the application's lifespan gives it to the connections.
SHORTCUT = "saring.shortcut"
_JSON: Pair = (b"content-type", b"application/json")
_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
#: uvicorn tells an application by it that more of a body has come; here nobody waits for it.
_NOBODY_WAITS = asyncio.Event()
log = logging.getLogger(__name__)


class Answer(NamedTuple):
    """What is answered; the headers are all but the length of the body."""

    status: int
    headers: list[Pair]
    body: bytes


class Shortcut:
    """Answers POST to one path.

    Parameters
    ----------
    path : str
    endpoint : callable
        That of the long way: it says who may call.
    answer : callable
        Is given the body and the scope of a request, and gives what is written of the answer. It may raise `Problem`.
    guard : Guard
    observed : Observed
    limit : int
        A longer body takes the long way, where it is refused.
    """

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        answer: Callable[[bytes, Scope], Awaitable[bytes]],
        guard: Guard,
        observed: Observed,
        limit: int,
    ) -> None:
        self.path, self.url, self.limit = path, path.encode(), limit
        self._endpoint, self._answer, self._guard, self._observed = endpoint, answer, guard, observed

    def enter(self, scope: Scope) -> tuple[Seen, Problem | None]:
        """Look at who asks, before the body is read: as `Guard.enter`."""
        seen, problem = self._guard.enter(scope)
        return seen, problem or not_let_in(self._endpoint, scope)

    async def answer(self, scope: Scope, seen: Seen, refused: Problem | None, body: bytes) -> Answer:
        """Answer a request, given what `enter` said of it; of one that is refused the body does not matter."""
        request_state.set(scope["state"])  # each request is a task of its own, with a context of its own
        problem = refused
        if problem is None:
            try:
                written = await self._answer(body, scope)
                return Answer(200, self._guard.dressed((_JSON,), scope, seen), written)
            except Problem as found:
                problem = found
            except Exception:
                log.exception("a request failed")
                problem = unforeseen()
        response = problem.response()
        own = [pair for pair in response.raw_headers if pair[0] != b"content-length"]
        return Answer(response.status_code, self._guard.dressed(own, scope, seen), bytes(response.body))

    def count(self, status: int, seconds: float) -> None:
        """Count a request that has been answered."""
        self._observed.count(self.path, "POST", status, seconds)


class PlainRequest:
    """A request on the short way; to uvicorn it is the cycle of its connection.

    Parameters
    ----------
    scope : dict
        As uvicorn began it.
    keep_alive : bool
        Whether the connection stays open afterwards.
    shortcut : Shortcut
    """

    __slots__ = ("_seen", "_shortcut", "_since_s", "begun", "body", "disconnected", "keep_alive", "message_event",
                 "refused", "response_complete", "response_started", "scope")  # fmt: skip

    def __init__(self, scope: Scope, shortcut: Shortcut, *, keep_alive: bool) -> None:
        scope["method"], scope["path"] = "POST", shortcut.path
        self.scope, self._shortcut, self.keep_alive = scope, shortcut, keep_alive
        self.body, self.message_event, self._since_s = b"", _NOBODY_WAITS, perf_counter()
        self.begun = self.disconnected = self.response_started = self.response_complete = False
        #: Why nobody needs its body; None when it is let in.
        self.refused: Problem | None
        self._seen, self.refused = shortcut.enter(scope)

    async def run(self, transport: asyncio.Transport, flow: FlowControl, done: Callable[[], None]) -> None:
        """Answer it."""
        status, headers, body = await self._shortcut.answer(self.scope, self._seen, self.refused, self.body)
        if flow.write_paused and not self.disconnected:
            await flow.drain()  # whoever does not read is not answered any further
        if self.disconnected:
            self._count(GONE)
            return
        self.response_started = self.response_complete = True
        lines = [_LINES[status], *[b"%b: %b\r\n" % pair for pair in headers]]
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (b"".join(lines), len(body), body))
        if not self.keep_alive:
            transport.close()
        self._count(status)
        done()

    def broke_off(self) -> None:
        """Count that its client went away before all of it had arrived."""
        self._count(GONE)

    def _count(self, status: int) -> None:
        self._shortcut.count(status, perf_counter() - self._since_s)
