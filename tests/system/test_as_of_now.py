"""What is answered and shown holds as of now: switch, monitor and certificate reach every call that waits."""

import json
import sqlite3
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from model.release.folder import read_release, write_release
from service.queue.operations import record_decision
from service.store.database import connect
from service.timestamps import microseconds
from tests.support.keyed_service import events
from tests.support.nuisances import ago, nuisance, told_as_prank
from tests.support.processes import until

OFF, ON = ({"switch": {"on": on, "reason": "a try"}} for on in (False, True))


def as_on_disk(release: Path, made, folder: Path, **changes) -> Path:
    """Write a release whose certificate says other things: of itself, and of the flags of each stage (`flag`)."""
    files = {path.name: path.read_bytes() for path in release.iterdir() if path.name != "manifest.json"}
    certificate = json.loads(files["certificate.json"])
    for stage in certificate["stages"]:
        stage["flag"] |= changes.get("flag", {})
    certificate |= {name: value for name, value in changes.items() if name != "flag"}
    files["certificate.json"] = json.dumps(certificate).encode()
    write_release(folder, files, made.facts(datetime.now(UTC)))
    return folder


@pytest.fixture(scope="module")
def marking(acting_release, made, tmp_path_factory) -> Path:
    """A release that says it may defer, and mark whoever scores above one in a hundred."""
    flag = {"rank": 1, "threshold": 0.01, "missing": 0, "observed_share": 0.0}
    return as_on_disk(acting_release, made, tmp_path_factory.mktemp("marking") / "release", flag=flag)


def ask(client: httpx.Client, said: dict) -> dict:
    answered = client.post("/v1/score", json=said)
    assert answered.status_code == 200
    return answered.json()


def place(answer: dict) -> tuple[float, str]:
    return answer["defer_s"], answer["band"]


def on_arrival(said: dict, answer: dict) -> bool:
    return datetime.fromisoformat(answer["queue_key"]) == datetime.fromisoformat(said["received_at"])


def test_who_asks_again_after_the_switch_was_pulled_is_neither_deferred_nor_marked(serving, tmp_path, marking):
    with serving(tmp_path, marking, random_share=0.0) as client:
        told_as_prank(client)
        said = nuisance("a", expected_wait_s=60.0)
        before = ask(client, said)
        assert before["defer_s"] > 0.0
        assert (before["band"], before["badge"]) == ("likely_prank", "prank_like")
        assert ask(client, said) == before  # while nothing has changed it is the same to the last digit
        client.put("/v1/operations", json=OFF)
        again = ask(client, said)
        assert place(again) == (0.0, "unsure")
        assert again["badge"] == "not_clear"
        assert on_arrival(said, again)
        assert again["queue_key_epoch"] == pytest.approx(datetime.fromisoformat(said["received_at"]).timestamp())
        assert {
            **again,
            **{name: before[name] for name in ("defer_s", "band", "badge", "queue_key", "queue_key_epoch")},
        } == before
        client.put("/v1/operations", json=ON)
        assert place(ask(client, said)) == (0.0, "likely_prank")  # a key moves forward and never back
        assert ask(client, nuisance("b", expected_wait_s=60.0))["defer_s"] > 0.0


def test_a_mark_is_gone_from_boards_documents_streams_and_badges_as_soon_as_the_switch_is_pulled(
    serving, tmp_path, marking
):
    def shown(client: httpx.Client) -> set[tuple[str, float, bool]]:
        row = client.get("/v1/queue").json()["calls"][0]
        one = client.get("/v1/calls/a").json()
        badge = client.get("/v1/calls/a/badge").json()["state"]
        scores = one["scores"]["opening"]
        assert scores["queue_key"] == row["queue_key"] == one["queue_key"]
        assert badge == row["band"] == one["shown_band"] == scores["band"]
        assert row["defer_s"] == one["defer_s"] == scores["defer_s"]
        shown_as = client.get("/v1/calls/a/badge").json()["badge"]
        assert shown_as == row["badge"] == one["badge"] == scores["badge"]
        assert (shown_as == "prank_like") == (badge == "likely_prank")
        assert ("Prank-like" in client.get("/v1/calls/a/badge.svg").text) == (badge == "likely_prank")
        return badge, row["defer_s"] > 0.0

    with serving(tmp_path, marking, random_share=0.0) as client:
        told_as_prank(client)
        said = nuisance("a", expected_wait_s=60.0)
        ask(client, said)
        assert shown(client) == ("likely_prank", True)
        with client.stream("GET", "/v1/queue/stream") as answered:
            told = events(answered)
            assert next(told).data["calls"][0]["band"] == "likely_prank"
            httpx.put(f"{client.base_url}/v1/operations", json=OFF)
            found = next(event for event in told if event.name == "call")
            assert (found.data["band"], found.data["defer_s"]) == ("unsure", 0.0)
        assert shown(client) == ("unsure", False)
    with serving(tmp_path, marking, random_share=0.0) as client:
        assert shown(client) == ("unsure", False)
        assert place(ask(client, said)) == (0.0, "unsure")


