"""Events: told in order, kept while the service does not take them, put aside when it refuses them for good."""

import asyncio
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from service.client import AsyncClient, Client
from service.security.key_store import create_key
from service.store.database import connect
from tests.support.fake_service import (
    CALL,
    ENDED_AT,
    FIELDS,
    PATIENT,
    SLOW,
    START,
    WRONG,
    answer_to,
    call_at,
    good,
    hang,
    listening,
    reply,
    replying,
    scored,
)  # fmt: skip
from tests.support.store.durable_queues import events_left


def test_events_are_told_and_the_end_brings_the_score_of_the_whole_call():
    with listening(good) as (server, url), Client(url, **PATIENT) as client:
        client.score(CALL)
        kept = {"call_id": "a", "durable": True, "queued": False, "degraded": False, "warnings": []}
        assert client.answered("a", START, operator="7") == kept
        ended = client.ended("a", ENDED_AT, "caller", 40.5, 0.25)
        assert client.disposition("a", "genuine", START, "fire", incident_id="f1") == kept
    assert ended == scored({"call_id": "a", "received_at": CALL["received_at"]}) | {"stage": "ended"} | kept
    times = "2026-01-31T01:15:00.000000+00:00", "2026-01-31T01:16:00.000000+00:00"
    assert server.told[1:] == [
        ("/v1/calls/a/answered", {"answered_at": times[0], "operator": "7"}),
        ("/v1/calls/a/ended", {"ended_at": times[1], "ended_by": "caller", "duration_s": 40.5, "silence_ratio": 0.25}),
        (
            "/v1/calls/a/disposition",
            {"disposed_at": times[0], "disposition": "genuine", "category": "fire", "incident_id": "f1"},
        ),
    ]


@pytest.mark.parametrize(("behave", "why"), [*SLOW, *WRONG])
def test_what_is_told_to_a_service_that_does_not_take_it_is_kept_or_put_aside(tmp_path, behave, why):
    outbox = tmp_path / "outbox"
    deadline_s = 0.15 if (behave, why) in SLOW else 10.0
    with listening(behave) as (_, url), Client(url, outbox=outbox, deadline_s=deadline_s) as client:
        answers = [client.answered("a", START), client.ended("a", ENDED_AT), client.disposition("b", "prank", START)]
    final = "wrong" in why or "499" in why
    for answer in answers:
        assert list(answer) == ["call_id", "durable", "queued", "degraded", "warnings"]
        assert (answer["durable"], answer["queued"], answer["degraded"]) == (False, not final, True)
    assert why in answers[0]["warnings"][0]["detail"]
    if final:
        kinds = [json.loads(line)["kind"] for line in (tmp_path / "outbox.refused").read_text().splitlines()]
    else:
        kinds = [event.kind for event in events_left(outbox)]
    assert kinds == ["answered", "ended", "disposition"]


def test_what_could_not_be_told_is_told_in_order_when_the_service_answers_again(tmp_path):
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        port = placeholder.getsockname()[1]
    with Client(f"http://127.0.0.1:{port}", outbox=tmp_path / "outbox", failures=2) as client:
        for place in range(5):
            assert client.score(call_at(place))["degraded"]
            assert client.answered(f"call {place}", START)["queued"]
            assert client.ended(f"call {place}", ENDED_AT)["queued"]
        assert client.flush(0.2) == 10
        with listening(good, port) as (server, _):
            deadline = time.monotonic() + 10
            while client._pending() and time.monotonic() < deadline:
                time.sleep(0.02)
            assert client._pending() == 0
    # The service had never heard of these calls: each is told to it before what happened to it.
    assert [(path, body.get("call_id")) for path, body in server.told if path == "/v1/score"] == [
        ("/v1/score", f"call {place}") for place in range(5)
    ]
    assert [path.removeprefix("/v1/calls/") for path in server.paths() if path != "/v1/score"] == [
        f"call%20{place}/{kind}" for place in range(5) for kind in ("answered", "ended")
    ]
    assert events_left(tmp_path / "outbox") == []


