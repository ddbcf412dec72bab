"""Sets a release's policy on held-out calls."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from model.arrays import Booleans
from model.certification.units import units_of
from model.params import Params
from model.policy.deferral_curve import NO_CURVE, HeldOutScores
from model.policy.guardrails import SILENCE, lowest_cap
from model.policy.policy import Policy
from model.policy.stage_scores import StageScores, stage_scores
from model.queueing.scenarios import handling_times
from model.scorecard.features import STAGES
from model.scorecard.scorecard import Scorecard
from model.training.centre_likeness import fit_likeness

if TYPE_CHECKING:
    from model.training.dataset import Dataset


def starting_policy(params: Params) -> Policy:
    """Return the policy that a fit starts from: the settings of the params, and nobody is deferred."""
    nothing = dict.fromkeys(STAGES, NO_CURVE)
    return Policy(nothing, nothing, params.caps(), params.limits(), params.deferral_settings())


def score_held_out(
    past: "Dataset", rows: Booleans, scorecards: Mapping[str, Scorecard], params: Params
) -> dict[str, StageScores]:
    """Score calls of a log as `set_policy` wants them: at every stage that is given, with every guardrail on."""
    policy = starting_policy(params).with_every_guardrail()
    return {stage: stage_scores(past.table, card, policy, rows) for stage, card in scorecards.items()}


def set_policy(past: "Dataset", rows: Booleans, scores: Mapping[str, StageScores], params: Params) -> Policy:
    """Set the policy on held-out calls.

    Parameters
    ----------
    rows : bool (n,)
        Calls of the log that no model that scores them was fitted on; only labelled ones.
    scores : mapping of str to StageScores
        By stage, of these rows in order of time, with every guardrail on (`score_held_out`).

    Returns
    -------
    Policy
        Without a genuine call it defers nobody, and says nothing to anybody (`model.training.centre_likeness`).
    """
    policy = starting_policy(params)
    genuine, handling_s = past.events.outcome[rows] == 0, handling_times(past.events)[rows]
    units = units_of(past.events)[rows]
    silence_on = not np.isnan(policy.caps[SILENCE])
    curves, unguarded, likeness = {}, {}, {}
    for stage, mine in scores.items():
        guarded = mine.guarded if silence_on else mine.likelihood
        cap = lowest_cap(mine.held, policy.caps)
        curves[stage] = HeldOutScores(guarded, genuine, handling_s).curve(policy.shape, cap)
        unguarded[stage] = HeldOutScores(mine.likelihood, genuine, handling_s).curve(policy.shape)
        if (tables := fit_likeness(guarded, genuine, units)) is not None:
            likeness[stage] = tables
    return replace(policy, curves=curves, unguarded=unguarded, likeness=likeness)
