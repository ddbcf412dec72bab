"""Drift: a change is noticed, a quiet half year is not, and the service sees in its store what the log shows."""

import asyncio
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from benchmarks.drift import changed, half, looks, noticed
from model.calls.call_events import known_at
from model.calls.call_log import write_log
from model.certification.drift import GROWING, measure_drift, select_recent_calls
from model.certification.profile import BINNED, DAY_US, Clusters, Sample, check_profile
from model.errors import ReleaseError
from model.evaluation.evaluation import Effort
from model.params import Params
from model.release.drift_samples import build_sample, latest_calls
from model.release.folder import read_release, write_release
from model.release.pipeline import make_release
from model.scorecard.scorecard import Scorecard
from model.simulation.city import CityLog, simulate
from service.maintenance.log_import import import_log
from service.queue.deferral_gate import DeferralGate
from service.queue.operations import Operations
from service.security.pseudonyms import Pseudonyms, read_keys
from service.store.store import Store
from service.telemetry.metrics import Metrics
from service.watch.drift_monitor import DriftMonitor
from service.watch.drift_process import drift_of_store
from tests.support.call_histories import saring


@pytest.fixture(scope="module")
def quiet():
    """A year of Bengkulu on whose seed no limit was set."""
    return simulate("bengkulu", 200)


def moved(drift) -> set[str]:
    return {finding.name for finding in drift.findings if finding.moved}


def test_a_quiet_half_year_raises_no_alarm(quiet):
    seen = list(looks(quiet, half(quiet), every=7))
    assert len(seen) > 20
    assert [one.day for one in seen if one.drift.alarm] == []
    assert all(one.drift.findings for one in seen)


def test_a_city_that_becomes_another_one_is_noticed_within_three_weeks():
    log = simulate("drift", 101)
    day, first = noticed(log, half(log), half(log) - pd.Timedelta(days=7))
    assert 1 <= day <= 21
    assert "not_genuine" in first


def test_a_campaign_and_lines_that_change_are_noticed_within_four_weeks(quiet):
    change = half(quiet)
    day, _ = noticed(changed(quiet, change, 1, campaign=1.0, voip=1 / 3), change, change)
    assert 1 <= day <= 28


@pytest.fixture(scope="module")
def sample(made):
    rows = np.logical_or.reduce([mine for mine, _ in made.trained.out_of_time()])
    return build_sample(made.past.table, made.past.events, rows, made.scorecards, made.past.until_us)


def test_calls_look_like_themselves(made, sample):
    drift = measure_drift(made.profile, sample)
    assert moved(drift) == set()
    assert {finding.name for finding in drift.findings} >= set(BINNED)
    assert max(finding.size or 0.0 for finding in drift.findings) < 0.15


@pytest.mark.parametrize("name", [name for name in BINNED if not name.startswith("score_") and name not in GROWING])
def test_a_feature_that_is_no_longer_known_is_a_change_of_that_feature(made, sample, name):
    features = sample.features.copy()
    column = BINNED.index(name)
    if np.isnan(features[:, column]).all() or name == "since_last_h":  # which is missing of everybody who is new
        features[:, column] = 0.0
    else:
        features[:, column] = np.nan
    drift = measure_drift(made.profile, replace(sample, features=features))
    assert name in moved(drift) - {"new_numbers"}
    finding = next(finding for finding in drift.findings if finding.name == name)
    assert finding.size > finding.limit


def test_scores_and_labels_that_change_are_told_by_what_changed(made, sample):
    shifted = replace(sample, log_odds={stage: odds + 2.0 for stage, odds in sample.log_odds.items()})
    assert moved(measure_drift(made.profile, shifted)) == {
        "score_ring",
        "score_opening",
        "score_ended",
        "calibration",
    }
    assert measure_drift(made.profile, shifted).of_scores
    genuine = replace(sample, outcome=np.where(sample.outcome >= 0, 0, -1).astype(np.int8))
    assert moved(measure_drift(made.profile, genuine)) == {"not_genuine", "calibration"}
    assert not measure_drift(made.profile, genuine).of_scores
    late = replace(sample, label_us=sample.label_us + 7 * DAY_US)
    assert "labelled_in_time" in moved(measure_drift(made.profile, late))


