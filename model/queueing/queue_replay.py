"""Replays calls through an operator queue: who is answered when, under a given order of service.

One event loop serves every discipline, because a discipline is only a way to decide a call's key when it
arrives: the smallest key is answered first, ties go by received_at and then by position in the log.

    first come, first served     keys = received_at_us
    perfect oracle               keys = 1 - genuine
    strict order by score        keys = keys_by_score(score)
    fixed deferral               keys = keys_after(received_at_us, defer_s)
    the rule (model.policy.deferral_curve)      keys = Rule(factor, mean_handling_s, settings)

A key never changes, and a call once answered is not interrupted. Time is whole microseconds inside, so that
sums are exact and two replays compare bit for bit. At one instant, shifts change first, then calls end, then
waiting calls are answered, then callers hang up, then calls arrive.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from model.arrays import Booleans, Floats, Integers
from model.kernels import kernel
from model.policy.deferral import DeferralSettings, queue_key_us
from model.queueing.event_loop import NEVER_US, run_queue

Shifts = tuple[npt.ArrayLike, npt.ArrayLike]


@dataclass(frozen=True)
class Rule:
    """The deferral rule, decided when a call arrives from the state of the queue at that moment.

    Parameters
    ----------
    factor : array_like of shape (n,), 0 to 1
        The calls' defer_factor.
    mean_handling_s : array_like of shape (n,) or scalar, seconds
        What the queue believes a call takes; NaN where the expected wait is unknown.
    """

    factor: npt.ArrayLike
    mean_handling_s: npt.ArrayLike
    settings: DeferralSettings = field(default_factory=DeferralSettings)


@dataclass(frozen=True, eq=False)
class QueueReplay:
    """What became of each call; arrays of shape (n,) in the order of the log.

    Attributes
    ----------
    left_at_us : ndarray of int64
        When the call left the queue: answered, or hung up where `lost`.
    wait_s : ndarray of float
        Seconds in the queue, of callers who hung up too.
    lost : ndarray of bool
        Whether the caller hung up unanswered.
    defer_s : ndarray of float
        What the rule asked for; 0 under keys that were given.
    order : ndarray of int64, shape (answered calls,)
        Positions in the log, in the order of service.
    """

    left_at_us: Integers
    wait_s: Floats
    lost: Booleans
    defer_s: Floats
    order: Integers


@dataclass(frozen=True)
class WaitSummary:
    """Waits of some callers, in seconds in the queue whether answered or not; NaN without callers."""

    calls: int
    mean_s: float
    p95_s: float
    p99_9_s: float
    longest_s: float
    lost_share: float


def replay(
    received_at_us: npt.ArrayLike,
    handling_s: npt.ArrayLike,
    keys: npt.ArrayLike | Rule,
    operators: int | Shifts,
    patience_s: npt.ArrayLike = np.inf,
) -> QueueReplay:
    """Replay calls through one queue.

    Parameters
    ----------
    received_at_us : array_like of int64, shape (n,), microseconds
        In any order.
    handling_s : array_like of shape (n,), >= 0, seconds
        Operator's time from answer to the next call; kept to the microsecond.
    keys : array_like of int64, shape (n,), or Rule
        The smallest is answered first.
    operators : int >= 1, or (from_us, counts)
        On duty throughout, or from each of the rising times on; the first count holds before its time too, the
        last must be at least 1. An operator who leaves first ends the call in progress.
    patience_s : array_like of shape (n,) or scalar, >= 0, seconds
        A caller not answered by then hangs up; inf never does.

    Returns
    -------
    Replay
        Empty arrays without calls.

    Raises
    ------
    ValueError
        If lengths differ, a time is negative or missing, or the shifts end with nobody on duty.

    Examples
    --------
    Three calls of a minute each, one operator; the second looks like a prank and gives way to the third:

    >>> at = np.array([0, 10_000_000, 20_000_000])
    >>> replay(at, [60.0, 60.0, 60.0], at, operators=1).wait_s.tolist()
    [0.0, 50.0, 100.0]
    >>> result = replay(at, [60.0, 60.0, 60.0], Rule([0.0, 1.0, 0.0], 60.0), operators=1)
    >>> result.wait_s.tolist(), result.defer_s.tolist(), result.order.tolist()
    ([0.0, 110.0, 40.0], [0.0, 240.0, 0.0], [0, 2, 1])
    """
    received = np.asarray(received_at_us, dtype=np.int64)
    n = len(received)
    handling = _per_call(handling_s, n, "handling_s")
    patience = _per_call(patience_s, n, "patience_s")
    if not (np.isfinite(handling).all() and (handling >= 0.0).all()):
        raise ValueError("handling_s has a value that is missing, negative or infinite")
    if not (patience >= 0.0).all():
        raise ValueError("patience_s has a value that is missing or negative")
    from_us, counts = _shift_plan(operators)
    order = np.argsort(received, kind="stable")
    if isinstance(keys, Rule):
        static = np.zeros(0, dtype=np.int64)
        factor = _per_call(keys.factor, n, "factor")[order]
        mean_handling = _per_call(keys.mean_handling_s, n, "mean_handling_s")[order]
        settings = keys.settings
    else:
        given = np.asarray(keys, dtype=np.int64)
        if len(given) != n:
            raise ValueError(f"{len(given)} keys for {n} calls")
        static = given[order]
        factor = mean_handling = np.zeros(0)
        settings = DeferralSettings()
    patience_us = np.full(n, NEVER_US)
    mortal = patience < 1e12
    patience_us[mortal] = np.rint(patience[mortal] * 1e6).astype(np.int64)
    left, lost, deferred, served = run_queue(
        received[order],
        np.rint(handling * 1e6).astype(np.int64)[order],
        patience_us[order],
        static,
        factor,
        mean_handling,
        settings.kappa,
        settings.base_s,
        settings.max_defer_s,
        from_us,
        counts,
    )
    left_at_us, was_lost, asked_s = np.empty_like(left), np.empty_like(lost), np.empty_like(deferred)
    left_at_us[order], was_lost[order], asked_s[order] = left, lost, deferred
    return QueueReplay(left_at_us, (left_at_us - received) / 1e6, was_lost, asked_s, order[served])


def keys_by_score(score: npt.ArrayLike) -> Integers:
    """Return the keys of strict order by score: the smallest first, whoever waits.

    Examples
    --------
    >>> keys_by_score([0.9, 0.1, 0.9]).tolist()
    [1, 0, 1]
    """
    return np.unique(np.asarray(score, dtype=np.float64), return_inverse=True)[1].astype(np.int64)


@kernel
def keys_after(received_at_us: Integers, defer_s: Floats) -> Integers:
    """Return the keys of a deferral known beforehand; both arrays of shape (n,).

    Examples
    --------
    >>> keys_after(np.array([0, 1_000_000]), np.array([2.5, 0.0])).tolist()
    [2500000, 1000000]
    """
    keys = np.empty_like(received_at_us)
    for i in range(len(keys)):
        keys[i] = queue_key_us(received_at_us[i], defer_s[i])
    return keys


def handling_for_load(received_at_us: npt.ArrayLike, handling_s: npt.ArrayLike, operators: int, load: float) -> Floats:
    """Scale handling times so that the calls offer a given load to a number of operators.

    Parameters
    ----------
    received_at_us : array_like of int64, shape (n,)
    handling_s : array_like of shape (n,), seconds
    load : float, > 0
        Work offered from the first arrival to the last, per operator and second.

    Raises
    ------
    ValueError
        If the calls span no time or bring no work.

    Examples
    --------
    >>> handling_for_load([0, 50_000_000, 100_000_000], [1.0, 2.0, 1.0], operators=2, load=0.5).tolist()
    [25.0, 50.0, 25.0]
    """
    received = np.asarray(received_at_us, dtype=np.int64)
    handling = np.asarray(handling_s, dtype=np.float64)
    span_s = float(np.ptp(received)) / 1e6 if len(received) else 0.0
    work_s = float(handling.sum())
    if not (span_s > 0.0 and work_s > 0.0):
        raise ValueError(f"a load needs work and time, found {work_s} s of work in {span_s} s")
    return handling * (load * operators * span_s / work_s)


def summarise_waits(result: QueueReplay, callers: npt.ArrayLike | None = None) -> WaitSummary:
    """Summarise the waits of the callers in a boolean mask of shape (n,), or of all.

    Examples
    --------
    >>> summarise_waits(replay([0, 0], [5.0, 5.0], [0, 0], operators=1))  # doctest: +ELLIPSIS
    WaitSummary(calls=2, mean_s=2.5, p95_s=4.75, p99_9_s=4.99..., longest_s=5.0, lost_share=0.0)
    """
    mask = np.ones(len(result.lost), np.bool_) if callers is None else np.asarray(callers, dtype=np.bool_)
    wait_s = result.wait_s[mask]
    if len(wait_s) == 0:
        return WaitSummary(0, np.nan, np.nan, np.nan, np.nan, np.nan)
    p95, p99_9 = np.quantile(wait_s, [0.95, 0.999])
    return WaitSummary(
        len(wait_s),
        float(wait_s.mean()),
        float(p95),
        float(p99_9),
        float(wait_s.max()),
        float(result.lost[mask].mean()),
    )


def gap_closed(fcfs: WaitSummary, rule: WaitSummary, oracle: WaitSummary) -> float:
    """Return the share of the way from first come, first served (0) to a perfect oracle (1), in mean wait.

    NaN if the two do not differ; the three are summaries of the same genuine callers.
    """
    gap_s = fcfs.mean_s - oracle.mean_s
    return (fcfs.mean_s - rule.mean_s) / gap_s if gap_s != 0.0 else np.nan


def _per_call(value: npt.ArrayLike, n: int, name: str) -> Floats:
    array = np.asarray(value, dtype=np.float64)
    if array.ndim and len(array) != n:
        raise ValueError(f"{name} has {len(array)} values for {n} calls")
    return np.ascontiguousarray(np.broadcast_to(array, n))


def _shift_plan(operators: int | Shifts) -> tuple[Integers, Integers]:
    times, on_duty = operators if isinstance(operators, tuple) else ([0], [operators])
    from_us, counts = np.asarray(times, dtype=np.int64), np.asarray(on_duty, dtype=np.int64)
    if not len(from_us) == len(counts) > 0 or (np.diff(from_us) <= 0).any():
        raise ValueError(f"{len(from_us)} shift times for {len(counts)} counts, expected as many, rising")
    if (counts < 0).any() or counts[-1] < 1:
        raise ValueError(f"operators on duty are {counts.tolist()}, expected none negative and the last above 0")
    return from_us, counts
