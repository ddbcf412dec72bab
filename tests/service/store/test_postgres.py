"""Several services on one PostgreSQL: one history, nothing lost, nothing twice, whatever happens to the database."""

import asyncio
import signal
import socket
import time
from collections import Counter
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
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from model.errors import StoreError
from service.maintenance.number_keys import take_in_use
from service.queue.operations import record_decision
from service.store.database import MIGRATIONS, VERSION, connect, engine_of
from service.store.store import Store
from service.store.tables import tables
from tests.support.processes import Group, Process, all_told, group, until
from tests.support.small_service import beside
from tests.support.store.event_teller import Teller, calls_to_tell
from tests.support.store.postgres_server import PostgresServer
from tests.support.store.slow_wire import wire
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
        throw_out = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
        )
        postgres_server.run("postgres", throw_out, name)
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
        throw_out = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
        )
        postgres_server.run("postgres", throw_out, name)
        assert score(client, "after")["degraded"] is False
        assert client.get("/v1/calls/before").status_code == 200


@pytest.mark.parametrize("migrated", [True, False])
def test_the_migrations_and_an_empty_database_come_to_the_very_tables_that_the_code_knows(postgres, tmp_path, migrated):
    newest = max(path.name[:4] for path in (MIGRATIONS / "versions").glob("*.py"))
    assert newest == VERSION
    for url in (postgres, f"sqlite:///{tmp_path / 'saring.db'}"):
        if migrated:
            engine = engine_of(url)
            with engine.begin() as connection:
                config = Config()
                config.set_main_option("script_location", str(MIGRATIONS))
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
            engine.dispose()
        engine = connect(url)
        with engine.connect() as connection:
            context = MigrationContext.configure(connection)
            assert compare_metadata(context, tables) == []
            assert context.get_current_revision() == VERSION
        engine.dispose()


def test_a_database_that_cannot_be_used_is_told_in_one_sentence_without_its_password(postgres_server, tmp_path):
    address, closed = f"127.0.0.1:{postgres_server.port}", unused_port()
    with (
        postgres_server.database() as newer,
        postgres_server.database() as other,
        postgres_server.database() as migrated,
    ):
        connect(newer).dispose()
        with psycopg.connect(newer, autocommit=True) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
        with psycopg.connect(other, autocommit=True) as connection:
            connection.execute("CREATE TABLE invoices (id int)")
        with psycopg.connect(migrated, autocommit=True) as connection:
            connection.execute("CREATE TABLE alembic_version (version_num text)")
            connection.execute("CREATE TABLE orders (id int)")
            connection.execute("INSERT INTO alembic_version VALUES ('ae1027a6acf')")
        wrong = {
            f"postgresql://guarded:s3cret@{address}/postgres": "password authentication failed",
            f"postgresql://guarded@{address}/postgres?password=s3cret": "password authentication failed",
            f"postgresql://guarded:s3cret@127.0.0.1:{closed}/saring": "Connection refused",
            f"postgresql://postgres:s3cret@{address}/nowhere": "does not exist",
            "postgresql://postgres:s3cret@127.0.0.1:port/saring": "expected sqlite:///FILE or postgresql://",
            "postgresql://postgres:s3@cret@127.0.0.1/saring": "%40 for @",
            "postgresql+asyncpg://postgres:s3cret@127.0.0.1/saring": "expected sqlite:///FILE or postgresql://",
            "mysql://postgres:s3cret@127.0.0.1/saring": "expected sqlite:///FILE or postgresql://",
            newer: "version 9999, this program knows",
            other: "not Saring's, such as invoices",
            migrated: "not Saring's, such as orders",
        }
        for url, why in wrong.items():
            with pytest.raises(StoreError, match=why) as told:
                Store(url)
            assert "cret" not in str(told.value)
            assert "\n" not in str(told.value)
            assert len(str(told.value)) < 300
    failed = Process(tmp_path, "failed", tmp_path / "none", f"postgresql://guarded:s3cret@{address}/postgres")
    assert failed.process.wait(30) == 1
    note, error = failed.log.read_text().strip().split("\n")
    assert note.startswith("note: others on this machine can see a password")
    assert error.startswith("saring: ")
    assert "s3cret" not in note + error


def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_what_others_wrote_while_a_service_started_is_on_its_board(postgres, serving, tmp_path, release_folder):
    with (
        serving(tmp_path, release_folder, database=postgres) as client,
        beside(tmp_path, release_folder, postgres) as (
            parts,
            upkeep,
        ),
    ):
        score(client, "between")
        asyncio.run(upkeep().follow())
        assert list(parts.intake.board.calls) == ["between"]


def test_what_is_asked_again_and_again_reads_no_whole_table(postgres_server, postgres, tmp_path, release_folder):
    fill(postgres_server, postgres, calls=100_000)
    asked: list[tuple[str, Any]] = []
    with beside(tmp_path, release_folder, postgres) as (parts, upkeep):
        engine = parts.intake.store.engine

        @sa.event.listens_for(engine, "before_cursor_execute")
        def _(_connection: Any, _cursor: Any, statement: str, values: Any, _context: Any, many: bool) -> None:
            asked.append((statement, values[0] if many else values))

        async def look() -> None:
            keeping = upkeep()
            for writer in keeping._seen:
                keeping._seen[writer] -= 20  # each has written something new
            await keeping.follow()
            await keeping.read_decisions()
            await keeping.silence.expire_silent_calls()
            await keeping.silence._refresh_heard(["call 7", "call 8"])
            await asyncio.to_thread(take_in_use, parts.intake.store, parts.pseudonyms)
            await parts.intake.store.stream_version(b"caller 7")
            await parts.intake.store.read_stream_and_call(b"caller 7", "call 7")

        asyncio.run(look())
        assert len(asked) > 60
        with engine.connect() as connection:
            for statement, values in asked:
                if statement.startswith(("SELECT", "UPDATE")):
                    plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {statement}", values).scalars())
                    for table in ("calls", "events", "checkpoints", "bases", "decisions"):
                        assert f"Seq Scan on {table}" not in plan, f"{statement}\n{plan}"


def fill(server: PostgresServer, database: str, calls: int) -> None:
    """Put many calls with three events each into a database, written by fifty services, and some decisions."""
    connect(database).dispose()
    name, now_us = database.rsplit("/", 1)[1], int(time.time() * 1e6)
    chain, numbers = "convert_to('caller ' || n % 9999, 'UTF8')", f"generate_series(1, {calls}) n"
    for statement in (
        f"INSERT INTO writers SELECT n, {now_us}, {now_us} FROM generate_series(1, 50) n",
        "SELECT setval('writers_writer_seq', 50)",
        f"""INSERT INTO calls (call_id, received_at_us, caller, history, surge_calls, surge_new, first_call, held_out,
            shown_band, silent_band, defer_s, state, changed_at_us, extra)
            SELECT 'call ' || n, {now_us} - n * 1000000::bigint, {chain}, repeat('0', 336)::bytea, 1, 1, false, false,
            'normal', 'normal', 0, 'closed', 0, '{{}}' FROM {numbers}""",
        f"""INSERT INTO events SELECT n % 50 + 1, n / 50 * 3 + k, {chain}, n / 9999 * 3 + k, 'call ' || n,
            (array['received', 'ended', 'disposed'])[k], 0, 0, 0, '{{}}' FROM {numbers}, generate_series(1, 3) k""",
        f"""INSERT INTO decisions SELECT n, 0, 'admin', 'release', '{{"fingerprint": "a"}}'
            FROM generate_series(1, {calls // 10}) n""",
    ):
        server.run(name, statement)
