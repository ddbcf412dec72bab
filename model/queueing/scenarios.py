"""What callers live through under each discipline: replays of a window of calls, many times over.

A load is set by scaling handling time against the gaps between calls. Then the clock is chosen so that the mean
handling time is the log's own again: it is as if so many more people had called. Otherwise a small centre would need
calls of an hour to be busy at all, and neither a patience of minutes nor a cap of 300 s would mean anything beside
them.

What varies from seed to seed is which weeks there were (drawn with replacement; days when there are fewer than four
whole weeks) and how patient callers are.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.arrays import Booleans, Floats, Integers
from model.calls.call_events import Events
from model.certification.bootstrap import percentile_interval
from model.policy.deferral import DeferralSettings
from model.queueing.queue_replay import (
    QueueReplay,
    Rule,
    gap_closed,
    handling_for_load,
    keys_after,
    keys_by_score,
    replay,
    summarise_waits,
)

DAY_US = 86_400_000_000
#: On duty in a replay, and how often weeks are drawn to fit a policy.
OPERATORS, DRAWS = 3, 4
#: Mean patience of genuine callers and of the others, seconds, exponential; with these a centre at load 0.95
#: loses about one genuine caller in ten.
PATIENCE_S = (320.0, 155.0)
FIXED_S = (120.0, 300.0)


@dataclass(frozen=True)
class Condition:
    """A load, and whether callers hang up; without hang-ups the deferral has no cap."""

    load: float
    hang_ups: bool

    @property
    def name(self) -> str:
        """As in metrics.json, such as "hang_ups_0.95"."""
        return f"{'' if self.hang_ups else 'no_'}hang_ups_{self.load}"


CONDITIONS = tuple(Condition(load, hang_ups=False) for load in (0.7, 0.95, 1.1)) + tuple(
    Condition(load, hang_ups=True) for load in (0.95, 1.2, 2.0)
)


@dataclass(frozen=True)
class QueuedCalls:
    """Calls to be replayed, in order of time; arrays of one length n.

    Parameters
    ----------
    genuine : bool
        Closed as genuine.
    score : float64
        For strict order by score.
    factors : mapping of str to float64
        The defer_factor of each rule that is to be replayed, by name.
    """

    received_us: Integers
    handling_s: Floats
    genuine: Booleans
    score: Floats
    factors: Mapping[str, Floats]

    def take(self, rows: NDArray[np.intp], received_us: Integers) -> "QueuedCalls":
        """Return some of the calls, arriving at other times."""
        factors = {name: factor[rows] for name, factor in self.factors.items()}
        return QueuedCalls(received_us, self.handling_s[rows], self.genuine[rows], self.score[rows], factors)

    def scaled_to_load(self, load: float, operators: int) -> "QueuedCalls":
        """Return the calls arriving so fast that they bring `load`; ValueError without work or time."""
        scaled = handling_for_load(self.received_us, self.handling_s, operators, load)
        slower = float(scaled.sum() / self.handling_s.sum())
        since = (self.received_us - self.received_us[0]) / slower
        return QueuedCalls(np.rint(since).astype(np.int64), self.handling_s, self.genuine, self.score, self.factors)


def handling_times(events: Events) -> Floats:
    """Return the seconds of operator's time that each call took; the mean where that is not known."""
    known = events.duration_s[~np.isnan(events.duration_s)]
    return np.where(np.isnan(events.duration_s), known.mean() if len(known) else 60.0, events.duration_s)


def block_days(received_us: Integers) -> int:
    """Days in a block: 7 with at least four whole weeks, else 1."""
    span_us = int(np.ptp(received_us)) if len(received_us) else 0
    return 7 if span_us >= 4 * 7 * DAY_US else 1


def resample_weeks(calls: QueuedCalls, seed: int, most_calls: int) -> QueuedCalls:
    """Draw whole weeks with replacement, as `draw_weeks` does."""
    return calls.take(*draw_weeks(calls.received_us, seed, most_calls))


def draw_weeks(received_us: Integers, seed: int, most_calls: int) -> tuple[NDArray[np.intp], Integers]:
    """Draw whole weeks (or days) with replacement and put them one after the other.

    As many as there are, or fewer so that there are about `most_calls` calls. What lies after the last whole week is
    left out; less than two whole days stay as they are.

    Parameters
    ----------
    received_us : int64 (n,), rising

    Returns
    -------
    rows, received_us : int64 (m,)
        Which calls, and when each of them now arrives.
    """
    days = block_days(received_us)
    length_us = days * DAY_US
    start_us = received_us[0]
    blocks = int(np.ptp(received_us)) // length_us
    if blocks < 2:
        return np.arange(len(received_us)), received_us
    edges = np.searchsorted(received_us, start_us + np.arange(blocks + 1) * length_us)
    wanted = max(2, min(blocks, round(most_calls * blocks / max(1, int(edges[-1])))))
    chosen = np.random.default_rng(seed).integers(0, blocks, wanted)
    rows = [np.arange(edges[block], edges[block + 1]) for block in chosen]
    shifts = [
        np.full(len(mine), (place - int(block)) * length_us)
        for place, (block, mine) in enumerate(zip(chosen, rows, strict=True))
    ]
    every = np.concatenate(rows)
    return every, received_us[every] + np.concatenate(shifts)