def test_the_monitors_alarm_reaches_who_asks_again(serving, tmp_path, marking):
    with serving(tmp_path, marking, random_share=0.0) as client:
        told_as_prank(client)
        said = nuisance("a", expected_wait_s=60.0)
        assert ask(client, said)["defer_s"] > 0.0
        engine = connect(f"sqlite:///{tmp_path / 'saring.db'}")
        with engine.begin() as connection:
            body = {"on": False, "reason": "more genuine callers are marked than promised"}
            record_decision(connection, "monitor", "switch", body, microseconds(datetime.now(UTC)))
        engine.dispose()
        until(lambda: client.get("/v1/model").json()["deferral"]["off_because"] == "monitor")
        assert place(ask(client, said)) == (0.0, "unsure")


def test_what_an_expired_certificate_took_back_stays_taken_back_under_the_next_one(serving, tmp_path, marking, made):
    ends = datetime.now(UTC) + timedelta(seconds=12)
    short = as_on_disk(marking, made, tmp_path / "short", expires_at=ends.isoformat())
    with serving(tmp_path, short, random_share=0.0) as client:
        told_as_prank(client)
        said = nuisance("a", expected_wait_s=60.0)
        assert ask(client, said)["defer_s"] > 0.0
        time.sleep(max(0.0, (ends - datetime.now(UTC)).total_seconds()))
        assert place(ask(client, said)) == (0.0, "unsure")
        assert client.get("/v1/calls/a").json()["defer_s"] == 0.0
        time.sleep(1.0)
    with serving(tmp_path, marking, random_share=0.0) as client:
        waiting = client.get("/v1/queue").json()["calls"][0]
        assert waiting["queue_key"] == waiting["received_at"]
        assert ask(client, said)["defer_s"] == 0.0


def test_an_earlier_request_told_again_is_deferred_no_longer_than_the_call_is_by_now(serving, tmp_path, marking):
    with serving(tmp_path, marking, random_share=0.0) as client:
        told_as_prank(client)
        first = nuisance("a", expected_wait_s=80.0)
        then = first | {"duration_s": 1.0, "silence_ratio": 0.0, "expected_wait_s": 0.0}
        assert ask(client, first)["defer_s"] > 0.0
        ring = {name: first[name] for name in ("call_id", "received_at", "caller", "line")} | {"expected_wait_s": 80.0}
        rang = ask(client, ring)
        assert rang["stage"] == "ring"
        assert ask(client, then)["defer_s"] == 0.0
        again = ask(client, ring)
        assert again["defer_s"] == 0.0
        assert on_arrival(ring, again)


def test_of_the_random_share_no_score_is_given_until_the_call_is_closed(serving, tmp_path, acting_release):
    with serving(tmp_path, acting_release, random_share=0.5) as client:
        told_as_prank(client)
        answers = [ask(client, nuisance(f"n{n}", expected_wait_s=60.0)) for n in range(12)]
        held = next(answer["call_id"] for answer in answers if answer["held_out"])
        free = next(answer["call_id"] for answer in answers if not answer["held_out"])

        def score(call_id: str) -> dict:
            return client.get(f"/v1/calls/{call_id}").json()["scores"]["opening"]

        hidden = score(held)
        assert (hidden["prank_likelihood"], hidden["reasons"], hidden["guardrails"]) == (None, [], [])
        for told in (hidden, client.get(f"/v1/calls/{held}").json(), client.get(f"/v1/calls/{held}/badge").json()):
            assert (told["genuine_like"], told["one_in"], told["badge"]) == (None, None, "not_rated")
        assert hidden["held_out"]
        assert score(free)["prank_likelihood"] > 0.0
        client.post(f"/v1/calls/{held}/ended", json={"ended_at": ago(), "duration_s": 4.0})
        assert score(held)["prank_likelihood"] is None
        client.post(f"/v1/calls/{held}/disposition", json={"disposition": "prank", "disposed_at": ago()})
        assert score(held)["prank_likelihood"] > 0.0
        assert 0.0 < client.get(f"/v1/calls/{held}").json()["genuine_like"] <= 1.0


