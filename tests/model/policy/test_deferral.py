import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from model.policy.deferral import (
    NOTHING_HELD,
    DeferralSettings,
    decaying_maximum,
    defer_s,
    expected_wait_s,
    queue_key_us,
)

ANY = st.floats(allow_nan=True, allow_infinity=True)
MOMENT = st.integers(-(10**15), 3 * 10**15)
RULE = (2.0, 120.0, 300.0)
FACTOR = st.floats(0.0, 1.0) | st.sampled_from([0.0, 0.25, 0.5, 1.0])


@given(ANY, ANY, ANY, ANY)
def test_expected_wait_is_a_finite_wait_whatever_is_sent(waiting, handling_s, operators, busy):
    expected = expected_wait_s(waiting, handling_s, operators, busy)
    assert math.isfinite(expected)
    assert expected >= 0.0


@pytest.mark.parametrize("missing", range(4))
@pytest.mark.parametrize("value", [math.nan, -1.0, math.inf])
def test_an_unknown_expected_wait_is_zero(missing, value):
    state = [3.0, 60.0, 2.0, 2.0]
    state[missing] = value
    expected = expected_wait_s(*state)
    # more calls in progress than any number of operators still means that all are busy
    assert expected == (120.0 if (missing, value) == (3, math.inf) else 0.0)


def test_nobody_on_duty_is_an_unknown_wait():
    assert expected_wait_s(3.0, 60.0, 0.0, 1.0) == 0.0


@given(ANY, ANY, ANY, ANY, ANY, ANY, ANY, ANY, ANY, st.booleans())
def test_no_input_defers_below_zero_or_beyond_the_cap(
    expected, before, elapsed, factor, held, kappa, base_s, cap_s, other, free
):
    for held_s in (held, decaying_maximum(expected, before, elapsed, other, base_s, cap_s)):
        asked = defer_s(factor, held_s, free, kappa, base_s, cap_s)
        assert 0.0 <= asked <= max(0.0, cap_s if cap_s == cap_s else 0.0)


@pytest.mark.parametrize("position", [0, 1, 3, 4, 5])
@pytest.mark.parametrize("value", [math.nan, -math.inf, -1000.0])
def test_a_value_without_sense_defers_nobody(position, value):
    values = [1.0, 60.0, False, 2.0, 120.0, 300.0]
    assert defer_s(*values) == 240.0
    values[position] = value
    assert defer_s(*values) == 0.0


def test_an_infinite_wait_or_a_factor_above_one_defers_nobody():
    assert defer_s(1.0, math.inf, False, 2.0, 120.0, 300.0) == 0.0
    assert defer_s(1.0 + 1e-9, 60.0, False, 2.0, 120.0, 300.0) == 0.0


@given(st.floats(-100.0, 1e4), FACTOR, FACTOR)
def test_a_larger_factor_never_defers_less(held, one, other):
    low, high = sorted((one, other))
    settings_of = (held, False, *RULE)
    assert defer_s(low, *settings_of) <= defer_s(high, *settings_of)


@given(MOMENT, ANY)
def test_a_key_lies_between_arrival_and_arrival_plus_deferral(received_at_us, asked):
    key = queue_key_us(received_at_us, asked)
    assert key >= received_at_us
    if key > received_at_us:
        # a key that decides between whole microseconds lets no call in front that came later than `asked`
        assert key - 1 - received_at_us < asked * 1e6
        assert key % 1000 == 0


@given(MOMENT, st.floats(0.0, 300.0))
def test_a_key_never_goes_beyond_a_cap_of_whole_milliseconds(received_at_us, asked):
    assert queue_key_us(received_at_us, asked) <= received_at_us + 300_000_000


@given(MOMENT)
def test_a_call_that_is_not_deferred_keeps_its_exact_place(received_at_us):
    for nothing in (0.0, -0.0, math.nan, -1.0, math.inf, 1e300):
        assert queue_key_us(received_at_us, nothing) == received_at_us


