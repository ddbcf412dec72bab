"""Calls of which nothing is heard are let go, and no others: a repeat is heard, and who is heard again comes back."""

import asyncio
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from model.policy.deferral import DeferralSettings
from service.contract.requests import Answered, ScoreRequest
from service.maintenance.verify import verify
from service.queue import states
from service.queue.board import Board
from service.queue.operations import Operations
from service.store.records import Call
from service.watch import tasks
from tests.support.call_histories import START, Step, house, saring
from tests.support.nuisances import ago, nuisance, told_as_prank
from tests.support.processes import Process, until
from tests.support.small_service import beside
from tests.support.store.older_database import make_older

TIMEOUT_S = 10.0
#: By then a call of which nothing was heard is gone: it is looked for every five seconds.
GONE_S = TIMEOUT_S + 12.0


def ring(client, call_id: str, **more) -> dict:
    said = {"call_id": call_id, "received_at": ago(), "caller": "+6281300000001", **more}
    assert client.post("/v1/score", json=said).status_code == 200
    return said


def on_board(client) -> list[str]:
    return [call["call_id"] for call in client.get("/v1/queue").json()["calls"]]


@pytest.fixture
def often_looked_for(monkeypatch):
    """Silent calls are looked for five times a second, instead of every five seconds."""
    monkeypatch.setattr(tasks, "SILENCE_S", 0.2)


@contextmanager
def repeated(client, *requests: dict):
    """Say the same again every half a second, as a PBX does that asks for as long as a caller waits."""
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(0.5):
            for said in requests:
                assert client.post("/v1/score", json=said).status_code == 200

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.usefixtures("often_looked_for")
def test_who_is_said_again_or_was_taken_stays_on_the_board_and_a_ghost_does_not(serving, tmp_path, release_folder):
    settings = {"waiting_timeout_s": TIMEOUT_S, "taken_timeout_s": 300.0, "mode": "board"}
    with serving(tmp_path, release_folder, **settings) as client:
        ring(client, "ghost")
        ring(client, "taken")
        assert client.post("/v1/calls/taken/take", json={}).status_code == 200
        said = ring(client, "waits")
        first = {call["call_id"]: call for call in client.get("/v1/queue").json()["calls"]}
        with repeated(client, said):
            until(lambda: "ghost" not in on_board(client), GONE_S)
            time.sleep(TIMEOUT_S)
            assert sorted(on_board(client)) == ["taken", "waits"]
            assert client.get("/v1/calls/taken").json()["state"] == "taken"
        (heard,) = (call["heard_at"] for call in client.get("/v1/queue").json()["calls"] if call["call_id"] == "waits")
        assert heard > first["waits"]["heard_at"]  # the board shows it as one that is heard of
        assert len(client.get("/v1/calls/waits").json()["said"]) == 1  # and no event was written for it


@pytest.mark.slow
def test_what_one_process_hears_again_keeps_a_caller_on_the_board_of_each_also_after_a_restart(
    postgres, tmp_path, release_folder
):
    def service(name: str) -> Process:
        return Process(tmp_path, name, release_folder, postgres, waiting_timeout_s=TIMEOUT_S)

    with ExitStack() as stack:
        processes = [service(name).ready() for name in ("one", "other")]
        stack.callback(lambda: [process.stop() for process in processes])
        one, other = (stack.enter_context(httpx.Client(base_url=process.url)) for process in processes)
        ring(one, "ghost")
        said = ring(one, "waits")
        with repeated(one, said):
            until(lambda: on_board(other) == ["waits"], GONE_S)
            time.sleep(TIMEOUT_S)
            assert (on_board(one), on_board(other)) == (["waits"], ["waits"])
            assert processes[1].stop() == 0
            processes[1] = service("other").ready()
            again = stack.enter_context(httpx.Client(base_url=processes[1].url))
            time.sleep(2 * TIMEOUT_S)
            assert (on_board(one), on_board(again)) == (["waits"], ["waits"])
        until(lambda: on_board(one) == on_board(again) == [], 2 * GONE_S)


