"""The history of every call of a log, each as it was known strictly before the call arrived."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TypeVar

import numpy as np

from model.arrays import Booleans, Floats, Integers
from model.calls.call_events import Events
from model.history.caller_history import ENDED, LABELLED, RECEIVED, SIZE, apply, read
from model.kernels import log_kernel

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Grouping:
    """Rows gathered by caller: those of caller `c` are `rows[starts[c]:starts[c + 1]]`, in the order of the log."""

    rows: Integers
    starts: Integers


@log_kernel
def _gather(codes: Integers, groups: int) -> tuple[Integers, Integers]:
    starts = np.zeros(groups + 1, dtype=np.int64)
    for code in codes:
        if code >= 0:
            starts[code + 1] += 1
    for group in range(groups):
        starts[group + 1] += starts[group]
    rows = np.empty(starts[groups], dtype=np.int64)
    free = starts[:-1].copy()
    for row in range(len(codes)):
        code = codes[row]
        if code >= 0:
            rows[free[code]] = row
            free[code] += 1
    return rows, starts


@log_kernel
def _by_time(times: Integers, rows: Integers) -> Integers:
    """Sort a few rows by time, stably: insertion for the short and nearly sorted ones that most callers are."""
    if len(rows) > 64:
        return rows[np.argsort(times[rows], kind="mergesort")]
    rows = rows.copy()
    for place in range(1, len(rows)):
        row = rows[place]
        before = place - 1
        while before >= 0 and times[rows[before]] > times[row]:
            rows[before + 1] = rows[before]
            before -= 1
        rows[before + 1] = row
    return rows


@log_kernel
def _replay(
    rows: Integers,
    starts: Integers,
    label_rows: Integers,
    label_starts: Integers,
    first: int,
    last: int,
    received_us: Integers,
    ended_us: Integers,
    answered: Booleans,
    duration_s: Floats,
    silence_ratio: Floats,
    label_call: Integers,
    label_us: Integers,
    label_genuine: Floats,
    label_not_genuine: Floats,
    histories: Floats,
    states: Floats,
) -> None:
    never = np.iinfo(np.int64).max
    state = np.zeros(SIZE)
    for caller in range(first, last):
        calls = rows[starts[caller] : starts[caller + 1]]
        ends = _by_time(ended_us, calls)
        labels = _by_time(label_us, label_rows[label_starts[caller] : label_starts[caller + 1]])
        state[:] = 0.0
        arrival, end, label = 0, 0, 0
        for reading in range(len(calls) + 1):
            # The last round reads nothing: it takes in what became known after the last call.
            now = never if reading == len(calls) else received_us[calls[reading]]
            while True:
                next_us, kind = now, -1
                if arrival < len(calls) and received_us[calls[arrival]] < next_us:
                    next_us, kind = received_us[calls[arrival]], RECEIVED
                if end < len(calls) and ended_us[ends[end]] < next_us:
                    next_us, kind = ended_us[ends[end]], ENDED
                if label < len(labels) and label_us[labels[label]] < next_us:
                    next_us, kind = label_us[labels[label]], LABELLED
                if kind < 0:
                    break
                if kind == RECEIVED:
                    row, arrival = calls[arrival], arrival + 1
                elif kind == ENDED:
                    row, end = ends[end], end + 1
                else:
                    row, label = label_call[labels[label]], label + 1
                if kind == LABELLED:
                    genuine, not_genuine = label_genuine[labels[label - 1]], label_not_genuine[labels[label - 1]]
                else:
                    genuine, not_genuine = 0.0, 0.0
                apply(
                    state,
                    kind,
                    float(received_us[row]),
                    answered[row],
                    duration_s[row],
                    silence_ratio[row],
                    genuine,
                    not_genuine,
                )
            if reading < len(calls):
                read(state, float(now), histories[starts[caller] - starts[first] + reading])
        if len(states):
            states[caller - first] = state


class LogHistories:
    """A log gathered by caller, whose histories are computed in parts or as a whole."""

    def __init__(self, events: Events) -> None:
        self.events = events
        self._calls = Grouping(*_gather(events.caller, events.callers))
        self._labels = Grouping(*_gather(events.caller[events.label_row], events.callers))

    def first_call(self) -> Booleans:
        """Return of each call whether its number was never seen before it; False without a number."""
        first = np.zeros(len(self.events), dtype=np.bool_)
        rows, starts = self._calls.rows, self._calls.starts
        if len(rows):
            heads = rows[np.minimum(starts[:-1], len(rows) - 1)]  # a code that no call has counts none of them
            opening = np.repeat(self.events.received_us[heads], np.diff(starts))
            first[rows] = self.events.received_us[rows] == opening
        return first

    def parts(self, work: Callable[[Integers, Floats], T], calls: int = 250_000) -> Iterator[T]:
        """Do some work on the calls in parts, until all have had their turn; the parts are in no order of time.

        Parameters
        ----------
        work : callable
            Is given the rows of a part, int64 (m,), and their histories, float64 (m, SIZE): zeros without a number. It
            runs on a thread of its own.
        calls : int
            About how many calls make a part; one caller is never divided.

        Yields
        ------
        T
            What `work` gave.
        """

        def numbered(first: int, last: int) -> T:
            rows = self._calls.rows[self._calls.starts[first] : self._calls.starts[last]]
            histories = np.empty((len(rows), SIZE))
            self._run(first, last, histories, np.empty((0, SIZE)))
            return work(rows, histories)

        def numberless(rows: Integers) -> T:
            return work(rows, np.zeros((len(rows), SIZE)))

        bare = np.flatnonzero(self.events.caller < 0)
        jobs = [partial(numbered, *edge) for edge in self._edges(calls)]
        jobs += [partial(numberless, bare[start : start + calls]) for start in range(0, len(bare), calls)]
        # The kernels let go of the interpreter: two threads keep two cores busy, and hold few parts in memory.
        with ThreadPoolExecutor(2) as threads:
            pending = deque(threads.submit(job) for job in jobs[:2])
            for job in [*jobs[2:], None, None]:
                if pending:
                    done = pending.popleft().result()
                    if job is not None:
                        pending.append(threads.submit(job))
                    yield done

    def histories(self) -> Floats:
        """Return the history of every call, an array of shape (n, SIZE)."""
        histories = np.zeros((len(self.events), SIZE))
        for rows, part in self.parts(lambda rows, part: (rows, part)):
            histories[rows] = part
        return histories

    def states(self) -> Floats:
        """Return the state of every caller once all events are known, an array of shape (callers, SIZE)."""
        states = np.zeros((self.events.callers, SIZE))
        if self.events.callers:
            self._run(0, self.events.callers, np.empty((len(self._calls.rows), SIZE)), states)
        return states

    def _edges(self, calls: int) -> list[tuple[int, int]]:
        starts = self._calls.starts
        wanted = np.arange(0, starts[-1], calls)
        edges = np.unique(np.append(np.searchsorted(starts, wanted), self.events.callers))
        return list(pairwise(edges.tolist()))

    def _run(self, first: int, last: int, histories: Floats, states: Floats) -> None:
        e = self.events
        _replay(
            self._calls.rows, self._calls.starts, self._labels.rows, self._labels.starts, first, last,
            e.received_us, e.ended_us, e.answered, e.duration_s, e.silence_ratio,
            e.label_row, e.label_us, e.label_genuine, e.label_not_genuine, histories, states,
        )  # fmt: skip
