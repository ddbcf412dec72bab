import json
from datetime import UTC, datetime

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from model.calls.call_events import sort_calls
from model.certification.proof import StageCalls, certify
from model.certification.units import is_repeat, units_of
from model.evaluation.evaluation import Effort
from model.params import Boosting, Params
from model.policy.stage_scores import stage_scores
from model.queueing.scenarios import handling_times
from model.release.folder import read_release, write_release
from model.release.pipeline import data_hash, make_release
from model.release.scored_log import score_log
from model.scorecard.features import ACTING_STAGES, NAMES, STAGES, WIDTHS
from model.training.dataset import prepare_dataset

NOW = datetime(2026, 11, 1, tzinfo=UTC)
FEW = Params(boosting=Boosting(max_iter=20))
QUICK = Effort(seeds=4, resamples=20, policy_draws=0)


def genuine_of(calls, corrections):
    """The last disposition of each call, by call_id: True genuine, False not; no entry without a label."""
    last = calls.set_index("call_id")["disposition"].copy()
    for row in corrections.itertuples():
        last[row.call_id] = row.disposition
    last = last[last.notna() & ~last.isin(["test", "abandoned", "unanswered"])]
    return last.isin(["genuine", "duplicate"])


def test_a_release_ranks_later_calls_better_the_more_of_them_it_knows(city, tmp_path):
    calls = sort_calls(city.calls)
    until = calls["received_at"].iloc[3_000]
    made = make_release(city.calls, FEW, NOW, until, city.corrections, QUICK)
    write_release(tmp_path / "release", made.files(), made.facts(NOW))
    release = read_release(tmp_path / "release")
    genuine = genuine_of(city.calls, city.corrections)
    aucs = []
    for stage in STAGES:
        scored = score_log(city.calls, release, stage, city.corrections).set_index("call_id")
        later = scored.index[(calls["received_at"] >= until).to_numpy() & scored.index.isin(genuine.index)]
        aucs.append(roc_auc_score(~genuine[later], scored.loc[later, "prank_likelihood"]))
    assert len(later) > 500
    assert aucs == sorted(aucs)
    assert aucs[0] > 0.6
    assert aucs[2] > 0.8


def test_a_release_made_at_a_moment_knows_nothing_of_what_came_after(city):
    calls = sort_calls(city.calls)
    until = calls["received_at"].iloc[2_500]
    altered = calls.copy()
    altered.loc[altered["disposed_at"] >= until, "disposition"] = "genuine"
    altered.loc[altered["received_at"] >= until, ["caller", "line"]] = ["+6281234567890", "voip"]
    altered.loc[altered["ended_at"] >= until, "duration_s"] = 1.0
    earlier = city.corrections[city.corrections["disposed_at"] < until]
    one = make_release(city.calls, FEW, NOW, until, city.corrections, QUICK)
    other = make_release(altered[altered["received_at"] < until], FEW, NOW, until, earlier, QUICK)
    assert one.files() == other.files()
    assert one.facts(NOW) == other.facts(NOW)


def test_making_twice_gives_the_same_files_byte_for_byte(city):
    one, other = (make_release(city.calls, FEW, NOW, corrections=city.corrections, effort=QUICK) for _ in range(2))
    assert one.files() == other.files()
    shuffled = make_release(
        city.calls.sample(frac=1.0, random_state=1), FEW, NOW, corrections=city.corrections, effort=QUICK
    )
    assert shuffled.files() == one.files()


def test_a_certificate_is_of_what_is_served_and_nothing_pooled_over_earlier_models_touches_it(made):
    """Calibration and policy rest on what several earlier models said; the proof only on the last one's later calls."""
    past = made.past
    assert past.certify.any()
    for origin in past.origins[:-1]:
        assert not (past.certify & (origin.fit | origin.block)).any()
    genuine = (past.events.outcome == 0)[past.certify] & ~is_repeat(past.events)[past.certify]
    for proof in made.certificate.stages:
        served = stage_scores(past.table, made.scorecards[proof.stage], made.policy, past.certify)
        calls = StageCalls(
            score=np.where(served.factor > 0.0, served.guarded, 0.0),
            defer_factor=served.factor,
            held=served.held,
            genuine=genuine,
            handling_s=handling_times(past.events)[past.certify],
            callers=past.events.caller[past.certify],
            units=units_of(past.events)[past.certify],
            call_ids=past.calls["call_id"][past.certify].tolist(),
        )
        both = dict.fromkeys(ACTING_STAGES, calls)
        key, about = b"saring-one-call-per-caller", {"issued_at": NOW, "fingerprint": "", "base_rate": 0.9}
        again = certify(both, alpha=0.05, delta=0.05, key=key, caps=made.policy.caps, **about)
        assert again.stage(proof.stage) == proof


