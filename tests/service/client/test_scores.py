"""Scores: an answer that makes sense is passed on, any other is not believed, and a call is never the worse for it."""

import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from statistics import median

import pytest

from service.client import Client
from tests.support.fake_service import (
    CALL,
    ENDED_AT,
    FIELDS,
    LATER,
    PATIENT,
    START,
    answer_to,
    assert_first_come,
    break_off,
    call_at,
    garbage,
    good,
    hang,
    listening,
    reply,
    replying,
    reset,
    scored,
)  # fmt: skip

KEY = "saring_0123456789_secret"


def test_a_good_answer_is_passed_on_with_all_that_it_says():
    with (
        listening(replying(lambda _, call: reply(scored(call, 12.5) | {"x_new": 1}))) as (server, url),
        Client(url, KEY, **PATIENT) as client,
    ):
        answer = client.score(CALL)
    sent = CALL | {"received_at": "2026-01-31T01:15:00.000000+00:00"}
    assert server.told == [("/v1/score", sent)]
    assert answer == scored(sent, 12.5) | {"x_new": 1}
    assert answer["queue_key"] == "2026-01-31T01:15:12.500000+00:00"
    assert f"Authorization: Bearer {KEY}\r\n" in server.heads[0]


UNBELIEVABLE = [
    {"call_id": "b"}, {"call_id": 5}, {"stage": "middle"}, {"band": "prankster"}, {"band": None}, {"band": []},
    {"prank_likelihood": 1.5}, {"prank_likelihood": "0.5"}, {"defer_factor": -0.1}, {"defer_factor": True},
    {"defer_s": -1.0}, {"defer_s": 301.0}, {"defer_s": float("nan")}, {"defer_s": float("inf")}, {"defer_s": None},
    {"queue_key_epoch": START.timestamp() + 10.01}, {"queue_key_epoch": START.timestamp() - 1},
    {"queue_key_epoch": float("nan")}, {"queue_key_epoch": 10**400}, {"queue_key_epoch": "0"},
    {"queue_key": "2026-01-31T01:16:10+00:00"}, {"queue_key": "2026-01-31T01:15:10"}, {"queue_key": "soon"},
    {"queue_key": None}, {"reasons": None}, {"warnings": {}}, {"durable": "yes"}, {"release": 5}, {"held_out": None},
    {"scored_at": "now"}, {"expected_wait_s": -1}, {"genuine_like": 1.1}, {"one_in": "many"}, {"badge": None},
    {"arrived_at": 5}, {"arrived_at": "soon"}, {"arrived_at": "2026-01-31T01:15:00.001000+00:00"},
]  # fmt: skip


@pytest.fixture(scope="module")
def shaping() -> Iterator[tuple[dict, Client]]:
    """A service whose good answers a test can change, and a client of it."""
    shape: dict = {}
    behave = replying(lambda _, call: reply(shape["change"](scored(call, 10.0))))
    with listening(behave) as (_, url), Client(url, failures=10**9, **PATIENT) as client:
        yield shape, client


@pytest.mark.parametrize("change", UNBELIEVABLE, ids=str)
def test_an_answer_that_makes_no_sense_is_not_believed(shaping, change):
    shape, client = shaping
    shape["change"] = lambda answer: answer | change
    assert_first_come(client.score(CALL), CALL | {"received_at": START}, "answered")


@pytest.mark.parametrize("field", [field for field in FIELDS if field not in LATER])
def test_an_answer_without_a_field_is_not_believed(shaping, field):
    shape, client = shaping
    shape["change"] = lambda answer: {name: value for name, value in answer.items() if name != field}
    assert_first_come(client.score(CALL), CALL | {"received_at": START}, field)


def test_an_answer_of_a_service_of_before_is_believed(shaping):
    shape, client = shaping
    shape["change"] = lambda answer: {name: value for name, value in answer.items() if name not in LATER}
    assert client.score(CALL | {"call_id": "before"})["defer_s"] == 10.0


def test_a_deferral_above_the_limit_of_this_client_is_not_believed():
    with listening(replying(lambda _, call: reply(scored(call, 60.0)))) as (_, url):
        with Client(url, max_defer_s=60.0, **PATIENT) as client:
            assert client.score(CALL)["defer_s"] == 60.0
        with Client(url, max_defer_s=59.0, **PATIENT) as client:
            assert client.score(CALL)["defer_s"] == 0.0


