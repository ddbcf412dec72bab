"""The gate in front of a champion."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from model.calls.call_log import write_log
from model.certification.certificate import Certificate
from model.errors import ParamsError, PromotionError
from model.evaluation.evaluation import Effort
from model.params import Params, Rail
from model.release.folder import read_release, write_release
from model.release.pipeline import make_release
from model.release.promotion import compare
from model.release.promotion_margins import Margins, read_margins
from model.simulation.city import simulate
from tests.support.call_histories import saring
from tests.support.registries import QUIET, added, another, registry_in

pytestmark = QUIET
NOW = datetime(2026, 11, 1, tzinfo=UTC)
FEW = Effort(resamples=40)
PLAIN = Params()
NO_GUARD = Params(guardrails={"silence": Rail(enabled=False)})


@pytest.fixture(scope="module")
def busy():
    """A made-up city with enough genuine silent callers to tell, and two moments at which it was trained on."""
    log = simulate("metro", 2, calls=16_000)
    first, last = log.calls["received_at"].min(), log.calls["received_at"].max()
    return log, [(first + (last - first) * share).floor("D") for share in (0.45, 0.6)]


@pytest.fixture(scope="module")
def folders(busy, tmp_path_factory):
    """Releases: the champion, one retrained later, and one retrained that lets silence speak against a caller."""
    log, (before, after) = busy
    found = {}
    for name, params, until in (("champion", PLAIN, before), ("retrained", PLAIN, after), ("deaf", NO_GUARD, after)):
        made = make_release(
            log.calls, params, NOW, until, log.corrections, Effort(seeds=1, resamples=20, policy_draws=0)
        )
        found[name] = tmp_path_factory.mktemp("gate") / name
        write_release(found[name], made.files(), made.facts(NOW))
    return found


@pytest.fixture(scope="module")
def gate(busy, folders):
    """A function that asks the gate about two of the releases."""
    log, _ = busy

    def gate(champion, challenger, margins=None, *, compared=True):
        one, other = (read_release(folders.get(name, name)) for name in (champion, challenger))
        calls = log.calls if compared else None
        return compare(one, other, calls, log.corrections, margins=margins or Margins(), now=NOW, effort=FEW)

    return gate


def rows(found, slice_, measure):
    return next(one for one in found.differences if (one.slice_, one.measure) == (slice_, measure))


def test_a_challenger_better_on_average_but_worse_for_silent_genuine_callers_is_refused_in_words(gate):
    found = gate("champion", "deaf")
    everybody, silent = rows(found, "all", "auc"), rows(found, "silent", "auc")
    assert everybody.challenger > everybody.champion
    assert silent.challenger < silent.champion - 0.05
    assert silent.worse.low > 0.0
    assert not found.passed
    assert "genuine silent callers" in found.sentence()
    assert f"with the champion {100 * silent.champion:.1f}" in found.sentence()
    assert not any("genuine callers as a whole" in reason for reason in found.reasons)


def test_a_release_compared_with_itself_differs_by_nothing_and_passes(gate):
    found = gate("champion", "champion")
    assert found.passed
    assert {one.worse for one in found.differences} == {(0.0, 0.0, 0.0)}


def test_the_difference_turns_round_when_the_releases_do(gate):
    there, back = gate("champion", "retrained"), gate("retrained", "champion")
    assert (there.calls, there.since, there.until) == (back.calls, back.since, back.until)
    for one, other in zip(there.differences, back.differences, strict=True):
        assert one.worse.value == pytest.approx(-other.worse.value, abs=1e-12)
        assert one.worse.low == pytest.approx(-other.worse.high, abs=1e-12)


def test_the_calls_that_are_compared_on_are_later_than_both_trainings(gate, busy):
    _, (_, after) = busy
    for pair in (("champion", "retrained"), ("retrained", "champion")):
        assert gate(*pair).since >= after


def test_margins_decide_and_a_slice_of_few_callers_is_told_and_not_judged(gate):
    wide = Margins(auc=1.0, wait=1.0, slice_auc=1.0, slice_wait=1.0, slices={})
    assert gate("champion", "deaf", wide).passed
    own = wide.model_dump() | {"slices": {"silent": {"auc": 0.01}}}
    refused = gate("champion", "deaf", Margins.model_validate(own))
    assert [reason.split(" (")[0] for reason in refused.reasons] == ["genuine silent callers"]
    callers = rows(refused, "silent", "auc").callers
    few = Margins.model_validate(own | {"least_callers": callers + 1})
    told = gate("champion", "deaf", few)
    assert told.passed
    assert f"silent callers ({callers})" in " ".join(told.notes)


def test_without_later_calls_there_is_nothing_to_compare_on(folders, busy):
    log, (_, after) = busy
    early = log.calls[log.calls["received_at"] < after]
    corrections = log.corrections[log.corrections["call_id"].isin(early["call_id"])]
    both = [read_release(folders[name]) for name in ("champion", "retrained")]
    with pytest.raises(PromotionError, match="0 calls closed as genuine and 0 as not genuine since"):
        compare(*both, early, corrections, margins=Margins(), now=NOW)


def _with_life(folders, folder: Path, name: str, days: int) -> Path:
    """Write the release once more with a certificate that ends so many days after NOW."""

    def change(documents):
        ends = (NOW + timedelta(days=days)).isoformat()
        documents["certificate.json"] |= {"issued_at": (NOW - timedelta(days=180)).isoformat(), "expires_at": ends}

    return another(folders[name], folder, f"{name} for {days} days", change)


def test_an_expired_champion_yields_and_an_expired_challenger_never_passes(gate, folders, tmp_path):
    old = _with_life(folders, tmp_path / "old", "champion", -1)
    assert Certificate.from_json((old / "certificate.json").read_text()).expires_at < NOW
    yields = gate(old, "deaf", compared=False)
    assert (yields.passed, "ended on 2026-10-31: it yields to any certified release" in yields.sentence()) == (
        True,
        True,
    )
    refused = gate(old, _with_life(folders, tmp_path / "late", "retrained", 0))
    assert refused.reasons == ("its certificate is expired (expired; it ends on 2026-11-01)",)


def test_a_challenger_that_counts_dispositions_in_another_way_is_refused(gate, folders, tmp_path):
    release = read_release(folders["retrained"])
    other = type(release)(**vars(release) | {"labels": dict(release.labels) | {"silent": 0}})
    found = compare(read_release(folders["champion"]), other, None, margins=Margins(), now=NOW)
    assert "counts dispositions in another way" in found.sentence()


def test_the_command_refuses_with_the_reason_and_a_forced_promotion_keeps_both(busy, folders, tmp_path):
    log, _ = busy
    write_log(log.calls, tmp_path / "calls.parquet")
    write_log(log.corrections, tmp_path / "corrections.parquet")
    given = ("--calls", tmp_path / "calls.parquet", "--corrections", tmp_path / "corrections.parquet")
    with registry_in(tmp_path) as registry:
        for name in ("champion", "deaf"):
            added(registry, folders[name])
        status, said = saring("promote", *given)
        assert status == 1
        assert "may not take over: " in said
        assert "genuine silent callers" in said.split("may not take over: ")[1]
        assert registry.find("champion").number == 1
        status, said = saring("promote", *given, "--force", "a trial of one night")
        assert status == 0, said
        tags = registry.find("champion").tags
        assert tags["promoted_because"].startswith("forced: a trial of one night. The gate: ")
        assert "genuine silent callers" in tags["promoted_because"]
        assert tags["promoted_by"]


def test_settings_of_the_gate_that_make_no_sense_are_named(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text("promotion: {auc: 2, slices: {quiet: {auc: 0.1}}}\n")
    with pytest.raises(ParamsError, match=r"promotion\.auc: 2: .*promotion\.slices: .*quiet is not a slice"):
        read_margins(file)


def test_params_yaml_says_the_margins_that_count_without_it_and_is_read_where_it_lies(tmp_path, monkeypatch):
    ours = read_margins(Path(__file__).parents[3] / "params.yaml")
    assert ours == Margins()
    assert ours.of("silent", "auc") < ours.of("night", "auc")
    monkeypatch.chdir(tmp_path)
    assert read_margins(None) == Margins()
    Path("params.yaml").write_text("promotion: {auc: 0.01}\n")
    assert read_margins(None).auc == 0.01


def test_an_interval_holds_the_difference_and_comes_of_callers(gate):
    for one in gate("champion", "retrained").differences:
        if one.callers >= 20:
            assert one.worse.low <= one.worse.value + 1e-9
            assert one.worse.value <= one.worse.high + 1e-9
            assert np.isfinite(one.worse).all()
    assert pd.Timestamp(gate("champion", "retrained").until).tzinfo is not None
