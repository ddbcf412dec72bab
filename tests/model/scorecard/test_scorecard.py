import copy
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import ScorecardError
from model.scorecard.features import FEATURES, NAMES, STAGES, WIDTHS
from model.scorecard.reasons import reasons
from model.scorecard.scorecard import Scorecard, Steps, likelihood

values = st.one_of(
    st.just(float("nan")),
    st.sampled_from([0.0, 1.0, -1.0, 1e-300, 1e300, float("inf"), float("-inf")]),
    st.floats(-10.0, 1_000.0),
)


def rows_of(made, stage):
    return np.ascontiguousarray(made.past.table.matrix()[:, : WIDTHS[stage]])


@pytest.mark.parametrize("stage", STAGES)
def test_a_scorecard_is_the_calibrated_boosting(made, stage):
    rows, card = rows_of(made, stage), made.scorecards[stage]
    if stage != "ring":
        assert np.isnan(rows).any()
    log_odds = card.log_odds(card.contributions(rows, card.features))
    mine = np.array([likelihood(value) for value in log_odds.tolist()])
    np.testing.assert_allclose(mine, made.estimators[stage].predict_proba(rows)[:, 1], rtol=0.0, atol=1e-12)


@given(chosen=st.data())
def test_a_scorecard_is_the_calibrated_boosting_even_on_rows_that_no_log_has(made, chosen):
    for stage in STAGES:
        card = made.scorecards[stage]
        free = [feature.direction == 0 for feature in FEATURES[: WIDTHS[stage]]]
        row = np.array([chosen.draw(values if any_ else st.floats(0.0, 1_000.0)) for any_ in free])
        row[np.isinf(row)] = np.sign(row[np.isinf(row)]) * 1e300  # the estimator takes no infinity
        mine = likelihood(card.score(row)[0])
        assert mine == pytest.approx(made.estimators[stage].predict_proba(row[np.newaxis])[0, 1], abs=1e-12)


@pytest.mark.parametrize("stage", STAGES)
def test_one_call_and_a_whole_log_get_the_same_bits(made, stage):
    rows, card = rows_of(made, stage), made.scorecards[stage]
    contributions = card.contributions(rows, card.features)
    log_odds = card.log_odds(contributions)
    for row, terms, total in zip(rows, contributions, log_odds, strict=True):
        mine, mine_terms = card.score(row)
        assert mine == total
        np.testing.assert_array_equal(mine_terms, terms)


@pytest.mark.parametrize("stage", STAGES)
def test_the_contributions_and_the_intercept_are_the_log_odds(made, stage):
    card = made.scorecards[stage]
    for row in rows_of(made, stage)[::20]:
        log_odds, terms = card.score(row)
        total = 0.0
        for term in terms.tolist():
            total += term
        assert log_odds == card.intercept + total
        told = reasons(row.tolist(), terms.tolist(), [pair.places for pair in card.pairs], in_words=True)
        assert sum(reason["contribution"] for reason in told) == pytest.approx(log_odds - card.intercept, abs=1e-12)
        assert all(reason["text"] for reason in told)


@pytest.mark.parametrize("stage", STAGES)
def test_the_mean_training_call_has_no_contributions(made, stage):
    card, rows = made.scorecards[stage], rows_of(made, stage)[made.past.fit]
    contributions = card.contributions(rows, card.features)
    np.testing.assert_allclose(contributions.mean(axis=0), 0.0, atol=1e-12)
    for place, step in enumerate(card.steps):
        assert step.shares.sum() == pytest.approx(1.0, abs=1e-12)
        assert step.shares[-1] == np.isnan(rows[:, place]).mean()
        mean = step.shares @ np.append(step.contributions, step.missing)
        assert mean == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("stage", STAGES)
def test_the_steps_of_a_feature_go_only_in_its_direction(made, stage):
    constrained = 0
    for feature, step in zip(FEATURES, made.scorecards[stage].steps, strict=False):
        if feature.direction:
            assert (np.diff(step.contributions) * feature.direction >= 0.0).all()
            constrained += len(step.edges)
    assert constrained > 10


@pytest.mark.parametrize("stage", STAGES)
def test_no_two_neighbouring_steps_are_equal(made, stage):
    for step in made.scorecards[stage].steps:
        assert (np.diff(step.edges) > 0.0).all()
        assert len(step.contributions) == len(step.edges) + 1
        assert (np.diff(step.contributions) != 0.0).all()