def test_one_wait_told_in_milliseconds_holds_the_queue_for_a_stated_time_and_is_warned_of(
    serving, tmp_path, acting_release
):
    with serving(tmp_path, acting_release, random_share=0.0, clock_skew_s=7_200.0) as client:
        told_as_prank(client)
        absurd = ask(client, nuisance("absurd", expected_wait_s=60_000.0))
        assert absurd["defer_factor"] > 0.3
        assert [warning["field"] for warning in absurd["warnings"]] == ["expected_wait_s"]
        counted = client.get("/metrics").text
        assert 'saring_warnings_total{field="expected_wait_s"} 1.0' in counted

        def later(minutes: float) -> dict:
            at = (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()
            said = nuisance(f"after {minutes}", expected_wait_s=1.0) | {"received_at": at}
            return client.post("/v1/score", json=said, headers={"Saring-Clock": "as-recorded"}).json()

        # docs/queueing.md: nobody is at the largest deferral after 11.5 minutes, nothing is left after 16.5.
        rule = read_release(acting_release).policy.deferral
        assert later(11.6)["defer_s"] < rule.max_defer_s
        gone = later(17.0)
        assert gone["defer_s"] == pytest.approx(gone["defer_factor"] * (rule.kappa * 1.0 + rule.base_s))


def test_what_is_held_of_staff_that_was_told_wrongly_is_forgotten_when_it_is_put_right(
    serving, tmp_path, acting_release
):
    with serving(tmp_path, acting_release, random_share=0.0) as client:
        told_as_prank(client)
        said = client.put("/v1/operations", json={"operators": 1, "mean_handling_s": 60_000.0}).json()
        assert [warning["field"] for warning in said["warnings"]] == ["mean_handling_s"]
        assert 'saring_warnings_total{field="mean_handling_s"} 1.0' in client.get("/metrics").text
        ask(client, {"call_id": "busy", "received_at": ago(), "caller": "+6281300000001"})
        wrong = ask(client, nuisance("a"))
        rule = read_release(acting_release).policy.deferral
        assert wrong["defer_s"] == rule.max_defer_s
        said = client.put("/v1/operations", json={"operators": 1, "mean_handling_s": 6.0}).json()
        assert said["warnings"] == []
        right = ask(client, nuisance("b"))
        assert right["defer_s"] == pytest.approx(
            right["defer_factor"] * (rule.kappa * right["expected_wait_s"] + rule.base_s)
        )
        assert right["defer_s"] < wrong["defer_s"]


def test_a_call_that_comes_by_itself_does_not_wait_for_a_whole_batch(serving, tmp_path, release_folder):
    with serving(tmp_path, release_folder, deadline_ms=10_000) as client:
        batch = [
            {"call_id": f"b{n}", "received_at": ago(), "caller": f"+6281300{n:06}", "duration_s": 3.0}
            for n in range(400)
        ]
        over, told = threading.Event(), []

        def tell() -> None:
            try:
                answered = httpx.post(f"{client.base_url}/v1/score/batch", json={"calls": batch}, timeout=60.0)
                told[:] = [one["call_id"] for one in answered.json()["results"]]
            finally:
                over.set()

        thread = threading.Thread(target=tell)
        thread.start()
        count = 0
        while not over.is_set():
            ask(client, {"call_id": f"single {count}", "received_at": ago()})
            count += 1
        thread.join()
    assert told == [one["call_id"] for one in batch]
    with closing(sqlite3.connect(tmp_path / "saring.db")) as connection:
        kept = [row[0] for row in connection.execute("SELECT call_id FROM events ORDER BY seq")]
    first, last = (kept.index(call_id) for call_id in ("b0", "b399"))
    between = [call_id for call_id in kept[first:last] if call_id.startswith("single")]
    assert len(between) >= 3


def test_a_service_whose_clock_is_behind_says_that_it_refuses_calls_for_it(serving, tmp_path, release_folder, caplog):
    with serving(tmp_path, release_folder) as client:
        hour = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        assert client.post("/v1/score", json={"call_id": "a", "received_at": hour}).status_code == 422
        assert (
            client.post("/v1/score/batch", json={"calls": [{"call_id": "a", "received_at": hour}]}).status_code == 200
        )
        assert client.post("/v1/score", json={"call_id": "a", "received_at": "1980-01-01T00:00:00Z"}).status_code == 422
        assert "saring_ahead_total 2.0" in client.get("/metrics").text
    assert "ahead of this machine's clock" in caplog.text
