from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.calls.call_events import NEVER, events_of, sort_calls
from model.calls.columns import CORRECTION_COLUMNS, DEFAULT_LABELS
from model.calls.phone_numbers import Numbering, normalise_number
from model.history.caller_history import ENDED, FIELDS, HALF_LIVES_S, LABELLED, RECEIVED, SIZE, SPANS, Caller, Event
from model.history.log_histories import LogHistories

DAY = 86_400
times = st.one_of(st.integers(0, 6), st.integers(0, 5 * DAY), st.sampled_from([0, 59, 3_600, DAY, 30 * DAY, 200 * DAY]))
dispositions = st.sampled_from(["genuine", "duplicate", "prank", "silent", "test", "unanswered"])


@st.composite
def logs(draw):
    """Rows of a log and of its corrections, with ties, late labels, labels of one moment, and calls without an end."""
    rows, corrections = [], []
    for number in draw(st.permutations(range(draw(st.integers(0, 12))))):
        received = draw(times)
        row = {
            "call_id": f"c{number}",
            "received_at": received,
            "caller": draw(st.sampled_from(["a1", "b2", "0812-3456-7890", "+6281234567890", "unknown", None])),
        }
        if draw(st.booleans()):
            row["ended_at"] = received + draw(times)
        if draw(st.booleans()):
            row["answered_at"] = received + draw(times)
        row["duration_s"] = draw(st.none() | st.sampled_from([0.0, 19.0, 19.1, 600.0]))
        row["silence_ratio"] = draw(st.none() | st.sampled_from([0.0, 0.9, 1.0]))
        if draw(st.booleans()):
            row["disposition"], row["disposed_at"] = draw(dispositions), received + draw(times)
        rows.append(row)
        corrections += [
            {"call_id": f"c{number}", "disposition": draw(dispositions), "disposed_at": received + draw(times)}
            for _ in range(draw(st.integers(0, 2)))
        ]
    return rows, corrections


def plainly(log, corrections):
    """The rows as dicts of plain values, with their labels; what is missing is not there."""
    rows, later = [], defaultdict(list)
    for row in corrections.to_dict("records"):
        later[row["call_id"]].append((row["disposed_at"], row["disposition"]))
    for row in log.to_dict("records"):
        row = {name: value for name, value in row.items() if not pd.isna(value)}
        labels = [(row["disposed_at"], row["disposition"])] if "disposition" in row else []
        labels += later[row["call_id"]]
        row["labels"] = sorted(((us(at), word) for at, word in labels), key=lambda label: label[0])
        row["number"] = normalise_number(row.get("caller"), Numbering("ID"))
        rows.append(row)
    return rows


def us(time):
    return time.value // 1_000


def from_the_rows(rows, number, as_of_us):
    """A caller's history written down from the rows, as plainly as can be."""
    totals = dict.fromkeys(FIELDS, 0.0)
    for row in rows:
        received = us(row["received_at"])
        if number is None or row["number"] != number or received >= as_of_us:
            continue
        totals["last_call_us"] = max(totals["last_call_us"], received)
        totals["first_call_us"] = min(totals["first_call_us"] or received, received)
        said = {"calls": 1.0}
        if "ended_at" in row and us(row["ended_at"]) < as_of_us:
            said["unanswered"] = "answered_at" not in row and "duration_s" not in row
            if "duration_s" in row:
                said |= {"heard": 1, "duration_s": row["duration_s"], "short": row["duration_s"] <= 19.0}
            if "silence_ratio" in row:
                said |= {"listened": 1, "silence_ratio": row["silence_ratio"], "silent": row["silence_ratio"] >= 0.9}
        known = [word for at, word in row["labels"] if at < as_of_us]
        if known:
            outcome = DEFAULT_LABELS.get(known[-1])
            said |= {"genuine": outcome == 0, "not_genuine": outcome == 1}
        for span, half_life in zip(SPANS, HALF_LIVES_S, strict=True):
            for quantity, amount in said.items():
                totals[f"{quantity}_{span}"] += amount * 2.0 ** (-(as_of_us - received) / 1e6 / half_life)
    return np.array([value if value > 1e-9 else 0.0 for value in totals.values()])


