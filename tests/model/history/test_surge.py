import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.history.surge import HOUR_MINUTES, MINUTE_US, Surge, first_minute, surge_ratios

HOUR, DAY, WEEK = 3_600, 86_400, 7 * 86_400
T0 = 1_740_960_000 * 1_000_000 + 1_234_567

arrivals = st.lists(
    st.tuples(st.integers(0, 2 * HOUR) | st.integers(0, 10 * WEEK) | st.just(9 * WEEK), st.booleans()), max_size=40
).map(sorted)


def columns(calls):
    received_us = np.array([T0 + second * 1_000_000 for second, _ in calls], dtype=np.int64)
    return received_us, np.array([new for _, new in calls], dtype=np.bool_)


def online(received_us, new):
    surge = Surge()
    ratios = np.empty((len(received_us), 2))
    for row, (at, first_call) in enumerate(zip(received_us.tolist(), new.tolist(), strict=True)):
        ratios[row] = surge.read(at)
        surge.add(at, first_call)
    return ratios


def from_the_calls(received_us, counted, row):
    """One ratio written down from the calls: the last ten whole minutes against the same hour of eight weeks."""
    minutes = received_us // MINUTE_US - first_minute(int(received_us[0]))
    minute, hour = minutes[row], minutes[row] // HOUR_MINUTES
    hours = minutes[counted] // HOUR_MINUTES
    if hour == 0:
        return 1.0
    since = max(0, hour - 8 * 168)
    overall = ((hours >= since) & (hours < hour)).sum() / (hour - since)
    same = [(hours == hour - week * 168).sum() for week in range(1, 9) if hour - week * 168 >= 0]
    usual = (sum(same) + 2 * overall) / (len(same) + 2)
    recent = ((minutes[counted] >= minute - 10) & (minutes[counted] < minute)).sum()
    return max(1.0, (recent + 1.0) / (usual / 6 + 1.0))


@given(arrivals)
def test_calls_served_in_order_give_the_same_bits_as_the_whole_log(calls):
    received_us, new = columns(calls)
    np.testing.assert_array_equal(surge_ratios(received_us, new), online(received_us, new))


@given(arrivals)
def test_a_ratio_compares_ten_minutes_with_the_same_hour_of_eight_weeks(calls):
    received_us, new = columns(calls)
    ratios = surge_ratios(received_us, new)
    for row in range(len(calls)):
        for column, counted in enumerate((np.ones(len(new), dtype=bool), new)):
            assert ratios[row, column] == pytest.approx(from_the_calls(received_us, counted, row), rel=1e-12)


def test_the_ratios_of_ten_busy_weeks_are_those_written_down_from_the_calls():
    rng = np.random.default_rng(7)
    bursts = [week * WEEK + 5 * HOUR + second for week in range(10) for second in rng.integers(0, 900, 30 + 20 * week)]
    seconds = sorted([*bursts, *rng.integers(0, 10 * WEEK, 500).tolist()])
    received_us, new = columns([(int(second), bool(rng.random() < 0.5)) for second in seconds])
    ratios = surge_ratios(received_us, new)
    for row in range(0, len(seconds), 3):
        for column, counted in enumerate((np.ones(len(new), dtype=bool), new)):
            assert ratios[row, column] == pytest.approx(from_the_calls(received_us, counted, row), rel=1e-12)
    assert (ratios > 1.5).mean() > 0.3


@given(arrivals)
def test_a_ratio_is_at_least_one_and_one_in_the_first_hour(calls):
    received_us, new = columns(calls)
    ratios = surge_ratios(received_us, new)
    assert (ratios >= 1.0).all()
    early = received_us < (first_minute(T0) + HOUR_MINUTES) * MINUTE_US
    if calls and calls[0][0] == 0:
        assert (ratios[early] == 1.0).all()
    assert (ratios[:1] == 1.0).all()


