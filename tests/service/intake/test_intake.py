"""Calls told over HTTP to a service: answers, histories, repetition, and what is kept."""

import json
import sqlite3
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import httpx
import numpy as np
import pandas as pd
import pytest

from model.errors import StoreError
from model.release.folder import read_release
from service.maintenance.log_import import import_log
from service.playback.log_replay import replay, steps
from service.security.pseudonyms import Pseudonyms, read_keys
from service.store.store import Store
from tests.support.processes import all_told, until

NUMBER = "+6281234567890"
CALL = {"call_id": "a", "received_at": "2026-01-31T08:15:00+07:00", "caller": NUMBER, "line": "mobile"}
RECORDED = {"Saring-Clock": "as-recorded"}


@pytest.fixture
def client(serving, tmp_path: Path, release_folder: Path) -> Iterator[httpx.Client]:
    with serving(tmp_path, release_folder) as client:
        yield client


@pytest.fixture(scope="module")
def shared(serving, tmp_path_factory, release_folder: Path) -> Iterator[httpx.Client]:
    """One service for requests that have nothing to do with each other."""
    with serving(tmp_path_factory.mktemp("shared"), release_folder) as client:
        yield client


def test_the_answer_has_the_fields_of_the_contract_and_puts_nobody_back(client):
    answer = client.post("/v1/score", json=CALL | {"expected_wait_s": 500, "x_trunk": "7"}, headers=RECORDED).json()
    assert list(answer) == [
        "call_id", "stage", "prank_likelihood", "band", "defer_factor", "defer_s", "queue_key", "queue_key_epoch",
        "arrived_at", "expected_wait_s", "expected_wait_source", "reasons", "guardrails", "held_out", "release",
        "scored_at", "durable", "degraded", "warnings", "genuine_like", "one_in", "badge",
    ]  # fmt: skip
    assert answer["defer_s"] == 0.0
    assert answer["queue_key"] == "2026-01-31T01:15:00.000000+00:00"
    assert answer["durable"]
    assert not answer["degraded"]
    assert answer["stage"] == "ring"
    assert {"group", "feature", "value", "contribution", "text"} == set(answer["reasons"][0])


def test_the_stage_is_opening_as_soon_as_something_was_heard(client):
    assert client.post("/v1/score", json=CALL | {"silence_ratio": 0.5}).json()["stage"] == "opening"
    assert client.post("/v1/score", json=CALL | {"call_id": "b", "stage": "opening"}).json()["stage"] == "opening"


def test_a_conversation_can_be_scored_before_its_end_is_told(client):
    client.post("/v1/score", json=CALL | {"duration_s": 5.0})
    so_far = client.post("/v1/score", json=CALL | {"stage": "ended", "duration_s": 40.0, "silence_ratio": 0.1}).json()
    told = {"ended_at": "2026-01-31T08:16:00+07:00", "duration_s": 40.0, "silence_ratio": 0.1}
    at_the_end = client.post("/v1/calls/a/ended", json=told).json()
    assert so_far["stage"] == at_the_end["stage"] == "ended"
    assert so_far["prank_likelihood"] == at_the_end["prank_likelihood"]
    call = client.get("/v1/calls/a").json()
    assert (call["opening_duration_s"], call["duration_s"]) == (5.0, 40.0)


def test_the_same_request_again_gives_the_same_answer_and_counts_once(serving, rows, tmp_path, release_folder):
    with serving(tmp_path, release_folder) as client:
        first = client.post("/v1/score", json=CALL).json()
        with ThreadPoolExecutor(8) as threads:
            asked = [threads.submit(client.post, "/v1/score", json=CALL) for _ in range(32)]
            again = [answer.result().json() for answer in asked]
        assert all(answer == first for answer in again)
    with serving(tmp_path, release_folder) as client:
        assert client.post("/v1/score", json=CALL).json() == first
        later = CALL | {"call_id": "b", "received_at": "2026-01-31T09:15:00+07:00"}
        client.post("/v1/score", json=later)
        assert client.get("/v1/calls/b").json()["history"]["calls_ever"] == 1.0
    assert len(rows(tmp_path, "events")) == 2


def test_a_changed_request_is_an_update_that_keeps_the_history_read_first(tmp_path, client):
    client.post("/v1/score", json=CALL)
    other = CALL | {"call_id": "b", "received_at": "2026-01-31T08:15:01+07:00"}
    client.post("/v1/score", json=other)
    updated = client.post("/v1/score", json=CALL | {"duration_s": 12.0, "silence_ratio": 0.9}).json()
    assert updated["stage"] == "opening"
    call = client.get("/v1/calls/a").json()
    assert call["history"]["calls_ever"] == 0.0
    assert call["opening_duration_s"] == 12.0
    assert set(call["scores"]) == {"ring", "opening"}
    assert [said["kind"] for said in call["said"]] == ["received", "scored"]


