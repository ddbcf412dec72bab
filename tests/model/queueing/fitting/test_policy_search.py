from dataclasses import replace

import numpy as np
import pytest

from model.policy.deferral import DeferralSettings
from model.policy.deferral_curve import DEFAULT_SHAPE, CurveShape
from model.policy.guardrails import FITTED, GUARDRAIL_NAMES, GUARDRAILS
from model.queueing.fitting.exposure import Exposure
from model.queueing.fitting.group_estimates import drawn_together
from model.queueing.fitting.held_out_calls import EVERYBODY, LEAST_CALLS, HeldOutCalls
from model.queueing.fitting.policy_fit import LONGEST_RATIO, excess
from model.queueing.fitting.policy_proposal import Candidate
from model.queueing.fitting.policy_search import LEAST_HELD, PolicySearch
from model.queueing.fitting.policy_trial import PolicyTrials

START = Candidate(DEFAULT_SHAPE, 2.0, tuple(rail.cap for rail in GUARDRAILS))
FIRST_CALL, PROTECTED = GUARDRAIL_NAMES.index("first_call"), GUARDRAIL_NAMES.index("protected")


@pytest.fixture(scope="module")
def calls():
    """Two weeks of 4,000 calls: a third genuine, half first calls; one genuine in ten looks a little like a prank."""
    rng = np.random.default_rng(7)
    n = 4_000
    genuine = rng.random(n) < 0.33
    like_pranks = genuine & (rng.random(n) < 0.1)
    log_odds = np.where(like_pranks, -0.2, np.where(genuine, -1.2, 1.2)) + rng.normal(size=n)
    return HeldOutCalls(
        received_us=np.sort(rng.integers(0, 14 * 86_400_000_000, n)),
        handling_s=rng.gamma(2.0, np.where(genuine, 30.0, 20.0)),
        genuine=genuine,
        callers=np.where(rng.random(n) < 0.1, -1, rng.integers(0, 3_000, n)),
        guarded=1.0 / (1.0 + np.exp(-log_odds)),
        held=(rng.random(n) < 0.5).astype(np.int64) << FIRST_CALL,
        slices={"like_pranks": like_pranks, "rare": np.arange(n) < 30},
    )


def search(calls, start=START, fitted_caps=FITTED, fit_kappa=True):
    trials = PolicyTrials(calls, DeferralSettings(), operators=3, draws=2)
    return PolicySearch(calls, trials, start, fitted_caps=fitted_caps, fit_kappa=fit_kappa)


@pytest.fixture(scope="module")
def fit(calls):
    return search(calls).run()


def test_the_chosen_policy_keeps_every_constraint_and_closes_more_than_where_it_started(calls, fit):
    own = fit.trials[fit.chosen]
    assert excess(own) == 0.0
    assert own.longest_shown <= LONGEST_RATIO
    assert max(own.waits.values()) <= 0.0
    assert max(own.waits_with_hang_ups.values()) <= 0.0
    assert max(own.lost.values()) <= 0.0
    assert own.gap_closed > fit.trials[START].gap_closed + 0.1
    again = PolicyTrials(calls, DeferralSettings(), operators=3, draws=2).run(fit.chosen)
    assert again == own


def test_the_same_calls_give_the_same_policy(calls, fit):
    again = search(calls).run()
    assert again.chosen == fit.chosen
    assert again.to_json() == fit.to_json()


def test_what_may_not_be_fitted_stays(calls, fit):
    assert [fit.chosen.caps[rail] for rail in range(len(GUARDRAILS)) if rail != FIRST_CALL] == [
        START.caps[rail] for rail in range(len(GUARDRAILS)) if rail != FIRST_CALL
    ]
    by_hand = Candidate(DEFAULT_SHAPE, 2.5, (0.3, *START.caps[1:]))
    found = search(calls, by_hand, FITTED - {"first_call"}, fit_kappa=False).run()
    assert {(tried.kappa, tried.caps[FIRST_CALL]) for tried in found.trials} == {(2.5, 0.3)}
    assert all(tried.caps[PROTECTED] == 0.0 for tried in (*fit.trials, *found.trials))


def test_a_guardrail_that_holds_on_few_genuine_calls_keeps_its_wall(calls):
    few = np.flatnonzero(calls.genuine)[: LEAST_HELD - 1]
    held = np.zeros(len(calls.held), np.int64)
    held[few] = 1 << FIRST_CALL
    assert search(replace(calls, held=held)).fitted == ()
    held[np.flatnonzero(calls.genuine)[LEAST_HELD - 1]] = 1 << FIRST_CALL
    assert search(replace(calls, held=held)).fitted == ("first_call",)


def test_a_group_of_few_genuine_calls_is_not_looked_at(calls):
    assert "rare" not in calls.groups
    assert {"like_pranks", "first_call", "unguarded", EVERYBODY} <= set(calls.groups)
    assert all(len(rows) >= LEAST_CALLS for rows in calls.groups.values())


def test_genuine_callers_who_look_like_pranks_hold_the_policy_back(calls):
    hard = replace(calls, guarded=np.where(calls.slices["like_pranks"], 0.9, calls.guarded))
    seen, blind = search(hard).run(), search(replace(hard, slices={})).run()
    lived = PolicyTrials(hard, DeferralSettings(), operators=3, draws=2).run(blind.chosen)
    assert lived.waits["like_pranks"] > 0.0
    assert blind.chosen not in seen.trials or seen.chosen != blind.chosen
    assert seen.trials[seen.chosen].gap_closed < lived.gap_closed


@pytest.mark.parametrize("shape", [CurveShape(0.45, 0.1, 0.5), CurveShape(0.6, 0.02, 0.9), CurveShape(0.25, 0.3, 0.25)])
def test_exposure_says_about_what_a_replay_finds(calls, shape):
    caps = (0.5, *START.caps[1:])
    shares = Exposure(calls).of(shape, caps)
    candidate = Candidate(shape._replace(passing_work=0.45), 2.0, caps)
    found = PolicyTrials(calls, DeferralSettings(), operators=3, draws=2).run(candidate)
    assert found.gap_closed == pytest.approx(0.9 * shares.gain, abs=0.2)


def test_prices_and_frontier_are_of_what_was_tried(fit):
    found = fit.to_json()
    assert set(found["price_of_constraints"]) == {"longest", "waits", "lost"}
    assert all(price >= 0.0 for price in found["price_of_constraints"].values())
    assert list(found["price_of_walls"]) == ["first_call"]
    for fair in (True, False):
        points = [point for point in found["frontier"] if point["nobody_loses"] == fair]
        assert points == sorted(points, key=lambda point: (point["longest"], point["gap_closed"]))


def test_a_group_of_few_is_believed_to_be_like_the_others_and_one_of_many_keeps_its_mean():
    means, errors = drawn_together(np.array([0.9, 0.9]), np.array([0.001, 0.6]), 0.5)
    assert means[0] == pytest.approx(0.9, abs=0.01)
    assert 0.5 < means[1] < 0.8
    assert errors[1] < 0.6
    nothing, none = drawn_together(np.array([0.0]), np.array([0.0]), 0.5)
    assert nothing.tolist() == none.tolist() == [0.0]