def test_the_estimator_is_kept_for_data_scientists(made, release_folder):
    estimators = joblib.load(release_folder / "estimator.joblib")
    rows = made.past.table.matrix()[:50]
    for stage in STAGES:
        mine = rows[:, : WIDTHS[stage]]
        np.testing.assert_array_equal(estimators[stage].predict_proba(mine), made.estimators[stage].predict_proba(mine))


def test_every_file_but_the_estimator_is_strict_json(made):
    def refuse(constant):
        raise AssertionError(constant)

    for name, content in made.files().items():
        if name.endswith(".json"):
            assert json.loads(content, parse_constant=refuse)


def test_the_facts_say_what_was_trained_on(made, city):
    facts = made.facts(NOW)
    assert facts["data"]["calls"] == len(city.calls)
    assert facts["data"]["first_call"] == city.calls["received_at"].min().isoformat()
    assert facts["data"]["last_call"] == city.calls["received_at"].max().isoformat()
    assert facts["labels"] == Params().labels
    assert pd.Timestamp(facts["until"]) > city.calls["received_at"].max()
    assert Params.model_validate(facts["params"]) == Params()


def test_the_fingerprint_of_the_data_changes_with_any_label(city):
    changed = city.calls.copy()
    row = changed.index[changed["disposition"] == "prank"][0]
    changed.loc[row, "disposition"] = "genuine"
    one, same, other = (
        data_hash(prepare_dataset(calls, Params()).events) for calls in (city.calls, city.calls.copy(), changed)
    )
    assert one == same != other


@pytest.fixture(scope="session")
def sparse_log(log_of):
    """A function that makes 1,500 calls of which every n-th is genuine; nothing optional is known of any of them."""

    def sparse_log(genuine):
        real = set(np.linspace(20, 1_480, genuine).astype(int).tolist())
        rows = [
            {
                "call_id": f"c{n:04}",
                "received_at": n * 1_800,
                "caller": f"new-{n}" if n in real else f"caller-{n % 40}",
                "disposition": "genuine" if n in real else "prank",
                "disposed_at": n * 1_800 + 300,
            }
            for n in range(1_500)
        ]
        return log_of(rows)

    return sparse_log


@pytest.mark.parametrize("genuine", [3, 20])
def test_a_few_genuine_calls_make_a_release_that_flags_and_defers_nobody(sparse_log, genuine, tmp_path):
    made = make_release(sparse_log(genuine), FEW, NOW, effort=QUICK)
    assert all(proof.flag.threshold is None and not proof.deferral.on for proof in made.certificate.stages)
    write_release(tmp_path / "release", made.files(), made.facts(NOW))
    release = read_release(tmp_path / "release")
    for stage in STAGES:
        scored = score_log(sparse_log(genuine), release, stage)
        assert not (scored["band"] == "likely_prank").any()
        assert not scored["deferral_on"].any()
        assert np.isfinite(scored["prank_likelihood"]).all()


def test_what_is_never_known_is_never_held_against_a_call(sparse_log):
    made = make_release(sparse_log(20), FEW, NOW, effort=QUICK)
    unknown = ["opening_duration_s", "opening_silence_ratio", "duration_s", "silence_ratio", "ended_by"]
    for step in made.scorecards["ended"].steps:
        if step.feature in unknown:
            assert step.missing == 0.0
            assert step.contributions.tolist() == [0.0]
    assert set(unknown) < set(NAMES)


def test_a_feature_that_hardly_any_call_has_is_left_out_however_telling(sparse_log):
    log = sparse_log(20)
    log.loc[log.index[[20, 500]], "opening_silence_ratio"] = [0.0, 1.0]
    rare = make_release(log, FEW, NOW, effort=QUICK).scorecards["opening"].steps[NAMES.index("opening_silence_ratio")]
    assert rare.contributions.tolist() == [rare.missing] == [0.0]
