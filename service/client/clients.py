"""The two clients: how each waits for what runs in the background, and walks away at the deadline."""

import asyncio
import logging
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from datetime import UTC, datetime
from time import monotonic
from types import TracebackType
from typing import Any, Self, TypeVar

from service.client.base_client import BaseClient
from service.client.event import Event, undelivered_receipt
from service.client.fallback import first_come_answer
from service.client.score_request import ScoreRequest

T = TypeVar("T")
#: The exchange is cut a little before the deadline, so that what was begun can end; at the deadline whoever waits
#: walks away in any case.
_CUT = 0.97
#: How much longer than it was told to a flush may take.
_GRACE_S = 0.005
#: How long the disk may take to keep an event.
_DISK_S = 5.0
_log = logging.getLogger("saring.client")
_LATE, _CLOSED = "did not answer in time", "is no longer asked: the client is closed"


class Client(BaseClient[dict[str, Any]]):
    """The client for threads: any of them may call any method at any time."""

    def flush(self, timeout_s: float = 5.0) -> int:
        """Send what is in the outbox now; return how many events are left in it."""
        until = monotonic() + timeout_s
        return _result(self._submit(lambda core: core.flush(until)), until + _GRACE_S) or self._pending()

    def close(self) -> None:
        """Let what is under way end, and release everything; the outbox stays for the next client."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _score(self, asked: ScoreRequest, started: float) -> dict[str, Any]:
        future = self._submit(lambda core: core.score(asked, started + _CUT * self._deadline_s))
        return _result(future, started + self._deadline_s, cut=True) or _first_come(asked, future)

    def _send(self, event: Event) -> dict[str, Any]:
        until = monotonic() + self._deadline_s
        future = self._submit(lambda core: core.send(event, until))
        return _result(future, until + _DISK_S) or _untaken(event, future)


class AsyncClient(BaseClient[Coroutine[Any, Any, dict[str, Any]]]):
    """The client for coroutines: the same methods with the same answers, to be awaited.

    It has a thread of its own too, so that a loop that is busy does not delay what is told in the background. Making
    it reads the outbox and loads certificates: make it before the loop has calls to serve.
    """

    async def flush(self, timeout_s: float = 5.0) -> int:
        """Send what is in the outbox now; return how many events are left in it."""
        until = monotonic() + timeout_s
        return await _awaited(self._submit(lambda core: core.flush(until)), until + _GRACE_S) or self._pending()

    async def aclose(self) -> None:
        """Let what is under way end, and release everything; the outbox stays for the next client."""
        await asyncio.to_thread(self._close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _score(self, asked: ScoreRequest, started: float) -> dict[str, Any]:
        future = self._submit(lambda core: core.score(asked, started + _CUT * self._deadline_s))
        return await _awaited(future, started + self._deadline_s, cut=True) or _first_come(asked, future)

    async def _send(self, event: Event) -> dict[str, Any]:
        until = monotonic() + self._deadline_s
        future = self._submit(lambda core: core.send(event, until))
        return await _awaited(future, until + _DISK_S) or _untaken(event, future)


def _result(future: Future[T] | None, until: float, *, cut: bool = False) -> T | None:
    """Wait for what runs in the background; None when it does not end in time."""
    if future is None:
        return None
    try:
        return future.result(max(0.0, until - monotonic()))
    except (TimeoutError, CancelledError):
        if cut:
            future.cancel()
        return future.result() if future.done() and not future.cancelled() else None


async def _awaited(future: Future[T] | None, until: float, *, cut: bool = False) -> T | None:
    """Do the same in a coroutine. When that is cancelled, what runs in the background ends in its own time."""
    if future is None:
        return None
    wrapped = asyncio.wrap_future(future)
    await asyncio.wait({wrapped}, timeout=max(0.0, until - monotonic()))
    if wrapped.done():
        return None if wrapped.cancelled() else wrapped.result()
    if cut:
        wrapped.cancel()
    return None


def _first_come(asked: ScoreRequest, future: Future[Any] | None) -> dict[str, Any]:
    return first_come_answer(asked, _CLOSED if future is None else _LATE, datetime.now(UTC))


def _untaken(event: Event, future: Future[Any] | None) -> dict[str, Any]:
    why = _CLOSED if future is None else f"{_LATE}, nor did the disk of the outbox"
    _log.error("%s of call %r may be lost: the service %s", event.kind, event.call_id, why)
    return undelivered_receipt(event, why)
