import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.history.caller_history import (
    ENDED,
    FIELDS,
    HALF_LIVES_S,
    LABELLED,
    RECEIVED,
    SIZE,
    SPANS,
    Caller,
    Event,
    apply,
    apply_events,
    empty_state,
    merge,
    read,
)

HOUR, DAY = 3_600, 86_400
T0 = 1_740_960_000_000_000
LATER = T0 + 2_000 * DAY * 1_000_000

times = st.one_of(
    st.integers(0, 6),
    st.integers(0, 5 * DAY),
    st.sampled_from([0, 59, HOUR, DAY, 30 * DAY, 200 * DAY]),
)


def label(before, after):
    """What a label adds: the new one less the one before."""
    return {"genuine": (after == 0) - float(before == 0), "not_genuine": (after == 1) - float(before == 1)}


@st.composite
def tellings(draw):
    """All events of one caller: calls with ties in every time, some without an end, some labelled again and again."""
    events = []
    for number in range(draw(st.integers(1, 8))):
        received = T0 + draw(times) * 1_000_000
        name = f"c{number}"
        events.append(Event(received, RECEIVED, received, name))
        if draw(st.booleans()):
            ended = received + draw(times) * 1_000_000
            duration = draw(st.none() | st.sampled_from([0.0, 18.9, 19.0, 19.1, 600.0]))
            silence = draw(st.none() | st.sampled_from([0.0, 0.5, 0.9, 1.0]))
            events.append(
                Event(
                    ended,
                    ENDED,
                    received,
                    name,
                    answered=draw(st.booleans()),
                    duration_s=math.nan if duration is None else duration,
                    silence_ratio=math.nan if silence is None else silence,
                )
            )
        before, known = -1, received
        for after in draw(st.lists(st.sampled_from([0, 1, -1]), max_size=3)):
            known += draw(times) * 1_000_000
            events.append(Event(known, LABELLED, received, name, **label(before, after)))
            before = after
    return events


def from_the_events(events, as_of_us):
    """The history written down from the raw events: each call's share, weighed by its age, and added up."""
    known = [event for event in events if event.known_at_us < as_of_us]
    calls = {event.call_id: event.received_at_us for event in known}
    totals = dict.fromkeys(FIELDS, 0.0)
    totals["last_call_us"] = max(calls.values(), default=0.0)
    totals["first_call_us"] = min(calls.values(), default=0.0)
    for span, half_life in zip(SPANS, HALF_LIVES_S, strict=True):
        for name, received in calls.items():
            weight = 2.0 ** (-(as_of_us - received) / 1e6 / half_life)
            mine = [event for event in known if event.call_id == name]
            said = {
                "calls": sum(event.kind == RECEIVED for event in mine),
                "genuine": sum(event.genuine for event in mine),
                "not_genuine": sum(event.not_genuine for event in mine),
            }
            for end in (event for event in mine if event.kind == ENDED):
                heard, listened = not math.isnan(end.duration_s), not math.isnan(end.silence_ratio)
                said["unanswered"] = not end.answered
                said["heard"], said["listened"] = heard, listened
                said["duration_s"] = end.duration_s if heard else 0.0
                said["silence_ratio"] = end.silence_ratio if listened else 0.0
                said["short"] = heard and end.duration_s <= 19.0
                said["silent"] = listened and end.silence_ratio >= 0.9
            for quantity, amount in said.items():
                totals[f"{quantity}_{span}"] += weight * amount
    sums = {field: value if value > 1e-9 else 0.0 for field, value in totals.items()}
    return np.array([sums[field] for field in FIELDS])


def read_at(state, as_of_us):
    history = np.empty(SIZE)
    read(state, float(as_of_us), history)
    return history


@given(tellings(), times)
def test_a_reading_is_the_decayed_sum_of_what_was_known_strictly_before(events, later):
    as_of = T0 + later * 1_000_000
    caller = Caller(pending=events)
    np.testing.assert_allclose(caller.read(as_of), from_the_events(events, as_of), rtol=1e-9, atol=2e-9)


@given(tellings(), st.lists(times, max_size=5), times)
def test_reading_settling_and_reading_again_never_changes_what_is_read_later(events, readings, later):
    as_of = T0 + later * 1_000_000
    caller, untouched = Caller(pending=events), Caller(pending=events)
    for moment in sorted(readings):
        if T0 + moment * 1_000_000 <= as_of:
            caller.read(T0 + moment * 1_000_000)
            caller.settle(T0 + moment * 1_000_000)
    np.testing.assert_array_equal(caller.read(as_of), untouched.read(as_of))


@given(tellings(), times)
def test_reading_never_writes(events, later):
    as_of = T0 + later * 1_000_000
    caller = Caller(pending=events)
    caller.settle(as_of)
    state, pending = caller.state.tobytes(), list(caller.pending)
    first = caller.read(as_of)
    caller.read(LATER)
    assert caller.state.tobytes() == state
    assert caller.pending == pending
    np.testing.assert_array_equal(caller.read(as_of), first)


