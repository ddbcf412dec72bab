"""The states of a call, and the transition that each event makes.

    waiting -> taken -> answered -> ended -> closed, or abandoned

Pure functions of what is known of a call; docs/life-of-a-call.md has the whole table. What was said first stays, so
that things told twice, late or out of order lead to the same end; only a disposition is replaced by a later one.
"""

from datetime import datetime
from typing import TYPE_CHECKING

from service.contract.problems import Conflict
from service.timestamps import microseconds

if TYPE_CHECKING:
    from service.store.records import Call

WAITING, TAKEN, ANSWERED, ENDED, ABANDONED, CLOSED = "waiting", "taken", "answered", "ended", "abandoned", "closed"
IN_QUEUE = (WAITING, TAKEN)
OVER = (ENDED, ABANDONED, CLOSED)
#: For so long a call that was closed by mistake can be brought back.
REOPENED_S = 60.0
#: Calls in these states expire when they are silent for too long.
TIMED = (WAITING, ANSWERED)


def take(call: "Call", operator: str) -> bool:
    """Lock a waiting call to an operator; False when it is locked to this one already.

    Raises
    ------
    Conflict
        When another operator has it, or it waits no longer.
    """
    if call.state == TAKEN and call.operator == operator:
        return False
    if call.state != WAITING:
        whom = "another operator has taken it" if call.state == TAKEN else f"it is {call.state}"
        raise Conflict(f"the call cannot be taken: {whom}", [("call_id", "a waiting call")])
    call.state, call.operator = TAKEN, operator
    return True


def release(call: "Call", operator: str, *, any_operator: bool = False) -> bool:
    """Return a taken call to the queue, at its old place; False when it waits already.

    Raises
    ------
    Conflict
        When another operator has it, or it is answered or over.
    """
    if call.state == WAITING:
        return False
    if call.state != TAKEN or not (any_operator or call.operator == operator):
        whom = "another operator has taken it" if call.state == TAKEN else f"it is {call.state}"
        raise Conflict(f"the call cannot be released: {whom}", [("call_id", "a call that you have taken")])
    call.state, call.operator = WAITING, None
    return True


def answer(call: "Call", answered_at: datetime, operator: str | None) -> bool:
    """Record that an operator answered; False when that is known already.

    An answer told after the end of the call is kept, and the call is then not abandoned. The caller's history has
    counted the call as unanswered by then, which can only protect the caller.
    """
    if call.answered_at_us is not None:
        return False
    call.answered_at_us = max(call.received_at_us, microseconds(answered_at))
    call.operator = operator or call.operator
    if call.state == ABANDONED and call.ended_at_us is not None:
        call.state = ENDED
    elif call.state not in (ENDED, CLOSED):
        call.state = ANSWERED
    return True


def end(call: "Call", ended_at: datetime) -> bool:
    """Record the end; return whether an operator had answered.

    Raises
    ------
    Conflict
        When it lies before the call's arrival.
    """
    call.ended_at_us = check_not_before_arrival(call, "ended_at", ended_at)
    was_answered = call.answered_at_us is not None or call.duration_s is not None
    if call.state != CLOSED:
        call.state = ENDED if was_answered else ABANDONED
    return was_answered


def close(call: "Call", operator: str | None, *, confirmed: bool) -> str | None:
    """Record a disposition; return the state of a call that was still in the queue, else None.

    Raises
    ------
    Conflict
        When it is in the queue, this operator has not taken it, and that is not `confirmed`.
    """
    before = call.state if call.state in IN_QUEUE else None
    own = call.state == TAKEN and call.operator == operator
    if before and not own and not confirmed:
        whom = "another operator has taken it" if call.state == TAKEN else "nobody has taken it"
        raise Conflict(f"the call still waits, and {whom}: closing it takes it off the queue",
                       [("confirm", "true, to close it all the same")])  # fmt: skip
    call.state = CLOSED
    return before


def reopen(call: "Call", closed_s: float | None) -> bool:
    """Bring back a call that was closed so many seconds ago by mistake, at its old place; False when it waits already.

    Raises
    ------
    Conflict
        When it was not closed while it waited, or too long ago, or was answered or ended since.
    """
    if call.state == WAITING:
        return False
    if call.state != CLOSED or closed_s is None or call.answered_at_us is not None or call.ended_at_us is not None:
        raise Conflict("the call cannot be brought back: it was not closed while it waited, or is over by now",
                       [("call_id", "a call that was closed while it waited")])  # fmt: skip
    if closed_s > REOPENED_S:
        raise Conflict(f"the call cannot be brought back: it was closed more than {REOPENED_S:.0f} seconds ago",
                       [("call_id", "a call that was closed a moment ago")])  # fmt: skip
    call.state, call.operator = WAITING, None
    return True


def expire(call: "Call") -> bool:
    """Expire a call that was silent for too long; False when it is taken or over.

    A call that an operator has taken is that operator's to answer or to give back. Whatever is heard of a call later
    brings it back: `revive`.
    """
    if call.state not in TIMED:
        return False
    call.state = ENDED if call.state == ANSWERED else ABANDONED
    return True


def is_expired(call: "Call") -> bool:
    """Return whether a call is over only because it was silent; one that was imported never waited here."""
    if call.ended_at_us is not None:
        return False
    return call.state == ABANDONED or (call.state == ENDED and call.answered_at_us is not None)


def revive(call: "Call") -> bool:
    """Bring back a call that expired without an end, to where it was; False when it did not.

    A waiting call comes back at its old place: its arrival and deferral are what they were.
    """
    if not is_expired(call):
        return False
    talking = call.answered_at_us is not None
    call.state, call.operator = (ANSWERED, call.operator) if talking else (WAITING, None)
    return True


def waiting_since_us(received_at_us: int, arrived_at_us: int | None, until_us: int) -> int:
    """Return since when a call had waited at a moment: the later of its two arrivals that lies not after it.

    Its sender tells of that moment by the clock that gave received_at, an operator by this one's, which says when it
    arrived here; `arrived_at_us` is null in the store where the two are the same.

    Examples
    --------
    >>> waiting_since_us(540, 0, 560), waiting_since_us(540, 0, 20), waiting_since_us(-10**9, 0, 20 - 10**9)
    (540, 0, -1000000000)
    """
    earlier_us, later_us = sorted((received_at_us, received_at_us if arrived_at_us is None else arrived_at_us))
    return later_us if later_us <= until_us else earlier_us


def check_not_before_arrival(call: "Call", field: str, time: datetime) -> int:
    """Return a time in microseconds, not before received_at; refuse one before the call's arrival by either clock.

    An operator closes a call at once whose sender's clock is minutes ahead.

    Raises
    ------
    Conflict
    """
    time_us = microseconds(time)
    if time_us < min(call.received_at_us, call.arrived_at_us):
        raise Conflict(f"{field} lies before received_at", [(field, "a time not before received_at")])
    return max(time_us, call.received_at_us)
