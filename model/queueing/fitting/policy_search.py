"""Fits a policy to a centre: what closes most of the gap to a perfect order while no group of genuine callers loses.

Searched are the shape of the curve, its strength, kappa, and the cap of each guardrail that may be fitted and has the
data for it. `Exposure` proposes the shape and caps by which the most is gained and no group gives way more than the
work does; replays (`PolicyTrials`) then say what really becomes of each group and of the longest wait, and what they
find beside the proposal is added to the groups' margins of the next one. Chosen is what closes most of the gap in
replays in which every constraint is kept (`model.queueing.fitting.policy_fit`).

In a fluid queue the longest wait is 1 + kappa passing_work times as long, whatever the rest: this product is the
strength. The longest wait of a few weeks is one event, and says little of the longest wait of the next ones, so the
strength has a ceiling of its own.
"""

from typing import TYPE_CHECKING

import numpy as np

from model.arrays import Floats
from model.policy.guardrails import GUARDRAIL_NAMES, GUARDRAILS
from model.queueing.fitting.exposure import Exposure
from model.queueing.fitting.policy_fit import LONGEST_RATIO, PolicyFit, excess
from model.queueing.fitting.policy_proposal import Candidate, Proposal, Proposals

if TYPE_CHECKING:
    from model.queueing.fitting.held_out_calls import HeldOutCalls
    from model.queueing.fitting.policy_trial import PolicyTrials, Trial

STRONGEST, WEAKEST = 1.1, 0.3
KAPPAS = (2.0, 3.0, 4.0)
#: A guardrail has to hold on so many genuine calls before its cap is fitted; a centre has to have so many in all.
LEAST_HELD, LEAST_GENUINE = 50, 100
ROUNDS = 8
#: Groups' margins are raised by so much after a round in which one loses, and lowered after one in which none does.
SAFETY = 0.02
#: The share of a group that is lost changes by about so much of how its wait does.
LOST_A_WAIT = 0.1
#: The chosen shape is replayed at these strengths too, for the frontier.
FRONTIER = (0.2, 0.4, 0.6, 0.8, 1.0, 1.3, 1.6)


class PolicySearch:
    """The search for one centre.

    Parameters
    ----------
    trials : PolicyTrials
        Of these calls.
    start : Candidate
        With the caps that stay where they are not fitted; one of those that are chosen from, and what is chosen when no
        other keeps every constraint.
    fitted_caps : frozenset of str
        Guardrails whose cap may be fitted.
    fit_kappa : bool
    """

    def __init__(
        self,
        calls: "HeldOutCalls",
        trials: "PolicyTrials",
        start: Candidate,
        *,
        fitted_caps: frozenset[str],
        fit_kappa: bool,
    ) -> None:
        enough = {name for name, rows in calls.groups.items() if len(rows) >= LEAST_HELD}
        self.fitted = tuple(name for name in GUARDRAIL_NAMES if name in fitted_caps & enough)
        self._exposure = Exposure(calls)
        self._proposals = Proposals(self._exposure, start.caps, self.fitted)
        self._trials = trials
        self._start, self._kappas = start, KAPPAS if fit_kappa else (start.kappa,)
        self._tried: dict[Candidate, Trial] = {}

    def run(self) -> PolicyFit:
        """Search; the same calls give the same policy."""
        self._try(self._start)
        margins, safety, strength = np.zeros(len(self._exposure.groups)), 0.0, STRONGEST
        for _ in range(ROUNDS):
            proposal = self._proposals.best(margins + safety)
            trial = self._try(self._candidate(proposal, strength))
            margins = self._margins(proposal, strength, trial)
            safety = safety + SAFETY if excess(trial, but="longest") > 0.0 else max(0.0, safety - SAFETY)
            fitting = strength * (LONGEST_RATIO - 1.0) / max(trial.longest_shown - 1.0, 1e-3)
            strength = round(min(STRONGEST, max(WEAKEST, fitting - 0.01)), 2)
        kept = [candidate for candidate, trial in self._tried.items() if not excess(trial) > 0.0]
        chosen = max(kept, key=lambda candidate: self._tried[candidate].gap_closed, default=self._start)
        walls = {name: _at_its_wall(chosen, name) for name in self.fitted}
        proposal = (chosen.shape, chosen.caps)
        for other in (*walls.values(), *(self._candidate(proposal, strength) for strength in FRONTIER)):
            self._try(other)
        return PolicyFit(chosen, self._start, self._tried, self.fitted, walls)

    def _try(self, candidate: Candidate) -> "Trial":
        if candidate not in self._tried:
            self._tried[candidate] = self._trials.run(candidate)
        return self._tried[candidate]

    def _candidate(self, proposal: Proposal, strength: float) -> Candidate:
        """Return the proposal at a strength, with the smallest kappa at which s need not be above 1."""
        shape, caps = proposal
        ahead = 1.0 - self._exposure.of(shape, caps).work
        kappa = next((kappa for kappa in self._kappas if strength <= kappa * ahead), self._kappas[-1])
        return Candidate(shape._replace(passing_work=min(1.0, strength / kappa)), kappa, caps)

    def _margins(self, proposal: Proposal, strength: float, trial: "Trial") -> Floats:
        """Return how much more each group gave way in the replays than by `Exposure`, in shares of the work's mean."""
        shares = self._exposure.of(*proposal)
        if shares.work <= 0.0:
            return np.zeros(len(shares.upper))
        found = [
            max(trial.waits[name], trial.waits_with_hang_ups[name], trial.lost[name] / LOST_A_WAIT)
            for name in self._exposure.groups
        ]
        return 1.0 + np.array(found) * (1.0 - shares.work) / (strength * shares.work) - shares.upper


def _at_its_wall(candidate: Candidate, name: str) -> Candidate:
    rail = GUARDRAIL_NAMES.index(name)
    wall = GUARDRAILS[rail].cap
    return candidate._replace(caps=(*candidate.caps[:rail], wall, *candidate.caps[rail + 1 :]))
