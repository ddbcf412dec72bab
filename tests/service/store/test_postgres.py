"""Several services on one PostgreSQL: one history, nothing lost, nothing twice, and one board."""

import asyncio
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.queue.operations import record_decision
from service.store.database import VERSION, connect
from tests.support.processes import Group, all_told, group, until
from tests.support.store.event_teller import Teller, calls_to_tell
from tests.support.store.postgres_server import PostgresServer
from tests.support.store.store_checks import LATER, assert_all_there_once, rows_of

NUMBER = "+6281234567890"
START = datetime.now(UTC) - timedelta(days=2)
DEADLINE_S = 10.0  # of the processes, and of `serving`


@pytest.fixture(scope="module")
def four(postgres_server: PostgresServer, tmp_path_factory, release_folder: Path) -> Iterator[Group]:
    """Four services that were started at once on an empty database."""
    with (
        postgres_server.database() as database,
        group(4, tmp_path_factory.mktemp("four"), release_folder, database) as started,
    ):
        yield started


def test_services_started_at_once_on_an_empty_database_make_its_tables_once(four):
    made = rows_of(four.database, "SELECT version_num FROM alembic_version")
    assert made == [{"version_num": VERSION}]
    assert [process.process.poll() for process in four.processes] == [None] * 4


def test_what_many_tell_at_random_services_is_one_history_as_if_one_service_had_taken_it_in(four, release_folder):
    calls = calls_to_tell(150, 1, START)
    teller = Teller([process.url for process in four.processes], key=four.keys["intake"])
    asyncio.run(teller.tell(calls))
    assert teller.statuses() == {200}
    assert teller.degraded() == 0
    assert_all_there_once(four.database, four.folder, release_folder, calls)
    for n, _ in enumerate(four.processes):
        with four.client(n) as client:
            until(lambda client=client: waiting(client) == [], 2.0)
    # What each service has in its memory is the same: the next call of the hot caller reads it, wherever it rings.
    hot, reference = Counter(call.caller for call in calls if call.caller).most_common(1)[0][0], {}
    for n, _ in enumerate(four.processes):
        last = {
            "call_id": f"last {n}",
            "received_at": (START + LATER + timedelta(seconds=n)).isoformat(),
            "caller": hot,
        }
        with four.client(n) as client:
            assert client.post("/v1/score", json=last).status_code == 200
            history = client.get(f"/v1/calls/last {n}").json()["history"]
        reference = reference or history
        assert history["calls_ever"] == reference["calls_ever"] + n
        assert history["not_genuine_ever"] == reference["not_genuine_ever"]
        assert history["duration_s_ever"] == pytest.approx(reference["duration_s_ever"], abs=1e-9)


def waiting(client: httpx.Client) -> list[str]:
    return [call["call_id"] for call in client.get("/v1/queue").json()["calls"]]


def test_of_two_callers_told_under_one_new_call_id_at_once_exactly_one_is_taken_in(four):
    with ThreadPoolExecutor(2) as threads, four.client(0) as one, four.client(1) as other:
        for n in range(10):
            said = {"call_id": f"contested {n}", "received_at": START.isoformat()}
            telling = [
                threads.submit(client.post, "/v1/score", json=said | {"caller": caller})
                for client, caller in ((one, "+6281200000901"), (other, "+6281200000902"))
            ]
            answers = [told.result() for told in telling]
            assert sorted(answer.status_code for answer in answers) == [200, 409]
    chains = "SELECT call_id FROM events WHERE call_id LIKE 'contested %' GROUP BY call_id HAVING count(*) > 1"
    assert rows_of(four.database, chains) == []


def test_of_many_operators_who_take_a_call_at_once_exactly_one_gets_it(four):
    clients = [four.client(n % 4, f"operator {n}") for n in range(12)]
    with ThreadPoolExecutor(12) as threads:
        for n in range(3):
            said = {"call_id": f"wanted {n}", "received_at": datetime.now(UTC).isoformat(), "caller": NUMBER}
            with four.client(0) as client:
                assert client.post("/v1/score", json=said).status_code == 200
            taking = [threads.submit(client.post, f"/v1/calls/wanted {n}/take", json={}) for client in clients]
            answers = [taken.result() for taken in taking]
            assert sorted(answer.status_code for answer in answers) == [200] + [409] * 11
            winner = next(answer.json()["operator"] for answer in answers if answer.status_code == 200)
            found = rows_of(four.database, f"SELECT state, operator FROM calls WHERE call_id = 'wanted {n}'")
            assert found == [{"state": "taken", "operator": winner}]
    for client in clients:
        client.close()