@given(row=st.lists(values, min_size=len(NAMES), max_size=len(NAMES)))
def test_a_value_takes_the_step_whose_upper_edge_it_does_not_pass(made, row):
    card = made.scorecards["ended"]
    _, terms = card.score(np.array(row))
    for value, step, term in zip(row, card.steps, terms, strict=False):
        if np.isnan(value):
            assert term == step.missing
        else:
            assert term == step.contributions[sum(edge < value for edge in step.edges)]


@pytest.mark.parametrize("stage", STAGES)
def test_json_brings_the_same_scorecard_back(made, stage):
    card = made.scorecards[stage]
    again = Scorecard.from_json(stage, json.loads(json.dumps(card.to_json(), allow_nan=False)))
    assert again.to_json() == card.to_json()
    rows = rows_of(made, stage)
    np.testing.assert_array_equal(again.contributions(rows, again.features), card.contributions(rows, card.features))
    assert again.intercept == card.intercept


@pytest.mark.parametrize(
    "names",
    [
        lambda names: (names[1], names[0], *names[2:]),
        lambda names: names[:-1],
        lambda names: (*names, "duration_s"),
        lambda names: (*names[:-1], "duration_s"),
        lambda names: (),
    ],
)
def test_features_that_are_not_those_of_the_scorecard_are_refused(made, names):
    card = made.scorecards["opening"]
    wrong = names(card.features)
    with pytest.raises(ScorecardError, match="stage opening: got features"):
        card.contributions(np.zeros((2, len(wrong))), wrong)
    steps = {step.feature: step for step in made.scorecards["ended"].steps}
    with pytest.raises(ScorecardError, match="stage opening: features"):
        Scorecard("opening", 0.0, [steps[name] for name in wrong])


@pytest.mark.parametrize("width", [0, 1, len(NAMES) - 1, len(NAMES)])
def test_rows_of_another_width_are_refused(made, width):
    card = made.scorecards["opening"]
    with pytest.raises(ScorecardError, match="shape"):
        card.contributions(np.zeros((2, width)), card.features)
    with pytest.raises(ScorecardError, match="shape"):
        card.contributions(np.zeros(len(card.features)), card.features)
    with pytest.raises(ScorecardError, match="shape"):
        card.score(np.zeros(width))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    "place",
    [
        lambda document, number: document.update(intercept=number),
        lambda document, number: document["features"][0]["missing"].update(contribution=number),
        lambda document, number: document["features"][0]["missing"].update(share=number),
        lambda document, number: document["features"][0]["steps"][0].update(contribution=number),
        lambda document, number: document["features"][0]["steps"][0].update(share=number),
        lambda document, number: document["features"][0]["steps"][0].update(up_to=number),
        lambda document, number: document["features"][0]["steps"][-1].update(contribution=number),
    ],
)
def test_a_number_that_is_not_finite_is_refused(made, place, number):
    document = copy.deepcopy(made.scorecards["ring"].to_json())
    assert len(document["features"][0]["steps"]) > 1
    place(document, number)
    with pytest.raises(ScorecardError, match="stage ring"):
        Scorecard.from_json("ring", document)


@pytest.mark.parametrize(
    "change",
    [
        lambda steps: steps.reverse(),
        lambda steps: steps.insert(0, dict(steps[0])),
        lambda steps: steps.pop(),
    ],
)
def test_steps_out_of_order_are_refused(made, change):
    document = copy.deepcopy(made.scorecards["ring"].to_json())
    change(document["features"][0]["steps"])
    with pytest.raises(ScorecardError, match="feature calls_1h: steps that are not in order"):
        Scorecard.from_json("ring", document)


def test_a_scorecard_can_be_written_by_hand():
    nothing = np.empty(0), np.zeros(1), 0.0, np.array([1.0, 0.0])
    steps = [Steps(name, *nothing) for name in NAMES[: WIDTHS["ring"]]]
    steps[0] = Steps("calls_1h", np.array([2.0]), np.array([-1.0, 0.5]), 0.25, np.array([0.5, 0.5, 0.0]))
    card = Scorecard("ring", 0.125, steps)
    row = np.zeros(WIDTHS["ring"])
    scores = []
    for calls in (0.0, 2.0, np.nextafter(2.0, 3.0), float("nan")):
        row[0] = calls
        scores.append(card.score(row)[0])
    assert scores == [-0.875, -0.875, 0.625, 0.375]


@given(st.floats(-800.0, 800.0), st.floats(-800.0, 800.0))
def test_a_likelihood_is_a_probability_that_rises_with_the_log_odds(one, other):
    low, high = sorted((one, other))
    assert 0.0 <= likelihood(low) <= likelihood(high) <= 1.0
