"""Erasure and retention beside a service that runs: nobody else is lost, nothing comes back."""

import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import sqlalchemy as sa

from service.maintenance.retention import remove_old_calls
from service.security.pseudonyms import Pseudonyms, read_keys
from service.store.database import connect
from tests.support.call_histories import saring, us
from tests.support.processes import Process, all_told, processes, until

NUMBER, OTHER, THIRD = "+6281234567890", "+6281298765432", "+6281298765433"
RECORDED = {"Saring-Clock": "as-recorded"}
LONG_AGO = datetime.now(UTC) - timedelta(days=300)


def score(client: httpx.Client, call_id: str, number: str = NUMBER, at: datetime | None = None) -> httpx.Response:
    said = {"call_id": call_id, "received_at": (at or datetime.now(UTC)).isoformat(), "caller": number}
    return client.post("/v1/score", json=said, headers=RECORDED if at else {})


def take_place(client: httpx.Client, call_id: str, number: str = NUMBER, at: datetime | None = None) -> None:
    assert score(client, call_id, number, at).json()["durable"]
    over = {"ended_at": ((at or datetime.now(UTC)) + timedelta(seconds=1) * bool(at)).isoformat(), "duration_s": 1.0}
    answer = client.post(f"/v1/calls/{call_id}/ended", json=over, headers=RECORDED if at else {})
    assert answer.status_code == 200, answer.text


def erase(client: httpx.Client, number: str = NUMBER) -> httpx.Response:
    return client.post("/v1/callers/erase", json={"caller": number, "reason": "asked for"})


def lookup(client: httpx.Client, number: str = NUMBER) -> float:
    return client.post("/v1/callers/lookup", json={"caller": number}).json()["history"]["calls_ever"]


def waiting(client: httpx.Client) -> set[str]:
    return {call["call_id"] for call in client.get("/v1/queue").json()["calls"]}


def stored(url: str, query: str) -> list[tuple[Any, ...]]:
    engine = connect(url)
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(query))]
    finally:
        engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'saring.db'}"
    return request.getfixturevalue("postgres")


def test_erasures_and_retention_take_no_call_of_anybody_else_off_the_board(serving, tmp_path, release_folder):
    database = f"sqlite:///{tmp_path / 'saring.db'}"
    with serving(tmp_path, release_folder) as client:
        for number in range(12):
            take_place(client, f"erased {number}", f"+62813000000{number:02}")
        with calls_coming_in(client) as came_in:
            for number in range(12):
                assert erase(client, f"+62813000000{number:02}").json()["calls"] == 1
                now = datetime.now(UTC)
                engine = connect(database)
                remove_old_calls(engine, us(now - timedelta(days=60)), us(now), lambda _: None, "command")
                engine.dispose()
                time.sleep(0.1)
            time.sleep(1.0)
        assert len(came_in) > 50
        on_board = client.get("/v1/operations").json()["waiting"]
        assert sum(on_board.values()) == len(came_in)


@contextmanager
def calls_coming_in(client: httpx.Client) -> Iterator[list[str]]:
    """Let calls of strangers come in from four sides; gives those that were acknowledged."""
    done, came_in = threading.Event(), list[str]()

    def ring(side: int) -> None:
        with httpx.Client(base_url=client.base_url, timeout=30.0) as own:
            while not done.is_set():
                number = len(came_in)
                if score(own, f"{side} {number}", f"+62814{side}{number % 100_000:06}").json()["durable"]:
                    came_in.append(f"{side} {number}")

    with ThreadPoolExecutor(4) as sides:
        ringing = [sides.submit(ring, side) for side in range(4)]
        try:
            yield came_in
        finally:
            done.set()
    for side in ringing:
        side.result()


