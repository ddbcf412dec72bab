import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.calls.call_events import (
    NEVER,
    UNLABELLED,
    drop_missing,
    events_of,
    known_at,
    microseconds,
    normalise_numbers,
    sort_calls,
)
from model.calls.columns import CORRECTION_COLUMNS, DEFAULT_LABELS
from model.calls.phone_numbers import Numbering, normalise_number, numbering_of

HOUR = 3_600
START_US = 1_740_960_000_000_000


@pytest.fixture(scope="session")
def events(log_of):
    """A function from rows, and rows of corrections, to events."""

    def events(rows, corrections=()):
        rows = [{"call_id": f"c{n}"} | row for n, row in enumerate(rows)]
        later = log_of(corrections, CORRECTION_COLUMNS)
        return events_of(sort_calls(log_of(rows)), DEFAULT_LABELS, Numbering("ID"), later)

    return events


def labels_of(events):
    at = ((events.label_us - START_US) // 1_000_000).tolist()
    return list(zip(events.label_row.tolist(), at, events.label_genuine, events.label_not_genuine, strict=True))


@given(st.lists(st.integers(0, 3), max_size=12), st.randoms(use_true_random=False))
def test_a_log_in_any_order_is_put_in_order_of_time_and_then_of_call_id(log_of, received, chance):
    names = [f"c{n:02}" for n in range(len(received))]
    chance.shuffle(names)
    calls = sort_calls(log_of([{"call_id": c, "received_at": at} for c, at in zip(names, received, strict=True)]))
    keys = list(zip(calls["received_at"], calls["call_id"], strict=True))
    assert keys == sorted(keys)
    assert calls.index.tolist() == list(range(len(received)))


def test_a_number_written_differently_is_one_caller_and_no_number_is_none(events):
    callers = ["0812-3456-7890", "+6281234567890", None, "unknown", "a1", "", "0812 3456 7890", "a1", "anonymous"]
    found = events([{"received_at": n, "caller": caller} for n, caller in enumerate(callers)])
    codes = found.caller.tolist()
    assert [codes[n] for n in (2, 3, 5, 8)] == [-1] * 4
    assert codes[0] == codes[1] == codes[6] >= 0
    assert codes[4] == codes[7] >= 0
    assert codes[0] != codes[4]
    assert found.callers == 2


def test_each_label_says_what_it_adds_to_what_was_known(events):
    row = {"received_at": 0, "caller": "a1", "disposition": "genuine", "disposed_at": 10}
    later = [
        {"call_id": "c0", "disposition": "duplicate", "disposed_at": 20},  # still genuine: adds nothing
        {"call_id": "c0", "disposition": "prank", "disposed_at": 40},
        {"call_id": "c0", "disposition": "test", "disposed_at": 30},  # takes the label away
        {"call_id": "c0", "disposition": "silent", "disposed_at": 50},
        {"call_id": "elsewhere", "disposition": "prank", "disposed_at": 50},
    ]
    found = events([row], later)
    assert labels_of(found) == [(0, 10, 1.0, 0.0), (0, 30, -1.0, 0.0), (0, 40, 0.0, 1.0)]
    assert found.outcome.tolist() == [1]
    assert found.outcome_us.tolist() == [START_US + 10_000_000]


def test_of_labels_known_at_one_moment_the_correction_stays(events):
    row = {"received_at": 0, "disposition": "prank", "disposed_at": 10}
    assert events([row], [{"call_id": "c0", "disposition": "genuine", "disposed_at": 10}]).outcome.tolist() == [0]


def test_a_correction_known_before_the_first_disposition_is_overruled_by_it(events):
    row = {"received_at": 0, "disposition": "prank", "disposed_at": 10}
    found = events([row], [{"call_id": "c0", "disposition": "genuine", "disposed_at": 5}])
    assert found.outcome.tolist() == [1]
    assert labels_of(found) == [(0, 5, 1.0, 0.0), (0, 10, -1.0, 1.0)]


def test_what_gives_no_label_is_unlabelled_and_never_known(events):
    words = ["test", "abandoned", "unanswered", None]
    rows = [
        {"received_at": n, "disposition": word, "disposed_at": None if word is None else 10}
        for n, word in enumerate(words)
    ]
    found = events(rows)
    assert found.outcome.tolist() == [UNLABELLED] * 4
    assert found.outcome_us.tolist() == [NEVER] * 4
    assert labels_of(found) == []


def test_the_labels_of_a_call_add_up_to_its_outcome(city):
    found = events_of(sort_calls(city.calls), DEFAULT_LABELS, Numbering("ID"), city.corrections)
    genuine, not_genuine = np.zeros(len(found)), np.zeros(len(found))
    np.add.at(genuine, found.label_row, found.label_genuine)
    np.add.at(not_genuine, found.label_row, found.label_not_genuine)
    np.testing.assert_array_equal(genuine, found.outcome == 0)
    np.testing.assert_array_equal(not_genuine, found.outcome == 1)
    assert len(city.corrections)


def test_a_call_was_answered_when_an_operator_took_it_or_a_conversation_is_known(events):
    rows = [{"received_at": 0}, {"received_at": 1, "answered_at": 3}, {"received_at": 2, "duration_s": 0.0}]
    assert events(rows).answered.tolist() == [False, True, True]


def test_an_incident_is_as_last_named_and_a_duplicate_as_last_closed(events):
    closed = {"disposition": "genuine", "disposed_at": 50}
    rows = [
        {"received_at": 0} | closed | {"incident_id": "fire"},
        {"received_at": 1} | closed | {"incident_id": "flood"},  # the correction names another
        {"received_at": 2} | closed | {"incident_id": "flood"},  # the correction names none
        {"received_at": 3} | closed | {"disposition": "duplicate"},
        {"received_at": 4, "incident_id": "fire"},
        {"received_at": 5} | closed,
    ]
    later = [
        {"call_id": "c1", "disposition": "genuine", "disposed_at": 90, "incident_id": "fire"},
        {"call_id": "c1", "disposition": "duplicate", "disposed_at": 80, "incident_id": "storm"},
        {"call_id": "c2", "disposition": "duplicate", "disposed_at": 80},
    ]
    found = events(rows, later)
    fire, flood = found.incident[0], found.incident[2]
    assert found.incident.tolist() == [fire, fire, flood, -1, fire, -1]
    assert len({-1, fire, flood}) == 3
    assert found.duplicate.tolist() == [False, False, True, True, False, False]
    assert events([row | {"incident_id": None} for row in rows]).incident.tolist() == [-1] * len(rows)


def test_an_empty_log_has_no_events(events):
    found = events([])
    assert len(found) == found.callers == len(found.label_row) == 0


def test_known_at_hides_everything_that_was_not_known_strictly_before(log_of):
    row = {
        "received_at": 0, "caller": "a1", "line": "mobile", "opening_silence_ratio": 0.5, "answered_at": 10,
        "ended_at": 20, "ended_by": "caller", "duration_s": 10.0, "silence_ratio": 0.5,
        "disposition": "genuine", "disposed_at": 30, "category": "fire", "incident_id": "f1",
    }  # fmt: skip
    rows = [{"call_id": f"c{n}"} | {k: v + 100 * n if k.endswith("_at") else v for k, v in row.items()} for n in (0, 1)]
    log = log_of(rows)
    start = log["received_at"].iloc[0]
    hidden = {
        0: None,
        10: {"answered_at", "ended_at", "ended_by", "duration_s", "silence_ratio"},
        20: {"ended_at", "ended_by", "duration_s", "silence_ratio"},
        30: set(),
        31: set(),
        100: set(),
    }
    for second, missing in hidden.items():
        known = known_at(log, start + pd.Timedelta(second, unit="s"))
        if missing is None:
            assert len(known) == 0
            continue
        assert known["call_id"].tolist() == ["c0"]
        if second <= 30:
            missing = missing | {"disposition", "disposed_at", "category", "incident_id"}
        there = set(drop_missing(known.iloc[0].to_dict()))
        assert there == {"call_id", *row} - missing
    assert len(known_at(log, start + pd.Timedelta(1, unit="h"))) == 2
    assert known_at(log, start + pd.Timedelta(10, unit="s")).dtypes.equals(log.dtypes)


def test_the_log_as_known_at_a_moment_gives_the_same_histories_until_then(city):
    calls = sort_calls(city.calls)
    until = calls["received_at"].iloc[3_000]
    whole = events_of(calls, DEFAULT_LABELS, Numbering("ID"), city.corrections)
    later = city.corrections[city.corrections["disposed_at"] < until]
    partial = events_of(known_at(calls, until), DEFAULT_LABELS, Numbering("ID"), later)
    until_us = int(microseconds(pd.Series([until]))[0])
    for name, known in (("label_us", whole.label_us < until_us), ("ended_us", whole.ended_us < until_us)):
        mine = getattr(partial, name)
        np.testing.assert_array_equal(mine[mine < NEVER], getattr(whole, name)[known])


def test_times_become_whole_microseconds_and_missing_ones_never(log_of):
    times = log_of([{"received_at": 0.000001}, {"received_at": None}])["received_at"]
    assert microseconds(times).tolist() == [START_US + 1, NEVER]
    assert microseconds(times.astype("datetime64[ns, UTC]")).tolist() == [START_US + 1, NEVER]


@pytest.mark.parametrize(
    "numbering",
    [Numbering("ID"), Numbering("US"), numbering_of("ID", ["081290417733"]), numbering_of("ID", pseudonym=r"\d{6}")],
)
def test_callers_of_a_column_are_those_of_each_text(numbering):
    texts = ["+6281290417733", "081290417733", "+628\u0661290417733", "+62888888888", "+12125111234", "+12015550123",
             "2015550123", "Private Number", "a1f9c0", "123456", "+6212", None, "+622222222222",
             "+62736511234"]  # fmt: skip
    found = normalise_numbers(pd.Series(texts, dtype="str"), numbering)
    assert [None if pd.isna(one) else one for one in found] == [normalise_number(text, numbering) for text in texts]