def test_what_one_service_wrote_is_on_the_board_of_every_other_within_a_second_reasons_included(four):
    said = {"call_id": "seen", "received_at": datetime.now(UTC).isoformat(), "caller": NUMBER, "silence_ratio": 0.5}

    def shown(client: httpx.Client) -> dict[str, Any] | None:
        queue = client.get("/v1/queue").json()["calls"]
        return next((call for call in queue if call["call_id"] == "seen"), None)

    with four.client(0) as one, four.client(3) as other:
        answer = one.post("/v1/score", json=said).json()
        call = until(lambda: shown(other), 1.0)
        assert call["prank_likelihood"] == answer["prank_likelihood"]
        assert call["reasons"] == answer["reasons"]
        answered = {"answered_at": datetime.now(UTC).isoformat()}
        assert other.post("/v1/calls/seen/answered", json=answered).status_code == 200
        until(lambda: shown(one) is None, 1.0)


def test_the_switch_and_the_staff_told_at_one_service_hold_at_all_within_a_second_and_after_a_restart(
    four, serving, tmp_path, release_folder
):
    clients = [four.client(n) for n in range(4)]

    def told(client: httpx.Client) -> tuple[Any, ...]:
        found = client.get("/v1/operations").json()
        return found["switch"]["on"], found["staff"]

    before = told(clients[1])
    clients[1].put("/v1/operations", json={"operators": 7, "mean_handling_s": 41.0})
    pulled = {"switch": {"on": False, "reason": "a drill"}}
    assert clients[2].put("/v1/operations", json=pulled).status_code == 200
    now = told(clients[2])
    assert now != before
    for client in clients:
        until(lambda client=client: told(client) == now, 1.0)
        client.close()
    with serving(tmp_path, release_folder, database=four.database, key_file=four.folder / "saring.key") as late:
        assert told(late) == now
    with four.client(0) as client:
        client.put("/v1/operations", json={"switch": {"on": True, "reason": "the drill is over"}})


def test_decisions_taken_at_the_same_moment_are_all_read_by_everybody(four):
    """A number that is given and not yet committed must not be passed over when a later one is read first."""
    clients = [four.client(n) for n in range(4)]
    with ThreadPoolExecutor(8) as threads:
        putting = [
            threads.submit(clients[n % 4].put, "/v1/operations", json={"queue": f"queue {n}", "operators": n})
            for n in range(24)
        ]
        assert {put.result().status_code for put in putting} == {200}
    seqs = [row["seq"] for row in rows_of(four.database, "SELECT seq FROM decisions ORDER BY seq")]
    assert seqs == list(range(1, len(seqs) + 1))
    told = {f"queue {n}": n for n in range(24)}.items()
    for client in clients:
        until(lambda client=client: told <= staff_known(client).items(), 1.0)
        client.close()


def test_a_decision_that_is_slow_to_be_committed_is_not_passed_over_by_a_later_one(four):
    engine = connect(four.database)
    with four.client(0) as one, four.client(1) as other, ThreadPoolExecutor(1) as threads:
        with engine.connect() as slow:
            record_decision(slow, "somebody", "staff", {"queue": "slow", "operators": 3, "mean_handling_s": 9.0}, 0)
            putting = threads.submit(one.put, "/v1/operations", json={"queue": "quick", "operators": 4})
            with pytest.raises(TimeoutError):
                putting.result(0.7)  # both would have read of the later one by then, were it there
            slow.commit()
        assert putting.result().status_code == 200
        for client in (one, other):
            until(lambda client=client: {"slow": 3, "quick": 4}.items() <= staff_known(client).items(), 1.0)
    engine.dispose()


def staff_known(client: httpx.Client) -> dict[str, int]:
    return {one["queue"]: one["operators"] for one in client.get("/v1/operations").json()["staff"]}


def test_scores_are_answered_while_the_database_is_down_and_nothing_acknowledged_is_lost_or_doubled(
    four, postgres_server, release_folder
):
    calls = calls_to_tell(100, 4, START, name="outage")
    urls = [process.url for process in four.processes]
    teller = Teller(urls, connections=12, faithful=True, until_acknowledged=True, key=four.keys["intake"])

    def ready() -> list[int]:
        return [httpx.get(f"{url}/readyz").status_code for url in urls]

    with ThreadPoolExecutor(1) as thread:
        telling = thread.submit(lambda: asyncio.run(teller.tell(calls)))
        until(lambda: len(teller.answers) > 60, 30.0)
        postgres_server.stop(signal.SIGQUIT)
        until(lambda: ready() == [503] * 4)
        until(lambda: teller.degraded() > 60, 30.0)
        postgres_server.start()
        telling.result()
    until(lambda: all(map(all_told, urls)), 30.0)
    assert teller.statuses() == {200}
    assert {answer["durable"] for _, answer in teller.answers} == {True}
    assert teller.longest_s < DEADLINE_S
    assert_all_there_once(four.database, four.folder, release_folder, calls)
