import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.policy.deferral_curve import KNOTS, FactorCurve, HeldOutScores


def fit_factor(score, genuine, handling_s, cap=1.0):
    return HeldOutScores(score, genuine, handling_s).curve(cap=cap)


CALLS = st.lists(
    st.tuples(
        st.floats(0.0, 1.0) | st.sampled_from([0.0, 0.5, 0.99, 1.0]),
        st.booleans(),
        st.integers(0, 600),
        st.sampled_from([0.0, 0.5, 1.0]),
    ),
    max_size=40,
)


def from_the_formula(score, genuine, handling_s, cap):
    """The head of model/policy/deferral_curve.py word for word, on every call."""
    below = np.array([handling_s[score < p].sum() / handling_s.sum() for p in score])
    work = np.array([handling_s[score >= p].sum() / handling_s.sum() for p in score])
    rarer = 1.0 - np.array([(score[genuine] >= p).mean() for p in score]) / work
    rarer = np.array([rarer[score <= p].max() for p in score])
    h = np.minimum(np.clip((below - 0.45) / 0.10, 0.0, 1.0), np.clip(rarer / 0.5, 0.0, 1.0))
    h = np.minimum(h, cap)
    s = min(1.0, 0.45 / (1.0 - np.average(h, weights=handling_s)))
    return s * h, s


def made_up_calls(n, seed=1):
    rng = np.random.default_rng(seed)
    genuine = rng.random(n) < 0.2
    score = 1.0 / (1.0 + np.exp(-rng.normal(np.where(genuine, -1.0, 2.0), 1.5)))
    return score, genuine, rng.exponential(np.where(genuine, 90.0, 30.0)), rng.choice([0.0, 0.5, 1.0], n)


def test_the_curve_is_the_formula_of_the_design():
    score, genuine, handling_s, cap = made_up_calls(300)
    curve = fit_factor(score, genuine, handling_s, cap)
    factor, s = from_the_formula(score, genuine, handling_s, cap)
    assert curve.scale == pytest.approx(s, abs=1e-12)
    np.testing.assert_allclose(curve.factors(score, cap), factor, atol=1e-12)


@pytest.mark.parametrize("digits", [16, 2])
def test_a_long_log_gives_a_short_table_close_to_the_formula(digits):
    score, genuine, handling_s, cap = made_up_calls(5_000)
    score = score.round(digits)
    score[1000:2000] = 0.8125  # a step of the scorecard that many calls share
    curve = fit_factor(score, genuine, handling_s, cap)
    assert len(curve.scores) <= KNOTS
    factor, _ = from_the_formula(score, genuine, handling_s, cap)
    np.testing.assert_allclose(curve.factors(score, cap), factor, atol=1 / 240)


@given(CALLS, st.lists(st.floats(0.0, 1.0), min_size=2), st.sampled_from([0.0, 0.3, 1.0]))
def test_a_factor_rises_with_the_score_and_stays_below_its_cap(calls, scores, cap):
    columns = list(zip(*calls, strict=True)) or [[], [], [], []]
    curve = fit_factor(*columns)
    factors = curve.factors(np.sort(scores), cap)
    assert (np.diff(factors) >= 0.0).all()
    assert (factors >= 0.0).all()
    assert (factors <= min(cap, curve.scale)).all()


@given(CALLS)
def test_the_most_deferred_call_gives_way_to_at_most_045_of_the_work(calls):
    columns = list(zip(*calls, strict=True)) or [[], [], [], []]
    curve = fit_factor(*columns)
    work_s = sum(columns[2])
    if work_s > 0.0:
        kept = np.average(curve.scale - curve.factors(columns[0], columns[3]), weights=columns[2])
        assert kept <= 0.45 + 1e-9
        assert kept == pytest.approx(0.45) or curve.scale in (0.0, 1.0)


@given(st.floats(0.0, 1.0), st.lists(st.booleans(), min_size=1, max_size=5), st.floats(0.0, 1.0))
def test_equal_scores_defer_nobody(score, genuine, asked):
    curve = fit_factor([score] * len(genuine), genuine, [30.0] * len(genuine))
    assert curve.factors(asked).tolist() == [0.0]


def test_where_genuine_calls_are_as_common_as_elsewhere_nobody_is_deferred():
    alternating = np.arange(2000) % 2 == 0
    score = np.repeat(np.linspace(0.0, 1.0, 1000), 2)  # each score once genuine and once not
    curve = fit_factor(score, alternating, np.ones(2000))
    assert curve.scale > 0.0
    assert curve.factors(score).max() == pytest.approx(0.0, abs=1e-9)


def test_the_factor_needs_no_calibrated_score():
    score, genuine, handling_s, cap = made_up_calls(2000)
    curve = fit_factor(score, genuine, handling_s, cap)
    bent = fit_factor(score**3, genuine, handling_s, cap)
    np.testing.assert_allclose(bent.factors(score**3, cap), curve.factors(score, cap), atol=0.02)


@pytest.mark.parametrize(
    ("score", "genuine", "handling_s"),
    [
        ([], [], []),
        ([0.2, 0.9], [False, False], [9.0, 9.0]),
        ([0.9], [True], [9.0]),
        ([0.1, 0.9], [True, False], [0.0, 0.0]),
    ],
)
def test_too_little_to_learn_from_defers_nobody(score, genuine, handling_s):
    curve = fit_factor(score, genuine, handling_s)
    assert curve.factors([0.0, 0.5, 1.0]).tolist() == [0.0, 0.0, 0.0]


def test_a_score_of_exactly_one_is_deferred_in_full_and_finite():
    curve = fit_factor([0.1, 0.2, 1.0, 1.0], [True, True, False, False], [30.0, 30.0, 1.0, 1.0])
    assert curve.factors(1.0)[0] == curve.scale > 0.0


def test_genuine_calls_that_score_highest_keep_everybody_from_being_deferred():
    curve = fit_factor([0.1, 1.0, 1.0], [False, True, True], [30.0, 30.0, 30.0])
    assert curve.factors([0.1, 1.0]).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("nonsense", [math.nan, -0.1, 1.1, math.inf])
def test_a_score_or_cap_without_sense_is_not_deferred(nonsense):
    curve = FactorCurve((0.0, 1.0), (0.0, 1.0), scale=1.0)
    assert curve.factors(nonsense).tolist() == [0.0]
    assert curve.factors(1.0, min(nonsense, -0.1)).tolist() == [0.0]


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        (([0.5, math.nan], [True, False], [1.0, 1.0]), "score of call 1"),
        (([0.5, 0.6], [True, False], [1.0, -1.0]), "handling_s of call 1"),
        (([0.5, 0.6], [True, False], [1.0, 1.0], [1.0, 2.0]), "cap of call 1"),
        (([0.5, 0.6], [True], [1.0, 1.0]), "shapes"),
    ],
)
def test_a_wrong_value_is_refused_by_name_and_place(columns, named):
    with pytest.raises(ValueError, match=named):
        fit_factor(*columns)


@pytest.mark.parametrize(
    "wrong",
    [
        ((0.0, 0.0), (0.0, 1.0), 1.0),
        ((0.0, 1.0), (1.0, 0.0), 1.0),
        ((0.0,), (), 1.0),
        ((), (), 1.5),
    ],
)
def test_a_curve_that_does_not_rise_or_leaves_its_range_is_refused(wrong):
    with pytest.raises(ValueError, match=r"rise|scores for|scale"):
        FactorCurve(*wrong)