def test_a_later_event_of_a_call_waits_behind_an_earlier_one_and_other_calls_do_not(tmp_path):
    failing = [True]
    behave = replying(lambda path, call: reply({}, 503) if failing and "/a/" in path else reply(answer_to(path, call)))
    with listening(behave) as (server, url), Client(url, outbox=tmp_path / "outbox", **PATIENT) as client:
        assert client.answered("a", START)["queued"]
        asked = len(server.told)
        later = client.ended("a", ENDED_AT)
        assert later["queued"]
        assert "earlier event" in later["warnings"][0]["detail"]
        assert client.ended("b", ENDED_AT)["durable"]
        assert "/v1/calls/a/ended" not in server.paths()[asked:]
        failing.clear()
        assert client.flush() == 0
        assert client.disposition("a", "prank", START)["durable"]
    of_a = [path for path in server.paths() if "/a/" in path]
    assert of_a[-3:] == [f"/v1/calls/a/{kind}" for kind in ("answered", "ended", "disposition")]


def test_a_service_that_takes_no_events_is_still_asked_for_scores():
    behave = replying(lambda path, body: reply(answer_to(path, body)) if path == "/v1/score" else reply({}, 503))
    with listening(behave) as (_, url), Client(url, failures=2, **PATIENT) as client:
        for place in range(5):
            assert not client.answered(f"call {place}", START)["durable"]
        assert not client.score(CALL)["degraded"]


def test_events_of_one_call_told_at_the_same_time_go_one_after_another():
    under_way, most = [0], [0]

    async def one_at_a_time(server, reader, writer) -> None:
        while True:
            path, body = await server.request(reader)
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
            await asyncio.sleep(0.02)
            under_way[0] -= 1
            writer.write(reply(answer_to(path, body)))

    with (
        listening(one_at_a_time) as (server, url),
        Client(url, deadline_s=10.0) as client,
        ThreadPoolExecutor(12) as pool,
    ):
        answers = list(pool.map(lambda place: client.disposition("a", f"d{place}", START), range(12)))
    assert most == [1]
    assert all(answer["durable"] for answer in answers)
    assert {body["disposition"] for _, body in server.told} == {f"d{place}" for place in range(12)}


@pytest.mark.parametrize("status", [401, 403, 408, 429, 500, 302])
def test_what_is_refused_for_now_stays_in_the_outbox(tmp_path, status):
    behave = replying(lambda *_: reply({"detail": "not now"}, status, "application/problem+json"))
    with listening(behave) as (_, url), Client(url, outbox=tmp_path / "outbox", **PATIENT) as client:
        assert client.answered("a", START)["queued"]
        assert client.flush(2) == 1
        assert not (tmp_path / "outbox.refused").exists()


def test_an_event_that_waited_and_is_refused_for_good_is_put_aside_and_the_others_go_on(tmp_path):
    with Client("http://127.0.0.1:9", outbox=tmp_path / "outbox") as client:
        for call_id in ("a", "b"):
            assert client.answered(call_id, START)["queued"]

    def answer(path: str, body: dict) -> bytes:
        return (
            reply({"detail": "no call 'a'"}, 404, "application/problem+json")
            if "/a/" in path
            else reply(answer_to(path, body))
        )

    with listening(replying(answer)) as (server, url), Client(url, outbox=tmp_path / "outbox", **PATIENT) as client:
        assert client.flush() == 0
    assert server.paths()[-1] == "/v1/calls/b/answered"
    (line,) = (tmp_path / "outbox.refused").read_text().splitlines()
    refused = json.loads(line)
    assert (refused["call_id"], refused["status"], refused["detail"]) == ("a", 404, "no call 'a'")
    assert refused["body"] == {"answered_at": "2026-01-31T01:15:00.000000+00:00"}