def test_whoever_rings_while_being_erased_is_refused_an_erasure_or_begins_a_new_history(
    serving, tmp_path, release_folder, database
):
    with ExitStack() as stack:
        beside = {"database": database, "key_file": tmp_path / "saring.key"}
        clients = []
        for name in ("one", "other")[: 1 if database.startswith("sqlite") else 2]:
            (tmp_path / name).mkdir()
            clients.append(stack.enter_context(serving(tmp_path / name, release_folder, **beside)))
        threads = stack.enter_context(ThreadPoolExecutor(8))
        erased = 0
        for turn in range(12):
            take_place(clients[0], f"past {turn}")
            until(lambda: lookup(clients[-1]) > 0.0)
            take_place(clients[-1], f"past too {turn}")  # it is at hand everywhere
            # The erasure begins before the first of them rings, or after some have.
            late_s = 0.02 * (turn % 3)
            ringing = [threads.submit(ring_at, turn, side, clients[-1], late_s) for side in range(8)]
            time.sleep(0.004 * (turn % 4))
            answer = erase(clients[0])
            rang = [one.result() for one in ringing]
            assert answer.status_code in (200, 409), answer.text
            erased += answer.status_code == 200
            for call_id in rang:
                known = clients[-1].get(f"/v1/calls/{call_id}")
                assert known.status_code == 200, (turn, call_id, answer.text)
                assert known.json()["state"] == "waiting"
            time.sleep(0.6 if len(clients) > 1 else 0.1)  # every process has read of it
            for client in clients:
                assert set(rang) <= waiting(client), turn
            if answer.status_code == 200:
                assert lookup(clients[0]) == len(rang)
            for call_id in rang:
                over = {"ended_at": datetime.now(UTC).isoformat()}
                assert clients[-1].post(f"/v1/calls/{call_id}/ended", json=over).status_code == 200
            until(lambda: erase(clients[0]).status_code == 200)
            assert lookup(clients[0]) == 0.0
        assert erased > 0
    left = stored(database, "SELECT (SELECT count(*) FROM calls), (SELECT count(*) FROM events)")
    assert left == [(0, 0)]


def ring_at(turn: int, side: int, client: httpx.Client, late_s: float) -> str:
    call_id = f"rings {turn} {side}"
    time.sleep(late_s + 0.004 * side)
    answer = score(client, call_id)
    assert answer.status_code == 200, answer.text
    assert answer.json()["durable"]
    return call_id


def test_an_erasure_waits_for_whoever_is_adding_to_the_caller_just_now(serving, tmp_path, release_folder, postgres):
    """What was added before the erasure began is seen by it, also when it is committed while the erasure waits."""
    with serving(tmp_path, release_folder, database=postgres) as client, psycopg.connect(postgres) as slow:
        take_place(client, "past")
        # Another service adds a waiting call, and is slow to commit it: as `service.store.statements` writes it.
        slow.execute("SELECT 1 FROM events ORDER BY nth DESC LIMIT 1 FOR KEY SHARE")
        names = ", ".join(f"{name}" for (name,) in slow.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'calls' "
            "AND column_name NOT IN ('call_id', 'state')"
        ))  # fmt: skip
        slow.execute(f"INSERT INTO calls (call_id, state, {names}) SELECT 'live', 'waiting', {names} FROM calls")
        slow.execute(
            "INSERT INTO events (writer, seq, chain, nth, call_id, kind, received_at_us, known_at_us, recorded_at_us, "
            "body) SELECT 99, 1, chain, nth + 1, 'live', 'received', received_at_us, known_at_us, recorded_at_us, body "
            "FROM events ORDER BY nth DESC LIMIT 1"
        )
        with ThreadPoolExecutor(1) as threads:
            erasing = threads.submit(erase, client)
            with pytest.raises(TimeoutError):
                erasing.result(0.5)
            slow.commit()
            assert erasing.result().status_code == 409
        assert client.get("/v1/calls/past").status_code == 200


