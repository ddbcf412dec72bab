"""A policy that was fitted to a centre: what was chosen, what it does to whom, and what each constraint cost."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model.queueing.fitting.policy_proposal import Candidate
    from model.queueing.fitting.policy_trial import Trial

#: The longest wait of anybody against first come, first served, at any load.
LONGEST_RATIO = 1.9
#: By how much a trial breaks each constraint; 0 when it keeps it.
CONSTRAINTS: dict[str, Callable[["Trial"], float]] = {
    "longest": lambda trial: max(0.0, trial.longest_shown / LONGEST_RATIO - 1.0),
    "waits": lambda trial: sum(
        max(0.0, more) for waits in (trial.waits, trial.waits_with_hang_ups) for more in waits.values()
    ),
    "lost": lambda trial: sum(max(0.0, more) for more in trial.lost.values()),
}


def excess(trial: "Trial", but: str = "") -> float:
    """Return by how much a trial breaks the constraints, one of them aside; 0 when it keeps them all."""
    return sum(broken(trial) for name, broken in CONSTRAINTS.items() if name != but)


@dataclass(frozen=True)
class PolicyFit:
    """What a search chose, and what it tried beside.

    Parameters
    ----------
    chosen, start : Candidate
    trials : mapping of Candidate to Trial
        All that was tried.
    fitted : tuple of str
        The guardrails whose cap was fitted.
    variants : mapping of str to Candidate
        The chosen one but for one guardrail, back at its wall.
    """

    chosen: "Candidate"
    start: "Candidate"
    trials: Mapping["Candidate", "Trial"]
    fitted: tuple[str, ...]
    variants: Mapping[str, "Candidate"]

    def to_json(self) -> dict[str, Any]:
        """Return what becomes of each group, what each constraint and guardrail cost, and the frontier."""
        own = self.trials[self.chosen]
        walls = {name: own.gap_closed - self.trials[one].gap_closed for name, one in self.variants.items()}
        return {
            "kept_constants": self.chosen == self.start,
            "fitted_caps": list(self.fitted),
            "tried": len(self.trials),
            "gap_closed": own.gap_closed,
            "gap_closed_by_constants": self.trials[self.start].gap_closed,
            "longest_ratio": own.longest_ratio,
            "longer_wait_upper_end": dict(own.waits),
            "longer_wait_with_hang_ups": dict(own.waits_with_hang_ups),
            "more_lost_lower_end": dict(own.lost),
            "price_of_constraints": {name: self._most_but(name) - own.gap_closed for name in CONSTRAINTS},
            "price_of_walls": walls,
            "frontier": self._frontier(),
        }

    def _most_but(self, name: str) -> float:
        """Return the most of the gap that anything tried closed while keeping every constraint but one."""
        kept = [trial.gap_closed for trial in self.trials.values() if not excess(trial, but=name) > 0.0]
        return max([*kept, self.trials[self.chosen].gap_closed])

    def _frontier(self) -> list[dict[str, float | bool]]:
        """Return what of all that was tried closes more than anything with as short a longest wait, by that wait."""
        points: list[dict[str, float | bool]] = []
        most = {True: 0.0, False: 0.0}
        for trial in sorted(self.trials.values(), key=lambda trial: trial.longest_ratio):
            fair = not excess(trial, but="longest") > 0.0
            if trial.gap_closed > most[fair]:
                most[fair] = trial.gap_closed
                points.append({"longest": trial.longest_ratio, "gap_closed": trial.gap_closed, "nobody_loses": fair})
        return points