def tellings(events, names):
    """All events of all calls, by caller."""
    told = [[] for _ in range(events.callers)]
    for row, caller in enumerate(events.caller):
        if caller >= 0:
            received, name = int(events.received_us[row]), names[row]
            told[caller].append(Event(received, RECEIVED, received, name))
            if events.ended_us[row] != NEVER:
                heard = (bool(events.answered[row]), events.duration_s[row], events.silence_ratio[row])
                told[caller].append(Event(int(events.ended_us[row]), ENDED, received, name, *heard))
    for place, row in enumerate(events.label_row):
        if events.caller[row] >= 0:
            said = {"genuine": events.label_genuine[place], "not_genuine": events.label_not_genuine[place]}
            known = int(events.label_us[place])
            received, name = int(events.received_us[row]), names[row]
            told[events.caller[row]].append(Event(known, LABELLED, received, name, **said))
    return told


def served_online(events, names):
    """Serve a log in order: each event is told as it becomes known, each call reads before it is told."""
    callers = [Caller() for _ in range(events.callers)]
    waiting = [sorted(told, key=lambda event: event.known_at_us) for told in tellings(events, names)]
    histories = np.zeros((len(events), SIZE))
    for row, (caller, now) in enumerate(zip(events.caller, events.received_us, strict=True)):
        if caller >= 0:
            while waiting[caller] and waiting[caller][0].known_at_us <= now:
                callers[caller].add(waiting[caller].pop(0))
            callers[caller].settle(int(now))
            histories[row] = callers[caller].read(int(now))
    states = np.zeros((events.callers, SIZE))
    for number, caller in enumerate(callers):
        for event in waiting[number]:
            caller.add(event)
        caller.settle(int(NEVER))
        states[number] = caller.state
    return histories, states


def frames(log_of, rows, corrections):
    return sort_calls(log_of(rows)), log_of(corrections, CORRECTION_COLUMNS)


@settings(max_examples=40)
@given(log=logs())
def test_replay_is_what_was_known_strictly_before_each_call(log_of, log):
    calls, corrections = frames(log_of, *log)
    events = events_of(calls, DEFAULT_LABELS, Numbering("ID"), corrections)
    histories = LogHistories(events).histories()
    rows = plainly(calls, corrections)
    for history, row in zip(histories, rows, strict=True):
        expected = from_the_rows(rows, row["number"], us(row["received_at"]))
        np.testing.assert_allclose(history, expected, rtol=1e-9, atol=2e-9)


@given(log=logs())
def test_a_log_served_in_order_gives_the_same_bits_as_replay(log_of, log):
    calls, corrections = frames(log_of, *log)
    events = events_of(calls, DEFAULT_LABELS, Numbering("ID"), corrections)
    histories, states = served_online(events, calls["call_id"].tolist())
    np.testing.assert_array_equal(LogHistories(events).histories(), histories)
    np.testing.assert_array_equal(LogHistories(events).states(), states)


@pytest.mark.parametrize("late_days", [0, 7])
def test_a_city_served_in_order_gives_the_same_bits_as_replay_even_when_labels_come_days_late(city, late_days):
    calls = sort_calls(city.calls)
    calls["disposed_at"] += np.timedelta64(late_days, "D")
    corrections = city.corrections.assign(disposed_at=city.corrections["disposed_at"] + np.timedelta64(late_days, "D"))
    events = events_of(calls, DEFAULT_LABELS, Numbering("ID"), corrections)
    histories, states = served_online(events, calls["call_id"].tolist())
    replay = LogHistories(events)
    np.testing.assert_array_equal(replay.histories(), histories)
    np.testing.assert_array_equal(replay.states(), states)
    assert histories[:, FIELDS.index("not_genuine_ever")].any()


