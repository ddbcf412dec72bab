import numpy as np
import pytest

from model.policy.deferral import DeferralSettings
from model.queueing.scenarios import (
    CONDITIONS,
    DAY_US,
    Condition,
    QueuedCalls,
    block_days,
    measure_over_seeds,
    measure_waits,
    replay_discipline,
    resample_weeks,
)

SETTINGS = DeferralSettings()
DISCIPLINES = ("first_come", "by_score", "fixed", "rule", "oracle")


def made_up(days=35, per_day=200, seed=4):
    """Calls one in four of which is genuine, with scores and factors that know it fairly well."""
    rng = np.random.default_rng(seed)
    n = days * per_day
    genuine = rng.random(n) < 0.25
    score = rng.normal(np.where(genuine, -1.0, 1.0), 1.0)
    factor = np.clip(score, 0.0, 1.0)
    received = np.sort(rng.integers(0, days * DAY_US, n))
    return QueuedCalls(received, rng.exponential(60.0, n), genuine, score, {"rule": factor})


def test_a_load_is_work_for_each_operator_and_second_and_handling_keeps_its_seconds():
    calls = made_up()
    busy = calls.scaled_to_load(1.2, operators=3)
    span_s = np.ptp(busy.received_us) / 1e6
    assert busy.handling_s.sum() / (3 * span_s) == pytest.approx(1.2)
    np.testing.assert_array_equal(busy.handling_s, calls.handling_s)


def test_weeks_are_drawn_whole_and_days_where_there_are_few_weeks():
    calls = made_up()
    assert block_days(calls.received_us) == 7
    assert block_days(made_up(days=20).received_us) == 1
    drawn = resample_weeks(calls, 3, most_calls=100_000)
    assert (np.diff(drawn.received_us) >= 0).all()
    # Each drawn week is one of the log's, moved as a whole.
    weeks = {round(float(calls.handling_s[calls.received_us // (7 * DAY_US) == week].sum()), 6) for week in range(5)}
    since = drawn.received_us - calls.received_us[0]
    for week in range(4):
        mine = drawn.handling_s[since // (7 * DAY_US) == week]
        assert min(abs(float(mine.sum()) - total) / total for total in weeks) < 0.02
    assert len(resample_weeks(calls, 3, most_calls=2_000).received_us) < 3_500


def test_another_seed_draws_other_weeks_and_the_same_seed_the_same():
    calls = made_up()
    first, again, other = (resample_weeks(calls, seed, 100_000).handling_s for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert len(first) != len(other) or (first != other).any()


def test_first_come_closes_nothing_the_oracle_everything_and_the_rule_something_in_between():
    table = measure_over_seeds(made_up(), DISCIPLINES, CONDITIONS, SETTINGS, operators=3, seeds=3, most_calls=10_000)
    for condition in CONDITIONS:
        rows = table[condition.name]
        assert rows["first_come"]["gap_closed"] == 0.0
        assert rows["oracle"]["gap_closed"] == 1.0
        assert 0.0 < rows["rule"]["gap_closed"] < 1.0
        assert rows["first_come"]["longest_ratio"] == 1.0
        assert (rows["rule"]["lost_share"] > 0.0) == condition.hang_ups
        assert rows["rule"]["mean_wait_s_low"] <= rows["rule"]["mean_wait_s"] <= rows["rule"]["mean_wait_s_high"]


def test_nobody_is_held_back_longer_than_the_cap_where_callers_hang_up():
    (numbers,) = (
        numbers
        for _, discipline, numbers in measure_waits(
            made_up(), ("rule",), (Condition(2.0, hang_ups=True),), DeferralSettings(2.0, 120.0, 90.0), 3, seed=0
        )
        if discipline == "rule"
    )
    assert numbers["longest_held_back_s"] == 90.0


def test_fixed_deferral_is_full_at_the_largest_factor_and_less_above_zero():
    calls = QueuedCalls(
        np.array([0, 1, 2, 3]) * 1_000_000,
        np.full(4, 1_000.0),
        np.array([False, False, False, True]),
        np.zeros(4),
        {"rule": np.array([0.0, 0.6, 0.3, 0.0])},
    )
    order = replay_discipline(calls, "fixed", CONDITIONS[0], SETTINGS, operators=1, seed=0).order
    assert order.tolist() == [0, 3, 2, 1]


def test_the_same_seed_gives_the_same_callers_the_same_patience_under_every_discipline():
    busy = made_up(days=10).scaled_to_load(2.0, 3)
    condition = Condition(2.0, hang_ups=True)
    first = replay_discipline(busy, "first_come", condition, SETTINGS, 3, seed=5)
    np.testing.assert_array_equal(
        first.wait_s, replay_discipline(busy, "first_come", condition, SETTINGS, 3, seed=5).wait_s
    )
    late = replay_discipline(busy, "by_score", condition, SETTINGS, 3, seed=5)
    both = first.lost & late.lost
    assert both.any()
    np.testing.assert_allclose(first.wait_s[both], late.wait_s[both])
