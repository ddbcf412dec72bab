"""Trains at every cut in time: each cut's models score what came next, and the last cut's are served.

Calibration takes the decision values of all cuts' models on the calls that came next (cross-fitting over time), so that
no call is held out for it alone: the served models have learnt from those calls too. The same calls say which pairs of
features are worth a table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.metrics import average_precision_score, roc_auc_score

from model.arrays import Booleans, Floats
from model.boosting.boosting import Platt, calibrate, fit_freely, fit_platt, fit_stage
from model.boosting.distillation import distil
from model.boosting.pairs import Judged, Paired, Residuals, choose_pairs, fit_pairs, residuals_of
from model.errors import TrainingError
from model.params import Boosting, Params
from model.policy.stage_scores import StageScores, join_scores
from model.scorecard.features import QUEUE_STAGE, STAGES, WIDTHS
from model.scorecard.scorecard import Scorecard
from model.training.centre_policy import score_held_out
from model.training.dataset import MOST_OF_A_LABEL, Dataset, subsample
from model.training.origins import Origin

#: Platt's two parameters are fitted on at most so many calls of a cut, drawn at random.
MOST_CALIBRATED = 200_000
#: From so many genuine calls on there is nothing to choose: the defaults are as good.
ENOUGH_GENUINE = 500
#: A setting has to beat one that stands before it by so much in AUC: less is chance.
MARGIN = 0.002
#: With fewer genuine calls after the cuts, no pair is looked for.
GENUINE_FOR_PAIRS = 100
#: The simplest first. Leaves of a tree are one more than its cuts, all in one feature.
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "one_cut": {"max_leaf_nodes": 2, "l2_regularization": 1.0},
    "one_cut_longer": {"max_leaf_nodes": 2, "l2_regularization": 1.0, "max_iter": 400},
    "three_cuts_longer": {"max_leaf_nodes": 4, "max_iter": 400},
    "defaults": {},
}


@dataclass(frozen=True)
class CutModels:
    """The models of one cut, calibrated on what the models of all cuts said of what came next.

    Parameters
    ----------
    estimators : mapping of str to CalibratedClassifierCV
        By stage; their probability of class 1 is the scorecard's, to within rounding.
    scorecards : mapping of str to Scorecard
    """

    origin: Origin
    estimators: Mapping[str, CalibratedClassifierCV]
    scorecards: Mapping[str, Scorecard]


@dataclass(frozen=True)
class Trained:
    """What a training fitted, at every cut.

    Parameters
    ----------
    params : Params
        With the settings of the boosting that were chosen.
    models : tuple of CutModels
        In order of time, of the cuts that had both kinds of calls to learn from; the last one's are served.
    platts : tuple of mapping of str to Platt, or None
        By stage, fitted on what the models of the first cut said, of the first two, and so on; None where that is of
        one kind of calls.
    choice : mapping, optional
        What the settings of the boosting were chosen by (`choose_settings`).
    """

    past: Dataset
    params: Params
    models: tuple[CutModels, ...]
    platts: tuple[Mapping[str, Platt] | None, ...]
    choice: Mapping[str, Any] | None

    @property
    def estimators(self) -> Mapping[str, CalibratedClassifierCV]:
        """The estimators that are served, by stage."""
        return self.models[-1].estimators

    @property
    def scorecards(self) -> Mapping[str, Scorecard]:
        """The scorecards that are served, by stage."""
        return self.models[-1].scorecards

    def scorecards_of(self, place: int, known: int) -> Mapping[str, Scorecard]:
        """Return the scorecards of a cut, calibrated on what the models of the first `known` cuts said."""
        cards, every, mine = self.models[place].scorecards, self.platts[-1], self.platts[known - 1]
        if known == len(self.platts) or every is None or mine is None:
            return cards
        return {
            stage: card.recalibrated(
                (slope := mine[stage].slope / every[stage].slope), mine[stage].offset - slope * every[stage].offset
            )
            for stage, card in cards.items()
        }

    def held_out(self, known: int | None = None) -> tuple[Booleans, dict[str, StageScores]]:
        """Return the calls that calibration and policy are fitted on, and what models said that had not seen them.

        Parameters
        ----------
        known : int, optional
            Of the calls after the first so many cuts only, as it was known then; by default of all.

        Returns
        -------
        rows : bool (n,)
            Of the log.
        scores : dict of str to StageScores
            By stage, of those in order of time, with every guardrail on.
        """
        known = len(self.platts) if known is None else known
        rows = [one.origin.block & (self.past.weights > 0.0) for one in self.models[:known]]
        scores = [
            score_held_out(self.past, mine, self.scorecards_of(place, known), self.params)
            for place, mine in enumerate(rows)
        ]
        joined = {stage: join_scores([part[stage] for part in scores]) for stage in self.scorecards}
        return np.logical_or.reduce(rows), joined

    def out_of_time(self) -> list[tuple[Booleans, Mapping[str, Scorecard]]]:
        """Return all calls of the centre after the first cut, each part with the scorecards that had not seen them."""
        found = [(one.origin.rows, one.scorecards) for one in self.models]
        last = np.flatnonzero(np.logical_or.reduce([rows for rows, _ in found])).max(initial=-1)
        return [*found, (self.past.mine & (np.arange(len(self.past.mine)) > last), self.scorecards)]


@dataclass(frozen=True)
class _Boostings:
    """Of one cut: its boostings by stage, what they learnt from, and their decision values of what came next."""

    origin: Origin
    fitted: Mapping[str, Paired]
    rows: Floats
    label: NDArray[np.int8]
    weights: Floats | None
    later: Booleans
    ahead: Floats
    decisions: Mapping[str, Floats]

    def residuals(self, stage: str, seed: int) -> Residuals:
        """Return what a stage's boosting leaves over."""
        return residuals_of(self.fitted[stage], self.rows[:, : WIDTHS[stage]], self.label, self.weights, seed)

    def judged(self, past: Dataset, stage: str, seed: int) -> Judged:
        """Return what pairs of a stage are judged by at this cut."""
        label, weights, caller = (
            past.events.outcome[self.later],
            past.weights[self.later],
            past.events.caller[self.later],
        )
        return Judged(self.residuals(stage, seed), self.ahead, self.decisions[stage], label, weights, caller)

    def paired(self, chosen: Mapping[str, Sequence[tuple[str, str]]], seed: int) -> "_Boostings":
        """Return the same with the pairs that were chosen for each stage."""
        fitted, decisions = dict(self.fitted), dict(self.decisions)
        for stage, names in chosen.items():
            if names:
                pairs = fit_pairs(self.residuals(stage, seed), names)
                fitted[stage] = Paired(fitted[stage].boosting, pairs)
                decisions[stage] = sum((pair.terms(self.ahead) for pair in pairs), start=decisions[stage])
        return replace(self, fitted=fitted, decisions=decisions)


