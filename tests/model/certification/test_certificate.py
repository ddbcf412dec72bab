import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.certification.certificate import LIFE, Certificate, GroupProof, State, certificate_hash
from model.certification.deferral_proof import Load, prove_deferral
from model.certification.proof import (
    StageCalls,
    certify,
    prove_flag,
    split_delta,
)
from model.certification.units import keyed_order, one_call_per_unit
from model.language.catalogue import catalogue
from model.language.texts import LANGUAGES

KEY = b"a key"
ISSUED = datetime(2026, 11, 23, tzinfo=UTC)
caller_codes = st.lists(st.integers(-1, 6), max_size=40)
scores = st.lists(st.integers(0, 20).map(float), max_size=150).map(np.array)


def a_centre(genuine=200, others=3000, seed=0, genuine_factor=0.02):
    rng = np.random.default_rng(seed)
    n = genuine + others
    is_genuine = np.arange(n) < genuine
    return StageCalls(
        score=rng.normal(np.where(is_genuine, -2.0, 2.0)),
        defer_factor=np.where(is_genuine, genuine_factor, rng.uniform(0.3, 0.9, n)),
        genuine=is_genuine,
        handling_s=np.where(rng.random(n) < 0.05, np.nan, rng.uniform(10, 200, n)),
        held=np.zeros(n, dtype=np.int64),
        callers=np.arange(n),
        units=np.arange(n),
        call_ids=[f"call {i}" for i in range(n)],
    )


def a_certificate(calls=None, alpha=0.05):
    calls = calls or a_centre()
    return certify(
        {"ring": calls, "opening": calls},
        alpha=alpha,
        delta=0.05,
        key=KEY,
        issued_at=ISSUED,
        fingerprint=certificate_hash("scorecard", "policy"),
        base_rate=0.94,
    )


@given(codes=caller_codes)
def test_each_caller_gives_one_call_and_each_call_without_number_itself(codes):
    callers = np.array(codes, dtype=np.int64)
    chosen = one_call_per_unit(callers, keyed_order([str(i) for i in range(len(codes))], KEY))
    assert sorted(c for c in callers[chosen].tolist() if c >= 0) == sorted({c for c in codes if c >= 0})
    assert [i for i in chosen.tolist() if codes[i] == -1] == [i for i, c in enumerate(codes) if c == -1]


@given(codes=caller_codes, data=st.data())
def test_the_chosen_calls_are_the_same_in_any_order_of_the_log(codes, data):
    order = data.draw(st.permutations(range(len(codes))))
    callers, call_ids = np.array(codes, dtype=np.int64), [str(i) for i in range(len(codes))]
    chosen = {call_ids[i] for i in one_call_per_unit(callers, keyed_order(call_ids, KEY)).tolist()}
    moved = one_call_per_unit(callers[list(order)], keyed_order([call_ids[i] for i in order], KEY))
    assert {call_ids[order[i]] for i in moved.tolist()} == chosen


def test_another_key_chooses_other_calls_and_no_key_is_refused():
    callers, call_ids = np.repeat(np.arange(50), 10), [str(i) for i in range(500)]
    first, second = (one_call_per_unit(callers, keyed_order(call_ids, key)).tolist() for key in (b"1", b"2"))
    assert first != second
    with pytest.raises(ValueError, match="key"):
        keyed_order(call_ids, b"")


def test_caller_codes_below_minus_one_are_refused():
    with pytest.raises(ValueError, match="-2"):
        one_call_per_unit(np.array([-2]), keyed_order(["a"], KEY))


@given(values=scores, alpha=st.sampled_from([0.02, 0.05, 0.2]), delta=st.sampled_from([0.0125, 0.05]))
def test_a_threshold_exists_exactly_when_nobody_is_missing(values, alpha, delta):
    proof = prove_flag(values, alpha, delta)
    assert (proof.threshold is None) == (proof.missing > 0)
    if proof.threshold is not None:
        assert proof.threshold in values
        assert proof.observed_share <= alpha
        assert proof.best_alpha <= alpha


@given(values=scores, low=st.floats(-9.0, 0.0))
def test_one_more_genuine_caller_with_a_low_score_never_raises_the_threshold(values, low):
    before, after = (prove_flag(v, 0.05, 0.05).threshold for v in (values, np.append(values, low)))
    if before is not None:
        assert after is not None
        assert after <= before


def test_when_all_genuine_callers_score_alike_none_of_them_is_flagged():
    proof = prove_flag(np.full(300, 0.7), 0.05, 0.05)
    assert proof.threshold == 0.7
    assert proof.observed_share == 0.0


