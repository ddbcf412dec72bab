"""Sets a release's policy on held-out calls, fitted to the centre where the params leave it open."""

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
from model.queueing.caller_groups import slice_masks
from model.queueing.fitting.held_out_calls import HeldOutCalls
from model.queueing.fitting.policy_proposal import Candidate
from model.queueing.fitting.policy_search import LEAST_GENUINE, PolicySearch
from model.queueing.fitting.policy_trial import PolicyTrials
from model.queueing.scenarios import DRAWS, OPERATORS, handling_times
from model.scorecard.features import QUEUE_STAGE, STAGES
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


def set_policy(
    past: "Dataset",
    rows: Booleans,
    scores: Mapping[str, StageScores],
    params: Params,
    *,
    operators: int = OPERATORS,
    draws: int = DRAWS,
) -> Policy:
    """Set the policy on held-out calls.

    Parameters
    ----------
    rows : bool (n,)
        Calls of the log that no model that scores them was fitted on; only labelled ones.
    scores : mapping of str to StageScores
        By stage, of these rows in order of time, with every guardrail on (`score_held_out`).
    operators : int
        On duty in the replay.
    draws : int
        How often weeks are drawn to fit what the params leave open (`model.queueing.fitting`); at 0, and with fewer
        than `LEAST_GENUINE` genuine calls, all of it stays where it starts.

    Returns
    -------
    Policy
        Without a genuine call it defers nobody, and says nothing to anybody (`model.training.centre_likeness`).
    """
    policy = starting_policy(params)
    genuine, handling_s = past.events.outcome[rows] == 0, handling_times(past.events)[rows]
    units = units_of(past.events)[rows]
    if np.isnan(policy.caps[SILENCE]):
        scores = {stage: replace(mine, guarded=mine.likelihood) for stage, mine in scores.items()}
    if draws and genuine.sum() >= LEAST_GENUINE:
        policy = _fitted(policy, _held_out_calls(past, rows, scores[QUEUE_STAGE]), params, operators, draws)
    curves, unguarded, likeness = {}, {}, {}
    for stage, mine in scores.items():
        cap = lowest_cap(mine.held, policy.caps)
        curves[stage] = HeldOutScores(mine.guarded, genuine, handling_s).curve(policy.shape, cap)
        unguarded[stage] = HeldOutScores(mine.likelihood, genuine, handling_s).curve(policy.shape)
        if (tables := fit_likeness(mine.guarded, genuine, units)) is not None:
            likeness[stage] = tables
    return replace(policy, curves=curves, unguarded=unguarded, likeness=likeness)


def _held_out_calls(past: "Dataset", rows: Booleans, scores: StageScores) -> HeldOutCalls:
    events = past.events
    received_us, callers = events.received_us[rows], events.caller[rows]
    known = (events.received_us <= received_us.max(initial=0)) & (events.outcome == 1) & (events.caller >= 0)
    slices = slice_masks(past.table.matrix(rows), callers, np.isin(callers, events.caller[known]))
    return HeldOutCalls(
        received_us=received_us,
        handling_s=handling_times(events)[rows],
        genuine=events.outcome[rows] == 0,
        callers=callers,
        guarded=scores.guarded,
        held=scores.held,
        slices=slices,
    )


def _fitted(policy: Policy, calls: HeldOutCalls, params: Params, operators: int, draws: int) -> Policy:
    """Return the policy with the shape, kappa and caps that a search finds on these calls."""
    if not calls.replayable():
        return policy
    start = Candidate(policy.shape, policy.deferral.kappa, policy.caps)
    fitted_caps, fit_kappa = params.fitted_caps(), params.deferral.kappa is None
    trials = PolicyTrials(calls, policy.deferral, operators=operators, draws=draws)
    search = PolicySearch(calls, trials, start, fitted_caps=fitted_caps, fit_kappa=fit_kappa)
    found = search.run()
    shape, kappa, caps = found.chosen
    return replace(policy, shape=shape, caps=caps, deferral=replace(policy.deferral, kappa=kappa), fit=found.to_json())
