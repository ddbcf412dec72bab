"""The queue as a stream: what it tells, how it is taken up again, who may follow it, and what is left of it."""

import json
import socket
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from service.http.event_stream import MAX_STREAMS, MAX_STREAMS_PER_KEY
from service.security.api_keys import Role
from service.security.key_store import create_key, revoke_key
from tests.support.keyed_service import NOBODY, Keyed, events, keyed
from tests.support.processes import until

MORNING = datetime(2026, 1, 31, 8, tzinfo=UTC)
MANY = 1_000


def end(service: Keyed, call_id: str) -> None:
    over = (MORNING + timedelta(days=1)).isoformat()
    assert service.say("intake", call_id, "ended", ended_at=over).status_code == 200


@contextmanager
def following(service: Keyed, who: str = "operator", headers: dict[str, str] | None = None, **params):
    """Open a stream; gives a function that gives its next event."""
    asked = {"params": params, "headers": service.by(who) | (headers or {})}
    with service.client.stream("GET", "/v1/queue/stream", **asked) as answered:
        assert answered.status_code == 200, answered.read()
        assert answered.headers["content-type"].startswith("text/event-stream")
        assert answered.headers["cache-control"] == "no-store, no-transform"
        assert answered.headers["x-accel-buffering"] == "no"  # what nginx goes by: pass each event on at once
        found = events(answered)
        yield lambda: next(found)


def test_a_stream_tells_the_whole_queue_and_then_each_change(service):
    service.ring("first", MORNING)
    with following(service) as next_event:
        whole = next_event()
        assert whole.name == "queue"
        assert "first" in [call["call_id"] for call in whole.data["calls"]]
        assert whole.data["waiting"] == len(whole.data["calls"])
        service.ring("second", MORNING)
        told = next_event()
        assert (told.name, told.data["call_id"], told.data["state"]) == ("call", "second", "waiting")
        end(service, "first")
        end(service, "second")
        assert [next_event().data["state"] for _ in "12"] == ["abandoned", "abandoned"]


def test_a_stream_that_was_cut_off_takes_up_where_it_was(service):
    with following(service) as next_event:
        seen = next_event().id
    for call_id in ("missed 1", "missed 2"):
        service.ring(call_id, MORNING)
    end(service, "missed 1")
    with following(service, headers={"Last-Event-ID": seen}) as next_event:
        told = [next_event(), next_event()]
    # Two events on one call are told as it is now.
    assert [(event.name, event.data["call_id"]) for event in told] == [("call", "missed 2"), ("call", "missed 1")]
    assert told[1].data["state"] == "abandoned"
    with following(service, headers={"Last-Event-ID": told[1].id}) as next_event:
        assert next_event().name == "deferral"  # nothing was missed
    end(service, "missed 2")


@pytest.mark.parametrize(
    "last", ["", "0", "-", "abc-1", "-1", "0-0", "1" * 99, "\N{SUPERSCRIPT TWO}".encode(), b"\xff\xfe", "a-\t1", "%00"]
)
def test_an_id_that_is_not_of_this_stream_gets_the_whole_queue(service, last):
    with following(service, headers={"Last-Event-ID": last}) as next_event:
        assert next_event().name == "queue"


def test_an_id_with_an_impossible_number_gets_the_whole_queue(service):
    with following(service) as next_event:
        epoch = next_event().id.split("-")[0]
    for number in ("999999999999999", "9" * 60, "-5", "1e3", "0x1", "\u0663".encode(), ""):
        given = number.encode() if isinstance(number, str) else number
        with following(service, headers={"Last-Event-ID": epoch.encode() + b"-" + given}) as next_event:
            assert next_event().name == "queue", number


def test_who_follows_one_queue_is_told_when_a_call_moves_to_another(service):
    service.ring("moving", MORNING, queue="north")
    service.ring("elsewhere", MORNING, queue="south")
    with following(service, queue="north") as next_event:
        assert [call["call_id"] for call in next_event().data["calls"]] == ["moving"]
        service.ring("moving", MORNING, queue="south")
        told = next_event()
        assert (told.data["call_id"], told.data["queue"]) == ("moving", "south")
        service.ring("moving", MORNING, queue="south", duration_s=3.0)
        service.ring("staying", MORNING, queue="north")
        assert next_event().data["call_id"] == "staying"
    for call_id in ("moving", "elsewhere", "staying"):
        end(service, call_id)


