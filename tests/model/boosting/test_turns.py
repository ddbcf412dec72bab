"""Where the steps of a feature may turn."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.boosting.turns import EVIDENCE, columns_between_turns, supported_levels
from model.scorecard.features import FEATURES, STAGES


def turns(values):
    ways = np.sign(np.diff(values))
    return np.flatnonzero(ways[1:] != ways[:-1]) + 1


@pytest.mark.parametrize("stage", STAGES)
def test_no_step_of_a_release_turns_on_less_than_the_evidence(made, stage):
    genuine = made.past.table.matrix(made.past.fit & (made.past.events.outcome == 0))
    found = 0
    for place, (feature, step) in enumerate(zip(FEATURES, made.scorecards[stage].steps, strict=False)):
        if feature.words:
            continue
        known = genuine[:, place][~np.isnan(genuine[:, place])]
        calls = np.bincount(np.searchsorted(step.edges, known), minlength=len(step.contributions))
        at = turns(step.contributions)
        assert (calls[at] >= EVIDENCE).all()
        if len(at):
            assert calls[: at[0]].sum() >= EVIDENCE
            assert calls[at[-1] + 1 :].sum() >= EVIDENCE
        found += len(at)
    assert found  # turns that are borne out stay


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 30)), min_size=1, max_size=40))
def test_levels_are_apart_hold_the_evidence_and_alternate(steps):
    values, genuine = (np.array(column) for column in zip(*steps, strict=True))
    levels = supported_levels(values.astype(float), genuine)
    assert levels[0][0] == 0
    assert levels[-1][1] == len(values) - 1
    if len(levels) > 2:
        assert all(end < start for (_, end), (start, _) in pairwise(levels))
        assert all(genuine[start : end + 1].sum() >= EVIDENCE for start, end in levels)


@given(st.lists(st.tuples(st.sampled_from([-2, -1, 1, 2]), st.integers(20, 30)), min_size=3, max_size=20))
def test_where_each_step_has_the_evidence_every_turn_stays(steps):
    ups, genuine = (np.array(column) for column in zip(*steps, strict=True))
    values = np.cumsum(ups).astype(float)
    levels = supported_levels(values, genuine)
    assert [start for start, _ in levels[1:-1]] == turns(values).tolist()


def test_a_turn_that_hardly_matters_is_levelled_out():
    values, genuine = np.array([0.0, 1.0, 0.95, 2.0]), np.full(4, 1_000)
    assert supported_levels(values, genuine) == [(0, 0), (3, 3)]


def test_columns_meet_at_the_turns():
    genuine = np.repeat([1.0, 2.0, 3.0, np.nan], [30, 25, 20, 50])
    first, second = columns_between_turns(7, np.array([1.5, 2.5]), np.array([0.0, 2.0, 1.0]), genuine)
    assert (first.feature, first.direction, first.low, first.high) == (7, 1, 1.5, np.nextafter(1.5, 2.0))
    assert (second.feature, second.direction, second.low, second.high) == (7, -1, 2.5, np.nextafter(2.5, 3.0))


def test_a_feature_that_makes_no_difference_stays_so():
    (only,) = columns_between_turns(3, np.empty(0), np.zeros(1), np.arange(100.0))
    assert only.low == only.high
