import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score

from model.evaluation.calibration import measure_calibration, quantile_groups, reliability
from model.evaluation.ranking import auc_and_precision, evaluate_ranking, rank_calls

CALLS = st.lists(st.tuples(st.booleans(), st.integers(0, 6), st.integers(0, 3)), min_size=2, max_size=60)


def made_up(n=4000, seed=5):
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(0.5, 1.5, n)
    genuine = rng.random(n) > 1.0 / (1.0 + np.exp(-log_odds))
    return genuine, log_odds, 1.0 / (1.0 + np.exp(-log_odds))


@settings(deadline=None)
@given(CALLS)
def test_auc_and_average_precision_are_those_of_scikit_learn(calls):
    genuine, score, weights = (np.array(column) for column in zip(*calls, strict=True))
    auc, precision = auc_and_precision(rank_calls(genuine, score.astype(float)), weights.astype(float))
    kinds = {bool(kind) for kind, weight in zip(genuine, weights, strict=True) if weight}
    if kinds == {True, False}:
        assert auc == pytest.approx(roc_auc_score(~genuine, score, sample_weight=weights))
        assert precision == pytest.approx(average_precision_score(genuine, -score, sample_weight=weights))
    else:
        assert np.isnan(auc)
        assert np.isnan(precision) == (True not in kinds)


def test_true_probabilities_are_found_to_be_true():
    genuine, log_odds, likelihood = made_up()
    found = measure_calibration(log_odds, likelihood, genuine, quantile_groups(likelihood))
    assert found.slope == pytest.approx(1.0, abs=0.1)
    assert found.intercept == pytest.approx(0.0, abs=0.1)
    assert found.error < 0.03
    assert found.brier == pytest.approx(float((likelihood * (1 - likelihood)).mean()), abs=0.01)


def test_slope_and_intercept_are_those_of_an_unpenalised_logistic_regression():
    genuine, log_odds, likelihood = made_up()
    found = measure_calibration(3.0 * log_odds - 1.0, likelihood, genuine, quantile_groups(likelihood))
    fitted = LogisticRegression(C=np.inf, tol=1e-10).fit((3.0 * log_odds - 1.0)[:, None], ~genuine)
    assert found.slope == pytest.approx(fitted.coef_[0, 0], abs=1e-4)
    assert found.intercept == pytest.approx(fitted.intercept_[0], abs=1e-4)


@pytest.mark.parametrize("genuine", [[True, True], [True, False], []])
def test_where_nothing_can_be_fitted_slope_and_intercept_are_not_given(genuine):
    log_odds = np.arange(len(genuine), dtype=float)
    found = measure_calibration(log_odds, log_odds / 2.0, np.array(genuine, dtype=bool), quantile_groups(log_odds))
    assert np.isnan(found.slope)
    assert np.isnan(found.intercept)


def test_reliability_counts_every_call_once_and_its_intervals_hold_what_was_seen():
    genuine, _, likelihood = made_up()
    rows = reliability(likelihood, genuine, quantile_groups(likelihood))
    assert sum(row["calls"] for row in rows) == len(genuine)
    assert len(rows) == 10
    assert all(row["observed_low"] <= row["observed"] <= row["observed_high"] for row in rows)


def test_equal_likelihoods_stay_in_one_group():
    assert quantile_groups(np.full(30, 0.7)).tolist() == [1] * 30


def test_a_yardstick_that_is_the_scorecard_costs_nothing_and_a_worse_one_more():
    genuine, log_odds, likelihood = made_up(800)
    noise = np.random.default_rng(1).normal(0.0, 3.0, 800)
    yardsticks = {"itself": log_odds, "worse": log_odds + noise, "no_model": np.zeros(800)}
    scorecard, beside = evaluate_ranking(genuine, log_odds, likelihood, yardsticks, np.arange(800) // 2, 50)
    assert beside["itself"]["auc_above_scorecard"] == 0.0 == beside["itself"]["auc_above_scorecard_high"]
    assert beside["worse"]["auc_above_scorecard_high"] < 0.0
    assert beside["no_model"]["auc"] == 0.5
    assert beside["no_model"]["average_precision_genuine"] == pytest.approx(scorecard["base_rate_genuine"])
    assert scorecard["auc_low"] < scorecard["auc"] < scorecard["auc_high"]


def test_no_calls_give_no_numbers():
    nothing = np.zeros(0)
    scorecard, beside = evaluate_ranking(
        nothing.astype(bool), nothing, nothing, {"no_model": nothing}, nothing.astype(int), 10
    )
    assert scorecard.pop("reliability") == []
    assert all(np.isnan(value) for value in [*scorecard.values(), *beside["no_model"].values()])
