"""Pairs of features in a scorecard: exact, as one row of the reasons, and read back as they were written."""

import copy
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import ScorecardError
from model.history.caller_history import SIZE
from model.policy.guardrails import GUARDRAILS, apply_guardrails
from model.scorecard.features import CALL, FEATURES, NAMES, WIDTHS
from model.scorecard.pairs import Pair
from model.scorecard.reasons import reasons, translate_reasons
from model.scorecard.scorecard import Scorecard

HEARD, SILENT = NAMES.index("opening_duration_s"), NAMES.index("opening_silence_ratio")
PAIRS = (
    Pair(
        ("opening_duration_s", "opening_silence_ratio"),
        (np.array([5.0, 9.0]), np.array([0.5])),
        np.array([[-1.0, 1.0, 0.1], [-2.0, 2.0, 0.2], [-3.0, 3.0, 0.3], [-4.0, 4.0, 0.4]]),
        np.full((4, 3), 1 / 12),
    ),
    Pair(("calls_1h", "calls_1d"), (np.empty(0), np.array([1.5])), np.array([[0.5, -0.5, 0.25], [0.0, 0.0, 0.75]]),
         np.full((2, 3), 1 / 6)),
)  # fmt: skip
numbers = st.just(math.nan) | st.floats(0.0, 20.0)


@pytest.fixture(scope="module")
def card(made):
    """The scorecard of the opening with two pairs in place of its own."""
    alone = made.scorecards["opening"]
    return Scorecard("opening", alone.intercept, alone.steps, PAIRS)


def a_row(**values):
    row = np.zeros(WIDTHS["opening"])
    for name, value in values.items():
        row[NAMES.index(name)] = value
    return row


@pytest.mark.parametrize(
    ("heard", "silent", "term"),
    [(5.0, 0.5, -1.0), (5.1, 0.5, -2.0), (9.0, 0.51, 2.0), (9.1, 1.0, 3.0), (math.nan, 0.0, -4.0),
     (0.0, math.nan, 0.1), (99.0, math.nan, 0.3), (math.nan, math.nan, 0.4)],
)  # fmt: skip
def test_a_pair_adds_the_cell_in_which_both_values_fall(card, heard, silent, term):
    log_odds, terms = card.score(
        row := a_row(opening_duration_s=heard, opening_silence_ratio=silent, calls_1d=math.nan)
    )
    assert terms[-2:].tolist() == [term, 0.25]
    alone = Scorecard("opening", card.intercept, card.steps)
    assert log_odds == pytest.approx(alone.score(row)[0] + term + 0.25, abs=1e-12)
    assert terms[:-2].tolist() == alone.score(row)[1].tolist()


@given(values=st.lists(numbers, min_size=WIDTHS["opening"], max_size=WIDTHS["opening"]))
def test_one_call_a_log_and_a_table_say_the_same_bits(card, values):
    rows = np.array([values])
    contributions = card.contributions(rows, card.features)
    log_odds, terms = card.score(rows[0])
    assert card.log_odds(contributions)[0] == log_odds
    assert contributions[0].tolist() == terms.tolist()
    assert [pair.terms(rows)[0] for pair in PAIRS] == terms[-2:].tolist()


def test_a_pair_is_one_reason_in_the_words_of_both_features(card):
    row = a_row(opening_duration_s=9.0, opening_silence_ratio=0.8, calls_1d=2.5)
    _, terms = card.score(row)
    told = reasons(row.tolist(), terms.tolist(), [pair.places for pair in card.pairs], in_words=True)
    assert sum(one["contribution"] for one in told) == pytest.approx(terms.sum(), abs=1e-12)
    found = {one["feature"]: one for one in told}
    assert found["opening_duration_s x opening_silence_ratio"] == {
        "group": "call",
        "feature": "opening_duration_s x opening_silence_ratio",
        "value": "9 x 0.8",
        "contribution": 2.0,
        "text": "9 s heard before the queue, 80% silent before the queue",
    }
    assert found["calls_1h x calls_1d"]["value"] == "0 x 2.5"
    texts = {one["feature"]: one["text"] for one in translate_reasons(told, "id")}
    assert (
        texts["opening_duration_s x opening_silence_ratio"]
        == "terdengar 9 detik sebelum antrean, 80% diam sebelum antrean"
    )
    assert texts["calls_1h x calls_1d"].endswith(", 2,5 panggilan sekitar satu hari terakhir")


