"""The tables of a database: made once, refused by name when they are not Saring's, and never read whole."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from model.errors import StoreError
from service.maintenance.number_keys import take_in_use
from service.store.database import MIGRATIONS, VERSION, connect
from service.store.store import Store
from service.store.tables import tables
from tests.support.processes import Process
from tests.support.small_service import beside
from tests.support.store.older_database import migrate
from tests.support.store.postgres_server import PostgresServer


@pytest.mark.parametrize("migrated", [True, False])
def test_the_migrations_and_an_empty_database_come_to_the_very_tables_that_the_code_knows(postgres, tmp_path, migrated):
    newest = max(path.name[:4] for path in (MIGRATIONS / "versions").glob("*.py"))
    assert newest == VERSION
    for url in (postgres, f"sqlite:///{tmp_path / 'saring.db'}"):
        if migrated:
            migrate(url, "head")
        engine = connect(url)
        with engine.connect() as connection:
            context = MigrationContext.configure(connection)
            assert compare_metadata(context, tables) == []
            assert context.get_current_revision() == VERSION
        engine.dispose()


def test_a_database_that_cannot_be_used_is_told_in_one_sentence_without_its_password(
    postgres_server, tmp_path, free_port
):
    address = f"127.0.0.1:{postgres_server.port}"
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
            f"postgresql://guarded:s3cret@127.0.0.1:{free_port}/saring": "Connection refused",
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


def test_what_others_wrote_while_a_service_started_is_on_its_board(postgres, serving, tmp_path, release_folder):
    with (
        serving(tmp_path, release_folder, database=postgres) as client,
        beside(tmp_path, release_folder, postgres) as (parts, upkeep),
    ):
        said = {"call_id": "between", "received_at": datetime.now(UTC).isoformat()}
        assert client.post("/v1/score", json=said).status_code == 200
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
