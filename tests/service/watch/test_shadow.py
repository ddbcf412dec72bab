"""The challenger in shadow: compared, bounded, and never in anybody's way."""

import asyncio
import math

import numpy as np
import pytest

from model.release.folder import read_release
from service.scoring.scorer import Scorer
from service.store.records import Call
from service.watch.shadow import MAX_WAITING, Shadow, rank_correlation
from tests.support.registries import another


@pytest.fixture
def pair(release_folder, release, tmp_path):
    """A shadow beside the release of the tests, whose challenger is the same with an intercept that is 0.5 higher."""

    def bolder(documents):
        for card in documents["scorecard.json"]["stages"].values():
            card["intercept"] += 0.5

    folder = another(release_folder, tmp_path / "challenger", "bolder", bolder)
    return Shadow(folder, lambda: release), folder


def scored(release, count):
    """Calls at several hours, and what the release says of them."""
    scorer = Scorer(release)
    for number in range(count):
        call = Call(f"call {number}", 1_700_000_000_000_000 + number * 3_600_000_000, history=np.zeros(42))
        call.opening_duration_s = float(number % 7)
        found = scorer.score(call, "opening")
        yield call, {"prank_likelihood": found.likelihood, "defer_factor": found.factor}


def test_the_differences_are_those_of_the_two_scorecards(pair, release):
    shadow, _ = pair
    asyncio.run(shadow.check())
    said = list(scored(release, 40))
    for call, answer in said:
        shadow.observe(call, "opening", answer)
    while shadow.document()["waiting"]:
        shadow.compare()
    one = [answer["prank_likelihood"] for _, answer in said]
    other = [1 / (1 + math.exp(-(math.log(p / (1 - p)) + 0.5))) for p in one]
    found = shadow.document()["stages"]["opening"]
    assert found["calls"] == 40
    assert found["mean_difference"] == pytest.approx(np.mean(np.subtract(other, one)), abs=1e-9)
    assert found["mean_absolute_difference"] == found["mean_difference"] > 0.01
    assert found["rank_correlation"] == pytest.approx(1.0)
    shadow.record_label("call 3", 0)
    shadow.record_label("call 4", 1)
    shadow.record_label("unknown", 0)
    assert shadow.document()["genuine"]["calls"] == 1
    assert shadow.document()["genuine"]["challenger"] == pytest.approx(other[3])
    shadow.record_label("call 3", 1)  # it was corrected
    assert shadow.document()["genuine"] == {"calls": 0, "champion": None, "challenger": None}


def test_a_rush_is_skipped_and_counted(pair, release):
    shadow, _ = pair
    asyncio.run(shadow.check())
    call, answer = next(scored(release, 1))
    for _ in range(MAX_WAITING + 5):
        shadow.observe(call, "opening", answer)
    assert (shadow.document()["waiting"], shadow.document()["skipped"]) == (MAX_WAITING, 5)


def test_a_challenger_that_fails_costs_comparisons_only(pair, release, monkeypatch, caplog):
    shadow, _ = pair
    monkeypatch.setattr("service.watch.shadow.WORK_S", 0.001)

    async def live():
        await shadow.check()
        monkeypatch.setattr(shadow, "_scorer", object())  # whatever is asked of it, it raises
        for call, answer in scored(release, 3):
            shadow.observe(call, "opening", answer)
        task = asyncio.create_task(shadow.run())
        while shadow.document()["waiting"]:
            await asyncio.sleep(0.005)
        assert not task.done()
        task.cancel()

    asyncio.run(live())
    assert shadow.document()["failed"] == 3
    assert caplog.text.count("the challenger failed in shadow") == 1


def test_a_broken_challenger_is_not_scored_and_one_that_goes_is_forgotten(pair, release, caplog):
    shadow, folder = pair
    asyncio.run(shadow.check())
    assert shadow.document()["release"] == "bolder"
    (folder / "policy.json").write_bytes((folder / "policy.json").read_bytes() + b" ")
    manifest = folder / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    asyncio.run(shadow.check())
    assert shadow.document() is None
    assert "the challenger is refused and not scored" in caplog.text
    for call, answer in scored(release, 2):
        shadow.observe(call, "opening", answer)  # nobody is there to look
    manifest.unlink()
    asyncio.run(shadow.check())
    assert shadow.document() is None


def test_the_comparison_begins_anew_with_another_champion(release_folder, release, tmp_path):
    folder = another(release_folder, tmp_path / "challenger", "the same")
    served = [release]
    shadow = Shadow(folder, lambda: served[0])
    asyncio.run(shadow.check())
    for call, answer in scored(release, 4):
        shadow.observe(call, "opening", answer)
    shadow.compare()
    same = shadow.document()["stages"]["opening"]
    assert (same["calls"], same["mean_absolute_difference"]) == (4, 0.0)
    assert (same["waits_more"], same["waits_less"]) == (0, 0)
    served[0] = read_release(another(release_folder, tmp_path / "next", "the next champion"))
    asyncio.run(shadow.check())
    assert shadow.document()["stages"] == {}


def test_a_rank_correlation_needs_a_spread():
    assert rank_correlation(np.array([[0.5, 0.1], [0.5, 0.2]])) is None
    assert rank_correlation(np.array([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]])) == -1.0