def test_what_a_journal_kept_before_an_erasure_does_not_come_back(tmp_path, release_folder, postgres):
    """A service that dies with an untold journal is started again after its callers were erased at another one."""
    with ExitStack() as stack:
        one, other = stack.enter_context(
            processes(2, tmp_path, release_folder, postgres, deadline_ms=800, mode="board")
        )
        client, beside = (stack.enter_context(httpx.Client(base_url=it.url, timeout=30.0)) for it in (one, other))
        for name, number in (("past", NUMBER), ("theirs", OTHER), ("past too", THIRD)):
            take_place(client, name, number)
        until(lambda: beside.get("/v1/calls/past too").status_code == 200)
        with psycopg.connect(postgres) as locked:
            locked.execute("LOCK TABLE calls, events")
            for name, number in (("kept", NUMBER), ("kept too", OTHER), ("kept and waits", THIRD)):
                answer = score(beside, name, number).json()
                assert (answer["degraded"], answer["durable"]) == (True, True)
            over = {"ended_at": datetime.now(UTC).isoformat()}
            assert beside.post("/v1/calls/kept/ended", json=over).json()["durable"]
            other.stop(signal.SIGKILL)
        until(lambda: all_told(one.url))
        for number in (NUMBER, THIRD):
            assert erase(client, number).json()["calls"] == 1
        again = Process(tmp_path, "service 1", release_folder, postgres, deadline_ms=800, mode="board")
        stack.callback(again.stop)
        until(lambda: all_told(again.ready().url), 20.0)
        keys = Pseudonyms(read_keys(tmp_path / "saring.key"))
        hashes = {keys.hash(number): number for number in (NUMBER, OTHER, THIRD)}
        told = {name: hashes[bytes(caller)] for name, caller in stored(postgres, "SELECT call_id, caller FROM calls")}
        # An erasure takes no live call: it is on the board, and the past is not in its history.
        assert told == {"theirs": OTHER, "kept too": OTHER, "kept and waits": THIRD}
        chains = {hashes[bytes(row[0])] for row in stored(postgres, "SELECT chain FROM events")}
        assert chains == {OTHER, THIRD}
        until(lambda: "kept and waits" in waiting(client))
        assert client.get("/v1/calls/kept and waits").json()["history"]["calls_ever"] == 0.0
        client.post("/v1/calls/kept and waits/ended", json={"ended_at": datetime.now(UTC).isoformat()})
        assert erase(client, THIRD).json()["calls"] == 1


def test_what_retention_removed_counts_once_when_it_is_told_again(serving, tmp_path, release_folder):
    with serving(tmp_path, release_folder) as client:
        for number in range(4):
            take_place(client, f"call {number}", at=LONG_AGO + timedelta(days=number))
        take_place(client, "last", at=LONG_AGO + timedelta(days=200))
        cutoff = us(LONG_AGO + timedelta(days=100))
        engine = connect(f"sqlite:///{tmp_path / 'saring.db'}")
        removed = remove_old_calls(engine, cutoff, cutoff, lambda _: None, "command")
        engine.dispose()
        assert removed.calls == 4
        until(lambda: client.get("/v1/calls/call 0").status_code == 404)
        for _ in range(2):
            for number in range(4):
                take_place(client, f"call {number}", at=LONG_AGO + timedelta(days=number))
        assert lookup(client) == 5.0
        take_place(client, "next", at=LONG_AGO + timedelta(days=201))
        assert client.get("/v1/calls/next").json()["history"]["calls_ever"] == 5.0
        # A stranger whose clock is wrong is a caller like any other.
        take_place(client, "early", OTHER, at=LONG_AGO)
        assert lookup(client, OTHER) == 1.0
    assert saring("rebuild", "--database", f"sqlite:///{tmp_path / 'saring.db'}")[0] == 0


def test_of_the_staff_only_the_last_day_is_kept(serving, tmp_path, release_folder):
    path = tmp_path / "saring.db"
    with serving(tmp_path, release_folder) as client:
        for queue in (None, "police"):
            for operators in (3, 4, 5):
                told = {"queue": queue, "operators": operators, "mean_handling_s": 60.0}
                assert client.put("/v1/operations", json=told).status_code == 200
        yesterday = time.time_ns() // 1_000 - 86_500_000_000
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE decisions SET at_us = ? WHERE kind = 'staff'", (yesterday,))
        client.put("/v1/operations", json={"operators": 6, "mean_handling_s": 60.0})
        kept = stored(f"sqlite:///{path}", "SELECT body FROM decisions WHERE kind = 'staff'")
        assert len(kept) == 4
        assert on_duty(client) == {None: 6, "police": 5}
    with serving(tmp_path, release_folder) as client:
        assert on_duty(client) == {None: 6, "police": 5}


def on_duty(client: httpx.Client) -> dict[str | None, int]:
    return {one["queue"]: one["operators"] for one in client.get("/v1/operations").json()["staff"]}
