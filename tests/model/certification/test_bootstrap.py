import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.certification.bootstrap import bootstrap_sums, bootstrap_weights, caller_index, percentile_interval


@given(st.lists(st.integers(-1, 5), max_size=30))
def test_calls_of_one_number_are_one_caller_and_each_without_a_number_is_its_own(callers):
    unit, count = caller_index(np.array(callers, dtype=np.int64))
    assert count == len({c for c in callers if c >= 0}) + callers.count(-1)
    for i, mine in enumerate(callers):
        for j, theirs in enumerate(callers):
            assert (unit[i] == unit[j]) == (i == j or mine == theirs >= 0)


def test_as_many_callers_are_drawn_as_there_are_and_the_same_seed_draws_the_same():
    first, again = list(bootstrap_weights(40, 3, seed=7)), list(bootstrap_weights(40, 3, seed=7))
    np.testing.assert_array_equal(first, again)
    assert [weights.sum() for weights in first] == [40.0] * 3
    assert (first[0] != first[1]).any()
    assert list(bootstrap_weights(0, 3, seed=7)) == []


def test_totals_are_sums_over_the_drawn_callers_calls():
    unit, count = caller_index(np.array([3, 3, -1, 8]))
    columns = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0], [8.0, 80.0]])
    expected = [weights[unit] @ columns for weights in bootstrap_weights(count, 5, seed=1)]
    np.testing.assert_allclose(bootstrap_sums(columns, unit, count, 5, seed=1), expected)


def test_what_could_not_be_measured_in_a_draw_is_left_out():
    interval = percentile_interval(1.0, [np.nan, 1.0, 3.0, np.inf])
    assert (interval.low, interval.high) == (pytest.approx(1.05), pytest.approx(2.95))
    assert np.isnan(percentile_interval(1.0, [np.nan]).low)


def test_the_interval_covers_the_truth_where_one_caller_rings_often():
    """Calls of one caller are alike; the interval by caller covers, one that takes each call for a caller does not."""
    rng = np.random.default_rng(11)
    by_caller, by_call = 0, 0
    for repetition in range(200):
        callers = np.repeat(np.arange(60), rng.integers(1, 12, 60))
        waits = rng.exponential(1.0, 60)[callers]
        for own, count_it in ((callers, "caller"), (np.full(len(callers), -1), "call")):
            unit, count = caller_index(own)
            drawn = bootstrap_sums(np.column_stack([waits, np.ones(len(waits))]), unit, count, 100, seed=repetition)
            interval = percentile_interval(waits.mean(), drawn[:, 0] / drawn[:, 1])
            covers = interval.low <= 1.0 <= interval.high
            by_caller += covers and count_it == "caller"
            by_call += covers and count_it == "call"
    assert 175 <= by_caller <= 197
    assert by_call < 150
