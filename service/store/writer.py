"""Write events and their calls by group commit; nothing is acknowledged before it is on disk.

While one batch is being committed in a thread, the next one gathers; so there is one sync for many calls, and one
switch of threads for a batch. An event is only appended right after the one that its writer saw as the last of its
stream. When another process appended first, or a caller or call taken for new exists already, `VersionConflict` is
raised instead: read again and retry.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from model.errors import StoreError
from service.store.call_reading import stream_versions
from service.store.database import (
    back_off,
    begin_immediate,
    driver_message,
    is_disconnected,
    is_serialization_failure,
    run_transaction,
)
from service.store.event_streams import VersionConflict
from service.store.records import Call, CallEvent, Checkpoint
from service.store.statements import Row, Statements
from service.store.tables import CALL, EVENT, calls, events, writers

MAX_BATCH = 512
#: So often a batch is tried while it comes in the way of other transactions, unless all who wait for it went away.
ATTEMPTS = 40


@dataclass(slots=True, eq=False)
class PendingWrite:
    """An event, its call and perhaps a checkpoint, to be written."""

    stream: bytes
    call_id: str
    said: Row
    call: Row
    new: bool
    checkpoint: Row | None
    done: asyncio.Future[None]
    on_commit: Callable[[], None]


class Writer:
    """Writes for the event loop of one process.

    Parameters
    ----------
    engine : Engine
    committed : callable
        Called after each commit with its seconds, its number of events, and how often it was retried after a
        conflict.

    Raises
    ------
    StoreError
        When it cannot be written in the table `writers`.
    """

    def __init__(self, engine: Engine, committed: Callable[[float, int, int], None]) -> None:
        self._engine, self._committed = engine, committed
        #: Its number in the table `writers`; None when it needs a new one.
        self.writer: int | None = run_transaction(engine, _register, commit=True)
        #: All the numbers that it ever had.
        self.numbers = {self.writer}
        self._seq = 0
        self._statements = Statements(engine)
        self._connection: Connection | None = None
        self._next: list[PendingWrite] = []
        self._busy = False
        self._thread = ThreadPoolExecutor(1, "writer")

    async def write(
        self,
        event: CallEvent,
        call: Call,
        *,
        new: bool,
        checkpoint: Checkpoint | None = None,
        on_commit: Callable[[], None] = lambda: None,
    ) -> None:
        """Write one event and its call; returns when both are on disk.

        Cancelled before the write begins, it is not written; afterwards it may or may not be. `on_commit` is called
        when it is, in the event loop, also when nobody waits for it any more.

        Raises
        ------
        VersionConflict
            When another event came first, and nothing was written.
        StoreError
            When the store did not take it.
        """
        loop = asyncio.get_running_loop()
        item = PendingWrite(
            event.stream,
            call.call_id,
            event.row(),
            call.row() if new else call.changing_columns(),
            new,
            checkpoint.row() if checkpoint else None,
            loop.create_future(),
            on_commit,
        )
        self._next.append(item)
        if not self._busy:
            self._busy = True
            loop.call_soon(self._start_batch, loop)  # with what else comes in this turn of the loop
        await item.done

    def import_calls(self, parts: Iterable[Sequence[tuple[list[CallEvent], Call]]]) -> int:
        """Add whole calls at once, each part in one transaction; a call that is known already is left as it is.

        Returns
        -------
        int
            How many calls were added.
        """
        added = seq = 0
        for part in parts:

            def add(connection: Connection, part: Sequence[tuple[list[CallEvent], Call]] = part, seq: int = seq) -> int:
                ids = [call.call_id for _, call in part]
                known = set(connection.execute(sa.select(calls.c.call_id).where(calls.c.call_id.in_(ids))).scalars())
                fresh = [(said, call) for said, call in part if call.call_id not in known]
                said = [one for said, _ in fresh for one in said]
                length = stream_versions(connection, {one.stream for one in said})
                rows = []
                for seq, one in enumerate(said, seq + 1):  # noqa: B020 - the numbers go on from part to part
                    length[one.stream] += 1
                    rows.append((self.writer, seq, *replace(one, version=length[one.stream]).row()))
                if fresh:
                    connection.execute(
                        sa.insert(calls), [dict(zip(CALL, call.row(), strict=True)) for _, call in fresh]
                    )
                    connection.execute(sa.insert(events), [dict(zip(EVENT, row, strict=True)) for row in rows])
                return len(fresh)

            added += run_transaction(self._engine, add, commit=True)
            seq += sum(len(said) for said, _ in part)
        return added

    def close(self) -> None:
        """Wait for the commit that is under way."""
        self._thread.shutdown()
        if self._connection is not None:
            self._connection.close()

    def _start_batch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hand what has gathered to the thread, or rest when there is nothing."""
        batch = [item for item in self._next[:MAX_BATCH] if not item.done.done()]
        del self._next[:MAX_BATCH]
        if not batch:
            self._busy = bool(self._next)
            if self._busy:
                loop.call_soon(self._start_batch, loop)
            return
        working = self._thread.submit(self._commit, batch)

        def tell(done: Future[Outcome]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._deliver, loop, batch, done.result())

        working.add_done_callback(tell)

    def _deliver(self, loop: asyncio.AbstractEventLoop, batch: list[PendingWrite], outcome: "Outcome") -> None:
        self._committed(outcome.seconds, len(outcome.kept), outcome.again)
        try:
            for item in batch:
                if item in outcome.kept:
                    item.on_commit()
                if item.done.done():  # whoever waited went away
                    continue
                if outcome.error is not None:
                    item.done.set_exception(outcome.error)
                elif item in outcome.kept:
                    item.done.set_result(None)
                else:
                    item.done.set_exception(VersionConflict())
        finally:
            self._start_batch(loop)

    def _commit(self, batch: list[PendingWrite]) -> "Outcome":
        """Write a batch in one transaction, in the thread."""
        started = time.perf_counter()
        # In one order for all processes, so that none waits for another that waits for it. A batch never holds two
        # events of one stream: each waits for the one before.
        batch = sorted(batch, key=lambda item: item.stream)
        kept: set[PendingWrite] = set()
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
                    begin_immediate(self._connection)
                    if writer is None:
                        writer = _register(self._connection)
                        self.numbers.add(writer)
                    kept = self._write(self._connection, writer, numbered, careful=careful)
                    written = True
                self.writer, error = writer, None
            except VersionConflict:
                careful = True
                continue
            except SQLAlchemyError as failure:
                kept = set()
                error = StoreError(f"did not take {len(batch)} events: {driver_message(failure)}")
                again = is_serialization_failure(failure)
                if not again:
                    self._let_go()
                    # A connection of before is lost when the server was started anew; the next one is a new one.
                    again = is_disconnected(failure) and not written and attempt == 0
                    if written:
                        # It may be committed all the same, and only be seen later: whoever follows this process in
                        # the order of its numbers would miss it.
                        self.writer = None
                if again and attempt + 1 < ATTEMPTS and not all(item.done.done() for item in batch):
                    back_off(attempt)
                    continue
            break
        self._seq += len(batch)
        return Outcome(kept, error, time.perf_counter() - started, attempt)

    def _write(
        self, connection: Connection, writer: int, numbered: dict[int, PendingWrite], *, careful: bool
    ) -> set[PendingWrite]:
        """Write a batch and return the items stored; unless `careful`, all are, or `VersionConflict` is raised."""
        said = [(writer, seq, *item.said) for seq, item in numbered.items()]
        if careful:
            kept = self._write_each(connection, writer, said, numbered)
        else:
            items = numbered.values()  # in the order in which all processes write
            new, changed = ([item.call for item in items if item.new is new] for new in (True, False))
            if not self._statements.insert_batch(connection, said, new, changed):
                raise VersionConflict
            kept = set(items)
        self._statements.checkpoint(connection, [item.checkpoint for item in kept if item.checkpoint])
        return kept

    def _write_each(
        self, connection: Connection, writer: int, said: list[Row], numbered: dict[int, PendingWrite]
    ) -> set[PendingWrite]:
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

    kept: set[PendingWrite]
    error: StoreError | None
    seconds: float
    again: int