def test_a_place_moves_forward_and_never_back_whatever_is_answered_later():
    deferrals = iter([30.0, 20.0, 40.0, None, 10.0])

    def answer(_: str, call: dict) -> bytes:
        defer_s = next(deferrals)
        return reply({}, 500) if defer_s is None else reply(scored(call, defer_s))

    with listening(replying(answer)) as (_, url), Client(url, **PATIENT) as client:
        answers = [client.score(CALL) for _ in range(5)]
    assert [answer["defer_s"] for answer in answers] == [30.0, 20.0, 20.0, 0.0, 0.0]
    assert [answer["queue_key_epoch"] - START.timestamp() for answer in answers] == [30.0, 20.0, 20.0, 0.0, 0.0]
    assert [warning["field"] for answer in answers for warning in answer["warnings"]] == [
        "queue_key", "service", "queue_key",
    ]  # fmt: skip


def test_a_service_that_fails_several_times_in_a_row_is_left_alone_and_then_asked_by_one_probe():
    failing = [True]
    behave = replying(lambda path, call: reply({}, 500) if failing else reply(answer_to(path, call)))
    with listening(behave) as (server, url), Client(url, failures=3, open_s=0.4, **PATIENT) as client:
        took = []
        for place in range(50):
            started = time.perf_counter()
            answer = client.score(call_at(place))
            took.append(time.perf_counter() - started)
        assert len(server.told) == 3
        assert median(took[3:]) < 0.05
        assert "left alone" in answer["warnings"][0]["detail"]
        failing.clear()
        time.sleep(0.45)
        assert not client.score(CALL)["degraded"]
        assert not client.score(CALL)["degraded"]


def test_refusals_do_not_open_the_breaker_and_are_told_with_their_detail(caplog):
    refusing = replying(lambda *_: reply({"detail": f"no {KEY} here\n"}, 401))
    with listening(refusing) as (server, url), Client(url, KEY, failures=2, **PATIENT) as client:
        for _ in range(5):
            answer = client.score(CALL)
    assert len(server.told) == 5
    assert answer["warnings"][0]["detail"] == "the service refused it with 401: no (key) here"
    assert [(record.name, record.levelname) for record in caplog.records] == [("saring.client", "WARNING")] * 5


def test_a_connection_that_breaks_is_tried_once_more_and_no_more():
    async def first_reset(server, reader, writer) -> None:
        await (reset if server.connections == 1 else good)(server, reader, writer)

    with listening(first_reset) as (server, url), Client(url, **PATIENT) as client:
        assert not client.score(CALL)["degraded"]
        assert server.connections == 2
    unanswered = replying(lambda *_: reply({}, 500))
    for behave, connections in ((reset, 2), (break_off, 2), (garbage, 2), (unanswered, 1)):
        with listening(behave) as (server, url), Client(url, **PATIENT) as client:
            assert client.score(CALL)["degraded"]
            assert server.connections == connections


def test_a_connection_is_used_again():
    with listening(good) as (server, url), Client(url, **PATIENT) as client:
        for place in range(50):
            assert not client.score(call_at(place))["degraded"]
    assert server.connections == 1


def test_a_client_behind_a_path_and_with_calls_of_any_name():
    behind = replying(lambda path, body: reply(answer_to(path.removeprefix("/saring"), body)))
    with listening(behind) as (server, url), Client(f"{url}/saring/", **PATIENT) as client:
        for call_id in ("a/b", "..", "a b?c#d%20", "é"):
            assert client.score(CALL | {"call_id": call_id})["call_id"] == call_id
            assert client.answered(call_id, ENDED_AT)["durable"]
    assert server.paths()[1::2] == [
        f"/saring/v1/calls/{name}/answered" for name in ("a%2Fb", "%2E%2E", "a%20b%3Fc%23d%2520", "%C3%A9")
    ]


MISUSED = [
    ({"call_id": None}, "call_id"),
    ({"call_id": ""}, "call_id"),
    ({"call_id": 5}, "call_id"),
    ({"call_id": "\ud800"}, "call_id"),
    ({"received_at": None}, "received_at"),
    ({"received_at": 1769822100}, "received_at"),
    ({"received_at": "2026-01-31"}, "received_at"),
    ({"received_at": "2026-01-31T08:15:00"}, "received_at"),
    ({"received_at": datetime(2026, 1, 31)}, "received_at"),  # noqa: DTZ001
    ({"received_at": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=7)))}, "received_at"),
]


