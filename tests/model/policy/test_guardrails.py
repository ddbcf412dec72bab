import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.history.caller_history import FIELDS, SIZE
from model.policy.guardrails import (
    GUARDRAIL_NAMES,
    GUARDRAILS,
    apply_guardrails,
    apply_guardrails_to_rows,
    guardrail_names,
)
from model.scorecard.features import CALL, FEATURES, NAMES, WIDTHS
from model.scorecard.scorecard import likelihood

CAPS = np.array([rail.cap for rail in GUARDRAILS])
LIMITS = np.array([rail.limit for rail in GUARDRAILS])
NO_NUMBER_CAP = CAPS[GUARDRAIL_NAMES.index("no_number")]
SILENT = np.array([feature.silence for feature in FEATURES])


def a_history(**fields):
    history = np.zeros(SIZE)
    for name, value in ({"calls_ever": 5.0} | fields).items():
        history[FIELDS.index(name)] = value
    return history


def a_call(**fields):
    call = np.full(len(CALL), math.nan)
    for name, value in ({"number_shown": 1.0, "surge_calls": 1.0, "surge_new": 1.0} | fields).items():
        call[CALL.index(name)] = value
    return call


def terms(**contributions):
    found = np.zeros(len(FEATURES))
    for name, value in contributions.items():
        found[NAMES.index(name)] = value
    return found


def asked(history=None, call=None, contributions=None, protected=False, caps=CAPS, limits=LIMITS):
    relief, cap, held = apply_guardrails(
        a_history() if history is None else history,
        a_call() if call is None else call,
        terms() if contributions is None else contributions,
        SILENT,
        protected,
        caps,
        limits,
    )
    return relief, cap, guardrail_names(held)


def test_an_ordinary_call_of_a_known_number_meets_no_guardrail():
    assert asked() == (0.0, 1.0, [])


@pytest.mark.parametrize("closed", ["not_genuine_ever", "genuine_ever"])
def test_a_first_call_that_nobody_heard_keeps_the_next_one_a_first_call_however_it_was_closed(closed):
    assert asked(a_history(calls_ever=1.0, **{closed: 1.0}))[2] == ["first_call"]
    assert asked(a_history(calls_ever=1.0, listened_ever=1.0, **{closed: 1.0}))[2] == []


# name, what makes it hold, what just fails to, the cap that it sets
CASES = [
    ("first_call", {"history": a_history(calls_ever=0.0)}, {"history": a_history(calls_ever=1.0)}, 0.0),
    ("closed_genuine", {"history": a_history(genuine_30d=0.5)}, {"history": a_history(genuine_30d=0.499)}, 0.0),
    ("silence", {"contributions": terms(silence_ratio=0.1)}, {"contributions": terms(duration_s=0.1)}, 1.0),
    ("no_number", {"call": a_call(number_shown=0.0)}, {"call": a_call(number_shown=1.0)}, NO_NUMBER_CAP),
    ("surge", {"call": a_call(surge_new=3.01)}, {"call": a_call(surge_new=3.0, surge_calls=99.0)}, 0.0),
    (
        "redial",
        {"history": a_history(unanswered_1h=0.25, unanswered_1d=3.0)},
        {"history": a_history(unanswered_1h=0.25, unanswered_1d=3.01)},
        0.0,
    ),
    ("protected", {"protected": True}, {"protected": False}, 0.0),
]


@pytest.mark.parametrize(("name", "holds", "fails", "cap"), CASES, ids=GUARDRAIL_NAMES)
def test_a_guardrail_holds_where_it_says_and_nowhere_else(name, holds, fails, cap):
    assert asked(**holds)[1:] == (cap, [name])
    assert asked(**fails)[1:] == (1.0, [])


@pytest.mark.parametrize(("name", "holds", "fails", "cap"), CASES, ids=GUARDRAIL_NAMES)
def test_a_guardrail_that_is_off_does_nothing(name, holds, fails, cap):
    caps = CAPS.copy()
    caps[GUARDRAIL_NAMES.index(name)] = math.nan
    assert asked(**holds, caps=caps) == (0.0, 1.0, [])
    assert fails is not holds
    assert cap <= 1.0


def test_every_guardrail_has_a_case():
    assert [name for name, *_ in CASES] == list(GUARDRAIL_NAMES)


def test_an_unanswered_call_of_long_ago_is_no_redial():
    assert asked(history=a_history(unanswered_1h=0.24, unanswered_1d=0.9))[2] == []


