from math import comb, log1p

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from model.certification.bounds import (
    best_alpha,
    callers_needed,
    exact_interval,
    mean_lower,
    mean_upper,
    order_statistic_rank,
)

shares = st.floats(0.001, 0.5)
units = st.lists(st.floats(0.0, 1.0), max_size=60)


def rank_by_the_formula(n, alpha, delta):
    for k in range(1, n + 1):
        tail = sum(comb(n, j) * (1 - alpha) ** j * alpha ** (n - j) for j in range(k, n + 1))
        if tail <= delta:
            return k
    return None


@given(
    n=st.integers(0, 150),
    alpha=st.sampled_from([0.01, 0.023, 0.05, 0.11, 0.5]),
    delta=st.sampled_from([0.01, 0.05, 0.2]),
)
def test_rank_is_the_smallest_of_the_formula(n, alpha, delta):
    assert order_statistic_rank(n, alpha, delta) == rank_by_the_formula(n, alpha, delta)


@given(n=st.integers(0, 500), a=shares, b=shares, delta=shares)
def test_a_looser_promise_never_asks_for_a_higher_rank(n, a, b, delta):
    tight, loose = (order_statistic_rank(n, alpha, delta) or n + 1 for alpha in sorted((a, b)))
    assert loose <= tight
    sure, unsure = (order_statistic_rank(n, delta, chance) or n + 1 for chance in sorted((a, b)))
    assert unsure <= sure


@given(n=st.integers(1, 500), alpha=shares, delta=shares)
def test_one_more_caller_moves_the_rank_by_at_most_one(n, alpha, delta):
    before, after = order_statistic_rank(n, alpha, delta), order_statistic_rank(n + 1, alpha, delta)
    if before is not None:
        assert after in (before, before + 1)


@pytest.mark.parametrize(("alpha", "n"), [(0.05, 59), (0.02, 149), (0.01, 299), (0.005, 598), (0.001, 2995)])
def test_callers_needed_are_those_of_the_literature(alpha, n):
    assert callers_needed(alpha, 0.05) == n


@given(alpha=shares, delta=shares)
def test_callers_needed_is_exactly_where_a_rank_appears(alpha, delta):
    n = callers_needed(alpha, delta)
    assert order_statistic_rank(n, alpha, delta) is not None
    assert order_statistic_rank(n - 1, alpha, delta) is None


@given(n=st.integers(1, 3000), delta=shares)
def test_best_alpha_is_the_edge_of_what_can_be_proven(n, delta):
    alpha = best_alpha(n, delta)
    assert order_statistic_rank(n, min(alpha * 1.0001, 0.9999999), delta) == n
    assert order_statistic_rank(n, alpha * 0.9999, delta) is None


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_outside_zero_and_one_is_refused(alpha):
    for call in (lambda: order_statistic_rank(10, alpha, 0.05), lambda: callers_needed(0.05, alpha)):
        with pytest.raises(ValueError, match="strictly between 0 and 1"):
            call()


@given(n=st.integers(1, 300), data=st.data())
def test_exact_interval_is_that_of_clopper_and_pearson(n, data):
    successes = data.draw(st.integers(0, n))
    low, high = stats.binomtest(successes, n).proportion_ci(0.95, method="exact")
    assert exact_interval(successes, n) == pytest.approx((low, high), abs=1e-9)


def test_nothing_seen_is_nothing_known():
    assert exact_interval(0, 0) == (0.0, 1.0)
    assert mean_lower([], 0.05) == 0.0
    assert mean_upper([], 0.05) == 1.0


@given(values=units, delta=shares)
def test_bounds_lie_in_the_unit_interval_on_their_side_of_the_mean(values, delta):
    low, high = mean_lower(values, delta), mean_upper(values, delta)
    assert 0.0 <= low <= 1.0
    assert 0.0 <= high <= 1.0
    if values:
        assert low <= np.mean(values) + 1e-9
        assert high >= np.mean(values) - 1e-9


