"""What a running service does by itself: follow other processes, read decisions, expire silent calls and leases."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from model.errors import StoreError
from model.policy.policy import Band
from service.maintenance.retention import removed_before_us
from service.queue.deferral_gate import Visibility
from service.queue.operations import read_protected, take_back
from service.queue.operator_leases import CHECKS_PER_LEASE, exchange_presence
from service.security.api_keys import ApiKeys
from service.settings import Settings
from service.store.call_reading import MAX_FOREIGN_EVENTS, ForeignEvent
from service.store.records import Call
from service.store.tables import access_keys
from service.telemetry.metrics import Metrics
from service.timestamps import microseconds
from service.watch.silence import SilentCallExpiry

if TYPE_CHECKING:
    from service.intake.intake import Intake

FOLLOW_S, DECISIONS_S, SILENCE_S = 0.25, 0.4, 5.0
log = logging.getLogger(__name__)


class BackgroundTasks:
    """The tasks of a running service; `keys` are loaded anew when they change."""

    def __init__(self, intake: "Intake", keys: ApiKeys, metrics: Metrics, settings: Settings) -> None:
        self._intake, self._keys, self._metrics = intake, keys, metrics
        self.silence = SilentCallExpiry(intake, settings.waiting_timeout_s, settings.answered_timeout_s)
        self._seen = dict(intake.store.last_seen)
        #: Calls that another process expired although they were heard of here.
        self._to_revive: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._allows = Visibility(deferral=False, marks=False)
        #: Whether deferrals were taken back that may still stand in the store.
        self._taken_back = not intake.gate.is_on(datetime.now(UTC))

    def start(self, *more: Coroutine[Any, Any, None]) -> None:
        """Begin, in the running event loop, together with what else goes on until the end."""
        work: list[tuple[float, Callable[[], Awaitable[None]]]] = [
            (DECISIONS_S, self.read_decisions),
            (SILENCE_S, self.silence.expire_silent_calls),
        ]
        work.append((self._intake.leases.duration_s / CHECKS_PER_LEASE, self.release_expired_leases))
        if self._intake.store.shared:
            work.append((FOLLOW_S, self.follow))
        own = [repeat(seconds, step) for seconds, step in work]
        self._tasks = [asyncio.create_task(task) for task in (*own, *more)]

    async def stop(self) -> None:
        """End, and wait until all have ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def follow(self) -> None:
        """Record what other processes wrote."""
        intake, more = self._intake, True
        while more:
            own: dict[str, tuple[int, Call]] = {}
            intake.event_log.recently_appended = own
            others, seen = await intake.store.read_since(self._seen)
            self._seen |= seen
            self._to_revive |= {event.call.call_id for event in others if self.silence.contradicts(event)}
            intake.apply_foreign_events([self._latest(event, own) for event in others])
            for call_id in list(self._to_revive):
                await intake.lifecycle.revive(call_id, datetime.now(UTC))
                self._to_revive.discard(call_id)
            more = len(others) >= MAX_FOREIGN_EVENTS

    def _latest(self, event: ForeignEvent, own: Mapping[str, tuple[int, Call]]) -> ForeignEvent:
        """Return an event with its call as it is by now: this process may have added to it since it was read."""
        call = event.call
        before = self._intake.board.calls.get(call.call_id)
        if before is not None:
            call.asked, call.answers = before.asked | call.asked, before.answers | call.answers
        nth, mine = own.get(call.call_id, (0, call))
        return event._replace(call=mine if nth > event.version else call)

    async def read_decisions(self) -> None:
        """Record what people decided: within half a second here, however it was told."""
        intake, operations = self._intake, self._intake.operations
        erased = operations.erased
        operations.apply_decisions(await asyncio.to_thread(intake.store.read_decisions, operations.last))
        keys, operations.protected, operations.removed_before_us = await intake.store.in_thread(_lists)
        now_us = microseconds(datetime.now(UTC))
        before = self._keys.names(now_us)
        self._keys.load(keys)
        if operations.erased != erased:
            intake.event_log.evict_all()
            # What is on the board was stored before; what comes in while the store is asked is none of these.
            intake.board.remove(await intake.store.missing_calls(list(intake.board.calls)))
        self.publish_deferral()
        if self._taken_back:
            await intake.store.in_thread(take_back)
            self._taken_back = False
        for revoked in before - self._keys.names(now_us):
            await intake.lifecycle.release_calls_of(revoked, "revoked", datetime.now(UTC))

    def publish_deferral(self) -> None:
        """Cancel every deferral as soon as nothing may be deferred any more, and publish it to streams and metrics."""
        now, board = datetime.now(UTC), self._intake.board
        allows, before = self._intake.gate.visibility(now), self._allows
        if not allows.deferral:
            self._taken_back |= board.cancel_deferrals()
        if before.deferral and not allows.deferral:
            log.warning("deferral is off: %s", self._intake.gate.off_reason(now))
        if before.marks != allows.marks:
            board.republish_band(Band.LIKELY_PRANK.id)
        self._allows = allows
        self._metrics.deferral(switch_on=self._intake.operations.switch.on, on=allows.deferral)
        self._metrics.operators(self._intake.operations.staff_of(None).operators)
        self._metrics.waiting(self._intake.board.waiting_by_queue())

    async def release_expired_leases(self) -> None:
        """Return to the queue what operators have taken whose lease has expired."""
        intake, leases = self._intake, self._intake.leases
        holders = {call.operator for call in intake.board.taken_calls() if call.operator}
        if holders and intake.store.shared:
            here = leases.take_unpublished(holders)
            leases.merge_counts(
                await intake.store.in_thread(lambda connection: exchange_presence(connection, here, holders))
            )
        for operator in leases.expired(holders):
            await intake.lifecycle.release_calls_of(operator, "gone", datetime.now(UTC))


async def repeat(seconds: float, step: Callable[[], Awaitable[None]]) -> None:
    """Do something again and again, until cancelled; a fault in one round does not end the later ones."""
    while True:
        try:
            await step()
        except StoreError as error:
            log.info("upkeep waits for the store: %s", error)
        except Exception:
            log.exception("upkeep failed")
        await asyncio.sleep(seconds)


def _lists(connection: Connection) -> tuple[list[Any], dict[bytes, int], int]:
    keys = list(connection.execute(sa.select(access_keys)).mappings())
    return keys, read_protected(connection), removed_before_us(connection)
