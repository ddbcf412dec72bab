"""What a score says to a person: shares of genuine callers that hold, and how rare genuine calls are, in few steps."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.policy.likeness import ONE_IN, Likeness
from model.policy.policy import Policy
from model.release.folder import to_bytes
from model.scorecard.features import STAGES
from model.training.centre_likeness import GENUINE_OF_STEP, LEAST_GENUINE, MOST_SCORES, fit_likeness

#: Few values, so that many are equal.
few_values = st.integers(0, 12).map(lambda place: place / 12)
calls = st.lists(st.tuples(few_values, st.booleans(), st.integers(-1, 4)), min_size=60, max_size=150)


def fitted_of(score, genuine, units=None) -> Likeness:
    own = np.full(len(score), -1) if units is None else np.asarray(units)
    found = fit_likeness(np.asarray(score, float), np.asarray(genuine, bool), own)
    assert found is not None
    return found


@given(st.lists(few_values, min_size=LEAST_GENUINE, max_size=150), few_values)
def test_of_callers_who_rang_once_it_is_the_conformal_p_value_ties_included(genuine, score):
    fitted = fitted_of(genuine, np.ones(len(genuine)))
    at_least = sum(one >= score for one in genuine)
    assert fitted.genuine_like(score) == pytest.approx((1 + at_least) / (len(genuine) + 1), rel=1e-12)


@given(calls, few_values)
def test_a_caller_counts_once_however_often_they_rang(rows, score):
    genuine = [(value, unit) for value, is_genuine, unit in rows if is_genuine]
    if len(genuine) < LEAST_GENUINE:
        assert fit_likeness(*(np.array(column) for column in zip(*rows, strict=True))) is None
        return
    by_caller = [[value for value, unit in genuine if unit == caller] for caller in range(5)]
    by_caller += [[value] for value, unit in genuine if unit < 0]
    shares = [np.mean([value >= score for value in theirs]) for theirs in by_caller if theirs]
    fitted = fitted_of(*(np.array(column) for column in zip(*rows, strict=True)))
    assert fitted.genuine_like(score) == pytest.approx((1 + sum(shares)) / (len(shares) + 1), rel=1e-12)


@pytest.mark.parametrize("often", [1, 20])
@pytest.mark.parametrize("callers", [20, 60, 300])
def test_of_later_genuine_callers_at_most_the_share_said_looks_so_much_like_a_prank(callers, often):
    rng = np.random.default_rng(callers)
    shares = []
    for _ in range(600):
        # Half of the callers ring often, and each has a look of their own.
        rang = np.where(rng.random(callers + 1) < 0.5, often, 1)
        own = np.repeat(rng.normal(size=callers + 1) + (rang > 1), rang)
        score = 1.0 / (1.0 + np.exp(-np.round(own + 0.5 * rng.normal(size=len(own)), 1)))
        unit = np.repeat(np.arange(callers + 1), rang)
        earlier = unit < callers
        fitted = fitted_of(score[earlier], np.ones(earlier.sum()), unit[earlier])
        shares.append(fitted.genuine_like(rng.choice(score[~earlier])))
    for limit in (0.05, 0.1, 0.25, 0.5):
        below = np.mean(np.array(shares) <= limit)
        assert below <= limit + 3.0 * np.sqrt(limit * (1.0 - limit) / len(shares))
    assert np.mean(np.array(shares) <= 0.5) > 0.35  # and it is not merely careful


def test_a_long_table_is_cut_short_and_a_share_is_then_rounded_up_a_little():
    score = np.random.default_rng(0).random(20_000)
    fitted = fitted_of(score, np.ones(len(score)))
    assert len(fitted.scores) <= MOST_SCORES
    asked = np.linspace(0.0, 1.0, 5_001)
    exact = (1 + len(score) - np.searchsorted(np.sort(score), asked)) / (len(score) + 1)
    said, _ = fitted.of_rows(asked)
    assert (said >= exact * (1 - 1e-12)).all()
    assert (said <= exact * 1.06).all()


@given(calls, few_values, few_values)
def test_a_higher_score_never_looks_more_like_a_genuine_call_nor_stands_among_more_of_them(rows, one, other):
    fitted = fit_likeness(*(np.array(column) for column in zip(*rows, strict=True)))
    if fitted is not None:
        low, high = sorted((one, other))
        assert fitted.genuine_like(low) >= fitted.genuine_like(high)
        assert fitted.one_in(low) <= fitted.one_in(high)


@given(calls)
def test_each_step_rests_on_enough_genuine_calls(rows):
    score, genuine, units = (np.array(column) for column in zip(*rows, strict=True))
    fitted = fit_likeness(score, genuine, units)
    if fitted is not None:
        _, steps = fitted.of_rows(score)
        assert set(steps.tolist()) == set(fitted.steps) <= set(ONE_IN)
        assert min(np.sum(genuine[steps == step]) for step in fitted.steps) >= GENUINE_OF_STEP


@pytest.mark.parametrize(
    ("share", "step"), [(0.9, 3), (0.3, 3), (0.09, 10), (0.034, 30), (0.011, 100), (0.00005, 1000)]
)
def test_a_score_that_says_nothing_is_told_by_the_share_of_the_centre(share, step):
    score = np.random.default_rng(1).random(int(30 / share))
    genuine = np.arange(len(score)) % round(1 / share) == 0 if share < 0.5 else np.arange(len(score)) % 10 > 0
    fitted = fitted_of(score, genuine)
    _, steps = fitted.of_rows(score)
    assert np.mean(steps == step) > 0.6


def test_one_call_and_a_log_are_told_the_same_and_the_release_brings_the_tables_back(made):
    again = Policy.from_json(json.loads(to_bytes(made.policy.to_json())))
    assert set(again.likeness) == set(STAGES)
    for stage in STAGES:
        tables = again.likeness[stage]
        assert tables == made.policy.likeness[stage]
        asked = np.array([*tables.scores, *tables.step_scores, *np.linspace(0.0, 1.0, 50)])
        told = [(tables.genuine_like(score), tables.one_in(score)) for score in asked.tolist()]
        assert told == list(zip(*(column.tolist() for column in tables.of_rows(asked)), strict=True))


def test_a_release_of_before_says_neither_number(made):
    document = json.loads(to_bytes(made.policy.to_json()))
    del document["likeness"]
    assert Policy.from_json(document).likeness == {}


@pytest.mark.parametrize(
    "tables",
    [
        ((0.2, 0.1), (1.0, 0.5, 0.2), (), (3,)),
        ((0.2,), (1.0,), (), (3,)),
        ((0.2,), (0.5, 0.7), (), (3,)),
        ((0.2,), (1.5, 0.7), (), (3,)),
        ((1.2,), (1.0, 0.7), (), (3,)),
        ((), (1.0,), (0.5,), (30, 10)),
        ((), (1.0,), (0.5,), (3, 42)),
        ((), (1.0,), (float("nan"),), (3, 10)),
    ],
)
def test_tables_that_make_no_sense_are_refused(tables):
    with pytest.raises(ValueError, match=r"expected|order|outside"):
        Likeness(*tables)
