"""The one thread of a process that writes: group commit, and nothing is acknowledged before it is on disk.

It takes whatever waits, commits it together and only then tells those who wait, so that the disk is asked once for
many calls. An event is only added right after the one that its writer saw as the last of its chain. When another
process was there before, or a call that was taken for a new one is known, `Changed` is raised instead: look again.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from model.errors import StoreError
from service.database import cause, pause, wants_another_try
from service.records import Call, Checkpoint, Said
from service.tables import bases, calls, checkpoints, events

MOST_AT_ONCE = 500
ATTEMPTS = 8
#: What a call is received with stays as it is; the rest changes as more is heard.
_FIXED = {"call_id", "received_at_us", "caller", "history", "surge_calls", "surge_new", "first_call"}
Row = dict[str, Any]


class Changed(Exception):  # noqa: N818 - not an error: look again
    """What was decided rests on what is no longer the last of its chain."""


@dataclass(slots=True, eq=False)
class Waiting:
    """An event, its call and perhaps a checkpoint, on their way to the disk."""

    said: Row
    call: Row
    new: bool
    checkpoint: Row | None
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    abandoned: bool = False


class Writer:
    """Writes in a thread of its own until closed.

    Parameters
    ----------
    engine : Engine
    writer : int
        The number of this process in the table `writers`.
    committed : callable
        Is told the seconds and the number of events of each commit, in the writing thread.
    """

    def __init__(self, engine: Engine, writer: int, committed: Callable[[float, int], None]) -> None:
        self._engine, self.writer, self._committed = engine, writer, committed
        self._seq = 0
        self._sql = _Statements(engine)
        self._waiting: SimpleQueue[Waiting | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._write_until_closed, name="store", daemon=True)
        self._thread.start()

    async def write(self, said: Said, call: Call, *, new: bool, checkpoint: Checkpoint | None = None) -> None:
        """Keep one event and what is now known of its call; returns when both are on disk.

        Whoever stops waiting before it is being written takes it back; afterwards it may or may not be kept.

        Raises
        ------
        Changed
            When it came too late, and nothing was kept.
        StoreError
            When the store did not take it.
        """
        item = Waiting(said.row(), call.row(), new, checkpoint.row() if checkpoint else None)
        self._waiting.put(item)
        try:
            await item.done
        except asyncio.CancelledError:
            item.abandoned = True
            raise

    def close(self) -> None:
        """Write what still waits, and end."""
        self._waiting.put(None)
        self._thread.join()

    def _write_until_closed(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch, closing = self._gather(first)
            started = time.perf_counter()
            kept = self._commit([item for item in batch if not item.abandoned])
            self._committed(time.perf_counter() - started, kept)
            if closing:
                return

    def _gather(self, first: Waiting) -> tuple[list[Waiting], bool]:
        batch = [first]
        while len(batch) < MOST_AT_ONCE:
            try:
                following = self._waiting.get_nowait()
            except Empty:
                break
            if following is None:
                return batch, True
            batch.append(following)
        return batch, False

    def _commit(self, batch: list[Waiting]) -> int:
        """Write a batch, all at once or, when one of it came too late, each alone; gives how many were kept."""
        if not batch:
            return 0
        outcome = self._try(batch)
        if isinstance(outcome, Changed) and len(batch) > 1:
            return sum(self._commit([item]) for item in batch)
        loop = batch[0].done.get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(_tell, [item.done for item in batch], outcome)
        return 0 if outcome else len(batch)

    def _try(self, batch: list[Waiting]) -> Changed | StoreError | None:
        # In one order for all processes, so that none waits for another that waits for it. A batch never holds two
        # events of one chain: each waits for the one before.
        batch = sorted(batch, key=lambda item: item.said["chain"])
        for attempt in range(ATTEMPTS):
            try:
                with self._engine.connect() as connection, connection.begin():
                    self._write(connection, batch)
            except Changed as changed:
                return changed
            except SQLAlchemyError as error:
                if wants_another_try(error) and attempt + 1 < ATTEMPTS:
                    pause(attempt)
                    continue
                # It may have been committed all the same, and its numbers are not given twice.
                self._seq += len(batch)
                return StoreError(f"did not take {len(batch)} events: {cause(error)}")
            self._seq += len(batch)
            return None
        return StoreError(f"did not take {len(batch)} events: other processes were always in the way")

    def _write(self, connection: Connection, batch: list[Waiting]) -> None:
        sql = self._sql
        said = [item.said | {"writer": self.writer, "seq": self._seq + n} for n, item in enumerate(batch, 1)]
        _all(connection, sql.new_call, [item.call for item in batch if item.new])
        _all(connection, sql.known_call, [item.call for item in batch if not item.new])
        _all(connection, sql.event, said)
        due = [item.checkpoint for item in batch if item.checkpoint]
        if due:
            connection.exec_driver_sql(sql.checkpoint, due)


def _all(connection: Connection, sql: str, rows: Sequence[Row]) -> None:
    """Write rows of which each must count."""
    if rows and connection.exec_driver_sql(sql, list(rows)).rowcount != len(rows):
        raise Changed


def _tell(waiting: list[asyncio.Future[None]], outcome: Changed | StoreError | None) -> None:
    for done in waiting:
        if done.done():  # whoever waited went away
            continue
        if outcome is None:
            done.set_result(None)
        else:
            done.set_exception(outcome)


class _Statements:
    """The statements in the words of a database's driver, made once: they are run for every call."""

    def __init__(self, engine: Engine) -> None:
        insert = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert
        upsert = insert(checkpoints)
        before = _value("nth") - sa.literal_column("1")
        follows = sa.or_(
            before == sa.literal_column("0"),
            sa.exists().where(events.c.chain == _value("chain"), events.c.nth == before),
            sa.exists().where(bases.c.chain == _value("chain"), bases.c.included == before),
        )
        names = list(events.c.keys())
        changing = [column.name for column in calls.c if column.name not in _FIXED]

        def compiled(statement: sa.ClauseElement) -> str:
            return str(statement.compile(dialect=engine.dialect))

        self.new_call = compiled(insert(calls).values(_named(calls.c.keys())).on_conflict_do_nothing())
        self.known_call = compiled(
            sa.update(calls).where(calls.c.call_id == sa.bindparam("call_id")).values(_named(changing))
        )
        self.event = compiled(
            insert(events)
            .from_select(names, sa.select(*(_value(name) for name in names)).where(follows))
            .on_conflict_do_nothing()
        )
        self.checkpoint = compiled(
            upsert.values(_named(checkpoints.c.keys())).on_conflict_do_update(
                index_elements=[checkpoints.c.chain],
                set_={name: upsert.excluded[name] for name in ("included", "state", "pending")},
                where=upsert.excluded.included > checkpoints.c.included,
            )
        )


def _named(columns: Iterable[str]) -> dict[str, Any]:
    return {name: sa.bindparam(name) for name in columns}


def _value(name: str) -> sa.ColumnElement[Any]:
    """Give a value of an event with its type, which PostgreSQL asks for in a SELECT."""
    return sa.cast(sa.bindparam(name), events.c[name].type)
