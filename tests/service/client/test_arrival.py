"""Where the client places a call whose sender's clock is off, and for how long it says that it has kept one."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from service.client import Client
from tests.support.fake_service import CALL, PATIENT, START, answer_to, listening, reply, replying, scored


@pytest.mark.parametrize("ahead_s", [540.0, -26 * 365 * 86_400.0, 0.0, -30.0])
def test_without_the_service_a_call_is_placed_by_this_machines_clock_where_its_own_is_off(ahead_s):
    now = datetime.now(UTC)
    call = CALL | {"received_at": now + timedelta(seconds=ahead_s)}
    with Client("http://127.0.0.1:9") as client:
        answer, again = client.score(call), client.score(call | {"duration_s": 5.0})
    placed = datetime.fromisoformat(answer["queue_key"])
    assert now <= placed <= datetime.now(UTC) if abs(ahead_s) > 60.0 else placed == call["received_at"]
    assert answer["arrived_at"] == answer["queue_key"] == again["queue_key"]


def test_an_answer_is_followed_that_places_a_call_by_when_the_service_heard_of_it():
    heard = {"arrived_at": "2026-01-31T01:06:00+00:00", "queue_key": "2026-01-31T01:06:30+00:00"}
    heard |= {"queue_key_epoch": datetime.fromisoformat(heard["queue_key"]).timestamp()}
    with (
        listening(replying(lambda _, call: reply(scored(call, 30.0) | heard))) as (_, url),
        Client(url, **PATIENT) as client,
    ):
        answer = client.score(CALL)
    assert (answer["defer_s"], answer["degraded"]) == (30.0, False)
    assert answer["queue_key"] == "2026-01-31T01:06:30.000000+00:00"


def test_the_service_is_told_for_how_long_a_call_was_kept():
    failing = [True]
    behave = replying(lambda path, call: reply({}, 500) if failing else reply(answer_to(path, call)))
    with listening(behave) as (server, url), Client(url, **PATIENT) as client:
        client.score(CALL)
        time.sleep(0.2)
        failing.clear()
        client.answered("a", START)  # the service never heard of the call, and is told of it first
        client.score(CALL | {"call_id": "b"})
    ages = [float(head.lower().split("saring-age: ")[1].split("\r\n")[0]) for head in server.heads if "/score " in head]
    assert ages[0] < 0.2 <= ages[1] < 30.0
    assert ages[2] < 0.2