def test_without_a_number_a_call_is_not_a_first_call():
    assert asked(history=np.zeros(SIZE), call=a_call(number_shown=0.0))[1:] == (NO_NUMBER_CAP, ["no_number"])


def test_of_several_guardrails_the_lowest_cap_counts_and_all_are_named():
    _, cap, held = asked(call=a_call(number_shown=0.0, surge_new=9.0), protected=True)
    assert cap == 0.0
    assert held == ["no_number", "surge", "protected"]


def test_silence_takes_off_exactly_what_it_added_and_leaves_what_it_took():
    added = terms(silence_ratio=0.5, opening_silence_ratio=-0.75, silent_share_30d=0.25, duration_s=2.0)
    assert asked(contributions=added)[0] == 0.75
    lenient = LIMITS.copy()
    lenient[GUARDRAIL_NAMES.index("silence")] = 0.25
    assert asked(contributions=added, limits=lenient)[0] == 0.25
    assert asked(contributions=terms(silence_ratio=-1.0)) == (0.0, 1.0, [])


def test_many_calls_are_each_asked_as_one():
    rng = np.random.default_rng(1)
    histories, calls = rng.random((200, SIZE)) * 2, rng.random((200, len(CALL))) * 6 - 1
    contributions, protected = rng.normal(size=(200, len(FEATURES))), rng.random(200) < 0.1
    relief, cap, held = np.empty(200), np.empty(200), np.empty(200, dtype=np.int64)
    apply_guardrails_to_rows(histories, calls, contributions, SILENT, protected, CAPS, LIMITS, relief, cap, held)
    for row in range(200):
        one = apply_guardrails(histories[row], calls[row], contributions[row], SILENT, protected[row], CAPS, LIMITS)
        assert one == (relief[row], cap[row], held[row])
    assert len(np.unique(held)) > 10


numbers = st.floats(0.0, 5.0)


@given(
    fields=st.tuples(numbers, numbers, numbers, numbers),
    call=st.tuples(st.sampled_from([0.0, 1.0]), numbers),
    contributions=st.lists(st.floats(-3.0, 3.0), min_size=len(FEATURES), max_size=len(FEATURES)),
    protected=st.booleans(),
    off=st.sets(st.sampled_from(GUARDRAIL_NAMES)),
)
def test_taking_guardrails_away_never_lowers_score_or_cap(fields, call, contributions, protected, off):
    history = a_history(
        calls_ever=fields[0], genuine_30d=fields[1], unanswered_1h=fields[2], unanswered_1d=fields[2] + fields[3]
    )
    vector = a_call(number_shown=call[0], surge_new=1.0 + call[1])
    fewer = CAPS.copy()
    fewer[[GUARDRAIL_NAMES.index(name) for name in off]] = math.nan
    relief, cap, held = asked(history, vector, np.array(contributions), protected)
    lighter, higher, left = asked(history, vector, np.array(contributions), protected, caps=fewer)
    assert lighter <= relief
    assert higher >= cap
    assert left == [name for name in held if name not in off]


@given(data=st.data())
def test_no_silence_makes_a_call_score_higher_than_silence_that_says_nothing(made, data):
    rows = made.past.table.matrix()
    row = rows[data.draw(st.integers(0, len(rows) - 1))]
    for stage, card in made.scorecards.items():
        mine = row[: WIDTHS[stage]].copy()
        silent = SILENT[: WIDTHS[stage]]
        neutral = card.intercept + float(card.score(mine)[1][~card.silent].sum())
        mine[silent] = [data.draw(st.just(math.nan) | st.floats(0.0, 1.0)) for _ in range(int(silent.sum()))]
        log_odds, contributions = card.score(mine)
        relief, cap, _ = apply_guardrails(
            a_history(), a_call(), contributions, card.silent, False, *made.policy.settings
        )
        guarded = log_odds - relief
        assert guarded <= neutral + 1e-12
        assert guarded <= log_odds
        curve = made.policy.curves[stage]
        factor, at_most = curve.factors([likelihood(guarded), likelihood(neutral + 1e-12)], cap)
        assert factor <= at_most


def test_silence_does_raise_some_scores_before_the_guardrail(made):
    card = made.scorecards["ended"]
    contributions = card.contributions(made.past.table.matrix(), card.features)
    assert (contributions[:, card.silent] > 0.1).any()


@pytest.mark.parametrize("rail", GUARDRAILS, ids=GUARDRAIL_NAMES)
def test_every_guardrail_has_a_cap_and_says_what_its_limit_is(rail):
    assert 0.0 <= rail.cap <= 1.0
    assert rail.meaning
