"""The same as `test_postgres` for longer: eight services on one database, and what may happen to all of them."""

import asyncio
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.support.processes import Process, all_told, group, processes, until
from tests.support.store.event_teller import Teller, calls_to_tell
from tests.support.store.postgres_server import PostgresServer
from tests.support.store.slow_wire import wire
from tests.support.store.store_checks import assert_all_there_once, rows_of

pytestmark = pytest.mark.slow
START = datetime.now(UTC) - timedelta(days=2)


def ready(urls: list[str]) -> list[int]:
    """Give what each service says of itself."""
    return [httpx.get(f"{url}/readyz", timeout=10.0).status_code for url in urls]


@contextmanager
def told(teller: Teller, calls: list) -> Iterator[None]:
    """Tell calls meanwhile, and to the end."""
    with ThreadPoolExecutor(1) as thread:
        telling = thread.submit(asyncio.run, teller.tell(calls))
        yield
        telling.result()


def test_what_64_connections_tell_at_eight_services_is_one_history(postgres_server, tmp_path, release_folder):
    with (
        postgres_server.database() as database,
        group(8, tmp_path, release_folder, database) as eight,
    ):
        assert rows_of(database, "SELECT count(*) FROM alembic_version") == [{"count": 1}]
        calls = calls_to_tell(1_000, 1, START)
        teller = Teller([process.url for process in eight.processes], key=eight.keys["intake"])
        asyncio.run(teller.tell(calls))
        assert teller.statuses() == {200}
        assert teller.degraded() == 0
        assert_all_there_once(database, tmp_path, release_folder, calls)
        for n in range(8):
            with eight.client(n) as client:
                until(lambda client=client: client.get("/v1/queue").json()["calls"] == [])
        a_call_is_one_callers_and_one_operators(eight)


def a_call_is_one_callers_and_one_operators(eight) -> None:
    operators = [eight.client(n % 8, f"operator {n}") for n in range(12)]
    intake = [eight.client(n, "intake") for n in range(8)]
    with ThreadPoolExecutor(12) as threads:
        for n in range(60):
            said = {"call_id": f"contested {n}", "received_at": datetime.now(UTC).isoformat()}
            telling = [
                threads.submit(client.post, "/v1/score", json=said | {"caller": f"+62812000009{place:02}"})
                for place, client in enumerate(intake)
            ]
            statuses = sorted(answer.result().status_code for answer in telling)
            assert statuses == [200] + [409] * 7
            taking = [threads.submit(client.post, f"/v1/calls/contested {n}/take", json={}) for client in operators]
            statuses = sorted(answer.result().status_code for answer in taking)
            assert statuses == [200] + [409] * 11
    for client in (*operators, *intake):
        client.close()


def test_serialisable_transactions_of_four_services_lose_no_update(postgres_server, tmp_path, release_folder):
    with postgres_server.database() as database:
        name = database.rsplit("/", 1)[1]
        postgres_server.run("postgres", f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
        with processes(4, tmp_path, release_folder, database) as four:
            calls = calls_to_tell(400, 2, START)
            teller = Teller([process.url for process in four], connections=32)
            asyncio.run(teller.tell(calls))
            assert teller.statuses() == {200}
            assert teller.degraded() == 0
        assert_all_there_once(database, tmp_path, release_folder, calls)


def test_a_database_that_crashes_three_times_under_load_loses_and_doubles_nothing(
    postgres_server: PostgresServer, tmp_path, release_folder
):
    with postgres_server.database() as database:
        with processes(8, tmp_path, release_folder, database, deadline_ms=3_000) as eight:
            urls = [process.url for process in eight]
            calls = calls_to_tell(900, 3, START)
            teller = Teller(urls, connections=32, faithful=True, until_acknowledged=True)
            for outage in range(3):
                before = len(teller.answers)
                with told(teller, calls[outage::3]):
                    until(lambda before=before: len(teller.answers) > before + 300, 60.0)
                    postgres_server.stop(signal.SIGQUIT if outage % 2 == 0 else signal.SIGINT)
                    until(lambda: ready(urls) == [503] * 8, 30.0)
                    time.sleep(0.5)
                    postgres_server.start()
                until(lambda: all(map(all_told, urls)), 60.0)
            assert teller.statuses() == {200}
            assert {answer["durable"] for _, answer in teller.answers} == {True}
            assert teller.degraded() > 0
            assert teller.longest_s < 5.0  # the deadline, and more for eight services on a busy machine
        assert_all_there_once(database, tmp_path, release_folder, calls)


def test_a_service_that_is_killed_while_the_database_is_down_tells_it_everything_when_it_is_back(
    postgres_server: PostgresServer, tmp_path, release_folder
):
    with postgres_server.database() as database:
        with processes(2, tmp_path, release_folder, database, deadline_ms=3_000) as (first, other):
            calls = calls_to_tell(200, 4, START)
            teller = Teller([first.url, other.url], connections=16, faithful=True, until_acknowledged=True)
            asyncio.run(teller.tell(calls[:60]))
            postgres_server.stop(signal.SIGQUIT)
            asyncio.run(teller.tell(calls[60:120]))
            assert teller.degraded() > 0
            first.stop(signal.SIGKILL)
            postgres_server.start()
            again = Process(tmp_path, "service 0", release_folder, database, deadline_ms=3_000).ready()
            try:
                teller.urls = [again.url, other.url]
                until(lambda: ready([again.url, other.url]) == [200, 200])
                asyncio.run(teller.tell(calls[120:]))
            finally:
                again.stop()
        assert_all_there_once(database, tmp_path, release_folder, calls)


def test_connections_cut_at_a_hundred_commits_lose_and_double_nothing(postgres_server, tmp_path, release_folder):
    with postgres_server.database() as database, wire(postgres_server.port) as laid:
        cut = database.replace(str(postgres_server.port), str(laid.port))
        with processes(2, tmp_path, release_folder, cut, deadline_ms=3_000) as both:
            urls = [process.url for process in both]
            calls = calls_to_tell(600, 5, START)
            teller = Teller(urls, connections=8, faithful=True, until_acknowledged=True)
            over, cuts, draw = threading.Event(), [0], random.Random(5)

            def cutting() -> None:
                while not over.wait(draw.uniform(0.01, 0.2)) and cuts[0] < 100:
                    if laid.commits_to_lose <= 0:
                        laid.commits_to_lose, cuts[0] = 1, cuts[0] + 1

            with ThreadPoolExecutor(1) as thread:
                cut_off = thread.submit(cutting)
                asyncio.run(teller.tell(calls))
                over.set()
                cut_off.result()
            laid.commits_to_lose = 0
            assert cuts[0] > 10
            until(lambda: all(map(all_told, urls)), 120.0)
            assert teller.statuses() == {200}, [a for status, a in teller.answers if status != 200][:3]
            assert teller.degraded() > 0
        assert_all_there_once(database, tmp_path, release_folder, calls)