CHANGED = [{"received_at": "2026-01-31T08:15:01+07:00"}, {"caller": "+6281234567891"}, {"caller": None}]


@pytest.mark.parametrize("change", CHANGED)
def test_caller_and_received_at_of_a_known_call_cannot_change(client, change):
    client.post("/v1/score", json=CALL)
    answer = client.post("/v1/score", json=CALL | change)
    assert answer.status_code == 409
    assert answer.json()["errors"][0]["field"] == next(iter(change))


def test_callers_without_a_number_have_no_history_and_are_never_one(client):
    for place, caller in enumerate((None, "", "anonymous", "+0", "unknown")):
        received_at = f"2026-01-31T08:1{place}:00+07:00"
        client.post("/v1/score", json={"call_id": f"n{place}", "received_at": received_at, "caller": caller})
    call = client.get("/v1/calls/n4").json()
    assert call["history"]["calls_ever"] == 0.0
    assert call["caller"] is None
    assert not call["first_call"]


def test_a_number_written_in_two_ways_is_one_caller(client):
    client.post("/v1/score", json=CALL | {"caller": "0812-3456-7890"})
    client.post("/v1/score", json=CALL | {"call_id": "b", "received_at": "2026-01-31T08:16:00+07:00"})
    assert client.get("/v1/calls/b").json()["history"]["calls_ever"] == 1.0


def test_the_end_and_the_disposition_reach_the_next_call_and_a_correction_replaces(client):
    client.post("/v1/score", json=CALL)
    ended = client.post("/v1/calls/a/ended", json={"ended_at": "2026-01-31T08:16:00+07:00", "duration_s": 9.0})
    assert ended.json()["stage"] == "ended"
    for disposition in ("prank", "genuine"):
        said = {"disposition": disposition, "disposed_at": "2026-01-31T08:17:00+07:00"}
        assert client.post("/v1/calls/a/disposition", json=said).json()["durable"]
        assert client.post("/v1/calls/a/disposition", json=said).json()["durable"]  # told twice counts once
    now = pd.Timestamp.now("UTC").isoformat()
    client.post("/v1/score", json=CALL | {"call_id": "b", "received_at": now})
    history = client.get("/v1/calls/b").json()["history"]
    assert (history["genuine_ever"], history["not_genuine_ever"], history["short_ever"]) == (1.0, 0.0, 1.0)


def test_a_disposition_is_not_known_before_it_was_told(client):
    client.post("/v1/score", json=CALL)
    client.post("/v1/calls/a/disposition", json={"disposition": "prank", "disposed_at": "2026-01-31T08:17:00+07:00"})
    client.post("/v1/score", json=CALL | {"call_id": "b", "received_at": "2026-01-31T10:00:00+07:00"})
    assert client.get("/v1/calls/b").json()["history"]["not_genuine_ever"] == 0.0


def test_what_was_imported_can_be_told_again_and_counts_once(serving, rows, tmp_path, release_folder, city):
    release, calls = read_release(release_folder), city.calls[:60]
    store = Store(f"sqlite:///{tmp_path / 'saring.db'}")
    import_log(calls, None, release, store, Pseudonyms(read_keys(tmp_path / "saring.key")), lambda _: None)
    store.close()
    before = [row for row in rows(tmp_path, "events") if row["kind"] != "scored"]
    with serving(tmp_path, release_folder) as client:
        replay(steps(calls), client, as_recorded=True)
    assert [row for row in rows(tmp_path, "events") if row["kind"] != "scored"] == before


def test_the_reasons_and_the_intercept_add_up_to_the_log_odds(client):
    intercepts = client.get("/v1/model").json()["intercepts"]
    answer = client.post("/v1/score", json=CALL | {"duration_s": 12.0}).json()
    log_odds = intercepts["opening"] + sum(reason["contribution"] for reason in answer["reasons"])
    assert 1 / (1 + np.exp(-log_odds)) == pytest.approx(answer["prank_likelihood"], abs=1e-12)


def test_events_of_an_unknown_call_are_refused(client):
    told = {"ended_at": "2026-01-31T08:16:00+07:00"}
    assert client.post("/v1/calls/nobody/ended", json=told).status_code == 404
    assert client.get("/v1/calls/nobody").status_code == 404


def test_an_end_before_the_arrival_or_told_in_two_ways_is_refused(client):
    client.post("/v1/score", json=CALL)
    early = client.post("/v1/calls/a/ended", json={"ended_at": "2026-01-31T08:14:59+07:00"})
    assert (early.status_code, early.json()["errors"][0]["field"]) == (409, "ended_at")
    told = {"ended_at": "2026-01-31T08:16:00+07:00", "duration_s": 9.0}
    first = client.post("/v1/calls/a/ended", json=told)
    assert client.post("/v1/calls/a/ended", json=told).json() == first.json()
    assert client.post("/v1/calls/a/ended", json=told | {"duration_s": 10.0}).status_code == 409