@pytest.mark.usefixtures("often_looked_for")
def test_a_clock_that_is_set_twenty_minutes_ahead_loses_no_caller(serving, tmp_path, release_folder, monkeypatch):
    class Ahead(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(minutes=20)

    with serving(tmp_path, release_folder) as client:
        for number in range(20):
            ring(client, f"c{number}")
        for name, module in list(sys.modules.items()):
            if name.startswith("service.") and getattr(module, "datetime", None) is datetime:
                monkeypatch.setattr(module, "datetime", Ahead)
        time.sleep(2.0)  # and it was looked for silent calls ten times
        assert len(on_board(client)) == 20


@pytest.mark.usefixtures("often_looked_for")
def test_a_call_that_was_let_go_comes_back_at_its_old_key_when_it_is_said_again(serving, tmp_path, acting_release):
    with serving(tmp_path, acting_release, random_share=0.0, waiting_timeout_s=TIMEOUT_S) as client:
        told_as_prank(client)
        kept, changed = (nuisance(name, expected_wait_s=60.0) for name in ("kept", "changed"))
        keys = {said["call_id"]: client.post("/v1/score", json=said).json()["queue_key"] for said in (kept, changed)}
        ended, answered = ring(client, "hung up"), ring(client, "answered late")
        client.post("/v1/calls/hung up/ended", json={"ended_at": ago()})
        until(lambda: on_board(client) == [], GONE_S)
        for call_id in (*keys, answered["call_id"]):
            assert client.get(f"/v1/calls/{call_id}").json()["state"] == "abandoned"
        # A longer wait by now puts nobody further back.
        answers = [
            client.post("/v1/score", json=said).json() for said in (kept, changed | {"expected_wait_s": 600.0}, ended)
        ]
        assert {answer["call_id"]: answer["queue_key"] for answer in answers[:2]} == keys
        queue = client.get("/v1/queue").json()["calls"]
        assert {call["call_id"]: call["queue_key"] for call in queue} == keys
        assert client.get("/v1/calls/hung up").json()["state"] == "abandoned"  # its end was told: that stays
        client.post("/v1/calls/answered late/answered", json={"answered_at": ago()})
        assert client.get("/v1/calls/answered late").json()["state"] == "answered"
    assert saring("rebuild", "--release", acting_release, "--database", f"sqlite:///{tmp_path / 'saring.db'}")[0] == 0


def test_a_conversation_that_outlasts_its_time_out_comes_back_when_anything_is_said_of_it(tmp_path, release):
    with house(tmp_path, release) as told:
        asked = {"call_id": "long", "received_at": START, "line": "mobile"}
        answered = {"answered_at": START + timedelta(seconds=5), "operator": "rina"}
        score = Step(START, "score", "long", "+6281300000001", asked, START)
        answer = Step(START, "answered", "long", None, answered, START)
        told.tell([score, answer])
        for again in (score, answer):
            asyncio.run(told.intake.lifecycle.expire("long", START + timedelta(hours=3)))
            assert "long" not in told.intake.board.calls
            told.tell([again])
            call = told.intake.board.calls["long"]
            assert (call.state, call.operator) == (states.ANSWERED, "rina")
            assert told.intake.board._totals_of(None).busy == 1
        assert verify(told.store.engine, release.labels, lambda _: None).differences == []


def test_what_is_heard_while_a_call_is_about_to_be_let_go_keeps_it(tmp_path, release):
    with house(tmp_path, release) as told:
        score = Step(START, "score", "c", "+6281300000001", {"call_id": "c", "received_at": START}, START)
        told.tell([score])

        async def both() -> None:
            board = told.intake.board
            board._heard["c"].at_s -= 100.0
            await asyncio.gather(
                told._step(score),
                told.intake.lifecycle.expire("c", START, lambda call: board.silent_s(call.call_id) > 50.0),
            )

        asyncio.run(both())
        assert told.intake.board.calls["c"].state == states.WAITING


@pytest.mark.parametrize("state", [states.WAITING, states.ANSWERED, None])
def test_a_call_heard_of_here_that_another_process_expires_comes_back_and_no_other(
    postgres, tmp_path, release_folder, state
):
    """What was heard is written for the others a quarter of the time-out later only; until then they cannot know it.

    Parameters
    ----------
    state : str or None
        In which it was heard of again; None when nobody heard of it again.
    """
    request = ScoreRequest.model_validate({"call_id": "a", "received_at": ago(), "line": "mobile"})
    with (
        beside(tmp_path, release_folder, postgres, journal="one") as (one, tasks_of_one),
        beside(tmp_path, release_folder, postgres, journal="other") as (other, tasks_of_other),
    ):

        async def expired_at_one() -> None:
            now = datetime.now(UTC)
            await one.intake.score(request, None, [], now)
            if state == states.ANSWERED:
                answered = Answered.model_validate({"answered_at": now.isoformat(), "operator": "rina"})
                await one.intake.lifecycle.record_answer("a", answered, now)
            following = tasks_of_one(), tasks_of_other()
            await following[1].follow()
            if state is not None:
                await other.intake.score(request, None, [], now)
            await one.intake.lifecycle.expire("a", now)
            assert list(one.intake.board.calls) == []
            for tasks in (*following, following[0]):
                await tasks.follow()

        asyncio.run(expired_at_one())
        for parts in (one, other):
            there = [(call.call_id, call.state) for call in parts.intake.board.calls.values()]
            assert there == ([] if state is None else [("a", state)])
        assert verify(one.intake.store.engine, one.intake.release.labels, lambda _: None).differences == []


def test_an_imported_call_waits_for_nobody_whatever_is_said_of_it(serving, tmp_path, release_folder):
    log = tmp_path / "calls.csv"
    log.write_text("call_id,received_at,line\nold,2026-01-01T00:00:00+00:00,mobile\n")
    database = f"sqlite:///{tmp_path / 'saring.db'}"
    status, said = saring("import", "--calls", log, "--database", database, "--release", release_folder,
                          key_file=tmp_path / "saring.key")  # fmt: skip
    assert status == 0, said
    with serving(tmp_path, release_folder) as client:
        asked = {"call_id": "old", "received_at": "2026-01-01T00:00:00+00:00", "line": "mobile"}
        for _ in range(2):
            assert client.post("/v1/score", json=asked).status_code == 200
        assert on_board(client) == []


def test_a_database_of_before_opens_with_the_callers_who_wait_in_it(serving, tmp_path, release_folder):
    with serving(tmp_path, release_folder) as client:
        ring(client, "waits")
    make_older(tmp_path / "saring.db", "0002")
    with serving(tmp_path, release_folder) as client:
        assert on_board(client) == ["waits"]


def test_the_calls_longest_not_heard_of_are_found_whatever_is_heard_in_between():
    now_s = [0.0]
    board = Board(Operations(), DeferralSettings(), clock=lambda: now_s[0])
    for place in range(6):
        now_s[0] = float(place)
        board.put(Call(f"c{place}", 1_000_000 * place))
    board.mark_heard("c1")
    board.mark_heard("nobody")
    now_s[0] = 10.0
    assert [call.call_id for call in board.silent_calls(6.5)] == ["c0", "c2", "c3"]
    assert board.silent_s("c1") == 5.0
    assert [call.call_id for call in board.unwritten_heard(4.0)] == ["c1"]
    board.record_heard_at("c1", 7)
    assert (board.unwritten_heard(4.0), board.calls["c1"].heard_at_us) == ([], 7)
