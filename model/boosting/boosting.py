"""Fits the boosting of a stage, and calibrates it on later calls."""

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from threadpoolctl import threadpool_limits

from model.arrays import Floats
from model.boosting.step_functions import platt_parameters, step_functions
from model.boosting.turns import Column, columns_between_turns
from model.params import Params
from model.scorecard.features import FEATURES, WIDTHS

#: On fewer rows a second thread costs more in waiting than it does in work: on a busy machine sixty times more.
WORTH_A_THREAD = 200_000
#: A feature that is missing more often than this is left out.
MOSTLY_MISSING = 0.999
#: The slope of a stage whose score says nothing, or the opposite, about later calls: in effect its base rate.
NO_SLOPE = 1e-6
#: Fewer genuine calls than this cannot say that scores are too timid.
FEWEST_GENUINE = 10
#: Where features turn is looked for in at most so many calls, drawn at random.
FREE_ROWS = 50_000


def fit_stage(rows: Floats, label: NDArray[np.int8], weights: Floats | None, stage: str, params: Params) -> Pipeline:
    """Fit the boosting of a stage, not yet calibrated: no interactions, each feature in its allowed direction.

    It is fitted twice: freely, on at most `FREE_ROWS` calls, to see where features turn, and then with the turns that
    are borne out (`model.boosting.turns`).

    Parameters
    ----------
    rows : float64 (n, WIDTHS[stage])
    label : int8 (n,)
        1: closed as not genuine; both kinds are there.
    weights : float64 (n,), optional
        1 by default.
    """
    rows = mask_missing_features(rows)
    free = [Column(place, feature.direction) for place, feature in enumerate(FEATURES[: WIDTHS[stage]])]
    some = np.arange(len(rows))
    if len(rows) > FREE_ROWS:
        some = np.sort(np.random.default_rng(params.seed).choice(some, FREE_ROWS, replace=False))
    _, functions = step_functions(
        _fit(free, rows[some], label[some], None if weights is None else weights[some], params)
    )
    genuine = rows[label == 0]
    columns: list[Column] = []
    for column, (edges, values, _) in zip(free, functions, strict=True):
        ordered = column.direction == 0 and not FEATURES[column.feature].words
        columns += (
            columns_between_turns(column.feature, edges, values, genuine[:, column.feature]) if ordered else [column]
        )
    return _fit(columns, rows, label, weights, params)


def fit_freely(rows: Floats, label: NDArray[np.int8], weights: Floats | None, stage: str, params: Params) -> Pipeline:
    """Fit the boosting of a stage as `fit_stage` does, but without weighing its turns: to compare settings by."""
    free = [Column(place, feature.direction) for place, feature in enumerate(FEATURES[: WIDTHS[stage]])]
    return _fit(free, mask_missing_features(rows), label, weights, params)


def _fit(
    columns: list[Column], rows: Floats, label: NDArray[np.int8], weights: Floats | None, params: Params
) -> Pipeline:
    """Fit a boosting on columns of features; trees may use several columns of one feature."""
    feature = np.array([column.feature for column in columns])
    boosting = HistGradientBoostingClassifier(
        interaction_cst=[set(np.flatnonzero(feature == place).tolist()) for place in range(rows.shape[1])],
        monotonic_cst=[column.direction for column in columns],
        early_stopping=False,
        random_state=params.seed,
        **params.boosting.settings,
    )
    lows, highs = (np.array([getattr(column, end) for column in columns]) for end in ("low", "high"))
    pipeline = make_pipeline(
        FunctionTransformer(np.take, kw_args={"indices": feature, "axis": 1}),
        FunctionTransformer(np.clip, kw_args={"a_min": lows, "a_max": highs}),
        boosting,
    )
    with _threads_for(rows):
        return pipeline.fit(rows, label, histgradientboostingclassifier__sample_weight=weights)


def mask_missing_features(rows: Floats) -> Floats:
    """Make the features constant that hardly any call has: they are then never split on.

    scikit-learn cannot find the bins of a feature that is missing in all the rows it looks at, 200,000 at most.
    """
    return np.where(np.isnan(rows).mean(axis=0) > MOSTLY_MISSING, 0.0, rows)


class Platt(NamedTuple):
    """Platt's calibration: log-odds = slope * decision value + offset."""

    slope: float
    offset: float


def fit_platt(decisions: Floats, label: NDArray[np.int8], weights: Floats | None) -> Platt:
    """Fit Platt's two parameters on decision values of calls later than those fitted on.

    A slope that is not above 0 becomes `NO_SLOPE`; on fewer than `FEWEST_GENUINE` genuine calls none above 1 is
    believed. The level is then the share of these calls.

    Parameters
    ----------
    decisions : float64 (m,)
        Of one boosting, or of several that were made in the same way.
    label : int8 (m,)
        Of both kinds.
    weights : float64 (m,), optional
    """
    rows = decisions[:, None]
    fitted = Platt(*platt_parameters(_sigmoid(_Decided().fit(rows, label), rows, label, weights)))
    most = 1.0 if (label == 0).sum() < FEWEST_GENUINE else np.inf
    slope = min(max(fitted.slope, NO_SLOPE), most)
    if slope == fitted.slope:
        return fitted
    share = np.average(label, weights=weights)
    return Platt(slope, brentq(lambda level: np.average(expit(slope * decisions + level), weights=weights) - share,
                               -100.0, 100.0))  # fmt: skip


def calibrate(boosting: BaseEstimator, row: Floats, platt: Platt) -> CalibratedClassifierCV:
    """Calibrate a boosting, with its pairs; `row`, float64 (WIDTHS[stage],), is any call's."""
    calibrated = _sigmoid(boosting, np.array([row, row]), np.array([0, 1], dtype=np.int8), None)
    (sigmoid,) = calibrated.calibrated_classifiers_[0].calibrators
    sigmoid.a_, sigmoid.b_ = -platt.slope, -platt.offset
    return calibrated


class _Decided(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier whose decision value is its only feature."""

    def fit(self, rows: Floats, label: NDArray[np.int8]) -> "_Decided":
        self.classes_ = np.unique(label)
        return self

    def decision_function(self, rows: Floats) -> Floats:
        return rows[:, 0]

    def predict(self, rows: Floats) -> NDArray[np.bool_]:
        return rows[:, 0] > 0.0


def _sigmoid(
    estimator: BaseEstimator, rows: Floats, label: NDArray[np.int8], weights: Floats | None
) -> CalibratedClassifierCV:
    every = np.arange(len(label))
    calibrated = CalibratedClassifierCV(FrozenEstimator(estimator), method="sigmoid", cv=[(every, every)])
    with warnings.catch_warnings(), _threads_for(rows):
        # What is frozen is not fitted again: that weights count for the calibration alone is what is meant.
        warnings.filterwarnings("ignore", "Since FrozenEstimator", UserWarning)
        return calibrated.fit(rows, label, sample_weight=weights)


def _threads_for(rows: Floats) -> threadpool_limits:
    return threadpool_limits(1 if len(rows) < WORTH_A_THREAD else None, user_api="openmp")
