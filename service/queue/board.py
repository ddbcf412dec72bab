"""The board: the calls that wait or are in conversation, in the order in which they are to be answered.

It is made of the calls' rows when the service starts and follows every event from then on, this process's own at once
and those of others as they are read. From it comes the wait that a new call would face, first come, first served.
"""

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

from model.policy.deferral import NOTHING_HELD, DeferralSettings, ExpectedWait, decaying_maximum, expected_wait_s
from service.queue.states import ANSWERED, IN_QUEUE, OVER, TAKEN
from service.store.records import Call
from service.timestamps import microseconds

if TYPE_CHECKING:
    from service.queue.operations import Operations, Staff

#: So many changes can be replayed to a stream that was cut off.
MAX_CHANGES = 2_000
#: The mean handling time is that of the last calls, once there are enough of them.
HANDLED, ENOUGH_HANDLED = 200, 20
#: A held wait so far below 0 defers nobody, whatever base_s is.
LONG_FADED_S = -3_600.0


@dataclass(slots=True)
class QueueTotals:
    """What the board keeps of one queue."""

    waiting: int = 0
    busy: int = 0
    held_s: float = NOTHING_HELD
    held_at_us: int = 0
    #: On duty when it was last held.
    staff: "Staff | None" = None


@dataclass(slots=True)
class Heard:
    """When something was last heard of a call, by a clock that nobody sets: by whomever, noted, and here."""

    at_s: float
    noted_s: float
    here_s: float = -math.inf


class Change(NamedTuple):
    """One change of the board, numbered without a gap; `call` is as it is after the change."""

    number: int
    call: Call


def sort_by_queue_key(found: Iterable[Call]) -> list[Call]:
    """Return calls in the order in which they are to be answered."""
    return sorted(found, key=lambda call: (call.queue_key_us, call.arrived_at_us, call.call_id))