def test_no_number_stands_in_the_database_or_in_any_answer(serving, tmp_path, release_folder):
    with serving(tmp_path, release_folder) as client:
        client.post("/v1/score", json=CALL)
        client.post("/v1/score", json=CALL | {"call_id": "b", "line": NUMBER})
        seen = client.get("/v1/calls/a").text + client.get("/v1/calls/b").text
        seen += client.post("/v1/score", json=CALL | {"received_at": "2026-01-31T08:15:01+07:00"}).text
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for form in (NUMBER, NUMBER[1:], "0" + NUMBER[3:]):
        assert form not in seen
        assert form.encode() not in kept
    assert stat.S_IMODE((tmp_path / "saring.key").stat().st_mode) == 0o600


def test_a_store_that_fails_leaves_calls_in_the_order_of_arrival_and_is_told_of_them_later(rows, tmp_path, client):
    client.post("/v1/score", json=CALL)
    with sqlite3.connect(tmp_path / "saring.db") as connection:
        connection.execute("ALTER TABLE events RENAME TO lost")
    new = CALL | {"call_id": "b", "caller": None}
    told = client.post("/v1/score", json=new, headers=RECORDED).json()
    assert (told["band"], told["defer_s"], told["degraded"], told["durable"]) == ("unscored", 0.0, True, True)
    assert told["queue_key"] == "2026-01-31T01:15:00.000000+00:00"
    ended = client.post("/v1/calls/a/ended", json={"ended_at": "2026-01-31T08:16:00+07:00"})
    assert (ended.json()["band"], ended.json()["durable"]) == ("unscored", True)
    closed = {"disposition": "prank", "disposed_at": "2026-01-31T08:17:00+07:00"}
    kept = client.post("/v1/calls/a/disposition", json=closed).json()
    assert (kept["durable"], kept["degraded"]) == (True, True)
    assert client.get("/readyz").status_code == 503
    with sqlite3.connect(tmp_path / "saring.db") as connection:
        connection.execute("ALTER TABLE lost RENAME TO events")
    until(lambda: all_told(client.base_url), 20.0)
    said = [(row["call_id"], row["kind"]) for row in rows(tmp_path, "events")]
    assert [kind for call_id, kind in said if call_id == "a"] == ["received", "ended", "disposed"]
    assert [kind for call_id, kind in said if call_id == "b"] == ["received"]
    again = client.post("/v1/score", json=new).json()
    assert (again["band"], again["defer_s"], again["degraded"]) == ("unscored", 0.0, True)


def test_a_second_process_on_one_file_is_refused(tmp_path, client):
    with pytest.raises(StoreError, match="in use by another process"):
        Store(f"sqlite:///{tmp_path / 'saring.db'}")


def test_another_key_would_lose_every_history_and_is_refused(serving, tmp_path, release_folder):
    with serving(tmp_path, release_folder) as client:
        client.post("/v1/score", json=CALL)
    (tmp_path / "saring.key").unlink()
    with pytest.raises(StoreError, match="which the key file does not hold"), serving(tmp_path, release_folder):
        pass


def test_the_model_health_and_readiness_are_told(client, release_folder):
    release = read_release(release_folder)
    model = client.get("/v1/model").json()
    assert model["release"] == release.name
    assert model["certificate"]["state"] == "valid"
    assert not model["deferral"]["on"]
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json()["release"] == release.name


@pytest.mark.parametrize(
    "call_id", ["a/b", "../../etc/passwd", "1@pbx.example", "'; DROP TABLE calls;--", "a b?c#d%20", "é"]
)
def test_a_call_of_any_name_can_be_told_of_and_found(shared, call_id):
    path = f"/v1/calls/{quote(call_id, safe='')}"
    assert shared.post("/v1/score", json=CALL | {"call_id": call_id, "x_a": "<script>"}).status_code == 200
    assert shared.post(f"{path}/ended", json={"ended_at": "2026-01-31T08:16:00+07:00"}).json()["call_id"] == call_id
    found = shared.get(path).json()
    assert (found["call_id"], found["x_a"]) == (call_id, "<script>")


def test_an_extra_field_that_json_cannot_carry_becomes_null(client):
    client.post("/v1/score", content=json.dumps(CALL | {"x_a": float("nan")}))
    assert "NaN" not in client.get("/v1/calls/a").text


def test_what_is_not_there_is_a_problem_document(client):
    for answer in (client.get("/nothing"), client.delete("/v1/score"), client.get("/v1/calls/" + "a" * 300)):
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code


def test_calls_that_come_in_nobodys_way_are_written_once(client):
    for place in range(20):
        told = CALL | {"call_id": f"once {place}", "caller": f"+62812345678{place % 10}{place % 7}"}
        assert client.post("/v1/score", json=told).json()["durable"]
    assert "saring_store_conflicts_total 0.0" in client.get("/metrics").text
