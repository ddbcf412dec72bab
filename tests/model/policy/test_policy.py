import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.params import Params
from model.policy.assessor import Assessor
from model.policy.deferral import DeferralSettings
from model.policy.guardrails import GUARDRAIL_NAMES, lowest_cap
from model.policy.likeness import badge_of
from model.policy.policy import Band, Policy, band_of
from model.policy.stage_scores import stage_scores
from model.release.folder import to_bytes
from model.scorecard.features import STAGES
from model.training.centre_policy import score_held_out, set_policy


def test_bands_are_ordered_from_the_harmless_end():
    assert [band.id for band in sorted(Band)] == ["unscored", "normal", "unsure", "likely_prank"]
    assert Band.UNSCORED < Band.NORMAL < Band.UNSURE < Band.LIKELY_PRANK


scores = st.floats(0.0, 1.0)


@given(scores, scores, st.none() | scores)
def test_a_call_that_is_not_deferred_is_normal_and_only_a_certified_threshold_flags(guarded, factor, threshold):
    band = band_of(guarded, factor, threshold)
    assert (band == Band.NORMAL) == (factor == 0.0)
    assert (band == Band.LIKELY_PRANK) == (factor > 0.0 and threshold is not None and guarded > threshold)


@given(scores, scores, st.none() | scores, st.none() | scores, st.booleans())
def test_only_a_proof_and_no_guardrail_lets_a_call_be_shown_as_like_a_prank(guarded, factor, threshold, like, by_lot):
    band = band_of(guarded, factor, threshold)
    badge = badge_of(band.id, like, held_out=by_lot)
    assert (badge == "not_rated") == by_lot
    assert (badge == "like_emergencies") == (not by_lot and like is not None and like > 0.5)
    proven = threshold is not None and guarded > threshold and factor > 0.0
    assert (badge == "prank_like") == (not by_lot and proven and like is not None and like <= 0.05)
    assert badge_of("unscored", like) == "not_rated"


@given(st.lists(scores, min_size=2, max_size=2).map(sorted), scores)
def test_a_higher_score_is_never_a_more_harmless_band(made, pair, threshold):
    for stage in STAGES:
        low, high = (
            band_of(guarded, float(made.policy.curves[stage].factors(guarded)[0]), threshold) for guarded in pair
        )
        assert low <= high


def test_json_brings_the_same_policy_back(made):
    again = Policy.from_json(json.loads(to_bytes(made.policy.to_json())))
    assert again == made.policy
    for stage in STAGES:
        guarded = np.linspace(0.0, 1.0, 1_000)
        np.testing.assert_array_equal(
            again.curves[stage].factors(guarded, 0.5), made.policy.curves[stage].factors(guarded, 0.5)
        )


@pytest.mark.parametrize("off", GUARDRAIL_NAMES)
def test_a_guardrail_that_is_off_is_off_when_read_again(made, off):
    params = Params(guardrails={off: {"enabled": False}})
    policy = Policy(made.policy.curves, made.policy.unguarded, params.caps(), params.limits(), DeferralSettings())
    again = Policy.from_json(json.loads(to_bytes(policy.to_json())))
    assert [name for name, cap in zip(GUARDRAIL_NAMES, again.caps, strict=True) if math.isnan(cap)] == [off]
    assert again.limits == policy.limits


@pytest.mark.parametrize("stage", STAGES)
def test_one_call_assessed_gets_the_same_bits_as_in_its_log(made, stage):
    past, width = made.past, len(made.scorecards[stage].features)
    protected = np.arange(len(past.events)) % 11 == 0
    scores = stage_scores(past.table, made.scorecards[stage], made.policy, protected=protected)
    assessor = Assessor(made.scorecards[stage], made.policy)
    for part in past.table.parts():
        for row, history, call, features in zip(*part, strict=True):
            if row % 5 == 0:
                found = assessor.assess(history, call, protected=bool(protected[row]))
                assert found.likelihood == scores.likelihood[row]
                assert found.guarded == scores.guarded[row]
                assert found.factor == scores.factor[row]
                assert found.unguarded == scores.unguarded[row]
                assert found.held == scores.held[row]
                np.testing.assert_array_equal(found.features, features[:width])


def test_guardrails_only_lower_factors_before_they_are_scaled(made):
    bare = Params(guardrails={name: {"enabled": False} for name in GUARDRAIL_NAMES})
    for stage, name in itertools.product(STAGES, GUARDRAIL_NAMES):
        kept = Params(guardrails={other: {"enabled": False} for other in GUARDRAIL_NAMES if other != name})
        policies = [
            Policy(made.policy.curves, made.policy.unguarded, params.caps(), params.limits()) for params in (kept, bare)
        ]
        one, none = (stage_scores(made.past.table, made.scorecards[stage], policy) for policy in policies)
        assert (one.factor <= none.factor).all()
        assert (one.guarded <= none.guarded).all()
        assert (none.cap == 1.0).all()
        np.testing.assert_array_equal(none.guarded, none.likelihood)


def test_the_curve_without_guardrails_is_the_one_fitted_with_all_of_them_off(made):
    bare = Params(guardrails={name: {"enabled": False} for name in GUARDRAIL_NAMES})
    rows = made.past.calibrate
    scores = score_held_out(made.past, rows, made.scorecards, bare)
    off, on = (set_policy(made.past, rows, scores, params, draws=0) for params in (bare, Params()))
    for stage in STAGES:
        assert off.curves[stage] == off.unguarded[stage] == on.unguarded[stage]


@pytest.mark.parametrize("stage", STAGES)
def test_what_every_guardrail_says_gives_the_cap_under_any_of_them(made, stage):
    table, card = made.past.table, made.scorecards[stage]
    held = stage_scores(table, card, made.policy.with_every_guardrail()).held
    for off in GUARDRAIL_NAMES:
        params = Params(guardrails={off: {"enabled": False}, "no_number": {"enabled": off != "no_number", "cap": 0.3}})
        policy = Policy(made.policy.curves, made.policy.unguarded, params.caps(), params.limits())
        np.testing.assert_array_equal(lowest_cap(held, policy.caps), stage_scores(table, card, policy).cap)