@given(arrivals, st.randoms(use_true_random=False))
def test_the_order_of_calls_within_a_minute_does_not_matter(calls, chance):
    received_us, new = columns(calls)
    minutes = received_us // MINUTE_US
    order = sorted(range(len(calls)), key=lambda row: (minutes[row], chance.random()))
    surge = Surge(first_minute(int(received_us[0])) if calls else None)
    told = Surge(surge.start)
    for row, other in enumerate(order):
        assert surge.read(int(received_us[row])) == told.read(int(received_us[row]))
        surge.add(int(received_us[row]), bool(new[row]))
        told.add(int(received_us[other]), bool(new[other]))
        if row + 1 < len(calls) and minutes[row + 1] > minutes[row]:
            assert surge.read(int(received_us[row + 1])) == told.read(int(received_us[row + 1]))


def a_month():
    """A call an hour, one in six of a number never seen before."""
    return [(hour * HOUR + 600, hour % 6 == 0) for hour in range(4 * 168)]


def test_a_storm_of_new_callers_raises_both_ratios_and_passes():
    storm = [(4 * WEEK + 600 + 5 * n, True) for n in range(60)]
    calls = [*a_month(), *storm, (4 * WEEK + 900 + 60, False), (4 * WEEK + 2 * HOUR, False)]
    received_us, new = columns(calls)
    during, after = surge_ratios(received_us, new)[-2:]
    assert during[1] > 20.0
    assert during[0] > 20.0
    assert after.tolist() == [1.0, 1.0]


def test_known_callers_ringing_again_and_again_are_no_surge_of_new_ones():
    again = [(4 * WEEK + 600 + 5 * n, False) for n in range(60)]
    received_us, new = columns([*a_month(), *again, (4 * WEEK + 900 + 60, False)])
    calls, new_numbers = surge_ratios(received_us, new)[-1]
    assert calls > 20.0
    assert new_numbers == 1.0


def test_a_busy_hour_that_is_busy_every_week_is_no_surge():
    rush = [(week * WEEK + 18 * HOUR + 10 * n, True) for week in range(9) for n in range(360)]
    received_us, new = columns(sorted([(0, True), *rush]))
    ratios = surge_ratios(received_us, new)
    weekly = (received_us - T0) // 1_000_000 // WEEK
    assert ratios[weekly == 0].max() > 10.0
    assert ratios[weekly == 8].max() < 1.5


def test_counting_goes_on_after_a_week():
    surge = Surge()
    surge.add(T0, first_call=True)
    for _ in range(100):
        surge.add(T0 + 5 * WEEK * 1_000_000, first_call=True)
    calls, new_numbers = surge.read(T0 + (5 * WEEK + 60) * 1_000_000)
    assert calls == new_numbers > 50.0


def test_a_late_call_counts_in_what_is_usual():
    late, now = T0, T0 + WEEK * 1_000_000
    told_late, told_in_time = Surge(first_minute(T0)), Surge(first_minute(T0))
    told_late.add(now, first_call=False)
    before = told_late.read(now + MINUTE_US)
    for surge in (told_late, told_in_time):
        surge.add(late, first_call=False, calls=500)
    told_in_time.add(now, first_call=False)
    assert told_late.read(now + MINUTE_US) == told_in_time.read(now + MINUTE_US) != before


def test_calls_before_counting_began_are_left_out():
    surge = Surge(first_minute(T0))
    surge.add(T0 - 2 * HOUR * 1_000_000, first_call=True)
    assert surge.read(T0 - HOUR * 1_000_000) == (1.0, 1.0)
    assert surge.read(T0 + 5 * HOUR * 1_000_000) == (1.0, 1.0)
    assert Surge().read(T0) == (1.0, 1.0)


def test_no_calls_have_no_ratios():
    assert surge_ratios(*columns([])).shape == (0, 2)


def test_a_call_of_1990_before_one_of_today_takes_a_few_mebibytes_and_changes_no_ratio():
    rng = np.random.default_rng(3)
    seconds = np.sort(rng.integers(0, 30 * WEEK, 3_000)).tolist()  # more than is held: old hours are let go
    received_us, new = columns([(second, bool(rng.random() < 0.3)) for second in seconds])
    received_us, new = np.insert(received_us, 0, 631_152_000_000_000), np.insert(new, 0, True)
    tracemalloc.start()
    told = online(received_us, new)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * 2**20
    np.testing.assert_array_equal(told, surge_ratios(received_us, new))