def test_every_measure_is_told_in_both_languages_and_in_no_mixture(made, sample):
    features = sample.features.copy()
    features[:, 3:] = np.nan
    for seen in (sample, replace(sample, features=features), replace(sample, outcome=np.full_like(sample.outcome, -1))):
        findings = measure_drift(made.profile, seen).findings
        assert {one.name for one in findings} >= {*BINNED, "new_numbers", "not_genuine", "calibration", "calls_a_week"}
        for one in findings:
            for said in (one.meaning, one.change):
                assert said["en"] != said["id"]
                assert not {"of", "the", "then", "now", "calls", "closed", "not", "known"} & set(said["id"].split())


def test_one_caller_who_rings_all_day_is_no_drift(made, sample):
    rng, times = np.random.default_rng(0), 2
    mad = np.flatnonzero(sample.callers >= 0)[0]
    rows = np.concatenate([np.arange(len(sample)), np.full(times * len(sample), mad)])
    received = sample.received_us[rows].copy()
    received[len(sample) :] = rng.integers(received.min(), received.max(), times * len(sample))

    def copied(values):
        return values[rows]

    more = Sample(
        copied(sample.features), {stage: copied(odds) for stage, odds in sample.log_odds.items()},
        copied(sample.callers), received, copied(sample.label_us), copied(sample.outcome), sample.now_us,
    )  # fmt: skip
    assert len(more) == 3 * len(sample)
    assert moved(measure_drift(made.profile, more)) == set()


def test_of_few_calls_nothing_is_said(made, sample):
    first = np.arange(150)
    few = Sample(
        sample.features[first], {stage: odds[first] for stage, odds in sample.log_odds.items()}, sample.callers[first],
        sample.received_us[first], sample.label_us[first], sample.outcome[first], sample.now_us,
    )  # fmt: skip
    drift = measure_drift(made.profile, few)
    assert (drift.findings, drift.alarm) == ((), False)
    assert "150" in drift.sentence("en")
    none = select_recent_calls(np.zeros(0, dtype=np.int64), 10)
    assert none.tolist() == []


def test_the_variance_of_a_share_is_that_of_the_callers_and_days():
    rng = np.random.default_rng(1)
    callers, hours = np.repeat(np.arange(400), 3), 24 * rng.integers(0, 60, 1_200)
    drawn = []
    for _ in range(300):
        codes = np.repeat((rng.random(400) < 0.3).astype(np.int64), 3)
        clusters = Clusters(callers, hours)
        shares = clusters.shares(codes, 2)
        drawn.append((shares[1], clusters.shares_variance(codes, shares)[1]))
    values, variances = np.array(drawn).T
    assert np.var(values) == pytest.approx(0.3 * 0.7 / 400, rel=0.3)  # as if each caller had called once
    assert np.mean(variances) == pytest.approx(np.var(values), rel=0.3)