@given(tellings())
def test_a_later_reading_never_says_more(events):
    caller = Caller(pending=events)
    caller.settle(LATER)
    soon, late = caller.read(LATER), caller.read(LATER + DAY * 1_000_000)
    decaying = slice(2, 2 + 3 * ((SIZE - 2) // 4))
    assert (late[decaying] <= soon[decaying]).all()
    np.testing.assert_array_equal(late[decaying.stop :], soon[decaying.stop :])


@given(tellings(), st.randoms(use_true_random=False))
def test_events_told_in_any_order_give_the_same_state(events, chance):
    in_order, shuffled = empty_state(), empty_state()
    apply_events(in_order, events)
    events = list(events)
    chance.shuffle(events)
    for event in events:
        apply_events(shuffled, [event])
    np.testing.assert_allclose(read_at(shuffled, LATER), read_at(in_order, LATER), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(shuffled, in_order, rtol=1e-9, atol=1e-9)


@given(tellings(), st.lists(st.booleans(), min_size=64, max_size=64))
def test_two_partial_histories_merge_into_the_whole(events, mine):
    whole, one, other = empty_state(), empty_state(), empty_state()
    apply_events(whole, events)
    apply_events(one, [event for event, here in zip(events, mine, strict=False) if here])
    apply_events(other, [event for event, here in zip(events, mine, strict=False) if not here])
    parts = one.copy(), other.copy()
    np.testing.assert_allclose(merge(one, other), whole, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(merge(one, other), merge(other, one))
    np.testing.assert_array_equal(parts, (one, other))
    np.testing.assert_array_equal(merge(whole, empty_state()), whole)


@given(times, times, times, times)
def test_a_retracted_label_leaves_exactly_nothing(other_call, said, retracted, later):
    received = T0
    said_at = received + said * 1_000_000
    retracted_at = said_at + retracted * 1_000_000
    second = T0 + other_call * 1_000_000
    events = [
        Event(received, RECEIVED, received, "a"),
        Event(second, RECEIVED, second, "b"),
        Event(said_at, LABELLED, received, "a", genuine=1.0),
        Event(retracted_at, LABELLED, received, "a", genuine=-1.0, not_genuine=1.0),
    ]
    history = Caller(pending=events).read(max(second, retracted_at) + 1 + later * 1_000_000)
    for span in SPANS:
        assert history[FIELDS.index(f"genuine_{span}")] == 0.0
    assert history[FIELDS.index("not_genuine_ever")] == 1.0


def test_a_thousand_calls_labelled_and_retracted_leave_less_than_a_billionth_of_a_call():
    chance = random.Random(1)
    events = []
    for number in range(1_000):
        received = T0 + chance.randrange(90 * DAY) * 1_000_000
        said, retracted = (received + chance.randrange(20 * DAY) * 1_000_000 for _ in range(2))
        events += [
            Event(received, RECEIVED, received, str(number)),
            Event(said, LABELLED, received, str(number), genuine=1.0),
            Event(max(said, retracted), LABELLED, received, str(number), genuine=-1.0, not_genuine=1.0),
        ]
    history = Caller(pending=events).read(T0 + 120 * DAY * 1_000_000)
    assert [history[FIELDS.index(f"genuine_{span}")] for span in SPANS] == [0.0] * 4


def test_what_has_decayed_to_less_than_a_billionth_is_nothing():
    state = empty_state()
    apply(state, RECEIVED, float(T0), True, math.nan, math.nan, 0.0, 0.0)
    calls_1h = FIELDS.index("calls_1h")
    assert read_at(state, T0 + 29 * HOUR * 1_000_000)[calls_1h] == pytest.approx(2.0**-29)
    assert read_at(state, T0 + 30 * HOUR * 1_000_000)[calls_1h] == 0.0
    assert read_at(state, T0 + 30 * 365 * DAY * 1_000_000)[FIELDS.index("calls_ever")] == 1.0


def test_a_moment_before_the_last_call_is_read_as_the_last_call():
    state = empty_state()
    for second in (0, 100):
        apply(state, RECEIVED, float(T0 + second * 1_000_000), True, math.nan, math.nan, 0.0, 0.0)
    np.testing.assert_array_equal(read_at(state, T0), read_at(state, T0 + 100 * 1_000_000))


def test_an_event_at_the_very_moment_of_a_reading_is_not_yet_known():
    caller = Caller(pending=[Event(T0, RECEIVED, T0, "a"), Event(T0 + 5, ENDED, T0, "a", answered=False)])
    assert caller.read(T0).tolist() == [0.0] * SIZE
    assert caller.read(T0 + 5)[FIELDS.index("unanswered_ever")] == 0.0
    assert caller.read(T0 + 6)[FIELDS.index("unanswered_ever")] == 1.0