def test_an_answer_that_is_not_durable_or_about_another_call_leaves_the_event_in_the_outbox(tmp_path):
    answers = iter([{"call_id": "a", "durable": False}, {"call_id": "b", "durable": True}])
    behave = replying(lambda *_: reply(next(answers, {"call_id": "a", "durable": True})))
    with listening(behave) as (server, url), Client(url, outbox=tmp_path / "outbox", failures=99, **PATIENT) as client:
        assert client.answered("a", START)["queued"]
        deadline = time.monotonic() + 10
        while client.flush() and time.monotonic() < deadline:
            pass
        assert client.answered("a", START)["durable"]
    assert len(server.told) == 4


def test_the_asynchronous_client_tells_keeps_and_flushes_as_the_other_one_does(tmp_path):
    async def tell() -> None:
        async with AsyncClient("http://127.0.0.1:9", outbox=tmp_path / "outbox") as client:
            assert (await client.answered("a", START))["queued"]
            assert (await client.ended("a", ENDED_AT))["queued"]
            assert await client.flush(0.1) == 2
        async with AsyncClient(url, outbox=tmp_path / "outbox", **PATIENT) as client:
            assert await client.flush() == 0
            assert (await client.disposition("a", "genuine", START))["durable"]
            assert not (await client.score(CALL))["degraded"]
        assert (await client.score(CALL))["degraded"]

    with listening(good) as (server, url):
        asyncio.run(tell())
    assert server.paths()[:3] == [f"/v1/calls/a/{kind}" for kind in ("answered", "ended", "disposition")]


def test_an_event_whose_coroutine_is_cancelled_is_not_lost(tmp_path):
    async def tell() -> None:
        async with AsyncClient(url, outbox=tmp_path / "outbox", **PATIENT) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.answered("a", START), 0.03)

    with listening(hang) as (_, url):
        asyncio.run(tell())
    assert [event.call_id for event in events_left(tmp_path / "outbox")] == ["a"]


@pytest.fixture
def keyed(tmp_path):
    """A store with a key of the role intake and one of the role operator, and these keys."""
    engine = connect(f"sqlite:///{tmp_path / 'saring.db'}")
    try:
        return [create_key(engine, role, role, datetime.now(UTC)) for role in ("intake", "operator")]
    finally:
        engine.dispose()


def test_a_whole_call_is_told_to_the_real_service_with_a_key_and_over_a_restart(
    tmp_path, serving, release_folder, keyed
):
    outbox = tmp_path / "outbox"
    intake, operator = keyed
    with serving(tmp_path, release_folder, insecure_local=False) as service:
        url = str(service.base_url)
        with Client(url, "wrong", **PATIENT) as client:
            assert "401" in client.score(CALL)["warnings"][0]["detail"]
        with Client(url, intake, outbox=outbox, **PATIENT) as client:
            answer = client.score(CALL | {"duration_s": 5.0, "silence_ratio": 0.2})
            assert (answer["durable"], answer["degraded"]) == (True, False)
            assert [warning["field"] for warning in answer["warnings"]] == ["received_at"]  # it is of January
            assert list(answer) == FIELDS
            assert client.score(CALL | {"line": "pigeon"})["warnings"][0]["field"] == "line"
            assert client.answered("a", ENDED_AT)["durable"]
            refused = client.disposition("a", "prankster", ENDED_AT)
            assert (refused["durable"], refused["queued"]) == (False, False)
            assert "disposition" in refused["warnings"][0]["detail"]
    with Client(url, intake, outbox=outbox, **PATIENT) as client:
        assert client.ended("a", ENDED_AT, duration_s=30.0)["queued"]
        assert client.disposition("a", "genuine", ENDED_AT, "fire")["queued"]
    with serving(tmp_path, release_folder, insecure_local=False) as service:
        with Client(str(service.base_url), intake, outbox=outbox, **PATIENT) as client:
            assert client.flush() == 0
        call = service.get("/v1/calls/a", headers={"Authorization": f"Bearer {operator}"}).json()
    assert call["duration_s"] == 30.0
    assert (call["disposition"], call["category"]) == ("genuine", "fire")
    (line,) = (tmp_path / "outbox.refused").read_text().splitlines()
    assert json.loads(line)["body"]["disposition"] == "prankster"
