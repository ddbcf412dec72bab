"""What may happen to a PostgreSQL under a service: nothing is lost or doubled, and no score waits for it."""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.support.processes import all_told, until
from tests.support.store.event_teller import Teller, calls_to_tell
from tests.support.store.slow_wire import wire
from tests.support.store.store_checks import assert_all_there_once, rows_of

NUMBER = "+6281234567890"
START = datetime.now(UTC) - timedelta(days=2)


@pytest.fixture
def two(serving, postgres: str, tmp_path: Path, release_folder: Path) -> Iterator[Callable[..., Any]]:
    """A function that runs two services in this process, each with a journal of its own."""

    @contextmanager
    def two(**changes: Any) -> Iterator[list[httpx.Client]]:
        chosen = {"database": postgres, "key_file": tmp_path / "saring.key"} | changes
        with (
            serving(tmp_path / "one", release_folder, **chosen) as one,
            serving(tmp_path / "other", release_folder, **chosen) as other,
        ):
            yield [one, other]

    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    return two


def test_what_came_in_the_way_of_another_transaction_is_tried_again_and_no_update_is_lost(
    postgres_server, postgres, two, tmp_path, release_folder
):
    """On a database whose transactions are serialisable, as on the distributed ones, many have to be tried again."""
    name = postgres.rsplit("/", 1)[1]
    postgres_server.run("postgres", f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    calls = calls_to_tell(40, 2, START)
    with two() as clients:
        before = postgres_server.run("postgres", f"SELECT xact_rollback FROM pg_stat_database WHERE datname = '{name}'")
        teller = Teller([str(client.base_url) for client in clients], connections=24, twice=0.3)
        asyncio.run(teller.tell(calls))
        assert teller.statuses() == {200}
        assert teller.degraded() == 0
        assert clients[0].get("/readyz").status_code == 200
    after = postgres_server.run("postgres", f"SELECT xact_rollback FROM pg_stat_database WHERE datname = '{name}'")
    assert after > before
    assert_all_there_once(postgres, tmp_path, release_folder, calls)


def test_a_deadlock_that_the_service_loses_is_tried_again(postgres, two):
    said = {"call_id": "held", "received_at": START.isoformat(), "caller": NUMBER}
    with psycopg.connect(postgres, autocommit=True) as ours:
        # The service looks once, so long after it began to wait: by then the other has to wait for it.
        ours.execute(f"ALTER DATABASE {ours.info.dbname} SET deadlock_timeout = '3s'".encode())
    with two() as (client, _), psycopg.connect(postgres) as other, ThreadPoolExecutor(2) as threads:
        assert client.post("/v1/score", json=said).status_code == 200
        other.execute("SET deadlock_timeout = '30s'")  # whoever looks first is the one that gives way
        other.execute("SELECT * FROM calls WHERE call_id = 'held' FOR UPDATE")
        answered = {"answered_at": (START + timedelta(seconds=9)).isoformat(), "operator": "rina"}
        telling = threads.submit(client.post, "/v1/calls/held/answered", json=answered)
        waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE calls%'"
        until(lambda: rows_of(postgres, waits))
        same = "INSERT INTO events SELECT 0, 1, chain, 2, call_id, kind, 0, 0, 0, '{}' FROM events"
        other.execute(same.encode())  # waits for the service, which waits for this
        other.rollback()
        assert telling.result().json()["degraded"] is False
    assert [row["kind"] for row in rows_of(postgres, "SELECT kind FROM events ORDER BY nth")] == [
        "received",
        "answered",
    ]
    assert rows_of(postgres, "SELECT operator FROM calls") == [{"operator": "rina"}]


def test_a_commit_of_which_no_answer_comes_back_loses_no_event_and_doubles_none(
    postgres_server, postgres, serving, tmp_path, release_folder
):
    calls = calls_to_tell(25, 3, START)
    with wire(postgres_server.port) as laid:
        database = postgres.replace(str(postgres_server.port), str(laid.port))
        with serving(tmp_path, release_folder, database=database, deadline_ms=5_000) as client:
            teller = Teller([str(client.base_url)], connections=3, twice=0.0, until_acknowledged=True)
            laid.commits_to_lose = 6
            asyncio.run(teller.tell(calls))
            until(lambda: all_told(client.base_url))
            assert laid.commits_to_lose == 0
            assert teller.degraded() > 0
            assert {answer["durable"] for _, answer in teller.answers} == {True}
        # Who follows a service in the order of its numbers must not miss what was committed and only seen later.
        assert rows_of(postgres, "SELECT count(DISTINCT writer) FROM events")[0]["count"] > 1
    assert_all_there_once(postgres, tmp_path, release_folder, calls)


def test_a_database_that_stands_still_holds_up_no_score_longer_than_its_deadline(
    postgres_server, postgres, serving, tmp_path, release_folder
):
    with wire(postgres_server.port) as laid:
        database = postgres.replace(str(postgres_server.port), str(laid.port))
        with serving(tmp_path, release_folder, database=database, deadline_ms=500) as client:
            assert_scores_all_along(client, postgres, laid.passes.clear, laid.passes.set)


def test_locked_tables_hold_up_neither_the_event_loop_nor_a_score_longer_than_its_deadline(
    postgres, serving, tmp_path, release_folder
):
    with (
        serving(tmp_path, release_folder, database=postgres, deadline_ms=500) as client,
        psycopg.connect(postgres) as other,
    ):
        locked = "LOCK TABLE calls, events, checkpoints, bases, writers, decisions, access_keys, protected"
        assert_scores_all_along(client, postgres, lambda: other.execute(locked.encode()), other.rollback)


def assert_scores_all_along(
    client: httpx.Client, database: str, begins: Callable[[], Any], ends: Callable[[], Any]
) -> None:
    """See that scores are answered in time while the database does not do its part, and that it is told of them."""
    client.get("/healthz")
    score(client, "before")
    begins()
    took = []
    for n in range(6):
        started = time.perf_counter()
        answer = score(client, f"meanwhile {n}")
        took.append(time.perf_counter() - started)
        assert (answer["band"], answer["degraded"], answer["durable"]) == ("unscored", True, True)
    assert max(took) < 1.5  # the deadline, and a second for a busy machine
    started = time.perf_counter()
    for _ in range(20):
        assert client.get("/healthz").status_code == 200
    assert (time.perf_counter() - started) / 20 < 0.05
    assert client.get("/readyz").status_code == 503
    ends()
    until(lambda: all_told(client.base_url))

    def received() -> list[str]:
        rows = rows_of(database, "SELECT call_id FROM events WHERE kind = 'received'")
        return sorted(row["call_id"] for row in rows)

    until(lambda: received() == ["before", *(f"meanwhile {n}" for n in range(6))])
    later = (f"after {n}" for n in count())
    until(lambda: score(client, next(later))["degraded"] is False)
    assert rows_of(database, "SELECT count(*) = max(nth) AS whole FROM events") == [{"whole": True}]


def score(client: httpx.Client, call_id: str) -> dict[str, Any]:
    answer = client.post("/v1/score", json={"call_id": call_id, "received_at": START.isoformat(), "caller": NUMBER})
    assert answer.status_code == 200
    return answer.json()


def test_a_server_that_turned_into_a_copy_of_another_is_let_go_of(
    postgres_server, postgres, serving, tmp_path, release_folder
):
    """After a failover the old server may still answer, and take no writes."""
    name = postgres.rsplit("/", 1)[1]
    with serving(tmp_path, release_folder, database=postgres, deadline_ms=2_000) as client:
        score(client, "before")
        postgres_server.run("postgres", f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        postgres_server.throw_out(name)
        assert score(client, "meanwhile")["degraded"] is True
        # Only a new connection finds the server that writes.
        postgres_server.run("postgres", f"ALTER DATABASE {name} RESET default_transaction_read_only")
        until(lambda: all_told(client.base_url))
        assert score(client, "after")["degraded"] is False
        assert client.put("/v1/operations", json={"operators": 3}).status_code == 200
    received = rows_of(postgres, "SELECT call_id FROM events WHERE kind = 'received' ORDER BY nth")
    assert [row["call_id"] for row in received] == ["before", "meanwhile", "after"]


def test_connections_that_were_cut_while_nothing_happened_cost_no_call_its_score(
    postgres_server, postgres, serving, tmp_path, release_folder
):
    name = postgres.rsplit("/", 1)[1]
    with serving(tmp_path, release_folder, database=postgres) as client:
        score(client, "before")
        postgres_server.throw_out(name)
        assert score(client, "after")["degraded"] is False
        assert client.get("/v1/calls/before").status_code == 200
