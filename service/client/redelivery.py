"""Redelivery: keeps events in the outbox, and sends them when the service answers again.

It lives within one event loop; the disk is waited for in a thread, so that no call waits for it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from random import uniform
from typing import TYPE_CHECKING, Any, TypeVar

from model.errors import StoreError
from service.client.event import Event
from service.client.score_request import rfc3339
from service.client.transport.exchange import RefusedError, UnansweredError

if TYPE_CHECKING:
    from service.client.outbox import Outbox

T = TypeVar("T")
#: An event of the outbox is told while nobody waits: it gets more time than one that is told at once.
TELL_S = 5.0
#: How long to wait before the outbox is tried again: at first and at least, and at most.
_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_log = logging.getLogger("saring.client")


class Redelivery:
    """Sends the events of an outbox.

    Parameters
    ----------
    outbox : Outbox
    tell : callable
        Takes an event and a moment of the loop's clock at which to give up; raises what `Exchange.post` raises.
    """

    def __init__(self, outbox: "Outbox", tell: Callable[[Event, float], Awaitable[Any]]) -> None:
        self._outbox, self._tell = outbox, tell
        self._disk = ThreadPoolExecutor(1, "saring-outbox")  # one thread keeps the order
        self._draining = asyncio.Lock()
        self._queued, self._answered = asyncio.Event(), asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self) -> None:
        """Start with what an earlier client left."""
        self._queued.set()
        self._spawn(self._drain_for_ever())

    def close(self) -> None:
        """Stop sending."""
        for task in self._tasks:
            task.cancel()

    def shut(self) -> None:
        """Wait for the disk, once nothing more is kept."""
        self._disk.shutdown()

    def holds(self, call_id: str) -> bool:
        """Return whether an event of this call is left."""
        return self._outbox.holds(call_id)

    def answered(self) -> None:
        """Record that the service answers: there is no need to wait any longer."""
        self._answered.set()

    async def keep(self, event: Event) -> None:
        """Keep an event to send it later; it is on disk when this returns.

        Raises
        ------
        StoreError
            When it is not.
        """
        await self._on_disk(partial(self._outbox.add, event))
        self._queued.set()

    async def put_aside(self, event: Event, refused: RefusedError) -> None:
        """Write down an event that the service will never take, and why."""
        problem = {"status": refused.status, "detail": refused.detail, "refused_at": rfc3339(datetime.now(UTC))}
        try:
            await self._on_disk(partial(self._outbox.refuse, event, **problem))
        except StoreError as error:
            _log.error("%s of call %r is lost: the service %s; %s", event.kind, event.call_id, refused, error)

    async def flush(self, until: float) -> int:
        """Send what is left now, until a moment of the loop's clock; return how many events are left then."""
        await asyncio.wait({self._spawn(self._drain())}, timeout=until - asyncio.get_running_loop().time())
        return len(self._outbox)

    def _spawn(self, job: Any) -> asyncio.Task[Any]:
        task = asyncio.create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _drain_for_ever(self) -> None:
        pause_s = _PAUSE_S
        while True:
            await self._queued.wait()
            self._queued.clear()
            if await self._drain():
                pause_s = _PAUSE_S
                continue
            self._queued.set()
            self._answered.clear()
            await asyncio.sleep(_PAUSE_S)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._answered.wait(), pause_s * uniform(0.75, 1.0))
            pause_s = min(2.0 * pause_s, _LONGEST_PAUSE_S)

    async def _drain(self) -> bool:
        """Send events, oldest first, up to the first one that is not taken; return whether none is left."""
        async with self._draining:
            told = 0
            while (event := self._outbox.peek()) is not None:
                try:
                    await self._tell(event, asyncio.get_running_loop().time() + TELL_S)
                except RefusedError as error:
                    if not error.final:
                        break
                    _log.warning("%s of call %r is put aside: the service %s", event.kind, event.call_id, error)
                    await self.put_aside(event, error)
                except UnansweredError:
                    break
                except Exception:  # noqa: BLE001 - the rest is to be told even so, later
                    _log.exception("%s of call %r cannot be told", event.kind, event.call_id)
                    break
                try:
                    await self._on_disk(partial(self._outbox.acknowledge, event))
                except StoreError as error:
                    _log.error("told, and told again after the next start: %s", error)
                told += 1
            if told:
                _log.info("the outbox: %d events are told, %d are left", told, len(self._outbox))
            return not len(self._outbox)

    async def _on_disk(self, write: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, write)