class Board:
    """The live calls; `clock` gives seconds that only ever pass: one on the wall may be set while callers wait."""

    def __init__(
        self, operations: "Operations", deferral: DeferralSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._operations, self.deferral, self._clock = operations, deferral, clock
        #: By call_id, the one longest not heard of first; `_heard` is in the same order.
        self.calls: dict[str, Call] = {}
        self._heard: dict[str, Heard] = {}
        self._deferred: set[str] = set()
        self._totals: dict[str, QueueTotals] = {}
        self._handling_times_s: deque[float] = deque(maxlen=HANDLED)
        self.changes: deque[Change] = deque(maxlen=MAX_CHANGES)
        self.number = 0
        #: One for each stream that follows the board; set when there is something new.
        self.followers: set[asyncio.Event] = set()

    def put(self, call: Call, *, foreign: bool = False) -> None:
        """Add or replace a call; it counts as heard of, though not here when what changed it is `foreign`."""
        before, heard = self.calls.pop(call.call_id, None), self._heard.pop(call.call_id, None)
        self._deferred.discard(call.call_id)
        if before is not None:
            call.heard_at_us = max(call.heard_at_us, before.heard_at_us)
            self._update_totals(before, -1)
        elif call.state in OVER:
            return  # it is not on the board, and has not been
        if call.state in OVER:
            if before is not None and before.state == ANSWERED and call.ended_at_us and call.answered_at_us:
                self._handling_times_s.append(max(0, call.ended_at_us - call.answered_at_us) / 1e6)
        else:
            now_s = self._clock()
            here_s = now_s if not foreign else heard.here_s if heard is not None else -math.inf
            self.calls[call.call_id], self._heard[call.call_id] = call, Heard(now_s, now_s, here_s)
            self._update_totals(call, 1)
            if call.defer_s > 0.0 and call.state in IN_QUEUE:
                self._deferred.add(call.call_id)
        self._publish(call)

    def remove(self, call_ids: Iterable[str]) -> None:
        """Take calls off that are no longer in the store, and tell every stream the whole queue anew.

        What was noted of earlier changes goes too: it may be of a caller who was forgotten, and is not told again.
        """
        for call_id in call_ids:
            call = self.calls.pop(call_id, None)
            if call is not None:
                self._update_totals(call, -1)
                self._deferred.discard(call_id)
                del self._heard[call_id]
        self.changes.clear()
        self.number += 1
        self._notify_followers()

    def expected_wait(self, queue: str | None, told_s: float | None = None) -> ExpectedWait:
        """Return the wait that one more call would face, first come, first served.

        What the intake system says it is, `told_s`, counts when it is given; 0 means that an operator is free.
        """
        if told_s is not None:
            return ExpectedWait(told_s, told_s == 0.0, "request")
        staff, handling_s = self._operations.staff_of(queue), self.mean_handling_s(queue)
        if staff.operators is None or handling_s is None:
            return ExpectedWait(None, False, "unknown")
        totals = self._totals_of(queue)
        operators = float(staff.operators)
        # As long as fewer calls are here than operators are on duty, one is free for the next.
        if totals.busy + totals.waiting < staff.operators:
            return ExpectedWait(0.0, True, "operations")
        return ExpectedWait(
            expected_wait_s(float(totals.waiting), handling_s, operators, operators), False, "operations"
        )

    def update_held_wait(self, call: Call, expected: ExpectedWait) -> float:
        """Return the held wait E~ of the call's queue with this call in it, and keep it for the next.

        What was held is forgotten when other staff is told: it may have come of what is now put right.
        """
        totals, staff, rule = self._totals_of(call.queue), self._operations.staff_of(call.queue), self.deferral
        if totals.staff != staff:
            totals.staff, totals.held_s = staff, NOTHING_HELD
        elapsed_s = (call.arrived_at_us - totals.held_at_us) / 1e6
        now_s = math.nan if expected.wait_s is None else float(expected.wait_s)
        totals.held_s = decaying_maximum(now_s, totals.held_s, elapsed_s, rule.kappa, rule.base_s, rule.max_defer_s)
        totals.held_at_us = max(totals.held_at_us, call.arrived_at_us)
        return totals.held_s

    def mean_handling_s(self, queue: str | None) -> float | None:
        """Return the mean handling time: as it was told, else of the last calls, else None."""
        told = self._operations.staff_of(queue).mean_handling_s
        if told is not None:
            return told
        return (
            sum(self._handling_times_s) / len(self._handling_times_s)
            if len(self._handling_times_s) >= ENOUGH_HANDLED
            else None
        )

    def in_queue(self, queue: str | None = None) -> list[Call]:
        """Return the calls in the queue (or in every queue), in no order."""
        return [c for c in self.calls.values() if c.state in IN_QUEUE and (queue is None or c.queue == queue)]

    def taken_calls(self) -> list[Call]:
        """Return the calls that operators have taken."""
        return [call for call in self.calls.values() if call.state == TAKEN]

    def waiting(self, queue: str | None = None) -> list[Call]:
        """Return the calls in the queue (or in every queue) in the order in which they are to be answered."""
        return sort_by_queue_key(self.in_queue(queue))

    def sync(self, call: Call) -> None:
        """Mark a call as heard of here once more, and bring the board in line with the store.

        An event that the store was too slow for may have been kept after all, and the board was told nothing of it.
        """
        shown = self.calls.get(call.call_id)
        if (None if shown is None else shown.state) == (None if call.state in OVER else call.state):
            self.mark_heard(call.call_id)
        else:
            self.put(call)

    def copy_for_change(self, call: Call, now: datetime) -> Call:
        """Return a copy of a call to be changed; a deferral that was taken back on the board stays taken back."""
        changed = call.copy_for_change(microseconds(now))
        changed.defer_s = min(changed.defer_s, self.calls.get(call.call_id, changed).defer_s)
        return changed

    def mark_heard(self, call_id: str, *, foreign: bool = False) -> None:
        """Mark a call as heard of; nothing happens for one that is not on the board."""
        heard = self._heard.pop(call_id, None)
        if heard is not None:
            heard.at_s = self._clock()
            heard.here_s = heard.here_s if foreign else heard.at_s
            self._heard[call_id], self.calls[call_id] = heard, self.calls.pop(call_id)

    def silent_s(self, call_id: str) -> float:
        """Return for how long a call has been silent; 0 when it is not here."""
        heard = self._heard.get(call_id)
        return 0.0 if heard is None else self._clock() - heard.at_s

    def silent_here_s(self, call_id: str) -> float:
        """Return for how long a call has been silent to this process; infinite when nothing was heard of it here."""
        heard = self._heard.get(call_id)
        return math.inf if heard is None else self._clock() - heard.here_s

    def silent_calls(self, seconds: float) -> list[Call]:
        """Return the calls that have been silent for longer than that."""
        return list(takewhile(lambda call: self.silent_s(call.call_id) > seconds, self.calls.values()))

    def unwritten_heard(self, within_s: float) -> list[Call]:
        """Return the calls heard of since that was last written, when that is so long ago."""
        return [self.calls[call_id] for call_id, heard in self._heard.items() if heard.at_s - heard.noted_s >= within_s]

    def record_heard_at(self, call_id: str, at_us: int) -> None:
        """Record what is written of when a call was heard of, and publish it to every stream.

        It is by the clock of whoever heard it: it is shown, and nothing is reckoned with it.
        """
        call, heard = self.calls.get(call_id), self._heard.get(call_id)
        if call is not None and heard is not None:
            call.heard_at_us, heard.noted_s = at_us, self._clock()
            self._publish(call)

    def cancel_deferrals(self) -> bool:
        """Move every waiting call forward to its arrival, for good: deferral has ended; return whether any was."""
        found = bool(self._deferred)
        for call_id in self._deferred:
            changed = self.calls[call_id].copy_for_change(self.calls[call_id].changed_at_us)
            changed.defer_s = 0.0
            self.calls[call_id] = changed
            self._publish(changed)
        self._deferred.clear()
        return found

    def republish_band(self, band: str) -> None:
        """Publish the calls of a band once more: it is shown otherwise from now on."""
        for call in list(self.calls.values()):
            if call.shown_band == band:
                self._publish(call)

    def prune(self) -> None:
        """Forget queues that nobody waits in and that hold nobody back any more."""
        for queue, totals in list(self._totals.items()):
            if not totals.waiting and not totals.busy and totals.held_s <= LONG_FADED_S:
                del self._totals[queue]

    def waiting_by_queue(self) -> Counter[str]:
        """Return how many calls wait, by queue."""
        return Counter({queue: totals.waiting for queue, totals in self._totals.items()})

    def changes_since(self, number: int) -> Iterator[Change] | None:
        """Return the changes after this one; None when they are no longer kept."""
        first = self.changes[0].number if self.changes else self.number + 1
        if number > self.number or number < first - 1:
            return None
        return iter([change for change in self.changes if change.number > number])

    def _publish(self, call: Call) -> None:
        self.number += 1
        self.changes.append(Change(self.number, call))
        self._notify_followers()

    def _notify_followers(self) -> None:
        for follower in self.followers:
            follower.set()

    def _totals_of(self, queue: str | None) -> QueueTotals:
        totals = self._totals.get(queue or "")
        if totals is None:
            totals = self._totals[queue or ""] = QueueTotals()
        return totals

    def _update_totals(self, call: Call, by: int) -> None:
        totals = self._totals_of(call.queue)
        if call.state in IN_QUEUE:
            totals.waiting += by
        elif call.state == ANSWERED:
            totals.busy += by
