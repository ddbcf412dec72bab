"""The client that an intake system embeds. Whatever the service does, a call gets its place in the queue in time.

It needs nothing but httpx and the standard library. What it does not protect from: a
process that stops itself (a full garbage collection of a large one takes longer than the deadline), and a local disk
that hangs, for which `answered`, `ended` and `disposition` wait a few seconds.
"""

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import CancelledError, Future
from datetime import UTC, datetime
from time import monotonic
from types import TracebackType
from typing import Any, Self, TypeVar

from service.client.base_client import BaseClient
from service.client.event import Event, Time, undelivered_receipt
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


class Client(BaseClient):
    """The client for threads: any of them may call any method at any time."""

    def score(self, call: Mapping[str, Any]) -> dict[str, Any]:
        """Ask for a call's place in the queue, at any stage, as often as more becomes known of it.

        Parameters
        ----------
        call : mapping
            The fields of POST /v1/score; `call_id` and `received_at` are required. Times are aware or RFC 3339 text.

        Returns
        -------
        answer : dict
            That of the service; or, within the deadline, one of the same fields that puts nobody back: band
            "unscored", `degraded` true, and in `warnings` why. A place never lies behind one that was given before.

        Raises
        ------
        ValueError
            When call_id or received_at lacks or makes no sense. Nothing else is raised, whatever the service does.
        """
        started = monotonic()
        asked = ScoreRequest.of(call)
        future = self._submit(lambda core: core.score(asked, started + _CUT * self._deadline_s))
        return _result(future, started + self._deadline_s, cut=True) or _first_come(asked, future)

    def answered(self, call_id: str, answered_at: Time, operator: str | None = None) -> dict[str, Any]:
        """Tell that an operator took up a call.

        Returns
        -------
        answer : dict
            `call_id`; `durable`: the service has it on disk; `queued`: the outbox has it on disk, and it is told as
            soon as the service takes it; `degraded`; `warnings`. When neither is true it is lost.

        Raises
        ------
        ValueError
            When call_id or the time makes no sense. Nothing else is raised, whatever the service does.
        """
        return self._send(Event.answered(call_id, answered_at, operator))

    def ended(
        self,
        call_id: str,
        ended_at: Time,
        ended_by: str | None = None,
        duration_s: float | None = None,
        silence_ratio: float | None = None,
    ) -> dict[str, Any]:
        """Tell that a call ended, as `answered` does; with the score of the whole call, if the service gave it.

        Parameters
        ----------
        call_id : str
        ended_at : datetime or str
        ended_by : str, optional
            caller, operator or network.
        duration_s, silence_ratio : float, optional
            Of the conversation, on the caller's side; the share is from 0 to 1.
        """
        return self._send(Event.ended(call_id, ended_at, ended_by, duration_s, silence_ratio))

    def disposition(
        self,
        call_id: str,
        disposition: str,
        disposed_at: Time,
        category: str | None = None,
        operator: str | None = None,
    ) -> dict[str, Any]:
        """Tell how an operator closed a call, as `answered` does; told again, it is a correction."""
        return self._send(Event.disposition(call_id, disposition, disposed_at, category, operator))

    def flush(self, timeout_s: float = 5.0) -> int:
        """Tell what is in the outbox now; give how many events are left in it."""
        until = monotonic() + timeout_s
        return _result(self._submit(lambda core: core.flush(until)), until + _GRACE_S) or self._pending()

    def close(self) -> None:
        """Let what is under way end and let go of everything; the outbox stays for the next client."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, event: Event) -> dict[str, Any]:
        until = monotonic() + self._deadline_s
        future = self._submit(lambda core: core.send(event, until))
        return _result(future, until + _DISK_S) or _untaken(event, future)


class AsyncClient(BaseClient):
    """The client for coroutines: the same methods with the same answers, to be awaited.

    It has a thread of its own too, so that a loop that is busy does not delay what is told in the background. Making
    it reads the outbox and loads certificates: make it before the loop has calls to serve.
    """

    async def score(self, call: Mapping[str, Any]) -> dict[str, Any]:
        """Ask for a call's place in the queue, as `Client.score` does."""
        started = monotonic()
        asked = ScoreRequest.of(call)
        future = self._submit(lambda core: core.score(asked, started + _CUT * self._deadline_s))
        return await _awaited(future, started + self._deadline_s, cut=True) or _first_come(asked, future)

    async def answered(self, call_id: str, answered_at: Time, operator: str | None = None) -> dict[str, Any]:
        """Tell that an operator took up a call, as `Client.answered` does."""
        return await self._send(Event.answered(call_id, answered_at, operator))

    async def ended(
        self,
        call_id: str,
        ended_at: Time,
        ended_by: str | None = None,
        duration_s: float | None = None,
        silence_ratio: float | None = None,
    ) -> dict[str, Any]:
        """Tell that a call ended, as `Client.ended` does."""
        return await self._send(Event.ended(call_id, ended_at, ended_by, duration_s, silence_ratio))

    async def disposition(
        self,
        call_id: str,
        disposition: str,
        disposed_at: Time,
        category: str | None = None,
        operator: str | None = None,
    ) -> dict[str, Any]:
        """Tell how an operator closed a call, as `Client.disposition` does."""
        return await self._send(Event.disposition(call_id, disposition, disposed_at, category, operator))

    async def flush(self, timeout_s: float = 5.0) -> int:
        """Tell what is in the outbox now; give how many events are left in it."""
        until = monotonic() + timeout_s
        return await _awaited(self._submit(lambda core: core.flush(until)), until + _GRACE_S) or self._pending()

    async def aclose(self) -> None:
        """Let what is under way end and let go of everything; the outbox stays for the next client."""
        await asyncio.to_thread(self._close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

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
