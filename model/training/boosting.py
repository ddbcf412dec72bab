"""Fits the boosting of each stage, calibrates it on later calls, and distils it into a scorecard."""

import warnings
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from threadpoolctl import threadpool_limits

from model.arrays import Floats
from model.errors import TrainingError
from model.params import Params
from model.scorecard.features import FEATURES, STAGES, WIDTHS
from model.scorecard.scorecard import Scorecard
from model.training.dataset import WORTH_A_THREAD, Dataset, mask_missing_features, subsample
from model.training.distillation import distil, platt_parameters

#: The slope of a stage whose score says nothing, or the opposite, about later calls: in effect its base rate.
NO_SLOPE = 1e-6


def train(past: Dataset, params: Params) -> tuple[Mapping[str, CalibratedClassifierCV], Mapping[str, Scorecard]]:
    """Fit, calibrate and distil the model of each stage.

    Returns
    -------
    estimators : mapping of str to CalibratedClassifierCV
        Their probability of class 1 is the scorecard's, to within rounding.
    scorecards : mapping of str to Scorecard

    Raises
    ------
    TrainingError
        When one of the two kinds of calls is missing where the model is fitted or calibrated.
    """
    fit = subsample(past, params)
    for name, part in (("fit", fit), ("calibrate", past.calibrate)):
        counts = np.bincount(past.events.outcome[part], minlength=2)
        if not counts.all():
            raise TrainingError(
                f"split {name}: {counts[0]} calls closed as genuine and {counts[1]} as not genuine, expected both kinds"
            )
    rows, later = past.table.matrix(fit), past.table.matrix(past.calibrate)
    label, later_label = past.events.outcome[fit], past.events.outcome[past.calibrate]
    estimators, scorecards = {}, {}
    weights = past.weights if (past.weights != 1.0).any() else None
    fit_weights, later_weights = (None if weights is None else weights[part] for part in (fit, past.calibrate))
    for stage in STAGES:
        width = WIDTHS[stage]
        boosting = fit_stage(rows[:, :width], label, fit_weights, stage, params)
        estimators[stage] = calibrate(boosting, later[:, :width], later_label, later_weights)
        scorecards[stage] = distil(estimators[stage], rows[:, :width], stage)
    return estimators, scorecards


def fit_stage(
    rows: Floats, label: NDArray[np.int8], weights: Floats | None, stage: str, params: Params
) -> HistGradientBoostingClassifier:
    """Fit the boosting of a stage, not yet calibrated: no interactions, each feature in its allowed direction.

    Parameters
    ----------
    rows : float64 (n, WIDTHS[stage])
    label : int8 (n,)
        1: closed as not genuine; both kinds are there.
    weights : float64 (n,), optional
        1 by default.
    """
    boosting = HistGradientBoostingClassifier(
        interaction_cst="no_interactions",
        monotonic_cst=[feature.direction for feature in FEATURES[: WIDTHS[stage]]],
        early_stopping=False,
        random_state=params.seed,
        **params.boosting.model_dump(exclude={"most_of_a_label"}),
    )
    with _threads_for(rows):
        return boosting.fit(mask_missing_features(rows), label, weights)


def calibrate(
    boosting: HistGradientBoostingClassifier, rows: Floats, label: NDArray[np.int8], weights: Floats | None
) -> CalibratedClassifierCV:
    """Fit Platt's two parameters on the decision function of calls later than those fitted on.

    A slope that is not above 0 becomes `NO_SLOPE`, with the base rate of these calls as the level.

    Parameters
    ----------
    rows, label, weights
        As `fit_stage` takes them.
    """
    every = np.arange(len(label))
    calibrated = CalibratedClassifierCV(FrozenEstimator(boosting), method="sigmoid", cv=[(every, every)])
    with warnings.catch_warnings(), _threads_for(rows):
        # What is frozen is not fitted again: that weights count for the calibration alone is what is meant.
        warnings.filterwarnings("ignore", "Since FrozenEstimator", UserWarning)
        calibrated.fit(rows, label, sample_weight=weights)
    slope, _ = platt_parameters(calibrated)
    if slope < NO_SLOPE:
        (sigmoid,) = calibrated.calibrated_classifiers_[0].calibrators
        genuine = (label == 0).mean()
        sigmoid.a_, sigmoid.b_ = -NO_SLOPE, float(np.log(genuine / (1.0 - genuine)))
    return calibrated


def _threads_for(rows: Floats) -> threadpool_limits:
    return threadpool_limits(1 if len(rows) < WORTH_A_THREAD else None, user_api="openmp")