def test_the_events_of_a_city_told_in_any_order_give_the_same_histories(city):
    calls = sort_calls(city.calls)
    events = events_of(calls, DEFAULT_LABELS, Numbering("ID"), city.corrections)
    states, chance = LogHistories(events).states(), np.random.default_rng(1)
    at = float(events.label_us.max() + 1)
    for state, told in zip(states, tellings(events, calls["call_id"].tolist()), strict=True):
        online = Caller()
        for place in chance.permutation(len(told)):
            online.add(told[place])
            online.settle(NEVER)
        np.testing.assert_allclose(online.read(int(at)), Caller(state).read(int(at)), rtol=1e-9, atol=1e-9)


def test_a_caller_of_a_thousand_calls_is_replayed_like_any_other(log_of):
    chance = np.random.default_rng(2)
    received = np.sort(chance.integers(0, 20 * DAY, 1_000) // 600 * 600)  # many ties
    kinds = chance.choice(["genuine", "prank", "test"], 1_000)
    rows = [
        {
            "call_id": f"c{number:04}",
            "received_at": int(at),
            "caller": "a1",
            "ended_at": int(at + chance.integers(0, 3 * DAY) // 600 * 600),
            "disposition": kind,
            "disposed_at": int(at + chance.integers(0, 9 * DAY) // 600 * 600),
        }
        for number, (at, kind) in enumerate(zip(received, kinds, strict=True))
    ]
    calls, none = frames(log_of, rows, [])
    events = events_of(calls, DEFAULT_LABELS, Numbering("ID"))
    histories, states = served_online(events, calls["call_id"].tolist())
    replay = LogHistories(events)
    np.testing.assert_array_equal(replay.histories(), histories)
    np.testing.assert_array_equal(replay.states(), states)
    plain = plainly(calls, none)
    for row in (0, 63, 64, 65, 999):
        expected = from_the_rows(plain, "a1", int(events.received_us[row]))
        np.testing.assert_allclose(histories[row], expected, rtol=1e-9, atol=2e-9)


def test_replaying_in_small_parts_gives_the_same_bits(city):
    replay = LogHistories(events_of(sort_calls(city.calls), DEFAULT_LABELS, Numbering("ID")))
    whole, seen = replay.histories(), np.zeros(len(city.calls), dtype=int)
    for rows, histories in replay.parts(lambda rows, histories: (rows, histories), calls=7):
        np.testing.assert_array_equal(histories, whole[rows])
        seen[rows] += 1
    assert (seen == 1).all()


def test_calls_without_a_number_have_no_history_and_are_never_one_caller(log_of):
    nobody = [None, "", "unknown", "Anonymous", "+0", "sip:anonymous@anonymous.invalid"]
    rows = [
        {"call_id": f"c{place}", "received_at": 60 * place, "caller": caller, "disposition": "prank",
         "disposed_at": 60 * place + 1}
        for place, caller in enumerate(nobody * 3)
    ]  # fmt: skip
    events = events_of(sort_calls(log_of(rows)), DEFAULT_LABELS, Numbering("ID"))
    replay = LogHistories(events)
    assert events.callers == 0
    assert not replay.histories().any()
    assert not replay.first_call().any()
    assert replay.states().shape == (0, SIZE)


def test_a_first_call_is_one_before_which_the_number_was_not_seen(log_of):
    rows = [("a1", 0), ("b2", 5), ("a1", 0), ("a1", 1), (None, 2), ("b2", 5)]
    calls = sort_calls(
        log_of([{"call_id": f"c{n}", "received_at": at, "caller": caller} for n, (caller, at) in enumerate(rows)])
    )
    replay = LogHistories(events_of(calls, DEFAULT_LABELS, Numbering("ID")))
    first = dict(zip(calls["call_id"], replay.first_call().tolist(), strict=True))
    assert first == {"c0": True, "c2": True, "c3": False, "c4": False, "c1": True, "c5": True}
    np.testing.assert_array_equal(
        replay.first_call(), (replay.histories()[:, FIELDS.index("calls_ever")] == 0) & calls["caller"].notna()
    )


def test_an_empty_log_has_no_histories(log_of):
    replay = LogHistories(events_of(sort_calls(log_of([])), DEFAULT_LABELS, Numbering("ID")))
    assert replay.histories().shape == (0, SIZE)
    assert replay.states().shape == (0, SIZE)
    assert list(replay.parts(lambda rows, _: rows)) == []
