"""A policy on trial: replays of held-out calls under it, beside first come, first served.

Calls are replayed at several loads, in weeks drawn with replacement, with and without hang-ups. What is looked at is
how much of the gap to a perfect order it closes, how long anybody waits, and what becomes of each group of genuine
callers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.arrays import Floats, Integers
from model.policy.deferral import DeferralSettings
from model.policy.guardrails import lowest_cap
from model.queueing.fitting.group_estimates import EVERYBODY, Z, drawn_together
from model.queueing.queue_replay import QueueReplay, Rule, replay
from model.queueing.scenarios import CONDITIONS, QueuedCalls, draw_patience, draw_weeks

if TYPE_CHECKING:
    from model.queueing.fitting.held_out_calls import HeldOutCalls
    from model.queueing.fitting.policy_proposal import Candidate

#: The conditions of an evaluation, without the one in which most calls are lost whatever the order.
TRIED = tuple(condition for condition in CONDITIONS if condition.load < 2.0)
#: A draw of weeks replays about so many calls at most.
MOST_CALLS = 10_000


@dataclass(frozen=True)
class Trial:
    """What became of the calls under a candidate; groups' means are drawn together (`group_estimates`).

    Parameters
    ----------
    gap_closed : float
        Between first come, first served and a perfect order, mean wait of genuine callers, mean over loads; nobody
        hangs up.
    longest_ratio, longest_shown : float
        The longest wait of anybody against first come, first served, mean over the weeks drawn, at the worst load; and
        the same less its standard error, since the longest wait of a few weeks is one event.
    waits : mapping of str to float
        By group: how much longer its genuine callers wait than first come, first served, as a share of the mean wait,
        mean over loads; the upper end (`Z`).
    waits_with_hang_ups : mapping of str to float
        The same where callers hang up: the mean.
    lost : mapping of str to float
        By group: the share of its genuine callers that hang up, less that under first come, first served, less its
        standard error, since one caller more among twenty says nothing.
    """

    gap_closed: float
    longest_ratio: float
    longest_shown: float
    waits: Mapping[str, float]
    waits_with_hang_ups: Mapping[str, float]
    lost: Mapping[str, float]


class _Scene(NamedTuple):
    """One replay's calls, on the clock of its load, and how they fare first come, first served."""

    load: float
    hang_ups: bool
    rows: NDArray[np.intp]
    calls: QueuedCalls
    patience_s: Floats | float
    first: QueueReplay
    gap_s: float