@pytest.mark.parametrize("n", [0, 1, 58])
def test_with_too_few_genuine_callers_there_is_no_threshold_but_a_count(n):
    proof = prove_flag(np.zeros(n), 0.05, 0.05)
    assert (proof.threshold, proof.rank, proof.missing) == (None, None, 59 - n)


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="finite"):
        prove_flag(np.array([0.1, np.nan]), 0.05, 0.05)


@given(delta=st.floats(0.001, 0.5), stages=st.integers(1, 5))
def test_the_parts_of_delta_add_up(delta, stages):
    assert sum([*split_delta(delta, stages)] * stages) == pytest.approx(delta, rel=1e-12)


def test_the_gate_opens_for_a_useful_policy_and_stays_shut_for_one_that_defers_all_alike():
    assert all(s.deferral.on for s in a_certificate().stages)
    alike = a_centre()._replace(defer_factor=np.full(3200, 0.5))
    shut = a_certificate(alike).stage("ring").deferral
    assert not shut.on
    assert shut.reason == "not_proven"


def test_without_genuine_callers_nothing_is_allowed_and_the_reason_says_so():
    certificate = a_certificate(a_centre(genuine=0))
    for stage in certificate.stages:
        assert stage.flag.threshold is None
        assert not stage.deferral.on
        assert stage.deferral.reason == "no_genuine_callers"


@pytest.mark.parametrize("genuine", [1, 2])
def test_one_or_two_genuine_callers_prove_nothing(genuine):
    deferral = a_certificate(a_centre(genuine=genuine, genuine_factor=0.4)).stage("ring").deferral
    assert not deferral.on


def test_a_caller_who_rings_all_day_counts_for_one_hour():
    factors, time_s, callers = np.repeat([1.0, 0.2], [1000, 1000]), np.full(2000, 60.0), np.arange(2000)
    apart = prove_deferral(np.zeros(100), factors, Load(time_s, callers), 0.01, 0.01)
    callers = np.where(callers < 1000, 0, callers)
    one = prove_deferral(np.zeros(100), factors, Load(time_s, callers), 0.01, 0.01)
    assert apart.load_mean == one.load_mean == pytest.approx(0.6)
    assert one.load_lower < 0.25 < apart.load_lower
    assert one.load_callers == 1001


def test_a_caller_counts_by_handling_time():
    factors, time_s = np.repeat([1.0, 0.0], 1000), np.repeat([300.0, 30.0], 1000)
    proof = prove_deferral(np.zeros(100), factors, Load(time_s, np.arange(2000)), 0.01, 0.01)
    assert proof.load_mean == pytest.approx(300 / 330)
    assert 0.7 < proof.load_lower < proof.load_mean


def test_the_bound_is_held_to_the_mean_that_was_seen():
    # One caller who is never deferred took three quarters of all the time, but counts for one hour.
    factors = np.append(np.full(2000, 0.9), 0.0)
    time_s = np.append(np.full(2000, 60.0), 360_000.0)
    proof = prove_deferral(np.zeros(100), factors, Load(time_s, np.arange(2001)), 0.01, 0.01)
    assert proof.load_lower == proof.load_mean == pytest.approx(0.225)


def test_calls_without_number_are_not_one_caller():
    factors, time_s = np.tile([0.2, 0.9], 500), np.full(1000, 60.0)
    withheld = prove_deferral(np.zeros(100), factors, Load(time_s, np.full(1000, -1)), 0.01, 0.01)
    known = prove_deferral(np.zeros(100), factors, Load(time_s, np.arange(1000)), 0.01, 0.01)
    assert withheld == known


def test_calls_that_took_no_time_do_not_count():
    factors, callers = np.array([0.5, 0.9]), np.arange(2)
    proof = prove_deferral(np.zeros(5), factors, Load(np.array([60.0, np.nan]), callers), 0.01, 0.01)
    assert (proof.load_callers, proof.load_mean) == (1, 0.5)
    nothing = prove_deferral(np.zeros(5), factors, Load(np.zeros(2), callers), 0.01, 0.01)
    assert (nothing.load_mean, nothing.load_lower, nothing.on) == (None, 0.0, False)