@pytest.fixture(scope="module")
def nobody() -> Iterator[Client]:
    with Client("http://127.0.0.1:9") as client:
        yield client


@pytest.mark.parametrize(("change", "field"), MISUSED)
def test_a_call_without_a_name_or_a_time_is_the_only_thing_that_raises(nobody, change, field):
    with pytest.raises(ValueError, match=f"^{field}: "):
        nobody.score(CALL | change)
    if field == "call_id":
        with pytest.raises(ValueError, match=f"^{field}: "):
            nobody.answered(change["call_id"], ENDED_AT)
    else:
        with pytest.raises(ValueError, match=r"^ended_at: "):
            nobody.ended("a", change["received_at"])


class Stubborn:
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (START, "2026-01-31T01:15:00.000000+00:00"),
        (Decimal("2.5"), 2.5),
        (Path("x"), "x"),
        (Stubborn(), None),
        ({(1, 2): 3}, None),
        (datetime(2026, 1, 31), None),  # noqa: DTZ001
    ],
)
def test_a_value_that_json_does_not_know_never_costs_a_call(value, sent):
    with listening(good) as (server, url), Client(url, **PATIENT) as client:
        answer = client.score(CALL | {"x_a": value})
    assert server.told[0][1]["x_a"] == sent
    assert [warning["field"] for warning in answer["warnings"]] == ([] if sent is not None else ["x_a"])
    assert not answer["degraded"]


@pytest.mark.parametrize(
    ("said", "stage", "wait_s"),
    [
        ({}, "ring", None),
        ({"duration_s": 2.0}, "opening", None),
        ({"silence_ratio": 0.0, "expected_wait_s": 30}, "opening", 30.0),
        ({"stage": "ended", "expected_wait_s": float("nan")}, "ended", None),
        ({"stage": ["ring"], "expected_wait_s": True}, "ring", None),
        ({"stage": "Opening", "expected_wait_s": "12,5"}, "opening", 12.5),
        ({"expected_wait_s": "1.234", "received_at": "2026-01-31 08:15:00+07"}, "ring", None),
        ({"expected_wait_s": "12.5", "received_at": "2026-01-31 01:15:00Z"}, "ring", 12.5),
    ],
)
def test_without_the_service_stage_and_expected_wait_are_those_of_the_request(nobody, said, stage, wait_s):
    answer = nobody.score(CALL | said)
    source = "unknown" if wait_s is None else "request"
    assert (answer["stage"], answer["expected_wait_s"], answer["expected_wait_source"]) == (stage, wait_s, source)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"url": "127.0.0.1:8112"}, "url"),
        ({"url": "ftp://x"}, "url"),
        ({"url": "http://user:secret@x"}, "url"),
        ({"url": "http://x?a=secret"}, "url"),
        ({"key": "secret\n"}, "key"),
        ({"key": "sécret"}, "key"),
        ({"key": ""}, "key"),
        ({"deadline_s": 0}, "deadline_s"),
        ({"failures": 0}, "failures"),
        ({"max_defer_s": float("inf")}, "max_defer_s"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named_and_no_secret_is_shown(settings, named):
    with pytest.raises(ValueError, match=f"^{named}: ") as raised:
        Client(**{"url": "http://127.0.0.1:9"} | settings)
    assert "secret" not in str(raised.value)


def test_the_key_shows_nowhere(caplog):
    caplog.set_level(logging.DEBUG)
    with listening(good) as (server, url), Client(url, KEY, deadline_s=1.0) as client:
        seen = repr(client) + repr(client.score(CALL)) + repr(client.ended("a", ENDED_AT))
        server.behave = hang
        seen += repr(client.score(CALL | {"call_id": "b"}))
    assert KEY in server.heads[0]
    assert caplog.text
    assert KEY not in seen + caplog.text


def test_importing_it_imports_nothing_heavy():
    code = "import sys, service.client; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    for heavy in ("numpy", "pandas", "sqlalchemy", "fastapi", "pydantic", "numba", "phonenumbers"):
        assert heavy not in loaded
    assert "httpx" in loaded