def test_a_stream_tells_the_queue_anew_when_a_caller_was_forgotten(service):
    service.ring("to be forgotten", MORNING, caller="+6281200000001")
    service.ring("to stay", MORNING)
    end(service, "to be forgotten")
    with following(service) as next_event:
        assert "to stay" in [call["call_id"] for call in next_event().data["calls"]]
        erased = service.ask("admin", "POST", "/v1/callers/erase", json={"caller": "+6281200000001", "reason": "asked"})
        assert erased.json()["calls"] == 1
        told = next_event()
        assert told.name == "queue"
        assert "to stay" in [call["call_id"] for call in told.data["calls"]]
    end(service, "to stay")


def test_a_stream_that_has_nothing_to_tell_says_that_it_lives(service):
    with service.client.stream("GET", "/v1/queue/stream", headers=service.by("operator")) as answered:
        lines = answered.iter_lines()
        assert next(line for line in lines if line == "event: beat")
        beat = json.loads(next(lines).removeprefix("data: "))
        assert beat["degraded"] is False
        assert abs((datetime.now(UTC) - datetime.fromisoformat(beat["at"])).total_seconds()) < 5.0


def test_reasons_come_in_the_language_and_number_asked_for(service):
    service.ring("why", MORNING, caller="+6281200000002", line="landline")
    plain = service.ask("operator", "GET", "/v1/queue").json()["calls"][0]["reasons"]
    told = service.ask("operator", "GET", "/v1/queue", params={"lang": "id", "reasons": 2}).json()["calls"][0]
    assert len(told["reasons"]) == min(2, len(plain))
    for english, indonesian in zip(plain, told["reasons"], strict=False):
        assert english["text"] != indonesian["text"]
        assert {**english, "text": ""} == {**indonesian, "text": ""}
    with following(service, lang="id", reasons=1) as next_event:
        assert next_event().data["calls"][0]["reasons"] == told["reasons"][:1]
    end(service, "why")


def test_a_stream_tells_when_the_switch_is_put(service):
    with following(service) as next_event:
        off_because = next_event().data["off_because"]
        body = {"switch": {"on": False, "reason": "a drill"}}
        assert service.ask("operator", "PUT", "/v1/operations", json=body).status_code == 200
        service.ring("during the drill", MORNING)
        told = [next_event(), next_event()]
        assert {"deferral", "call"} == {event.name for event in told}
        data = next(event.data for event in told if event.name == "deferral")
        assert data == {"deferral_on": False, "off_because": "switch"}
        assert off_because != "switch"
    body = {"switch": {"on": True, "reason": "the drill is over"}}
    assert service.ask("admin", "PUT", "/v1/operations", json=body).status_code == 200
    end(service, "during the drill")


def test_a_token_opens_a_stream_and_a_bad_one_does_not(service):
    token = service.ask("operator", "POST", "/v1/tokens", json={"scope": "stream"}).json()["token"]
    with following(service, NOBODY, token=token) as next_event:
        assert next_event().name == "queue"
    badge = service.ask("operator", "POST", "/v1/tokens", json={"scope": "badge", "call_id": "a"}).json()["token"]
    for bad in (token[:-1], token[::-1], badge, "", "\x00", "é", "a" * 1_200):
        answered = service.client.get("/v1/queue/stream", params={"token": bad})
        assert answered.status_code == 401
        assert answered.headers["www-authenticate"] == "Bearer"
        assert answered.headers["content-type"] == "application/problem+json"
    answered = service.ask("scientist", "GET", "/v1/queue/stream", params={"token": "a"})
    assert answered.status_code == 403


