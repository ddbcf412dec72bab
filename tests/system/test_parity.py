"""A log told over HTTP, imported or replayed gives what the offline commands give, to the last bit."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from model.calls.call_events import events_of, known_at, sort_calls
from model.history.log_histories import LogHistories
from model.release.folder import read_release
from model.release.scored_log import score_log
from model.simulation.city import simulate
from service.maintenance.log_import import import_log
from service.playback.log_replay import replay, shift_to_now, steps
from service.security.pseudonyms import Pseudonyms, read_keys
from service.store.store import Store

NUMBER = "+6281234567890"


def stored_histories(rows, folder: Path, names: pd.Series) -> np.ndarray:
    by_name = {row["call_id"]: np.frombuffer(row["history"]) for row in rows(folder, "calls")}
    return np.array([by_name[name] for name in names])


@pytest.fixture(scope="module")
def told_city():
    return simulate("bengkulu", 3, calls=400)


@pytest.fixture(scope="module")
def offline(told_city, release_folder):
    """The same log as the offline commands see it: histories, and the scores of two stages."""
    release = read_release(release_folder)
    calls = sort_calls(told_city.calls)
    events = events_of(calls, release.labels, release.numbering, told_city.corrections)
    scores = {stage: score_log(calls, release, stage, told_city.corrections) for stage in ("opening", "ended")}
    return calls, LogHistories(events).histories(), scores


def assert_same(rows, folder: Path, answers: dict, offline) -> None:
    calls, histories, scores = offline
    assert np.array_equal(stored_histories(rows, folder, calls["call_id"]), histories)
    for stage, table in scores.items():
        told = answers[stage]
        mine = table[table["call_id"].isin(told.keys())]
        assert len(mine) == len(told) > 0
        for name, likelihood, factor, reasons, genuine_like, one_in in mine[
            ["call_id", "prank_likelihood", "defer_factor", "reasons", "genuine_like", "one_in"]
        ].itertuples(index=False):
            assert told[name]["prank_likelihood"] == likelihood
            assert (told[name]["genuine_like"], told[name]["one_in"]) == (genuine_like, one_in)
            assert told[name]["defer_factor"] == factor
            without_words = [{k: v for k, v in reason.items() if k != "text"} for reason in told[name]["reasons"]]
            assert without_words == json.loads(reasons)


def collector(answers: dict):
    def told(step, answer) -> None:
        if "stage" in answer:
            answers[answer["stage"]][step.call_id] = answer

    return told


def test_a_log_told_over_http_gives_the_histories_of_the_log_bit_for_bit_and_its_scores(
    serving, rows, tmp_path, release_folder, told_city, offline
):
    answers = {"opening": {}, "ended": {}}
    found = steps(told_city.calls, told_city.corrections)
    with serving(tmp_path, release_folder) as client:
        replay(found, client, as_recorded=True, told=collector(answers))
    assert len(answers["opening"]) == len(told_city.calls)
    assert_same(rows, tmp_path, answers, offline)


def test_import_then_telling_then_a_restart_give_the_same_bits(
    serving, rows, tmp_path, release_folder, told_city, offline
):
    release = read_release(release_folder)
    calls = offline[0]
    until, restart = calls["received_at"].iloc[180], calls["received_at"].iloc[290]
    past = known_at(calls, until)
    earlier = told_city.corrections[(told_city.corrections["disposed_at"] < until)]
    store = Store(f"sqlite:///{tmp_path / 'saring.db'}")
    pseudonyms = Pseudonyms(read_keys(tmp_path / "saring.key"))
    try:
        assert import_log(past, earlier, release, store, pseudonyms, lambda _: None) == len(past)
        assert import_log(past, earlier, release, store, pseudonyms, lambda _: None) == 0
    finally:
        store.close()
    answers = {"opening": {}, "ended": {}}
    later = [step for step in steps(calls, told_city.corrections) if step.at >= until]
    for part in ([s for s in later if s.at < restart], [s for s in later if s.at >= restart]):
        with serving(tmp_path, release_folder) as client:
            replay(part, client, as_recorded=True, told=collector(answers))
    assert_same(rows, tmp_path, answers, offline)


def test_a_live_replay_moves_the_log_by_whole_weeks_to_end_before_now(told_city):
    now = pd.Timestamp("2026-11-23T12:00:00Z").to_pydatetime()
    found = steps(told_city.calls)
    moved = shift_to_now(found, now)
    shift = moved[0].received_at - found[0].received_at
    assert shift % pd.Timedelta(weeks=1) == pd.Timedelta(0)
    last = max(step.received_at for step in moved)
    assert now - pd.Timedelta(weeks=1) < last <= now
    assert moved[0].body["received_at"] == moved[0].received_at


def test_a_caller_of_many_calls_is_made_anew_from_a_checkpoint_and_gives_the_same_bits(
    serving, rows, tmp_path, release_folder, log_of
):
    calls = [
        {
            "call_id": f"c{place:03}",
            "received_at": 600.0 * place,
            "caller": NUMBER,
            "answered_at": 600.0 * place + 5,
            "ended_at": 600.0 * place + 35 + place,
            "duration_s": 30.0 + place,
            "silence_ratio": place / 100,
            "disposition": "prank" if place % 7 else "genuine",
            "disposed_at": 600.0 * place + 40 + 1_700 * (place % 5),
        }
        for place in range(60)
    ]
    log = log_of(calls)
    release = read_release(release_folder)
    found = steps(log)
    for start in range(0, len(found), 75):
        with serving(tmp_path, release_folder) as client:
            replay(found[start : start + 75], client, as_recorded=True)
    expected = LogHistories(events_of(sort_calls(log), release.labels, release.numbering)).histories()
    assert rows(tmp_path, "checkpoints")[0]["included"] == 192
    assert np.array_equal(stored_histories(rows, tmp_path, sort_calls(log)["call_id"]), expected)
