"""How long a call may be asked to wait for others: the arithmetic from an expected wait to a queue key.

Four compiled functions of values and time, so that the replay of a log and the service run the very same code. A queue
carries one number from call to call, the held wait E~:

    E        = expected_wait_s(waiting, mean_handling_s, operators, busy)
    E~       = decaying_maximum(E, E~ before, elapsed_s, kappa, base_s, max_defer_s)
    defer    = defer_s(factor, E~, busy < operators, kappa, base_s, max_defer_s)
    key      = queue_key_us(arrived_at_us, defer)           the smallest key is answered first

Two promises rest on it, for one queue whose keys stay as they are:

1. Only calls that arrive within the next `defer_s` seconds may be answered before this one. A call's key lies
   between its own arrival and arrival + defer_s, and it is passed only by smaller keys.
2. Of two calls, the later one is never answered first unless its factor is smaller. H = kappa E~ + base_s
   falls by at most one second a second up to M = max_defer_s. So a call that comes dt later with a factor f <= 1 no
   smaller has f max(0, H) smaller by at most dt, hence no smaller a key; the cap and the rounding keep the order.
   Above M it may fall faster, since no call gives way for longer than M: H becomes H exp(-dt / M), which is at least
   H (1 - dt / M). A factor with f H >= M then gives at least M (1 - dt / M) = M - dt; one with f H < M gives at least
   f H - f H dt / M > f H - dt. On the way from above M to below it, with x = H / M: M (1 + ln x) - dt is no smaller
   than H (1 - dt / M) from dt = M ln x on, because x ln x >= x - 1.

The first holds against real time, whatever a sender's clock says. An arrival is received_at only as far as the clock
of whoever heard of the call bears it out (`model.policy.arrival`): h - T <= arrival <= h, where h is when the call was
first heard of and T the tolerance. So a call heard of at h' passes one heard of at h only if

    h' - h <= defer_s + (h' - arrival')

where h' - arrival' is 0 for a sender whose clock is ahead, or behind by more than T, and else how slow it is: nobody is
passed by a call that came more than max_defer_s later, or max_defer_s + T when the later one's sender is slow by up to
T. How long before h a call really rang nobody here can know; a sender that kept it may say so (the header Saring-Age),
and is believed up to 900 s.

One absurd number does not hold a queue: E counts up to H = 10 M, from where H is back at M after M ln 10 and at 0
after M (1 + ln 10). With M = 300 s nothing of it is left after 16.5 minutes.

The second promise needs E~ to go on falling below zero, to -base_s / kappa, while E is unknown or nobody is on duty. If
it stopped at zero, a queue that never knew its wait would be deferred by base_s; if the deferral dropped to 0 at once,
a later call would pass the deferred ones that still wait (docs/queueing.md has the smallest example).

Values that make no sense (NaN, infinite, negative) give no deferral. Pass floats, with NaN for unknown: each other type
costs one more compilation.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from model.kernels import kernel

NOTHING_HELD = -math.inf
"""The held wait E~ of a queue that has held nobody yet."""
LONGEST_HELD = 10.0
"""An expected wait counts up to kappa E + base_s = LONGEST_HELD max_defer_s."""


@dataclass(frozen=True)
class DeferralSettings:
    """The three settings of the rule, stored in a release; a ValueError when one is out of range.

    Parameters
    ----------
    kappa : float, > 0, finite
        Seconds a fully deferred call gives way, for each second of expected wait.
    base_s : float, >= 0, finite
        What it gives way besides, however short the queue.
    max_defer_s : float, >= 0
        No call ever gives way for longer; infinite in experiments.
    """

    kappa: float = 2.0
    base_s: float = 120.0
    max_defer_s: float = 300.0

    def __post_init__(self) -> None:
        if not 0.0 < self.kappa < math.inf:
            raise ValueError(f"kappa is {self.kappa}, expected a finite number above 0")
        if not 0.0 <= self.base_s < math.inf:
            raise ValueError(f"base_s is {self.base_s}, expected a finite number of at least 0")
        if not self.max_defer_s >= 0.0:
            raise ValueError(f"max_defer_s is {self.max_defer_s}, expected a number of at least 0")


class ExpectedWait(NamedTuple):
    """The wait a call would face first come, first served, whether an operator is free, and who says so."""

    wait_s: float | None
    operator_free: bool
    source: str


@kernel
def expected_wait_s(waiting: float, mean_handling_s: float, operators: float, busy: float) -> float:
    """Return the wait that a call would face first come, first served: (waiting + 1) mean handling / operators.

    Parameters
    ----------
    waiting : float, >= 0
        Calls in the queue, without this one.
    mean_handling_s, operators : float, > 0
    busy : float, >= 0
        Operators with a call; below `operators` means that one is free.

    Returns
    -------
    float
        Seconds; 0 while an operator is free, and when anything is unknown (NaN) or makes no sense.

    Examples
    --------
    >>> [expected_wait_s(5.0, 60.0, 3.0, busy) for busy in (3.0, 2.0, math.nan)]
    [120.0, 0.0, 0.0]
    """
    if not (waiting >= 0.0 and mean_handling_s > 0.0 and operators > 0.0 and busy >= operators):
        return 0.0
    expected = (waiting + 1.0) * mean_handling_s / operators
    return expected if math.isfinite(expected) else 0.0


@kernel
def decaying_maximum(
    expected_s: float, before_s: float, elapsed_s: float, kappa: float, base_s: float, max_defer_s: float
) -> float:
    """Return the held wait E~ of a queue: the larger of E now and E~ before, less elapsed / kappa.

    What brings every call to the largest deferral fades faster: see the head of this file.

    Parameters
    ----------
    expected_s : float, seconds
        E now; 0 (free or unknown) holds nobody and adds nothing.
    before_s : float, seconds
        What this function gave for the queue's call before; `NOTHING_HELD` for the first.
    elapsed_s : float, seconds
        From that call's arrival to this one's; below 0 (they came out of order) counts as 0.
    kappa, base_s, max_defer_s : float
        As in `DeferralSettings`.

    Returns
    -------
    float
        Seconds, finite or `NOTHING_HELD`; it may be below 0.

    Examples
    --------
    >>> decaying_maximum(40.0, NOTHING_HELD, 0.0, 2.0, 120.0, 300.0)
    40.0
    >>> decaying_maximum(10.0, 40.0, 20.0, 2.0, 120.0, 300.0)     # the queue drained: 40 - 20 / 2 still stands
    30.0
    >>> decaying_maximum(0.0, 5.0, 60.0, 2.0, 120.0, 300.0)       # unknown since: fades on
    -25.0
    >>> decaying_maximum(60_000.0, NOTHING_HELD, 0.0, 2.0, 120.0, 300.0)     # milliseconds, most likely
    1440.0
    """
    if not (0.0 < kappa < math.inf and 0.0 <= base_s < math.inf and max_defer_s >= 0.0):
        return -math.inf
    now = -math.inf
    if expected_s > 0.0 and math.isfinite(expected_s):
        now = min(expected_s, max(0.0, (LONGEST_HELD * max_defer_s - base_s) / kappa))
    if not (math.isfinite(before_s) and elapsed_s < math.inf):
        return now
    if not elapsed_s > 0.0:
        return max(now, before_s)
    horizon_s = kappa * before_s + base_s
    if not horizon_s > max_defer_s > 0.0:
        return max(now, before_s - elapsed_s / kappa)
    above_s = max_defer_s * math.log(horizon_s / max_defer_s)  # so long it takes down to max_defer_s
    if elapsed_s < above_s:
        left_s = horizon_s * math.exp(-elapsed_s / max_defer_s)
    else:
        left_s = max_defer_s - (elapsed_s - above_s)
    return max(now, (left_s - base_s) / kappa)


@kernel
def defer_s(
    factor: float,
    held_expected_s: float,
    operator_free: bool,
    kappa: float,
    base_s: float,
    max_defer_s: float,
) -> float:
    """Return the seconds that a call gives way: min(max_defer_s, factor (kappa E~ + base_s)); 0 if an operator is free.

    Parameters
    ----------
    factor : float, 0 to 1
        The call's defer_factor, after the guardrails.
    held_expected_s : float, seconds
        E~ including this call, from `decaying_maximum`.
    operator_free : bool
        False when that is unknown.

    Examples
    --------
    >>> defer_s(0.5, 60.0, False, 2.0, 120.0, 300.0), defer_s(1.0, 600.0, False, 2.0, 120.0, 300.0)
    (120.0, 300.0)
    >>> defer_s(1.0, 600.0, True, 2.0, 120.0, 300.0), defer_s(1.0, NOTHING_HELD, False, 2.0, 120.0, 300.0)
    (0.0, 0.0)
    """
    if operator_free or not (0.0 < factor <= 1.0 and kappa >= 0.0 and base_s >= 0.0 and max_defer_s >= 0.0):
        return 0.0
    horizon_s = kappa * held_expected_s + base_s
    if not (horizon_s > 0.0 and math.isfinite(horizon_s)):
        return 0.0
    return min(max_defer_s, factor * horizon_s)


@kernel
def queue_key_us(arrived_at_us: int, defer_s: float) -> int:
    """Return the place of a call in the queue: arrival + defer_s rounded down to 1 ms, never before arrival.

    Rounding down keeps the key within defer_s, so within the cap. It is the key that is rounded, not the deferral:
    rounding is then the same rising function for every call, and two calls cannot change places by it (equal keys go
    by arrival). A deferral less than a nanosecond short of a whole microsecond counts as that microsecond, where
    float arithmetic lands; arrivals are whole microseconds, so this lets no other call in front.

    Parameters
    ----------
    arrived_at_us : int
        Microseconds since the epoch, like the result.
    defer_s : float, seconds
        Negative, not finite or above 30 years counts as 0.

    Examples
    --------
    >>> queue_key_us(1_700_000_000_000_250, 1.5)
    1700000001500000
    >>> queue_key_us(1_700_000_000_000_250, 0.0), queue_key_us(1_700_000_000_000_250, math.nan)
    (1700000000000250, 1700000000000250)
    """
    if not 0.0 < defer_s < 1e9:
        return arrived_at_us
    exact_us = arrived_at_us + math.floor(defer_s * 1e6 + 1e-3)
    return max(arrived_at_us, exact_us - exact_us % 1000)
