"""The queue as a stream of server-sent events, which takes up where it was cut off.

    event: queue     the whole queue, at the start and when what was missed is no longer kept
    event: call      one call as it is now; a `state` other than waiting or taken means that it has left the queue, and
                     so does a `queue` other than the one that is followed
    event: deferral  whether calls are deferred, when that changes
    event: beat      every few seconds: the line is alive; the service's clock, and whether its store is out of reach
    event: bye       the service ends the stream, because it stops or the key is no longer live

The id of an event is the stream's epoch and the number of the board's change; a beat has none. A board that hears
nothing for longer than two beats must say so.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fastapi.sse import format_sse_event
from pydantic_core import to_json

from service.http.queue_view import View, queue_document, queued_call
from service.queue.operator_leases import RENEWALS_PER_LEASE
from service.queue.states import IN_QUEUE
from service.security.api_keys import Principal
from service.timestamps import now_us, rfc3339

if TYPE_CHECKING:
    from service.intake.intake import Intake

BEAT_S = 2.0
RETRY_MS = 1_000
#: In all, and by one key: a screen on every wall, and not all that there is room for.
MAX_STREAMS, MAX_STREAMS_PER_KEY = 500, 50


class Streams:
    """The streams of one process.

    `degraded` returns whether the store is out of reach, or has not been told everything yet.
    """

    def __init__(self, intake: "Intake", mode: str, degraded: Callable[[], bool]) -> None:
        self._intake, self._mode, self._degraded = intake, mode, degraded
        self.epoch = secrets.token_hex(4)
        self._by_key: Counter[str] = Counter()
        self._closing = False

    @property
    def open(self) -> int:
        """How many are open."""
        return self._by_key.total()

    def has_room(self, key_id: str) -> bool:
        """Return whether one more stream may be opened, with a key."""
        return self.open < MAX_STREAMS and self._by_key[key_id] < MAX_STREAMS_PER_KEY

    def close(self) -> None:
        """End every stream with a last event, so that none holds up the end of the service."""
        self._closing = True
        for follower in self._intake.board.followers:
            follower.set()

    async def events(
        self, who: Principal, queue: str | None, last_id: str | None, limit: int, view: View, may: Callable[[], bool]
    ) -> AsyncIterator[bytes]:
        """Return the events of one stream: of one queue, or of all.

        What an operator of the listener's name has taken is held meanwhile. Whoever follows one queue is told the whole
        of it anew, whatever `last_id`, the id of the last event that was seen. `may` returns whether whoever listens
        still may.
        """
        board, leases, new = self._intake.board, self._intake.leases, asyncio.Event()
        self._by_key[who.key_id] += 1
        board.followers.add(new)
        try:
            number = self._number(last_id) if queue is None else None
            shown: set[str] = set()  # so that a call that moves to another queue is not left standing in this one
            deferral: tuple[bool, str | None] | None = None
            while not self._closing and may():
                leases.renew(who.name)  # here, so that it ends when what is told is no longer taken
                new.clear()
                changes = board.changes_since(number) if number is not None else None
                if changes is None:
                    document = queue_document(self._intake, self._mode, queue, limit, view)
                    deferral = (document["deferral_on"], document["off_because"])
                    yield self._event("queue", document, board.number)
                    number = board.number
                    shown = {call["call_id"] for call in document["calls"]}
                else:
                    latest = {change.call.call_id: change for change in changes}
                    allows = self._intake.gate.visibility(datetime.now(UTC))
                    for change in sorted(latest.values()):
                        number = change.number
                        call_id, here = change.call.call_id, queue is None or change.call.queue == queue
                        if here or call_id in shown:
                            yield self._event(
                                "call", queued_call(self._intake.visible_call(change.call, allows), view), number
                            )
                        (shown.add if here and change.call.state in IN_QUEUE else shown.discard)(call_id)
                now = datetime.now(UTC)
                stands = (self._intake.gate.is_on(now), self._intake.gate.off_reason(now))
                if stands != deferral:
                    deferral = stands
                    yield self._event("deferral", {"deferral_on": stands[0], "off_because": stands[1]}, number or 0)
                with suppress(TimeoutError):
                    await asyncio.wait_for(new.wait(), min(BEAT_S, leases.duration_s / RENEWALS_PER_LEASE))
                    continue
                yield self._beat()
            yield format_sse_event(event="bye", data_str="{}", retry=RETRY_MS)
        finally:
            board.followers.discard(new)
            self._by_key[who.key_id] -= 1
            self._by_key += Counter()  # forgets a key that has none

    def _number(self, last_id: str | None) -> int | None:
        epoch, _, number = (last_id or "").partition("-")
        return int(number) if epoch == self.epoch and number.isdecimal() and len(number) < 16 else None

    def _beat(self) -> bytes:
        told = {"at": rfc3339(now_us()), "degraded": self._degraded()}
        return format_sse_event(data_str=to_json(told).decode(), event="beat")

    def _event(self, name: str, document: dict[str, Any], number: int) -> bytes:
        data = to_json(document, inf_nan_mode="null").decode()
        return format_sse_event(data_str=data, event=name, id=f"{self.epoch}-{number}", retry=RETRY_MS)