@given(MOMENT, st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9))
def test_rounding_never_changes_the_order_of_two_keys(first, gap_us, asked_us, less_us):
    later_asked_us = max(0, asked_us - gap_us) + less_us  # its exact key is at or after the first one's
    assert queue_key_us(first, asked_us / 1e6) <= queue_key_us(first + gap_us, later_asked_us / 1e6)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**8) | st.integers(0, 10**9),
            st.floats(0.0, 500.0) | st.floats(0.0, 1e5),
            FACTOR | st.floats(0.0, 0.2),
        ),
        min_size=2,
        max_size=12,
    )
)
@example([(0, 60.0, 1.0), (1_000_000, 0.0, 1.0)])
@example([(0, 60_000.0, 0.1), (1_000_000, 0.0, 0.1)])
@example([(0, 1_000.0, 0.5), (1_000_000, 0.0, 0.5), (400_000_000, 0.0, 0.5)])
def test_a_later_call_with_no_smaller_factor_never_gets_a_smaller_key(calls):
    held, now, keyed = NOTHING_HELD, 0, []
    for gap_us, expected, factor in calls:
        held = decaying_maximum(expected, held, gap_us * 1e-6, *RULE)
        now += gap_us
        key = queue_key_us(now, defer_s(factor, held, False, *RULE))
        assert all(key >= earlier for earlier, other in keyed if factor >= other)
        keyed.append((key, factor))


def test_an_unknown_wait_fades_the_deferral_because_dropping_it_would_let_a_later_call_pass():
    # the smallest example: all busy, one call waits, then nobody is on duty (or the number is unknown)
    first = queue_key_us(0, defer_s(1.0, 0.5, False, 2.0, 120.0, 300.0))
    faded = decaying_maximum(0.0, 0.5, 2.0, *RULE)
    assert faded == -0.5
    assert queue_key_us(2_000_000, defer_s(1.0, faded, False, 2.0, 120.0, 300.0)) == first
    dropped = queue_key_us(2_000_000, 0.0)
    assert dropped < first


def test_a_queue_that_never_knew_its_wait_defers_nobody():
    held = NOTHING_HELD
    for _ in range(5):
        held = decaying_maximum(0.0, held, 1.0, *RULE)
        assert defer_s(1.0, held, False, *RULE) == 0.0


@pytest.mark.parametrize("before", [math.nan, math.inf, -math.inf])
def test_a_broken_memory_is_forgotten(before):
    assert decaying_maximum(7.0, before, 1.0, *RULE) == 7.0
    assert decaying_maximum(math.nan, before, 1.0, *RULE) == NOTHING_HELD


def test_a_call_that_comes_out_of_order_does_not_age_the_held_wait():
    assert decaying_maximum(0.0, 40.0, -10.0, *RULE) == 40.0


@pytest.mark.parametrize("wrong", [{"kappa": 0.0}, {"kappa": math.inf}, {"base_s": -1.0}, {"max_defer_s": math.nan}])
def test_settings_out_of_range_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DeferralSettings(**wrong)


@given(st.floats(0.0, 1e6), st.lists(st.floats(0.0, 300.0), max_size=20), st.sampled_from([RULE, (1.0, 0.0, 60.0)]))
def test_one_number_however_absurd_is_gone_in_the_time_that_is_stated(expected, gaps, rule):
    longest_s = rule[2]
    held, since_s = decaying_maximum(expected, NOTHING_HELD, 0.0, *rule), 0.0
    for gap_s in gaps:
        held, since_s = decaying_maximum(0.0, held, gap_s, *rule), since_s + gap_s
        asked = defer_s(1.0, held, False, *rule)
        assert asked < longest_s or since_s <= longest_s * math.log(10.0) + 1e-6
        assert asked == 0.0 or since_s < longest_s * (1.0 + math.log(10.0)) + 1e-6
    assert decaying_maximum(0.0, held, 17 * 60.0, *rule) <= -rule[1] / rule[0]


@given(st.floats(1.0, 1e4), st.lists(st.floats(0.001, 500.0), min_size=1, max_size=12))
def test_a_held_wait_fades_alike_however_many_calls_come_meanwhile(expected, gaps):
    held = start = decaying_maximum(expected, NOTHING_HELD, 0.0, *RULE)
    for gap_s in gaps:
        held = decaying_maximum(0.0, held, gap_s, *RULE)
    assert held == pytest.approx(decaying_maximum(0.0, start, sum(gaps), *RULE), abs=1e-6)
