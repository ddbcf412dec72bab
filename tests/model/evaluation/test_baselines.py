import numpy as np
import pytest

from model.errors import TrainingError
from model.evaluation.baselines import YARDSTICKS, Baselines
from model.params import Boosting, Params
from model.scorecard.features import FEATURES, NAMES, STAGES, WIDTHS

QUICK = Params(boosting=Boosting(max_iter=20))


def rows_and_labels(n=600, seed=2):
    """Calls whose label depends on earlier pranks, and at the end of a call on its length too."""
    rng = np.random.default_rng(seed)
    rows = rng.exponential(1.0, (n, len(NAMES)))
    for place, feature in enumerate(FEATURES):
        if feature.words:
            rows[:, place] = rng.integers(0, len(feature.words), n)
    rows[rng.random(n) < 0.3, NAMES.index("since_last_h")] = np.nan
    rows[rng.random(n) < 0.3, NAMES.index("ended_by")] = np.nan
    said = rows[:, NAMES.index("not_genuine_ever")] - 1.0 - 2.0 * (rows[:, NAMES.index("duration_s")] - 1.0)
    return rows, (said + rng.normal(0.0, 0.5, n) > 0.0).astype(np.int8)


@pytest.fixture(scope="module")
def yardsticks():
    return Baselines(*rows_and_labels(), QUICK)


@pytest.mark.parametrize("stage", STAGES)
def test_a_yardstick_does_not_see_what_its_stage_does_not_know(yardsticks, stage):
    rows, _ = rows_and_labels(seed=3)
    later = rows.copy()
    later[:, WIDTHS[stage] :] = np.nan
    scores, blind = yardsticks.scores(stage, rows), yardsticks.scores(stage, later)
    assert tuple(scores) == YARDSTICKS
    for name in YARDSTICKS:
        np.testing.assert_array_equal(scores[name], blind[name])


def test_a_higher_score_is_less_genuine_and_the_end_of_a_call_helps(yardsticks):
    rows, label = rows_and_labels(seed=4)
    for name in ("unconstrained_boosting", "logistic_regression"):
        means = {}
        for stage in ("ring", "ended"):
            score = yardsticks.scores(stage, rows)[name]
            means[stage] = (score[label == 1].mean() - score[label == 0].mean()) / score.std()
        assert 0.3 < means["ring"] < means["ended"]


def test_the_earlier_pranks_rule_counts_and_no_model_knows_nothing(yardsticks):
    rows, _ = rows_and_labels(seed=5)
    scores = yardsticks.scores("opening", rows)
    np.testing.assert_array_equal(scores["earlier_pranks"], rows[:, NAMES.index("not_genuine_ever")])
    assert set(scores["no_model"]) == {0.0}


def test_what_was_never_known_when_fitting_is_no_obstacle(yardsticks):
    rows, label = rows_and_labels()
    rows[:, NAMES.index("opening_silence_ratio")] = np.nan
    fitted = Baselines(rows, label, QUICK)
    assert np.isfinite(fitted.scores("ended", rows_and_labels(seed=6)[0])["logistic_regression"]).all()
    assert yardsticks.scores("ring", rows[:0])["unconstrained_boosting"].shape == (0,)


def test_calls_of_one_label_are_refused():
    rows, label = rows_and_labels()
    with pytest.raises(TrainingError, match="same label"):
        Baselines(rows, np.ones_like(label), QUICK)