def test_a_fingerprint_is_strict_json_in_the_release_and_an_old_release_has_none(made, release, tmp_path):
    assert release.profile == json.loads(json.dumps(made.profile, allow_nan=False))
    files = {name: content for name, content in made.files().items() if name != "fingerprint.json"}
    write_release(tmp_path / "old", files, made.facts(made.certificate.issued_at))
    assert read_release(tmp_path / "old").profile is None
    broken = json.loads(json.dumps(made.profile))
    broken["binned"].pop("line")
    files["fingerprint.json"] = json.dumps(broken).encode()
    write_release(tmp_path / "other", files, made.facts(made.certificate.issued_at))
    with pytest.raises(ReleaseError, match="other features"):
        read_release(tmp_path / "other")
    broken = json.loads(json.dumps(made.profile))
    broken["binned"]["line"]["shares"].pop()
    with pytest.raises(ValueError, match="fingerprint of line"):
        check_profile(broken)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A release of half a year, a store with the whole of it, ending now, and the log."""
    folder, small = tmp_path_factory.mktemp("stored"), simulate("bengkulu", 101, calls=7_000)
    calls, corrections = small.calls.copy(), small.corrections.copy()
    frames = [(calls, name) for name in ("received_at", "answered_at", "ended_at", "disposed_at")]
    times = [*frames, (corrections, "disposed_at")]
    shift = pd.Timestamp.now("UTC").floor("min") - max(frame[name].max() for frame, name in times)
    for frame, name in times:
        frame[name] += shift
    log = CityLog(calls, corrections, small.time_zone, small.region)
    made = make_release(calls, Params(), pd.Timestamp.now("UTC").to_pydatetime(), half(log), corrections,
                Effort(seeds=1, resamples=20, policy_draws=0))  # fmt: skip
    write_release(folder / "release", made.files(), made.facts(made.certificate.issued_at))
    store = Store(f"sqlite:///{folder / 'saring.db'}")
    keys = Pseudonyms(read_keys(folder / "saring.key"))
    import_log(calls, corrections, read_release(folder / "release"), store, keys, lambda _: None)
    store.close()
    return folder, log


class Served:
    """What of an intake is looked at for drift."""

    def __init__(self, release) -> None:
        self.release, self.gate = release, DeferralGate(release, Operations())


def asked(folder, now_us: int) -> dict:
    release = read_release(folder / "release")
    return {
        "database": f"sqlite:///{folder / 'saring.db'}",
        "now_us": now_us,
        "fingerprint": release.profile,
        "scorecards": {stage: card.to_json() for stage, card in release.scorecards.items()},
        "labels": dict(release.labels),
        "time_zone": release.time_zone,
    }


def test_the_service_finds_in_its_store_what_the_log_shows(stored):
    folder, log = stored
    release = read_release(folder / "release")
    offline = measure_drift(release.profile, sampled := latest_calls(log.calls, release, log.corrections))
    online = drift_of_store(asked(folder, sampled.now_us))
    assert (online["calls"], online["alarm"]) == (len(sampled), False)
    assert online["calls"] > 300
    by_name = {finding["name"]: finding for finding in online["findings"]}
    for finding in offline.findings:
        if finding.name != "labelled_in_time":  # of a corrected call the store tells the last time
            assert by_name[finding.name]["size"] == pytest.approx(finding.size, abs=1e-9)
            assert by_name[finding.name]["limit"] == pytest.approx(finding.limit, abs=1e-9)


def test_a_service_looks_for_drift_and_a_score_that_moved_voids_the_certificate(stored, tmp_path):
    folder, _ = stored
    intake = Served(read_release(folder / "release"))
    metrics = Metrics()
    watch = DriftMonitor(intake, metrics, f"sqlite:///{folder / 'saring.db'}")
    assert watch.document() is None
    asyncio.run(watch.check())
    document = watch.document()
    assert document["alarm"] is False
    assert document["calls"] > 300
    assert len(document["measures"]) == 5
    assert "look like those" in document["sentence"]["en"]
    moved_by = {stage: card.to_json() for stage, card in intake.release.scorecards.items()}
    for card in moved_by.values():
        card["intercept"] += 3.0
    cards = {stage: Scorecard.from_json(stage, card) for stage, card in moved_by.items()}
    intake.release = replace(intake.release, scorecards=cards)
    asyncio.run(watch.check())
    document = watch.document()
    assert document["alarm"] is True
    assert {one["name"] for one in document["measures"] if one["moved"]} >= {"score_ring", "score_opening"}
    now = intake.release.certificate.issued_at
    assert intake.gate.certificate_state(now).reason == "drift"
    body, _ = metrics.render("")
    assert f"saring_drift_measures_moved {sum(one['moved'] for one in document['measures'])}.0".encode() in body
    intake.gate.adopt(intake.release)
    watch.on_release_changed(intake.release)
    assert watch.document() is None
    assert intake.gate.certificate_state(now).word == "valid"
    lost = DriftMonitor(intake, metrics, f"sqlite:///{tmp_path / 'none' / 'x.db'}")
    with pytest.raises(ValueError, match="unable to open"):
        asyncio.run(lost.check())


def test_the_command_prints_a_table_and_fails_only_when_asked_to(stored, tmp_path, city, release_folder):
    folder, log = stored
    write_log(log.calls, tmp_path / "calls.parquet")
    words = ("drift", "--release", folder / "release", "--calls", tmp_path / "calls.parquet")
    status, said = saring(*words, "--fail")
    assert status == 0, said
    assert "look like those" in said
    assert said.count("steady") == 5
    assert saring(*words, "--all")[1].count("\n") > 75
    one = changed(log, half(log), 1, campaign=2.0, voip=0.9)
    write_log(known_at(one.calls, pd.Timestamp.now("UTC")), tmp_path / "changed.parquet")
    words = ("drift", "--release", folder / "release", "--calls", tmp_path / "changed.parquet")
    status, said = saring(*words)
    assert status == 0, said
    status, said = saring(*words, "--fail")
    assert status == 1
    assert "MOVED" in said
    assert "VoIP" in said
    start = log.calls["received_at"].max() - pd.Timedelta(days=40)
    status, said = saring(*words, "--from", start.isoformat())
    assert "of 40 days no longer" in said
    write_log(city.calls[:50], tmp_path / "few.parquet")
    assert "Too few calls" in saring("drift", "--release", release_folder, "--calls", tmp_path / "few.parquet")[1]
