"""The watch over a certificate: an e-process on genuine callers that would have been flagged."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp, fsum, log, log1p

import numpy as np
from numpy.typing import NDArray

from model.arrays import Floats, Integers

MONTHS = 12
BETS = (1.5, 2.0, 3.0, 5.0)
DAY_S = 86_400.0


@dataclass
class Monitor:
    """Counts flagged genuine callers month by month and says when the promise has become untenable.

    While at most a share alpha of genuine callers is flagged, E is an e-process: the chance that it ever reaches 1 /
    delta is at most delta (Ville's inequality), however often one looks. E is the mean over the twelve months k of
    M_k, which is 1 before month k and from then on the mean over r in `bets` of the product of r for x = 1 and
    (1 - r alpha) / (1 - alpha) for x = 0: one of the twelve starts close to any change. M_k depends on nothing but how
    many ones and zeros each month holds, so those counts are the whole state.

    An alarm stays until a person starts a new monitor. What it cannot see: a release that flags few genuine callers but
    makes them wait; labels that come later than the hold-back; and, at alpha = 1 % with a hundred genuine callers a
    year, two thirds of fourfold breaches (docs/proofs.md has what was measured).

    Parameters
    ----------
    alpha
        The share promised, in (0, 1). Bets with r alpha >= 1 would stake more than there is and are left out; from
        alpha = 2/3 on there is no bet and a ValueError.
    delta
        The chance of a false alarm, in (0, 1).
    ones, zeros
        Events so far by month, twelve numbers each; events after the twelfth month count in it.
    alarmed
        Whether E has reached 1 / delta at any event so far.

    Examples
    --------
    >>> monitor = Monitor(alpha=0.05, delta=0.05)
    >>> monitor.e_value()
    1.0
    >>> for month in (0, 0, 0, 1, 1):
    ...     monitor.update(1, month)
    >>> monitor.alarmed, round(monitor.e_value(), 1)
    (True, 72.7)
    """

    alpha: float
    delta: float
    ones: list[int] = field(default_factory=lambda: [0] * MONTHS)
    zeros: list[int] = field(default_factory=lambda: [0] * MONTHS)
    alarmed: bool = False

    def __post_init__(self) -> None:
        for name in ("alpha", "delta"):
            value = getattr(self, name)
            if not 0.0 < value < 1.0:
                raise ValueError(f"{name} must lie strictly between 0 and 1, not {value!r}")
        for name in ("ones", "zeros"):
            counts = getattr(self, name)
            if len(counts) != MONTHS or not all(type(count) is int and count >= 0 for count in counts):
                raise ValueError(f"{name} must be {MONTHS} counts, not {counts!r}")
        if not self.bets:
            raise ValueError(f"alpha = {self.alpha!r} leaves no bet r with r * alpha < 1")

    @property
    def bets(self) -> tuple[float, ...]:
        """The bets r that alpha allows."""
        return tuple(r for r in BETS if r * self.alpha < 1.0)

    @property
    def month(self) -> int:
        """The latest month that holds an event; 0 while there is none."""
        return max((k for k in range(MONTHS) if self.ones[k] or self.zeros[k]), default=0)

    def update(self, x: int, month: int) -> None:
        """Take one more genuine caller.

        Parameters
        ----------
        x
            1 if flagged, or if it silently would have been; else 0.
        month
            Whole months since the monitor started, from 0; never before that of an earlier event.
        """
        if x not in (0, 1):
            raise ValueError(f"x must be 0 or 1, not {x!r}")
        k = min(month, MONTHS - 1)
        if k < self.month:
            raise ValueError(f"month must not run backwards: {month!r} after {self.month}")
        (self.ones if x else self.zeros)[k] += 1
        # Compared as it is: at the bound itself the alarm sounds.
        self.alarmed = self.alarmed or self.e_value() >= 1.0 / self.delta

    def e_value(self) -> float:
        """Return E: 1 without an event; at or above 1 / delta the promise is untenable.

        No single M_k counts as more than exp(700), so that E fits in a float and in JSON.
        """
        wealth = []
        for r in self.bets:
            hit, miss = log(r), log1p(-r * self.alpha) - log1p(-self.alpha)
            total = 0.0
            for k in reversed(range(MONTHS)):
                total += self.ones[k] * hit + self.zeros[k] * miss
                wealth.append(exp(min(total, 700.0)))
        return fsum(wealth) / len(wealth)


def eligible_calls(
    received_at_s: Floats,
    genuine_known_at_s: Floats,
    callers: Integers,
    call_ids: Sequence[str],
    now_s: float,
    *,
    window_days: float = 30.0,
    hold_back_days: float = 7.0,
) -> NDArray[np.intp]:
    """Return the positions of the calls that the monitor takes, by (received_at, call_id).

    A call is taken when it is its caller's first genuine-closed call in `window_days` and it arrived at least
    `hold_back_days` ago. "Genuine-closed" means: known within `hold_back_days` of its arrival. Quick labels are not
    like slow ones, so calls wait for the same time whatever their label and then go in order of arrival; and because a
    later label never counts, what is taken today begins with all that was taken yesterday.

    Parameters
    ----------
    received_at_s
        Shape (n,), seconds of any clock; in any order.
    genuine_known_at_s
        Shape (n,), when it became known that the call was closed as genuine (or duplicate); NaN if it was not.
    callers
        Shape (n,), a code for each caller; -1 = no number: each such call is a caller of its own.
    call_ids
        n strings; they break ties of arrival.
    window_days
        It slides with the caller's genuine calls: somebody who rings each week is taken once.

    Examples
    --------
    >>> import numpy as np
    >>> day = 86_400.0
    >>> received = np.array([0.0, 10.0, 31.0, 0.0]) * day
    >>> known = np.array([1.0, 10.5, 39.0, np.nan]) * day
    >>> eligible_calls(received, known, np.array([7, 7, 8, 9]), list("abcd"), 60 * day).tolist()
    [0]
    """
    n = len(call_ids)
    if not len(received_at_s) == len(genuine_known_at_s) == len(callers) == n:
        raise ValueError("received_at_s, genuine_known_at_s, callers and call_ids must have one length")
    hold_back_s = hold_back_days * DAY_S
    # A comparison with NaN is false, so calls that are not genuine drop out here.
    closed_in_time = genuine_known_at_s <= received_at_s + hold_back_s
    positions = np.flatnonzero(closed_in_time & (received_at_s <= now_s - hold_back_s))
    latest: dict[int, float] = {}
    taken = []
    for i in sorted(positions.tolist(), key=lambda i: (received_at_s[i], call_ids[i])):
        caller, at = int(callers[i]), float(received_at_s[i])
        if caller < 0 or at - latest.get(caller, -np.inf) >= window_days * DAY_S:
            taken.append(i)
        latest[caller] = at
    return np.array(taken, dtype=np.intp)
