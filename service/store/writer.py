"""Writes events and their calls: group commit, and nothing is acknowledged before it is on disk.

While one batch is being committed in a thread, the next one gathers; so the disk is asked once for many calls, and
threads change places once for a batch. An event is only added right after the one that its writer saw as the last of
its chain. When another process was there before, or a caller or call that was taken for a new one is known, `Changed`
is raised instead: look again.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from model.errors import StoreError
from service.store.database import alone, cause, is_lost, pause, run, wants_another_try
from service.store.records import Call, Checkpoint, Said
from service.store.statements import Row, Statements
from service.store.tables import writers

MOST_AT_ONCE = 512
#: So often a batch is tried while it comes in the way of other transactions, unless all who wait for it went away.
ATTEMPTS = 40


class Changed(Exception):  # noqa: N818 - not an error: look again
    """What was decided rests on what is no longer the last of its chain."""


@dataclass(slots=True, eq=False)
class Waiting:
    """An event, its call and perhaps a checkpoint, on their way to the disk."""

    chain: bytes
    call_id: str
    said: Row
    call: Row
    new: bool
    checkpoint: Row | None
    done: asyncio.Future[None]


class Writer:
    """Writes for the event loop of one process.

    Parameters
    ----------
    engine : Engine
    committed : callable
        Is told of each commit the seconds, the number of events, and how often it was tried again because another
        one came between.

    Raises
    ------
    StoreError
        When it cannot be written in the table `writers`.
    """

    def __init__(self, engine: Engine, committed: Callable[[float, int, int], None]) -> None:
        self._engine, self._committed = engine, committed
        #: Its number in the table `writers`; None when it needs a new one.
        self.writer: int | None = run(engine, _register, commit=True)
        #: All the numbers that it ever had.
        self.numbers = {self.writer}
        self._seq = 0
        self._statements = Statements(engine)
        self._connection: Connection | None = None
        self._next: list[Waiting] = []
        self._busy = False
        self._thread = ThreadPoolExecutor(1, "writer")

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
        loop = asyncio.get_running_loop()
        item = Waiting(
            said.chain,
            call.call_id,
            said.row(),
            call.row() if new else call.changes(),
            new,
            checkpoint.row() if checkpoint else None,
            loop.create_future(),
        )
        self._next.append(item)
        if not self._busy:
            self._busy = True
            loop.call_soon(self._go, loop)  # with what else comes in this turn of the loop
        await item.done

    def close(self) -> None:
        """Wait for the commit that is under way."""
        self._thread.shutdown()
        if self._connection is not None:
            self._connection.close()

    def _go(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hand what has gathered to the thread, or rest when there is nothing."""
        batch = [item for item in self._next[:MOST_AT_ONCE] if not item.done.done()]
        del self._next[:MOST_AT_ONCE]
        if not batch:
            self._busy = bool(self._next)
            if self._busy:
                loop.call_soon(self._go, loop)
            return
        working = self._thread.submit(self._commit, batch)

        def tell(done: Future[Outcome]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._told, loop, batch, done.result())

        working.add_done_callback(tell)

    def _told(self, loop: asyncio.AbstractEventLoop, batch: list[Waiting], outcome: "Outcome") -> None:
        self._committed(outcome.seconds, len(outcome.kept), outcome.again)
        for item in batch:
            if item.done.done():  # whoever waited went away
                continue
            if outcome.error is not None:
                item.done.set_exception(outcome.error)
            elif item in outcome.kept:
                item.done.set_result(None)
            else:
                item.done.set_exception(Changed())
        self._go(loop)

    def _commit(self, batch: list[Waiting]) -> "Outcome":
        """Write a batch in one transaction, in the thread."""
        started = time.perf_counter()
        # In one order for all processes, so that none waits for another that waits for it. A batch never holds two
        # events of one chain: each waits for the one before.
        batch = sorted(batch, key=lambda item: item.chain)
        kept: set[Waiting] = set()
        error: StoreError | None = None
        numbered = {self._seq + place: item for place, item in enumerate(batch, 1)}
        careful = False
        for attempt in range(ATTEMPTS):
            written, writer = False, self.writer
            try:
                if self._connection is None:
                    self._connection = self._engine.connect()
                with self._connection.begin():
                    # By itself Python's sqlite3 begins nothing for a statement that begins with WITH.
                    alone(self._connection)
                    if writer is None:
                        writer = _register(self._connection)
                        self.numbers.add(writer)
                    kept = self._write(self._connection, writer, numbered, careful=careful)
                    written = True
                self.writer, error = writer, None
            except Changed:
                careful = True
                continue
            except SQLAlchemyError as failure:
                kept = set()
                error = StoreError(f"did not take {len(batch)} events: {cause(failure)}")
                again = wants_another_try(failure)
                if not again:
                    self._let_go()
                    # A connection of before is lost when the server was started anew; the next one is a new one.
                    again = is_lost(failure) and not written and attempt == 0
                    if written:
                        # It may be committed all the same, and only be seen later: whoever follows this process in
                        # the order of its numbers would miss it.
                        self.writer = None
                if again and attempt + 1 < ATTEMPTS and not all(item.done.done() for item in batch):
                    pause(attempt)
                    continue
            break
        self._seq += len(batch)
        return Outcome(kept, error, time.perf_counter() - started, attempt)

    def _write(
        self, connection: Connection, writer: int, numbered: dict[int, Waiting], *, careful: bool
    ) -> set[Waiting]:
        """Write a batch; gives what was in time. Unless `careful`, all of it is taken to be, or `Changed` is raised."""
        said = [(writer, seq, *item.said) for seq, item in numbered.items()]
        if careful:
            kept = self._write_each(connection, writer, said, numbered)
        else:
            items = numbered.values()  # in the order in which all processes write
            new, changed = ([item.call for item in items if item.new is new] for new in (True, False))
            if not self._statements.add(connection, said, new, changed):
                raise Changed
            kept = set(items)
        self._statements.checkpoint(connection, [item.checkpoint for item in kept if item.checkpoint])
        return kept

    def _write_each(
        self, connection: Connection, writer: int, said: list[Row], numbered: dict[int, Waiting]
    ) -> set[Waiting]:
        """Write a batch in which something came too late, but for that."""
        write = self._statements
        kept = {seq: numbered[seq] for seq in write.add_events(connection, said)}
        new = {item.call_id: seq for seq, item in kept.items() if item.new}
        known_already = new.keys() - write.add_calls(connection, [kept[seq].call for seq in new.values()])
        late = [new[call_id] for call_id in known_already]
        late += [seq for seq, item in kept.items() if item.new and new[item.call_id] != seq]
        if late:
            write.remove_events(connection, writer, late)
            for seq in late:
                del kept[seq]
        for seq, item in list(kept.items()):
            if not item.new and not write.change_call(connection, item.call):
                write.remove_events(connection, writer, [seq])
                del kept[seq]
        return set(kept.values())

    def _let_go(self) -> None:
        """Give up a connection on which something went wrong; the next batch opens another."""
        if self._connection is not None:
            with suppress(SQLAlchemyError):
                self._connection.invalidate()
                self._connection.close()
            self._connection = None


def _register(connection: Connection) -> int:
    now_us = time.time_ns() // 1_000
    added = connection.execute(sa.insert(writers).values(started_at_us=now_us, seen_at_us=now_us))
    return int(added.inserted_primary_key[0])  # type: ignore[index]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch."""

    kept: set[Waiting]
    error: StoreError | None
    seconds: float
    again: int