@pytest.mark.parametrize("by_token", [False, True])
def test_a_key_that_is_revoked_ends_its_stream(service, by_token):
    key = create_key(service.engine, f"soon gone {by_token}", Role.OPERATOR, datetime.now(UTC))
    headers = {"Authorization": f"Bearer {key}"}
    until(lambda: service.client.get("/v1/queue", headers=headers).status_code == 200)
    params = {}
    if by_token:
        asked = service.client.post("/v1/tokens", headers=headers, json={"scope": "stream"})
        headers, params = {}, {"token": asked.json()["token"]}
    with service.client.stream("GET", "/v1/queue/stream", headers=headers, params=params) as answered:
        found = events(answered)
        assert next(found).name == "queue"
        revoke_key(service.engine, key.split("_")[1], datetime.now(UTC))
        assert [event.name for event in found] == ["bye"]  # and then the end
    if by_token:
        assert service.client.get("/v1/queue/stream", params=params).status_code == 401


def test_a_service_that_stops_ends_its_streams_with_a_last_event(tmp_path, release_folder):
    with socket.socket() as connection:
        with keyed(tmp_path, release_folder) as service:
            connection.connect(("127.0.0.1", service.port))
            connection.sendall(request_of(service))
            connection.settimeout(20.0)
            rest = b""
            while b"event: queue" not in rest:
                rest += connection.recv(65_536)
        while more := connection.recv(65_536):
            rest += more
    assert b"event: bye" in rest


def request_of(service: Keyed, key: str | None = None) -> bytes:
    key = key or service.keys["operator"]
    return f"GET /v1/queue/stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n".encode()


def test_streams_are_limited_and_dropped_ones_leave_nothing(service):
    streams, followers = service.app.state.streams, service.app.state.scorer.intake.board.followers
    until(lambda: not streams.open)
    now = datetime.now(UTC)
    keys = [
        create_key(service.engine, f"wall {n}", Role.OPERATOR, now) for n in range(MAX_STREAMS // MAX_STREAMS_PER_KEY)
    ]
    by_last = {"Authorization": f"Bearer {keys[-1]}"}
    until(lambda: service.client.get("/v1/queue", headers=by_last).status_code == 200)
    for count in (MAX_STREAMS_PER_KEY, MAX_STREAMS):
        with ExitStack() as stack:
            for place in range(count):
                connection = stack.enter_context(socket.create_connection(("127.0.0.1", service.port)))
                connection.sendall(request_of(service, keys[place // MAX_STREAMS_PER_KEY]))
            until(lambda count=count: streams.open == len(followers) == count)
            full = {"Authorization": f"Bearer {keys[0]}"}
            answered = service.client.get("/v1/queue/stream", headers=full)
            assert answered.status_code == 429  # this key has its share
            assert answered.headers["content-type"] == "application/problem+json"
            if count == MAX_STREAMS_PER_KEY:
                with following(service) as next_event:
                    assert next_event().name == "queue"  # and others have theirs
            else:
                assert service.ask("operator", "GET", "/v1/queue/stream").status_code == 429
                service.ring("while all are open", MORNING)
                end(service, "while all are open")
        until(lambda: not streams.open and not followers)


def test_a_queue_of_a_thousand_waiting_calls_is_told_in_order(tmp_path, release_folder):
    with keyed(tmp_path, release_folder) as service:
        calls = [
            {
                "call_id": f"c{place:04}",
                "received_at": (MORNING + timedelta(seconds=37 * place % MANY)).isoformat(),
                "queue": "north" if place % 4 else "south",
            }
            for place in range(MANY + 1)
        ]
        for some in (calls[:500], calls[500:]):
            recorded = {"Saring-Clock": "as-recorded"}
            told = service.ask("admin", "POST", "/v1/score/batch", json={"calls": some}, headers=recorded)
            results = told.json()["results"]
            assert all(result["durable"] for result in results)
        keys = {call["call_id"]: (call["received_at"], call["call_id"]) for call in calls}
        whole = service.ask("operator", "GET", "/v1/queue").json()
        assert whole["waiting"] == MANY + 1
        assert [call["call_id"] for call in whole["calls"]] == sorted(keys, key=keys.get)[:MANY]
        few = service.ask("operator", "GET", "/v1/queue", params={"limit": 3, "queue": "south"}).json()
        assert few["waiting"] == MANY // 4 + 1
        assert few["calls"] == [call for call in whole["calls"] if call["queue"] == "south"][:3]
        with following(service) as next_event:
            told = next_event()
            assert (told.name, told.data["calls"]) == ("queue", whole["calls"])
            end(service, "c0500")
            assert next_event().data["call_id"] == "c0500"