@given(data=st.data(), delta=shares)
def test_the_order_of_the_callers_does_not_matter(data, delta):
    values = data.draw(units)
    weights = data.draw(st.lists(st.floats(0.0, 1.0), min_size=len(values), max_size=len(values)))
    order = data.draw(st.permutations(range(len(values))))
    shuffled = [values[i] for i in order], [weights[i] for i in order]
    expected = mean_lower(values, delta, weights)
    assert mean_lower(shuffled[0], delta, shuffled[1]) == pytest.approx(expected, abs=1e-6)


@given(values=units, a=shares, b=shares)
def test_more_certainty_costs_width(values, a, b):
    sure, unsure = sorted((a, b))
    assert mean_upper(values, sure) >= mean_upper(values, unsure) - 1e-9


@given(values=units.filter(bool), delta=shares, extra=st.floats(0.0, 1.0))
def test_a_greater_value_never_lowers_a_bound(values, delta, extra):
    raised = [max(values[0], extra), *values[1:]]
    assert mean_lower(raised, delta) >= mean_lower(values, delta) - 1e-9
    assert mean_upper(raised, delta) >= mean_upper(values, delta) - 1e-9


@given(values=units, delta=shares)
def test_equal_full_weights_are_no_weights_and_a_weight_of_nothing_is_no_caller(values, delta):
    assert mean_lower(values, delta, np.ones(len(values))) == mean_lower(values, delta)
    if values:
        assert mean_lower(values, delta, np.zeros(len(values))) == 0.0


@pytest.mark.parametrize("n", [1, 5, 20, 60])
@pytest.mark.parametrize("delta", [0.0125, 0.05, 0.3])
def test_for_calls_deferred_wholly_or_not_at_all_the_upper_bound_holds_exactly(n, delta):
    # Of 0s and 1s every sample can be counted, so the chance of a wrong bound is exact.
    uppers = np.array([mean_upper(np.repeat([1.0, 0.0], [k, n - k]), delta) for k in range(n + 1)])
    for mean in np.linspace(0.005, 0.995, 100):
        assert stats.binom.pmf(np.flatnonzero(uppers < mean), n, mean).sum() <= delta


@pytest.mark.parametrize("delta", [0.0125, 0.05, 0.3])
def test_the_weighted_lower_bound_holds_exactly_for_callers_of_two_kinds(delta):
    # Light callers (weight 0.1) are deferred wholly, heavy ones (weight 1) not at all.
    n = 40
    weights, values = np.array([0.1, 1.0]), np.array([1.0, 0.0])
    lowers = np.array(
        [mean_lower(np.repeat(values, [n - k, k]), delta, np.repeat(weights, [n - k, k])) for k in range(n + 1)]
    )
    for heavy in np.linspace(0.01, 0.99, 99):
        truth = 0.1 * (1 - heavy) / (0.1 * (1 - heavy) + heavy)
        assert stats.binom.pmf(np.flatnonzero(lowers > truth), n, heavy).sum() <= delta


def test_the_bound_is_where_the_averaged_wealth_reaches_one_over_delta():
    values, delta = np.linspace(0.1, 0.7, 80), 0.05
    low = mean_lower(values, delta)
    spreads = (0.5, 0.28, 0.16, 0.09, 0.05, 0.028)
    stakes = [min(np.sqrt(2 * np.log(6 / delta) / 80) / s, 0.99 / low) for s in spreads]
    wealth = np.mean([np.exp(sum(log1p(stake * (x - low)) for x in values)) for stake in stakes])
    assert wealth == pytest.approx(1 / delta, rel=1e-6)


@pytest.mark.parametrize("values", [[0.2, 1.01], [-0.1], [float("nan")]])
def test_a_value_outside_the_unit_interval_is_refused_by_name(values):
    with pytest.raises(ValueError, match="values must lie in"):
        mean_upper(values, 0.05)
    with pytest.raises(ValueError, match="weights must lie in"):
        mean_lower([0.5] * len(values), 0.05, values)


def test_weights_of_another_length_are_refused():
    with pytest.raises(ValueError, match="one entry for each value"):
        mean_lower([0.5, 0.5], 0.05, [1.0])
