"""A circuit breaker: a service that failed to answer several times in a row is left alone for a while.

closed --failures in a row--> open --time passed--> one probe --answered--> closed
                               ^                        |
                               +---- longer than before +
"""

from collections.abc import Callable
from random import random
from time import monotonic

#: An open time is drawn between this share of its length and the whole of it, so that clients do not probe in step.
MIN_SHARE = 0.75


class CircuitBreaker:
    """Decides whether to ask at all. It has no thread and no timer of its own, and is not thread-safe.

    Parameters
    ----------
    clock : callable
        Seconds, never going back.
    draw : callable
        A number from 0 up to 1, for the jitter.
    failures : int
        How many in a row open it, at least 1.
    open_s : float
        How long it stays open the first time, up to a quarter less by the jitter; each time after a failed probe it
        is twice as long.
    longest_s : float
        The most that this grows to.

    Examples
    --------
    >>> now = 0.0
    >>> breaker = CircuitBreaker(lambda: now, lambda: 0.0, failures=2)
    >>> for _ in range(2):
    ...     opened_s = breaker.failed(breaker.admit())
    >>> opened_s, breaker.admit() is None
    (2.0, True)
    >>> now = 2.0
    >>> probe, another = breaker.admit(), breaker.admit()
    >>> another is None
    True
    >>> breaker.succeeded(probe)
    >>> breaker.admit() is None
    False
    """

    def __init__(
        self,
        clock: Callable[[], float] = monotonic,
        draw: Callable[[], float] = random,
        *,
        failures: int = 5,
        open_s: float = 2.0,
        longest_s: float = 30.0,
    ) -> None:
        self._clock, self._draw = clock, draw
        self._failures, self._open_s, self._longest_s = failures, open_s, longest_s
        self._in_a_row, self._next_s = 0, min(open_s, longest_s)
        self._until: float | None = None  # None: closed
        self._ticket = 0

    def admit(self) -> int | None:
        """Return a ticket for one attempt, or None when none is to be made.

        Returns
        -------
        ticket : int or None
            To be given back with what came of it; None while open, or while the one probe is under way.
        """
        if self._until is not None:
            now = self._clock()
            if now < self._until:
                return None
            # A probe of which nothing is ever told must not keep it open for good: another one follows.
            self._until = now + self._open_s
            self._ticket += 1
        return self._ticket

    def succeeded(self, ticket: int | None) -> None:
        """Record an answer. One to a request from before it last opened or probed does not count."""
        if ticket == self._ticket:
            self._in_a_row, self._next_s, self._until = 0, min(self._open_s, self._longest_s), None

    def failed(self, ticket: int | None) -> float | None:
        """Record that there was no answer.

        Returns
        -------
        open_s : float or None
            For how long it opened by this failure; None when it did not.
        """
        if ticket != self._ticket:
            return None
        self._in_a_row += 1
        if self._in_a_row < self._failures:
            return None
        open_s = self._next_s * (1.0 - (1.0 - MIN_SHARE) * self._draw())
        self._next_s = min(2.0 * self._next_s, self._longest_s)
        self._until = self._clock() + open_s
        self._ticket += 1
        return open_s
