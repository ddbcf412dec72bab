"""The models that a scorecard is measured against: fitted on the very calls that it was fitted on."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from model.arrays import Floats
from model.boosting.boosting import WORTH_A_THREAD, mask_missing_features
from model.errors import TrainingError
from model.params import Params
from model.scorecard.features import FEATURES, NAMES, STAGES, WIDTHS

YARDSTICKS = ("unconstrained_boosting", "logistic_regression", "earlier_pranks", "no_model")
#: At most so many calls are fitted on, drawn at random: more would cost more time than the scorecards' own fit.
MAX_CALLS = 100_000


class Baselines:
    """The baselines of each stage; a TrainingError when all calls have the same label.

    Parameters
    ----------
    rows : float64 (n, d)
        Features of the calls that the scorecards were fitted on, at the last stage.
    label : int8 (n,)
        1: closed as not genuine.
    params : Params
        The boosting's settings are those of the scorecard; only directions and the ban on interactions are gone.
    """

    def __init__(self, rows: Floats, label: NDArray[np.int8], params: Params) -> None:
        if len(rows) > MAX_CALLS:
            some = np.random.default_rng(params.seed).choice(len(rows), MAX_CALLS, replace=False)
            rows, label = rows[some], label[some]
        if len(np.unique(label)) < 2:
            raise TrainingError("baselines: all calls have the same label, expected both kinds")
        self._fitted: dict[str, Mapping[str, Any]] = {}
        rows = mask_missing_features(rows)
        with threadpool_limits(1 if len(rows) < WORTH_A_THREAD else None):
            for stage in STAGES:
                width = WIDTHS[stage]
                boosting = HistGradientBoostingClassifier(
                    early_stopping=False,
                    random_state=params.seed,
                    **params.boosting.settings,
                )
                models = {"unconstrained_boosting": boosting, "logistic_regression": _logistic(width)}
                self._fitted[stage] = {name: model.fit(rows[:, :width], label) for name, model in models.items()}

    def scores(self, stage: str, rows: Floats) -> dict[str, Floats]:
        """Return the scores of `YARDSTICKS` at a stage, float64 (n,) each, higher for less genuine.

        `rows` are features at the last stage, float64 (n, d).
        """
        width = WIDTHS[stage]
        with threadpool_limits(1 if len(rows) < WORTH_A_THREAD else None):
            found = {
                name: model.decision_function(rows[:, :width]) if len(rows) else np.zeros(0)
                for name, model in self._fitted[stage].items()
            }
        found["earlier_pranks"] = rows[:, NAMES.index("not_genuine_ever")]
        found["no_model"] = np.zeros(len(rows))
        return found


def _logistic(width: int) -> Pipeline:
    """Return a logistic regression: numbers imputed and scaled, codes one-hot."""
    codes = [place for place, feature in enumerate(FEATURES[:width]) if feature.words]
    numbers = [place for place in range(width) if place not in codes]
    scaled = make_pipeline(SimpleImputer(add_indicator=True, keep_empty_features=True), StandardScaler())
    columns = ColumnTransformer(
        [("numbers", scaled, numbers), ("codes", OneHotEncoder(handle_unknown="ignore"), codes)],
        sparse_threshold=0.0,
    )
    return make_pipeline(columns, LogisticRegression(max_iter=3_000))