def test_a_certificate_survives_json():
    for certificate in (a_certificate(), a_certificate(a_centre(genuine=3)), a_certificate(a_centre(genuine=0))):
        text = certificate.to_json()
        assert Certificate.from_json(text) == certificate
        assert "\n  " in text


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("delta",), "0.05", "delta"),
        (("format",), 2, "format"),
        (("subject",), "anything", "subject"),
        (("stages", 0, "flag", "rank"), True, "rank"),
        (("stages", 0, "flag", "threshold"), None, "agree"),
        (("stages", 0, "flag", "invented"), 1, "invented"),
        (("stages", 1, "deferral", "on"), 1, "on"),
        (("stages", 1, "deferral", "on"), False, "agree"),
        (("stages", 1, "deferral", "delta_load"), 0.5, "add up"),
        (("issued_at",), "2026-11-23T00:00:00", "timezone"),
    ],
)
def test_a_tampered_certificate_is_refused_by_name(path, value, message):
    document = json.loads(a_certificate().to_json())
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(ValueError, match=message):
        Certificate.from_json(json.dumps(document))


def test_a_certificate_holds_from_its_issue_up_to_but_not_including_its_end():
    certificate = a_certificate()
    sure = {"fingerprint": certificate.fingerprint}
    assert certificate.state(ISSUED, **sure) == State("valid", "")
    assert certificate.state(ISSUED + LIFE - timedelta(microseconds=1), **sure).word == "valid"
    assert certificate.state(ISSUED + LIFE, **sure) == State("expired", "expired")
    assert certificate.state(ISSUED - timedelta(seconds=1), **sure) == State("void", "not_yet_issued")


@pytest.mark.parametrize(
    ("news", "reason"),
    [
        ({"fingerprint": "another"}, "release_changed"),
        ({"base_rate": 0.62}, "base_rate_fell"),
        ({"drifted": True}, "drift"),
    ],
)
def test_each_change_voids_the_certificate_and_says_which(news, reason):
    certificate = a_certificate()
    sure = {"fingerprint": certificate.fingerprint, "base_rate": 0.64}
    assert certificate.state(ISSUED, **sure).word == "valid"
    assert certificate.state(ISSUED, **{**sure, **news}) == State("void", reason)


def test_a_stage_that_was_not_certified_is_a_key_error():
    with pytest.raises(KeyError, match="ended"):
        a_certificate().stage("ended")


def test_the_sentence_says_what_is_promised_and_what_is_missing():
    english = a_certificate().sentence("en")
    assert "with 200 genuine callers this centre can promise at 95% confidence" in english
    assert "at most 5 of 100 genuine callers" in english
    # A fourth of delta = 5 % asks for 86 genuine callers.
    few = a_certificate(a_centre(genuine=47))
    assert "39 more genuine callers are needed for 5%" in few.sentence("en")
    assert "1 more genuine caller is needed" in a_certificate(a_centre(genuine=85)).sentence("en")
    assert "too few genuine callers to keep some" in a_certificate(a_centre(genuine=0)).sentence("en")
    assert "39 penelepon darurat lagi untuk 5%" in few.sentence("id")


def test_the_sentence_names_the_groups_that_are_not_deferred_and_json_keeps_them():
    stage = a_certificate().stage("ring")
    groups = (GroupProof("first_call", 30, 0.4, 0.6, False), GroupProof("no_number", 90, 0.05, 0.1, True))
    walled = replace(a_certificate(), stages=(replace(stage, deferral=replace(stage.deferral, groups=groups)),))
    assert "not proven that genuine callers of this kind gain: first call from this number." in walled.sentence("en")
    assert "panggilan pertama dari nomor ini." in walled.sentence("id")
    assert Certificate.from_json(walled.to_json()) == walled
    assert "of this kind" not in a_certificate().sentence("en")
    older = json.loads(walled.to_json())
    del older["stages"][0]["deferral"]["groups"]
    assert Certificate.from_json(json.dumps(older)).stage("ring").deferral.allows(["first_call"])


def test_the_sentence_begins_with_why_a_certificate_does_not_hold():
    certificate = a_certificate()
    for language in LANGUAGES:
        for reason in ("release_changed", "base_rate_fell", "drift", "not_yet_issued", "expired"):
            said = certificate.sentence(language, State("void", reason))
            assert catalogue(language)(f"certificate.reason.{reason}") in said.split(":")[0]
        assert certificate.sentence(language, State("valid", "")) == certificate.sentence(language)


def test_a_certificate_of_the_procedure_says_so():
    certificate = replace(a_certificate(), subject="procedure")
    for language in LANGUAGES:
        assert certificate.sentence(language).endswith(catalogue(language)("certificate.procedure"))