def train(past: Dataset, params: Params, stages: Sequence[str] = STAGES) -> Trained:
    """Fit the models of every cut, and calibrate and distil them.

    Raises
    ------
    TrainingError
        When one of the two kinds of calls is missing where the models are fitted or calibrated.
    """
    params, choice = choose_settings(past, params)
    most = params.boosting.most_of_a_label
    found = [_fit(past, origin, params, stages, min(most, MOST_OF_A_LABEL)) for origin in past.origins[:-1]]
    earlier = [one for one in found if one is not None]
    last = _fit(past, past.origins[-1], params, stages, most)
    if last is None:
        raise _one_kind("fit", past.origins[-1].outcome[past.fit])
    pairs = {}
    if sum(int((past.events.outcome[one.later] == 0).sum()) for one in earlier) >= GENUINE_FOR_PAIRS:
        pairs = {stage: choose_pairs([one.judged(past, stage, params.seed) for one in earlier]) for stage in stages}
    *earlier, last = (one.paired(pairs, params.seed) for one in (*earlier, last))
    platts = tuple(_platts(past, earlier[: place + 1], stages) for place in range(len(earlier)))
    if not platts or platts[-1] is None:
        raise _one_kind("calibrate", past.events.outcome[past.calibrate])
    return Trained(past, params, tuple(_finished(one, platts[-1]) for one in (*earlier, last)), platts, choice)


