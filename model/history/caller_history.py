"""A caller's past as a small vector of sums, advanced by one kernel offline and online.

The vector ("state") holds the times of the last and the first call, and for each half-life one sum of each quantity.
What a call contributes loses weight with the age of the CALL, from its received_at, and is added when it becomes
known. So a late event, and a correction (what is known now less what was known before), are one addition each, and two
partial histories merge by decaying to a common moment and adding.

Reading at `as_of` gives a vector of the same form: decayed to that moment, clipped at 0, and with less than 1e-9 of a
call taken as nothing, so that no noise is ever divided by noise. Reading never writes.

Times are microseconds since 1970 as float64, which holds them exactly until the year 2255.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from model.arrays import Floats
from model.kernels import kernel

#: Stands in every release; a history made under another version must be rebuilt.
VERSION = "1"

HALF_LIVES_S = (3_600.0, 86_400.0, 30 * 86_400.0, math.inf)
SPANS = ("1h", "1d", "30d", "ever")
QUANTITIES = (
    "calls",
    "genuine",  # closed as genuine, by the mapping of labels
    "not_genuine",
    "short",  # conversations of at most SHORT_S
    "silent",  # conversations with at least SILENT_RATIO silence
    "unanswered",  # ended before an operator answered
    "heard",  # conversations whose length is known, and their seconds
    "duration_s",
    "listened",  # conversations whose silence is known, and their silence ratios
    "silence_ratio",
)
#: 38 % of New York's calls lasted at most 19 s (2010) and were taken as accidental.
SHORT_S = 19.0
SILENT_RATIO = 0.9
NOTHING = 1e-9

LAST, FIRST, SUMS = 0, 1, 2
WIDTH = len(QUANTITIES)
SIZE = SUMS + len(HALF_LIVES_S) * WIDTH
FIELDS = ("last_call_us", "first_call_us", *(f"{q}_{span}" for span in SPANS for q in QUANTITIES))

CALLS, GENUINE, NOT_GENUINE, SHORT, SILENT, UNANSWERED, HEARD, DURATION, LISTENED, SILENCE = range(WIDTH)
RECEIVED, ENDED, LABELLED = range(3)  # the kinds of event, in the order in which equal times are taken
_LAMBDA = tuple(math.log(2.0) / (half_life * 1e6) for half_life in HALF_LIVES_S)
_SPANS = len(HALF_LIVES_S)

State = Floats


class Event(NamedTuple):
    """One thing that became known about one call, at `known_at_us`; its weight decays from `received_at_us`.

    `answered`, `duration_s` and `silence_ratio` (NaN when unknown) belong to ENDED; `genuine` and `not_genuine` (-1, 0
    or 1: what this label adds to what was known of the call) to LABELLED.
    """

    known_at_us: int
    kind: int
    received_at_us: int
    call_id: str
    answered: bool = True
    duration_s: float = math.nan
    silence_ratio: float = math.nan
    genuine: float = 0.0
    not_genuine: float = 0.0


def empty_state() -> State:
    """Return the state of a caller of whom nothing is known: `SIZE` zeros."""
    return np.zeros(SIZE)


@kernel
def decay(state: State, at_us: float) -> None:
    """Let every sum decay from the last call to `at_us`, in place; an earlier moment changes nothing."""
    elapsed = at_us - state[LAST]
    if elapsed <= 0.0:
        return
    if state[LAST] > 0.0:
        for span in range(_SPANS - 1):  # the last half-life is "for ever"
            kept = math.exp(-elapsed * _LAMBDA[span])
            for q in range(WIDTH):
                state[SUMS + span * WIDTH + q] *= kept
    state[LAST] = at_us


@kernel
def apply(
    state: State,
    kind: int,
    received_at_us: float,
    answered: bool,
    duration_s: float,
    silence_ratio: float,
    genuine: float,
    not_genuine: float,
) -> None:
    """Add one event to a state, in place. The arguments are those of `Event`."""
    decay(state, received_at_us)
    if state[FIRST] == 0.0 or received_at_us < state[FIRST]:
        state[FIRST] = received_at_us
    elapsed = state[LAST] - received_at_us
    for span in range(_SPANS):
        weight = 1.0 if elapsed == 0.0 or span == _SPANS - 1 else math.exp(-elapsed * _LAMBDA[span])
        base = SUMS + span * WIDTH
        if kind == RECEIVED:
            state[base + CALLS] += weight
        elif kind == LABELLED:
            state[base + GENUINE] += weight * genuine
            state[base + NOT_GENUINE] += weight * not_genuine
        else:
            if not answered:
                state[base + UNANSWERED] += weight
            if not math.isnan(duration_s):
                state[base + HEARD] += weight
                state[base + DURATION] += weight * duration_s
                if duration_s <= SHORT_S:
                    state[base + SHORT] += weight
            if not math.isnan(silence_ratio):
                state[base + LISTENED] += weight
                state[base + SILENCE] += weight * silence_ratio
                if silence_ratio >= SILENT_RATIO:
                    state[base + SILENT] += weight


@kernel
def read(state: State, as_of_us: float, history: State) -> None:
    """Write into `history` what `state` says at `as_of_us`; the state stays as it is.

    A moment before the last call (a call that is told late) is read as the moment of the last call.
    """
    history[LAST] = state[LAST]
    history[FIRST] = state[FIRST]
    elapsed = max(0.0, as_of_us - state[LAST])
    for span in range(_SPANS):
        kept = math.exp(-elapsed * _LAMBDA[span]) if span < _SPANS - 1 else 1.0
        for q in range(SUMS + span * WIDTH, SUMS + (span + 1) * WIDTH):
            value = state[q] * kept
            history[q] = value if value > NOTHING else 0.0


def merge(one: State, other: State) -> State:
    """Merge two partial histories of the same caller.

    Examples
    --------
    >>> one, other = empty_state(), empty_state()
    >>> apply(one, RECEIVED, 1e15, True, math.nan, math.nan, 0.0, 0.0)
    >>> apply(other, RECEIVED, 1e15 + 3600e6, True, math.nan, math.nan, 0.0, 0.0)
    >>> float(merge(one, other)[FIELDS.index("calls_1h")])
    1.5
    """
    one, other = one.copy(), other.copy()
    latest = max(one[LAST], other[LAST])
    decay(one, latest)
    decay(other, latest)
    merged = one + other
    merged[LAST] = latest
    starts = [start for start in (one[FIRST], other[FIRST]) if start > 0.0]
    merged[FIRST] = min(starts, default=0.0)
    return merged


def apply_events(state: State, events: Iterable[Event]) -> None:
    """Add events to a state, in place, by time known, kind and call."""
    for event in sorted(events, key=event_order):
        apply(state, event.kind, float(event.received_at_us), *event[4:])


def event_order(event: Event) -> tuple[int, int, int, str]:
    """Return the sort key of an event: time known, kind, received_at, call_id."""
    return event[:4]


class Caller:
    """One caller online: a state, and the events that no reading has yet come after.

    A reading at `as_of` may use only what was known strictly before it, so an event waits in `pending` until a later
    call reads past it. Served in order, a log then gives the same bits as `LogHistories`.
    """

    __slots__ = ("pending", "state")

    def __init__(self, state: State | None = None, pending: Sequence[Event] = ()) -> None:
        self.state = empty_state() if state is None else state
        self.pending = list(pending)

    def add(self, event: Event) -> None:
        """Take note of an event, however late or early it comes."""
        self.pending.append(event)

    def settle(self, as_of_us: int) -> None:
        """Apply to the state what was known strictly before `as_of_us`."""
        due = [event for event in self.pending if event.known_at_us < as_of_us]
        if due:
            self.pending = [event for event in self.pending if event.known_at_us >= as_of_us]
            apply_events(self.state, due)

    def read(self, as_of_us: int, *elsewhere: "Caller") -> State:
        """Return the history at `as_of_us`, an array of shape (SIZE,); nothing is changed by it.

        `elsewhere` is what else is known of the same caller: other events, of which none is known here.
        """
        state = self._known(as_of_us)
        for other in elsewhere:
            state = merge(state, other._known(as_of_us))
        history = np.empty(SIZE)
        read(state, float(as_of_us), history)
        return history

    def _known(self, as_of_us: int) -> State:
        """Return the state with what was known strictly before `as_of_us`."""
        due = [event for event in self.pending if event.known_at_us < as_of_us]
        if not due:
            return self.state
        state = self.state.copy()
        apply_events(state, due)
        return state