def draw_patience(genuine: Booleans, seed: int) -> Floats:
    """Draw how long callers wait before they hang up, in seconds."""
    rng = np.random.default_rng([seed, 1])
    return rng.exponential(np.where(genuine, *PATIENCE_S))


def replay_discipline(
    calls: QueuedCalls, discipline: str, condition: Condition, deferral: DeferralSettings, operators: int, seed: int
) -> QueueReplay:
    """Replay calls, already on the clock of the condition's load, under one discipline.

    Parameters
    ----------
    discipline : str
        "first_come", "by_score", "oracle", "fixed" (by the factor of "rule"), or the name of one of `calls.factors`.
    deferral : DeferralSettings
        The cap holds only where callers hang up.
    seed : int
        Of the patience.
    """
    keys: Integers | Rule
    if discipline == "first_come":
        keys = calls.received_us
    elif discipline == "by_score":
        keys = keys_by_score(calls.score)
    elif discipline == "oracle":
        keys = 1 - calls.genuine.astype(np.int64)
    elif discipline == "fixed":
        factor = calls.factors["rule"]
        largest = factor.max(initial=0.0)
        some = np.where(factor > 0.0, FIXED_S[0], 0.0)
        keys = keys_after(calls.received_us, np.where((factor >= largest) & (factor > 0.0), FIXED_S[1], some))
    else:
        cap_s = deferral.max_defer_s if condition.hang_ups else np.inf
        settings = DeferralSettings(deferral.kappa, deferral.base_s, cap_s)
        keys = Rule(calls.factors[discipline], float(calls.handling_s.mean()), settings)
    lives = draw_patience(calls.genuine, seed) if condition.hang_ups else np.inf
    return replay(calls.received_us, calls.handling_s, keys, operators, lives)


def measure_waits(
    calls: QueuedCalls,
    disciplines: tuple[str, ...],
    conditions: tuple[Condition, ...],
    deferral: DeferralSettings,
    operators: int,
    seed: int,
) -> Iterator[tuple[str, str, dict[str, float]]]:
    """Replay calls under each condition and discipline, and sum up what genuine callers lived through.

    Yields
    ------
    condition, discipline : str
    numbers : dict of str to float
        As docs/metrics.md names them, and `longest_held_back_s`, the longest deferral of a genuine call; NaN without
        genuine calls.
    """
    for condition in conditions:
        clocked = calls.scaled_to_load(condition.load, operators)

        def result(discipline: str, clocked: QueuedCalls = clocked, condition: Condition = condition) -> QueueReplay:
            return replay_discipline(clocked, discipline, condition, deferral, operators, seed)

        first, best = result("first_come"), result("oracle")
        known = {"first_come": first, "oracle": best}
        fcfs, oracle = summarise_waits(first, calls.genuine), summarise_waits(best, calls.genuine)
        for discipline in disciplines:
            found = known[discipline] if discipline in known else result(discipline)
            anybody, mine = summarise_waits(found), summarise_waits(found, calls.genuine)
            longest = summarise_waits(first).longest_s
            numbers = {
                "mean_wait_s": mine.mean_s,
                "p95_wait_s": mine.p95_s,
                "p99_9_wait_s": mine.p99_9_s,
                "longest_wait_s": mine.longest_s,
                "lost_share": mine.lost_share,
                "gap_closed": gap_closed(fcfs, mine, oracle),
                "longest_anybody_s": anybody.longest_s,
                "longest_ratio": anybody.longest_s / longest if longest > 0.0 else np.nan,
                "longest_held_back_s": float(found.defer_s[calls.genuine].max(initial=0.0)),
            }
            yield condition.name, discipline, numbers


def measure_over_seeds(
    calls: QueuedCalls,
    disciplines: tuple[str, ...],
    conditions: tuple[Condition, ...],
    deferral: DeferralSettings,
    *,
    operators: int,
    seeds: int,
    most_calls: int,
) -> dict[str, dict[str, dict[str, float]]]:
    """Return the mean of each number over seeds, by condition and discipline, with `_low` and `_high` beside it.

    These are the 2.5 % and 97.5 % quantiles of the seeds; NaN where a number could not be measured is left out.
    """
    found: dict[tuple[str, str, str], list[float]] = {}
    for seed in range(seeds):
        drawn = resample_weeks(calls, seed, most_calls)
        for condition, discipline, numbers in measure_waits(drawn, disciplines, conditions, deferral, operators, seed):
            for name, value in numbers.items():
                found.setdefault((condition, discipline, name), []).append(value)
    table: dict[str, dict[str, dict[str, float]]] = {}
    for (condition, discipline, name), values in found.items():
        known = [value for value in values if not np.isnan(value)]
        mean = float(np.mean(known)) if known else np.nan
        table.setdefault(condition, {}).setdefault(discipline, {}).update(percentile_interval(mean, known).named(name))
    return table