def test_what_is_not_known_of_a_pair_is_said_so(card):
    row = a_row(opening_duration_s=math.nan, opening_silence_ratio=0.8)
    told = reasons(row.tolist(), card.score(row)[1].tolist(), [pair.places for pair in card.pairs], in_words=True)
    (found,) = (one for one in told if one["feature"] == "opening_duration_s x opening_silence_ratio")
    assert found["value"] == "null x 0.8"
    (translated,) = translate_reasons([found], "en")
    assert translated == found


@pytest.mark.parametrize("name", ["bogus x opening_silence_ratio", "opening_duration_s x bogus"])
def test_a_pair_that_only_another_version_knew_keeps_its_text(name):
    found = {"group": "call", "feature": name, "value": "9.0 x 0.5", "contribution": 1.0, "text": "as it was"}
    assert translate_reasons([found], "id") == [found]


@given(heard=numbers, silent=st.just(math.nan) | st.floats(0.0, 1.0))
def test_no_silence_raises_a_score_by_way_of_a_pair(card, heard, silent):
    row = a_row(opening_duration_s=heard, opening_silence_ratio=silent)
    log_odds, terms = card.score(row)
    caps, limits = (np.array([getattr(rail, name) for rail in GUARDRAILS]) for name in ("cap", "limit"))
    relief, _, _ = apply_guardrails(np.zeros(SIZE), np.zeros(len(CALL)), terms, card.silent, False, caps, limits)
    assert card.silent[-2:].tolist() == [True, False]
    said_nothing = card.intercept + float(terms[~card.silent].sum())
    assert log_odds - relief <= said_nothing + 1e-12


def test_json_brings_the_pairs_back_and_a_release_of_before_has_none(card):
    document = json.loads(json.dumps(card.to_json(), allow_nan=False))
    again = Scorecard.from_json("opening", document)
    assert again.to_json() == card.to_json()
    rows = np.random.default_rng(0).uniform(0.0, 12.0, (200, WIDTHS["opening"]))
    np.testing.assert_array_equal(again.contributions(rows, card.features), card.contributions(rows, card.features))
    del document["pairs"]
    assert Scorecard.from_json("opening", document).pairs == ()


def test_recalibrating_moves_pairs_with_all_else(card):
    rows = np.random.default_rng(0).uniform(0.0, 12.0, (50, WIDTHS["opening"]))
    before = card.log_odds(card.contributions(rows, card.features))
    other = card.recalibrated(0.5, -1.0)
    after = other.log_odds(other.contributions(rows, card.features))
    np.testing.assert_allclose(after, 0.5 * before - 1.0, rtol=0.0, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda pair: pair["up_to"][0].reverse(), "steps that are not in order"),
        (lambda pair: pair["contributions"].pop(), "a table of shape"),
        (lambda pair: pair["shares"].pop(), "a table of shape"),
        (lambda pair: pair["contributions"][0].__setitem__(0, math.inf), "a number that is not finite"),
        (lambda pair: pair["names"].reverse(), "two features in the order of the table"),
        (lambda pair: pair["names"].__setitem__(1, "bogus"), "two features in the order of the table"),
        (lambda pair: pair["names"].__setitem__(0, "line"), "a kind of something"),
        (lambda pair: pair["names"].__setitem__(1, "duration_s"), "a pair of"),
    ],
)
def test_a_pair_that_is_not_as_it_was_written_is_refused(card, change, said):
    document = copy.deepcopy(card.to_json())
    change(document["pairs"][0])
    with pytest.raises(ScorecardError, match=f"stage opening.*{said}"):
        Scorecard.from_json("opening", document)


def test_only_features_that_no_label_moves_could_be_in_a_pair_of_a_release(made):
    for stage, mine in made.scorecards.items():
        for pair in mine.pairs:
            assert all(FEATURES[place].direction == 0 for place in pair.places), stage
