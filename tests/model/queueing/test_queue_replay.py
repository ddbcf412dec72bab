"""A queue replayed: the kernel against a slow reference, and whom a call may pass."""

import itertools
import math

import numpy as np
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
from model.queueing.queue_replay import (
    Rule,
    WaitSummary,
    gap_closed,
    keys_after,
    keys_by_score,
    replay,
    summarise_waits,
)

S = 1_000_000
# Times on a coarse grid meet often, on a fine one never: both belong to a proof.
GAP_US = st.sampled_from([0, 0, S // 2, S, 30 * S]) | st.integers(0, 90 * S)
CALL = st.tuples(
    GAP_US,
    st.sampled_from([0, S, 60 * S]) | st.integers(0, 200 * S),  # handling
    st.sampled_from([0.0, 0.25, 1.0, 1.0]) | st.floats(0.0, 1.0),  # factor
    st.sampled_from([60.0, 60.0, 7.0, math.nan]),  # what the queue believes a call takes
    st.sampled_from([math.inf, math.inf, 0.0, 20.0]) | st.integers(0, 200 * S).map(lambda us: us / S),
)
SHIFTS = st.lists(st.tuples(st.integers(1, 300 * S), st.integers(0, 3)), max_size=4).map(
    lambda plan: (
        np.cumsum([0, *(gap for gap, _ in plan), 100 * S]),
        np.array([1, *(count for _, count in plan), 1]),
    )
)
OPERATORS = st.integers(1, 3) | SHIFTS
SETTINGS = st.sampled_from(
    [DeferralSettings(), DeferralSettings(1.0, 0.0, 50.0), DeferralSettings(2.0, 120.0, math.inf)]
)


def columns(calls):
    gap, handling, factor, believed, patience = (np.array(column) for column in zip(*calls, strict=True))
    return np.cumsum(gap), handling / S, factor, believed, patience


def reference(received, handling_us, patience_us, plan, key_of):
    """The same queue, written to be obviously right: look at everything, again, at each moment."""
    times, counts = plan
    n = len(received)
    waiting, ends, shift, arrived = [], [], 0, 0
    answered, left, lost, keys = [], [None] * n, [False] * n, [None] * n
    on_duty = counts[0]
    while arrived < n or waiting:
        moments = list(ends) + list(times[shift + 1 :]) + [received[i] + patience_us[i] for i in waiting]
        if arrived < n:
            moments.append(received[arrived])
        now = min(moments)
        if shift + 1 < len(times) and times[shift + 1] == now:
            shift += 1
            on_duty = counts[shift]
        while True:
            ends = [end for end in ends if end > now]
            if not waiting or len(ends) >= on_duty:
                break
            call = min(waiting, key=lambda i: (keys[i], i))
            waiting.remove(call)
            answered.append(call)
            left[call] = now
            ends.append(now + handling_us[call])
        for call in [i for i in waiting if received[i] + patience_us[i] == now]:
            waiting.remove(call)
            lost[call], left[call] = True, now
        if arrived < n and received[arrived] == now:
            call, arrived = arrived, arrived + 1
            keys[call] = key_of(call, len(waiting), on_duty, len(ends))
            if len(ends) < on_duty:
                answered.append(call)
                left[call] = now
                ends.append(now + handling_us[call])
            else:
                waiting.append(call)
    return left, lost, answered


def plan_of(operators):
    return ([0], [operators]) if isinstance(operators, int) else operators


def the_rule_in_python(received, factor, believed, how):
    memory = {"held": NOTHING_HELD, "at": 0}

    def key_of(call, waiting, on_duty, busy):
        expected = expected_wait_s(float(waiting), float(believed[call]), float(on_duty), float(busy))
        elapsed_s = (int(received[call]) - memory["at"]) * 1e-6
        held = decaying_maximum(expected, memory["held"], elapsed_s, how.kappa, how.base_s, how.max_defer_s)
        memory.update(held=held, at=int(received[call]))
        asked = defer_s(float(factor[call]), held, busy < on_duty, how.kappa, how.base_s, how.max_defer_s)
        return queue_key_us(int(received[call]), asked)

    return key_of


@given(st.lists(CALL, min_size=1, max_size=14), OPERATORS, SETTINGS)
def test_the_kernel_equals_the_slow_reference(calls, operators, how):
    received, handling_s, factor, believed, patience_s = columns(calls)
    result = replay(received, handling_s, Rule(factor, believed, how), operators, patience_s)
    patience_us = [math.inf if math.isinf(p) else round(p * S) for p in patience_s]
    left, lost, answered = reference(
        received.tolist(),
        np.rint(handling_s * S).astype(int).tolist(),
        patience_us,
        [np.asarray(column).tolist() for column in plan_of(operators)],
        the_rule_in_python(received, factor, believed, how),
    )
    assert result.left_at_us.tolist() == left
    assert result.lost.tolist() == lost
    assert result.order.tolist() == answered


def passed_by(result, received):
    """Pairs (earlier, later): the later call was answered while the earlier one still waited."""
    answered = ~result.lost
    place = np.full(len(received), len(received))
    place[result.order] = np.arange(len(result.order))
    for later in np.flatnonzero(answered):
        for earlier in range(later):
            if answered[earlier]:
                overtaken = place[later] < place[earlier]
            else:
                overtaken = result.left_at_us[later] < result.left_at_us[earlier]
            if overtaken:
                yield earlier, later


@given(st.lists(CALL, min_size=2, max_size=25), OPERATORS, SETTINGS)
def test_only_calls_within_the_next_defer_s_pass_under_the_rule(calls, operators, how):
    received, handling_s, factor, believed, patience_s = columns(calls)
    result = replay(received, handling_s, Rule(factor, believed, how), operators, patience_s)
    assert (result.defer_s <= how.max_defer_s).all()
    for earlier, later in passed_by(result, received):
        assert received[later] - received[earlier] < result.defer_s[earlier] * 1e6


@given(st.lists(st.tuples(CALL, st.floats(0.0, 300.0)), min_size=2, max_size=25), OPERATORS)
def test_only_calls_within_the_next_defer_s_pass_under_fixed_deferral(calls, operators):
    received, handling_s, _, _, patience_s = columns([call for call, _ in calls])
    asked = np.array([seconds for _, seconds in calls])
    result = replay(received, handling_s, keys_after(received, asked), operators, patience_s)
    for earlier, later in passed_by(result, received):
        assert received[later] - received[earlier] < asked[earlier] * 1e6


@given(st.lists(CALL, min_size=2, max_size=25), OPERATORS, SETTINGS)
@example([(0, 200 * S, 0.0, 60.0, math.inf), *[(S, 60 * S, 1.0, 60.0, math.inf)] * 9], 1, DeferralSettings())
def test_no_call_is_passed_by_a_later_one_that_looks_no_more_genuine(calls, operators, how):
    received, handling_s, factor, believed, patience_s = columns(calls)
    result = replay(received, handling_s, Rule(factor, believed, how), operators, patience_s)
    for earlier, later in passed_by(result, received):
        assert factor[later] < factor[earlier]


@given(st.lists(CALL, min_size=1, max_size=25), OPERATORS)
def test_without_deferral_the_queue_is_first_come_first_served_bit_for_bit(calls, operators):
    received, handling_s, factor, _, patience_s = columns(calls)
    fcfs = replay(received, handling_s, received, operators, patience_s)
    for rule in (Rule(0.0, 60.0), Rule(factor, math.nan), Rule(factor, 60.0, DeferralSettings(max_defer_s=0.0))):
        same = replay(received, handling_s, rule, operators, patience_s)
        assert same.order.tolist() == fcfs.order.tolist()
        assert same.left_at_us.tobytes() == fcfs.left_at_us.tobytes()
        assert same.wait_s.tobytes() == fcfs.wait_s.tobytes()
        assert not same.defer_s.any()


@given(st.lists(CALL, min_size=1, max_size=25))
def test_while_an_operator_is_always_free_nobody_is_deferred(calls):
    received, handling_s, factor, believed, patience_s = columns(calls)
    result = replay(received, handling_s, Rule(factor, believed), len(calls), patience_s)
    assert not result.defer_s.any()
    assert not result.wait_s.any()
    assert result.order.tolist() == list(range(len(calls)))


@given(st.lists(CALL, min_size=1, max_size=25), OPERATORS, st.booleans())
def test_every_call_is_answered_or_lost_once_and_nobody_waits_beside_an_idle_operator(calls, operators, ruled):
    received, handling_s, factor, believed, patience_s = columns(calls)
    keys = Rule(factor, believed) if ruled else keys_by_score(factor)
    result = replay(received, handling_s, keys, operators, patience_s)
    assert sorted(result.order.tolist()) == np.flatnonzero(~result.lost).tolist()
    assert (result.wait_s >= 0.0).all()
    assert (result.wait_s <= patience_s).all()
    np.testing.assert_allclose(result.wait_s[result.lost], patience_s[result.lost], atol=1e-6)
    times, counts = (np.asarray(column) for column in plan_of(operators))
    ends = result.left_at_us + np.rint(handling_s * S).astype(np.int64)
    answered = ~result.lost
    moments = np.unique(np.concatenate((received, result.left_at_us, ends[answered], times)))
    for now, following in itertools.pairwise(moments):
        on_duty = counts[max(0, np.searchsorted(times, now, side="right") - 1)]
        waiting = ((received <= now) & (result.left_at_us >= following)).sum()
        busy = (answered & (result.left_at_us <= now) & (ends >= following)).sum()
        assert waiting == 0 or busy >= on_duty
        started = (answered & (result.left_at_us == now) & (ends >= following)).any()
        assert busy <= on_duty or not started


@given(st.lists(st.tuples(CALL, st.booleans()), min_size=1, max_size=25), OPERATORS, st.integers(1, 100 * S))
def test_the_oracle_never_makes_genuine_callers_wait_longer_when_calls_take_equally_long(calls, operators, handling):
    received = columns([call for call, _ in calls])[0]
    genuine = np.array([is_genuine for _, is_genuine in calls])
    fcfs = replay(received, np.full(len(calls), handling / S), received, operators)
    oracle = replay(received, np.full(len(calls), handling / S), 1 - genuine, operators)
    assert oracle.wait_s[genuine].sum() <= fcfs.wait_s[genuine].sum() + 1e-9
    assert oracle.wait_s.sum() == pytest.approx(fcfs.wait_s.sum(), abs=1e-9)


@given(st.lists(CALL, min_size=2, max_size=25), st.integers(1, 4), SETTINGS)
def test_extra_waiting_is_bounded_by_the_work_that_arrives_within_defer_s(calls, operators, how):
    received, handling_s, factor, believed, _ = columns(calls)
    fcfs = replay(received, handling_s, received, operators)
    result = replay(received, handling_s, Rule(factor, believed, how), operators)
    longest_s = handling_s.max()
    for call in range(len(calls)):
        after_s = (received - received[call]) / 1e6
        within = (np.arange(len(calls)) > call) & (after_s < result.defer_s[call])
        most_s = (handling_s[within].sum() + 2 * (operators - 1) * longest_s) / operators
        assert result.wait_s[call] - fcfs.wait_s[call] <= most_s + 1e-6


def test_an_operator_who_leaves_ends_the_call_in_progress():
    shifts = ([0, 10 * S, 100 * S], [2, 1, 2])
    result = replay([0, 0, 5 * S, 6 * S], [50.0, 60.0, 5.0, 5.0], [0, 1, 2, 3], shifts)
    # both calls go on after 10 s; the one who stays is whoever is left below the new number
    assert result.left_at_us.tolist() == [0, 0, 60 * S, 65 * S]


def test_a_log_in_any_order_gives_the_same_waits():
    rng = np.random.default_rng(5)
    received = rng.integers(0, 3600 * S, 300)
    handling_s, factor, patience_s = rng.exponential(60.0, 300), rng.random(300), rng.exponential(300.0, 300)
    straight = replay(received, handling_s, Rule(factor, 60.0), 3, patience_s)
    mixed = rng.permutation(300)
    shuffled = replay(received[mixed], handling_s[mixed], Rule(factor[mixed], 60.0), 3, patience_s[mixed])
    assert shuffled.wait_s.tobytes() == straight.wait_s[mixed].tobytes()
    assert mixed[shuffled.order].tolist() == straight.order.tolist()


def test_a_queue_without_calls_has_no_waits():
    result = replay([], [], [], operators=2)
    assert result.order.tolist() == result.wait_s.tolist() == []
    empty = summarise_waits(result)
    assert empty.calls == 0
    assert math.isnan(empty.mean_s)
    assert math.isnan(gap_closed(empty, empty, empty))


def test_the_gap_is_closed_in_full_by_the_oracle_and_not_at_all_by_first_come():
    fcfs, rule, oracle = (WaitSummary(1, mean_s, 0.0, 0.0, 0.0, 0.0) for mean_s in (50.0, 20.0, 10.0))
    assert gap_closed(fcfs, fcfs, oracle) == 0.0
    assert gap_closed(fcfs, rule, oracle) == 0.75
    assert gap_closed(fcfs, oracle, oracle) == 1.0
    assert math.isnan(gap_closed(fcfs, rule, fcfs))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"handling_s": [60.0]}, "handling_s has 1 values for 2 calls"),
        ({"handling_s": [60.0, math.nan]}, "handling_s has a value"),
        ({"patience_s": [1.0, -1.0]}, "patience_s has a value"),
        ({"keys": [1]}, "1 keys for 2 calls"),
        ({"keys": Rule([0.5], 60.0)}, "factor has 1 values"),
        ({"operators": 0}, "operators on duty"),
        ({"operators": ([0, 5], [1, 0])}, "operators on duty"),
        ({"operators": ([5, 5], [1, 1])}, "rising"),
    ],
)
def test_a_replay_that_makes_no_sense_is_refused_by_name(wrong, named):
    sound = {"received_at_us": [0, 1], "handling_s": [60.0, 60.0], "keys": [0, 1], "operators": 1}
    with pytest.raises(ValueError, match=named):
        replay(**(sound | wrong))
