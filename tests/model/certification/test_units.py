"""What counts once in a proof: an incident with everybody who rang about it, else a caller."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.calls.call_events import events_of, sort_calls
from model.calls.columns import DEFAULT_LABELS
from model.calls.phone_numbers import Numbering
from model.certification.units import is_repeat, units_of


@pytest.fixture(scope="session")
def genuine(log_of):
    """A function from (caller, incident, duplicate, received_at) to events of calls that are all closed as genuine."""

    def genuine(calls):
        rows = [
            {"call_id": f"c{place:02}", "received_at": at, "caller": caller, "incident_id": incident,
             "disposition": "duplicate" if duplicate else "genuine", "disposed_at": at + 60}
            for place, (caller, incident, duplicate, at) in enumerate(calls)
        ]  # fmt: skip
        return events_of(sort_calls(log_of(rows)), DEFAULT_LABELS, Numbering("ID"))

    return genuine


def parts(units):
    """The calls of each unit, each that is one of its own by itself."""
    codes = [f"own {place}" if code < 0 else code for place, code in enumerate(units.tolist())]
    return {tuple(place for place, other in enumerate(codes) if other == code) for code in codes}


def test_ten_callers_of_one_fire_are_one(genuine):
    found = units_of(genuine([(f"a{n}", "fire", False, n) for n in range(10)] + [("a10", None, False, 10)]))
    assert parts(found) == {tuple(range(10)), (10,)}


def test_who_is_linked_through_another_caller_or_incident_counts_with_them(genuine):
    named = [("a1", "fire"), ("b2", "fire"), ("b2", "flood"), ("c3", "flood"), (None, "fire")]
    calls = [(*one, False, place) for place, one in enumerate(named)]
    assert parts(units_of(genuine([*calls, ("d4", None, 0, 5), (None, None, 0, 6)]))) == {(0, 1, 2, 3, 4), (5,), (6,)}


def test_a_duplicate_of_an_unnamed_incident_counts_with_the_genuine_call_before_it_and_joins_nobody_else(genuine):
    hour = 3_600
    calls = [
        ("a1", None, False, 0),
        ("b2", None, True, 100),  # of a1's incident, one may guess
        (None, None, True, 100 + hour),  # and another one, an hour after that
        ("c3", None, True, 300 + 2 * hour),  # too late: of nobody's
        ("b2", None, False, 400 + 2 * hour),
    ]
    found = genuine(calls)
    assert parts(units_of(found)) == {(0, 1, 2), (3,), (4,)}
    assert is_repeat(found).tolist() == [False, True, True, True, False]


def test_a_duplicate_that_names_its_incident_is_a_call_about_it(genuine):
    found = genuine([("a1", "fire", False, 0), ("b2", "flood", False, 1), ("c3", "fire", True, 2)])
    assert parts(units_of(found)) == {(0, 2), (1,)}
    assert not is_repeat(found).any()


def test_without_incidents_and_duplicates_callers_count(genuine):
    found = genuine([("a1", None, False, 0), (None, None, False, 1), ("a1", None, False, 2), (None, None, False, 3)])
    assert units_of(found) is found.caller


def test_calls_that_are_not_genuine_link_nobody(log_of):
    rows = [
        {"call_id": f"c{n}", "received_at": n, "caller": f"a{n}", "incident_id": "none", "disposition": "prank",
         "disposed_at": 90}
        for n in range(4)
    ]  # fmt: skip
    rows.append(rows[0] | {"call_id": "c9", "received_at": 9, "disposition": "genuine"})
    found = units_of(events_of(sort_calls(log_of(rows)), DEFAULT_LABELS, Numbering("ID")))
    assert parts(found) == {(0, 4), (1,), (2,), (3,)}


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_two_units_share_neither_a_caller_nor_an_incident(genuine, drawn):
    names = [(f"a{c}" if c else None, f"f{i}" if i else None) for c, i in drawn]
    found = units_of(genuine([(*name, False, place) for place, name in enumerate(names)]))
    units = [f"own {place}" if unit < 0 else unit for place, unit in enumerate(found.tolist())]
    for kind in (0, 1):
        for value in {name[kind] for name in names} - {None}:
            assert len({unit for unit, name in zip(units, names, strict=True) if name[kind] == value}) == 1