def _fit(past: Dataset, origin: Origin, params: Params, stages: Sequence[str], most: int) -> _Boostings | None:
    """Fit the boostings of a cut and let them score what came next; None when only one kind of call came before it."""
    fit = subsample(origin.fit, origin.outcome, most, params.seed)
    label = origin.outcome[fit]
    if len(np.unique(label)) < 2:
        return None
    rows, weights = past.table.matrix(fit), _unequal(past.weights[fit])
    later = origin.block & (past.weights > 0.0)
    if later.sum() > MOST_CALIBRATED:
        spare = np.random.default_rng(params.seed).permutation(np.flatnonzero(later))[MOST_CALIBRATED:]
        later[spare] = False
    ahead = past.table.matrix(later)
    fitted, decisions = {}, {}
    for stage in stages:
        width = WIDTHS[stage]
        fitted[stage] = Paired(fit_stage(rows[:, :width], label, weights, stage, params))
        decisions[stage] = fitted[stage].decision_function(ahead[:, :width]) if len(ahead) else np.zeros(0)
    return _Boostings(origin, fitted, rows, label, weights, later, ahead, decisions)


def _platts(past: Dataset, cuts: Sequence[_Boostings], stages: Sequence[str]) -> dict[str, Platt] | None:
    """Fit the calibration of each stage on what the models of some cuts said of what came after each."""
    label = np.concatenate([past.events.outcome[one.later] for one in cuts])
    if len(np.unique(label)) < 2:
        return None
    weights = _unequal(np.concatenate([past.weights[one.later] for one in cuts]))
    return {
        stage: fit_platt(np.concatenate([one.decisions[stage] for one in cuts]), label, weights) for stage in stages
    }


def _finished(cut: _Boostings, platts: Mapping[str, Platt]) -> CutModels:
    estimators, scorecards = {}, {}
    for stage, boosting in cut.fitted.items():
        rows = cut.rows[:, : WIDTHS[stage]]
        estimators[stage] = calibrate(boosting, rows[0], platts[stage])
        scorecards[stage] = distil(estimators[stage], rows, stage)
    return CutModels(cut.origin, estimators, scorecards)


def _unequal(weights: Floats) -> Floats | None:
    """Return weights, None when all are alike."""
    return weights if (weights != 1.0).any() else None


def _one_kind(part: str, outcome: NDArray[np.int8]) -> TrainingError:
    counts = np.bincount(outcome, minlength=2)
    return TrainingError(
        f"split {part}: {counts[0]} calls closed as genuine and {counts[1]} as not genuine, expected both kinds"
    )


def choose_settings(past: Dataset, params: Params) -> tuple[Params, dict[str, Any] | None]:
    """Choose the settings of the boosting by rolling origin, at the stage that orders the queue.

    Each setting is fitted at every cut, on what was known then, and ranks the calls up to the next cut.

    Returns
    -------
    params : Params
        As given, when there are genuine calls enough, when `choose` is off, or when any other setting of the boosting
        was set by hand.
    choice : dict, optional
        As docs/metrics.md says; None when nothing was chosen.
    """
    by_hand = params.boosting != Boosting(most_of_a_label=params.boosting.most_of_a_label)
    if by_hand or (past.events.outcome[past.fit] == 0).sum() >= ENOUGH_GENUINE:
        return params, None
    found: dict[str, list[tuple[float, float, int]]] = {name: [] for name in SETTINGS}
    width = WIDTHS[QUEUE_STAGE]
    for origin in past.origins[:-1]:
        known, truth = origin.outcome[origin.fit], past.events.outcome[origin.block]
        if min(len(np.unique(known)), len(np.unique(truth))) < 2:
            continue
        rows, ahead = (past.table.matrix(mine)[:, :width] for mine in (origin.fit, origin.block))
        for name, changed in SETTINGS.items():
            boosting = fit_freely(rows, known, past.weights[origin.fit], QUEUE_STAGE, _with(params, changed))
            said = boosting.decision_function(ahead)
            found[name].append(
                (roc_auc_score(truth, said), average_precision_score(truth == 0, -said), int((truth == 0).sum()))
            )
    if not found["defaults"]:
        return params, None
    genuine = sum(count for *_, count in found["defaults"])
    settings = {
        name: {
            "auc": sum(auc * count for auc, _, count in cuts) / genuine,
            "average_precision_genuine": sum(precision * count for _, precision, count in cuts) / genuine,
        }
        for name, cuts in found.items()
    }
    best = max(one["auc"] for one in settings.values())
    chosen = next(name for name, one in settings.items() if one["auc"] >= best - MARGIN)
    choice = {"chosen": chosen, "cuts": len(found[chosen]), "genuine_calls": int(genuine), "settings": settings}
    return _with(params, SETTINGS[chosen]), choice


def _with(params: Params, changed: Mapping[str, Any]) -> Params:
    return params.model_copy(update={"boosting": params.boosting.model_copy(update=dict(changed))})