class PolicyTrials:
    """Replays that any number of candidates can be tried in; every candidate meets the same weeks and patience.

    Parameters
    ----------
    calls : HeldOutCalls
        With a genuine call, work, and time (`HeldOutCalls.replayable`).
    deferral : DeferralSettings
        Of which base_s and the cap, which holds where callers hang up, stay.
    draws : int
        How often weeks are drawn.
    """

    def __init__(self, calls: "HeldOutCalls", deferral: DeferralSettings, *, operators: int, draws: int) -> None:
        self._calls, self._deferral, self._operators = calls, deferral, operators
        self._scenes = [scene for seed in range(draws) for scene in self._draw(seed)]

    def _draw(self, seed: int) -> list[_Scene]:
        calls = self._calls
        rows, received_us = draw_weeks(calls.received_us, seed, MOST_CALLS)
        drawn = QueuedCalls(received_us, calls.handling_s[rows], calls.genuine[rows], calls.guarded[rows], {})
        scenes = []
        for load, hang_ups in ((condition.load, condition.hang_ups) for condition in TRIED):
            clocked = drawn.scaled_to_load(load, self._operators)
            patience_s = draw_patience(clocked.genuine, seed) if hang_ups else np.inf
            first = self._replay(clocked, clocked.received_us, patience_s)
            best = first if hang_ups else self._replay(clocked, 1 - clocked.genuine.astype(np.int64), patience_s)
            gap_s = float((first.wait_s - best.wait_s)[clocked.genuine].sum())
            scenes.append(_Scene(load, hang_ups, rows, clocked, patience_s, first, gap_s))
        return scenes

    def _replay(self, calls: QueuedCalls, keys: Integers | Rule, patience_s: Floats | float) -> QueueReplay:
        return replay(calls.received_us, calls.handling_s, keys, self._operators, patience_s)

    def run(self, candidate: "Candidate") -> Trial:
        """Replay the calls under a candidate."""
        factor = self._calls.scores.factors(candidate.shape, lowest_cap(self._calls.held, candidate.caps))
        gaps: list[float] = []
        longest: dict[float, list[float]] = {}
        lived = {hang_ups: _Lived(self._calls) for hang_ups in (False, True)}
        for scene in self._scenes:
            cap_s = self._deferral.max_defer_s if scene.hang_ups else np.inf
            settings = DeferralSettings(candidate.kappa, self._deferral.base_s, cap_s)
            rule = Rule(factor[scene.rows], float(scene.calls.handling_s.mean()), settings)
            found, first = self._replay(scene.calls, rule, scene.patience_s), scene.first
            lived[scene.hang_ups].add(scene, found)
            if not scene.hang_ups:
                saved_s = float((first.wait_s - found.wait_s)[scene.calls.genuine].sum())
                gaps.append(saved_s / scene.gap_s if scene.gap_s > 0.0 else 0.0)
                first_s = float(first.wait_s.max())
                longest.setdefault(scene.load, []).append(float(found.wait_s.max()) / first_s if first_s else 1.0)
        return Trial(
            gap_closed=float(np.mean(gaps)),
            longest_ratio=max(float(np.mean(ratios)) for ratios in longest.values()),
            longest_shown=max(
                float(np.mean(ratios) - np.std(ratios) / len(ratios) ** 0.5) for ratios in longest.values()
            ),
            waits=lived[False].longer(Z),
            waits_with_hang_ups=lived[True].longer(0.0),
            lost=lived[True].lost(-1.0),
        )


class _Lived:
    """What each genuine call lived through beyond first come, first served, summed over its replays."""

    def __init__(self, calls: "HeldOutCalls") -> None:
        self._calls = calls
        self._longer, self._lost, self._replays = np.zeros((3, len(calls.genuine)))

    def add(self, scene: _Scene, found: QueueReplay) -> None:
        mine, first, n = scene.calls.genuine, scene.first, len(self._lost)
        rows, usual_s = scene.rows[mine], float(first.wait_s[mine].mean())
        if usual_s > 0.0:
            self._longer += np.bincount(rows, (found.wait_s - first.wait_s)[mine] / usual_s, n)
        self._lost += np.bincount(rows, found.lost[mine].astype(np.float64) - first.lost[mine], n)
        self._replays += np.bincount(rows, minlength=n)

    def longer(self, errors: float) -> dict[str, float]:
        """Return by group how much longer its calls waited, each load alike, and so many standard errors."""
        return self._by_group(self._longer, errors)

    def lost(self, errors: float) -> dict[str, float]:
        """Return by group how many more were lost, as a share of it, and so many standard errors."""
        return self._by_group(self._lost, errors)

    def _by_group(self, sums: Floats, so_many: float) -> dict[str, float]:
        """Return each group's mean a replay and so many errors, with callers as clusters (of a ratio of sums)."""
        means, errors = np.zeros((2, len(self._calls.groups)))
        for place, rows in enumerate(self._calls.groups.values()):
            replays = max(1.0, float(self._replays[rows].sum()))
            means[place] = sums[rows].sum() / replays
            apart = np.bincount(self._calls.caller_codes[rows], sums[rows] - means[place] * self._replays[rows])
            errors[place] = np.sqrt((apart**2).sum()) / replays
        means, errors = drawn_together(means, errors, means[tuple(self._calls.groups).index(EVERYBODY)])
        return dict(zip(self._calls.groups, (means + so_many * errors).tolist(), strict=True))
