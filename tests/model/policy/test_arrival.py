"""Whatever the senders' clocks say, nobody is passed by a call that came much later than the deferral allows."""

from hypothesis import given
from hypothesis import strategies as st

from model.policy.arrival import CLOCK_TOLERANCE_S, arrival_us
from model.policy.deferral import queue_key_us

SECOND = 1_000_000
TOLERANCE_US = round(CLOCK_TOLERANCE_S * SECOND)
#: How far a sender's clock is ahead: right, near the tolerance, nine minutes, and the year 2000.
OFFSETS = (
    st.just(0)
    | st.integers(-2 * TOLERANCE_US, 2 * TOLERANCE_US)
    | st.sampled_from((540 * SECOND, -540 * SECOND, -26 * 365 * 86_400 * SECOND))
)
CALLS = st.lists(st.tuples(st.integers(0, 200 * SECOND), OFFSETS, st.floats(0.0, 300.0)), min_size=2, max_size=12)


@given(CALLS)
def test_a_call_is_passed_only_by_calls_heard_of_within_its_deferral_and_what_the_later_sender_is_slow(calls):
    heard, placed = 1_800_000_000 * SECOND, []
    for gap_us, offset_us, defer_s in calls:
        heard += gap_us
        arrived = arrival_us(heard + offset_us, heard)
        slow_us = heard - arrived
        assert slow_us in (0, -offset_us)
        assert 0 <= slow_us <= TOLERANCE_US
        key = queue_key_us(arrived, defer_s)
        for earlier_key, earlier_arrived, earlier_heard, earlier_defer_s in placed:
            if (key, arrived) < (earlier_key, earlier_arrived):
                assert heard - earlier_heard <= earlier_defer_s * SECOND + slow_us + 1
        placed.append((key, arrived, heard, defer_s))


@given(st.integers(0, 10**16), st.integers(0, TOLERANCE_US), st.floats(0.0, 300.0))
def test_a_sender_who_is_right_or_a_little_slow_keeps_its_received_at_to_the_microsecond(received, slow_us, defer_s):
    arrived = arrival_us(received, received + slow_us)
    assert queue_key_us(arrived, defer_s) == queue_key_us(received, defer_s)


@given(st.integers(-(10**15), 10**15), st.integers(0, 10**16), st.floats(0.0, 3_600.0))
def test_to_read_an_arrival_again_changes_nothing(received, heard, tolerance_s):
    arrived = arrival_us(received, heard, tolerance_s)
    assert arrival_us(arrived, heard, tolerance_s) == arrived
