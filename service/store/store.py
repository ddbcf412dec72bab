"""The store: what was said of calls, and what the events make known of each call and caller.

Writing is `service.store.writer`'s. Reading happens in threads, so that a slow disk or a far database never holds up
the event loop. A SQLite file belongs to one process; on PostgreSQL several share one history, and each follows what the
others wrote (`since`).
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import sqlalchemy as sa
from pydantic_core import from_json
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from model.errors import StoreError
from model.history.caller_history import LAST, Event
from model.history.surge import MINUTE_US, SURGE_US
from service.store.call_reading import (
    ForeignEvent,
    Row,
    last_of_each,
    read_call,
    read_events,
    read_foreign_events,
    read_stream,
    with_answers,
)
from service.store.database import connect, lock_sqlite_file, run_transaction
from service.store.records import Call, Checkpoint, stream_of
from service.store.tables import LIVE_STATES, bases, calls, decisions, events, facts, writers
from service.store.writer import Writer
from service.timestamps import now_us

READERS = 4
MAX_DECISIONS = 100
#: So many calls are asked for in one query.
MAX_IN_QUERY = 500
#: A writer that has said nothing for so long does not run any more: six beats.
ALIVE_US = 60_000_000
T = TypeVar("T")

_live = sa.select(calls).where(calls.c.state.in_(LIVE_STATES))
_caller = sa.select(calls.c.caller).where(calls.c.call_id == sa.bindparam("call_id"))
_base = sa.select(bases).where(bases.c.chain == sa.bindparam("chain"))
_nth = sa.select(sa.func.max(events.c.nth)).where(events.c.chain == sa.bindparam("chain"))


class Store:
    """The calls and events of one service.

    Parameters
    ----------
    url : str
        SQLAlchemy URL of a SQLite file, which is made when there is none, or of a PostgreSQL database.
    committed : callable, optional
        Is told of each commit, as `service.store.writer.Writer` tells it.

    Raises
    ------
    StoreError
        When it cannot be opened, or is a SQLite file that another process has open.
    """

    def __init__(
        self, url: str, committed: Callable[[float, int, int], None] = lambda _seconds, _events, _again: None
    ) -> None:
        self._lock = lock_sqlite_file(url)
        try:
            self.engine = connect(url)
            self.shared = self._lock is None
            # What is only read needs no transaction, and so asks a far database once instead of three times.
            self._reading = self.engine.execution_options(isolation_level="AUTOCOMMIT") if self.shared else self.engine
            #: By writer, the number of its last event as of now, before anything else is read: what came later is
            #: followed.
            self.last_seen = self._read_last_seen() if self.shared else {}
            self._writer = Writer(self.engine, committed)
        except StoreError:
            if self._lock:
                self._lock.close()
            raise
        self.write, self.import_calls = self._writer.write, self._writer.import_calls
        self._readers = ThreadPoolExecutor(READERS, "reader")

    async def read_call(self, call_id: str) -> Call | None:
        """Return a call; None when it is unknown."""
        return await self._in_thread(lambda connection: read_call(connection, call_id))

    async def first_known(self, call_ids: Sequence[str]) -> str | None:
        """Return the first of several call_ids that is stored; None when none is."""
        asked = sa.select(calls.c.call_id).where(calls.c.call_id.in_(call_ids))
        found = await self._in_thread(lambda connection: set(connection.execute(asked).scalars()))
        return next((call_id for call_id in call_ids if call_id in found), None)

    async def is_attested(self, hashes: Sequence[bytes], since_us: int, except_call_id: str) -> bool:
        """Return whether the network fully attested (A) the number in each call of a caller since then, except one."""
        lacking = (
            sa.select(calls.c.call_id)
            .join(events, events.c.call_id == calls.c.call_id)
            .where(events.c.chain.in_(hashes), events.c.kind == "received", events.c.received_at_us >= since_us)
            .where(calls.c.call_id != except_call_id, sa.func.coalesce(calls.c.attestation, "") != "A")
            .limit(1)
        )
        return await self._in_thread(lambda connection: connection.execute(lacking).first() is None)

    async def read_stream(self, stream: bytes) -> tuple[Checkpoint | None, list[Event | None]]:
        """Return the last checkpoint of a stream and what each later event adds to the history, in their order."""
        return await self._in_thread(lambda connection: read_stream(connection, stream))

    async def read_stream_and_call(
        self, stream: bytes, call_id: str
    ) -> tuple[Checkpoint | None, list[Event | None], Call | None]:
        """Return a stream, and a call that is at least as new as the stream."""
        return await self._in_thread(
            lambda connection: (*read_stream(connection, stream), read_call(connection, call_id))
        )

    async def read_call_and_stream(self, call_id: str) -> tuple[Call | None, Checkpoint | None, list[Event | None]]:
        """Return a call and its stream; the call is at least as new as the stream."""

        def read(connection: Connection) -> tuple[Call | None, Checkpoint | None, list[Event | None]]:
            row = connection.execute(_caller, {"call_id": call_id}).first()
            if row is None:
                return None, None, []
            stream = stream_of(row.caller, call_id)
            last, later = read_stream(connection, stream)
            call = read_call(connection, call_id)
            if call is None or call.stream != stream:  # it was moved or removed just now
                return call, None, []
            return call, last, later

        return await self._in_thread(read)

    async def missing_calls(self, call_ids: Sequence[str]) -> list[str]:
        """Return those of these calls that are not stored."""

        def there(connection: Connection) -> set[str]:
            parts = (call_ids[first : first + MAX_IN_QUERY] for first in range(0, len(call_ids), MAX_IN_QUERY))
            queries = (sa.select(calls.c.call_id).where(calls.c.call_id.in_(part)) for part in parts)
            return {call_id for query in queries for call_id in connection.execute(query).scalars()}

        stored = await self._in_thread(there)
        return [call_id for call_id in call_ids if call_id not in stored]

    async def folded_until_us(self, stream: bytes) -> int:
        """Return when the last call that retention removed from a stream arrived; an earlier time when it removed none.

        What it left of a stream, it left of the stream's first calls.
        """

        def read(connection: Connection) -> int:
            row = connection.execute(_base, {"chain": stream}).mappings().first()
            if row is None:
                return -1
            base = Checkpoint.of(dict(row))
            return max(int(base.state[LAST]), *(event.received_at_us for event in base.pending), -1)

        return await self._in_thread(read)

    async def stream_version(self, stream: bytes) -> int:
        """Return the version of a stream: that of its last event, 0 without any."""

        def read(connection: Connection) -> int:
            last = connection.execute(_nth, {"chain": stream}).scalar()
            row = connection.execute(_base, {"chain": stream}).mappings().first() if last is None else None
            return int(row["included"]) if row else last or 0

        return await self._in_thread(read)

    async def read_events(self, call: Call) -> list[Row]:
        """Return kind, known_at_us, recorded_at_us, body and told_by of all that was said of a call, in that order."""
        return await self._in_thread(lambda connection: read_events(connection, call.call_id))

    async def read_since(self, seen: Mapping[int, int]) -> tuple[list[ForeignEvent], dict[int, int]]:
        """Return what other processes wrote since, in each one's order, at most MAX_FOREIGN_EVENTS events of each.

        Parameters
        ----------
        seen : mapping of int to int
            By writer, the number of its last event that is known here.

        Returns
        -------
        found : list of ForeignEvent
            The calls have the requests and answers of these events, not those of earlier ones.
        seen : dict of int to int
            The numbers of the last events of those writers of whom there was something new.
        """
        return await self._in_thread(lambda connection: read_foreign_events(connection, seen, self._writer.numbers))

    def write_heartbeat(self, number_keys: str) -> list[str | None]:
        """Record that this process is alive, and the number keys that it holds.

        Returns
        -------
        list of (str or None)
            What every process said that was heard of lately, this one too.
        """
        at_us = now_us()
        own = sa.update(writers).where(writers.c.writer == self._writer.writer)
        lately = sa.select(writers.c.number_keys).where(writers.c.seen_at_us >= at_us - ALIVE_US)

        def exchange(connection: Connection) -> list[str | None]:
            connection.execute(own.values(seen_at_us=at_us, number_keys=number_keys))
            return list(connection.execute(lately).scalars())

        return self._read(exchange, commit=True)

    def read_live_calls(self) -> list[Call]:
        """Return the calls that wait or are being talked to, with what was answered of each."""
        return self._read(
            lambda connection: [
                with_answers(connection, Call.of(dict(row))) for row in connection.execute(_live).mappings().all()
            ]
        )

    def calls_by_minute(self) -> tuple[int | None, list[tuple[int, int, int]]]:
        """Return since when surge counts, and (minute since 1970, calls, calls of numbers never seen before) of it.

        That is the first call, or as far back from the last one as surge looks; None when there are no calls.
        """
        minute = sa.func.floor(calls.c.received_at_us / MINUTE_US).cast(sa.Integer).label("minute")
        latest = sa.select(sa.func.max(calls.c.received_at_us)).scalar_subquery()
        query = (
            sa.select(minute, sa.func.count(), sa.func.sum(calls.c.first_call.cast(sa.Integer)))
            .where(calls.c.received_at_us >= latest - SURGE_US)
            .group_by(minute)
            .order_by(minute)
        )
        ends = sa.select(sa.func.min(calls.c.received_at_us), sa.func.max(calls.c.received_at_us))
        (first, last), rows = self._read(
            lambda connection: (connection.execute(ends).one(), connection.execute(query).all())
        )
        since_us = None if first is None else max(int(first), int(last) - SURGE_US)
        return since_us, [(int(row[0]), int(row[1]), int(row[2])) for row in rows]

    def ensure_fact(self, name: str, value: str) -> str:
        """Return a fact of this database, such as the version of its histories, writing it down when there is none."""

        def told(connection: Connection) -> str:
            connection.execute(self._insert(facts).values(name=name, value=value).on_conflict_do_nothing())
            return str(connection.execute(sa.select(facts.c.value).where(facts.c.name == name)).scalar_one())

        return run_transaction(self.engine, told, commit=True)

    def fact_names(self, beginning: str) -> list[str]:
        """Return the names of the facts that begin so."""
        query = sa.select(facts.c.name).where(facts.c.name.startswith(beginning, autoescape=True))
        return self._read(lambda connection: list(connection.execute(query).scalars()))

    def read_decisions(self, after: int = 0) -> list[Row]:
        """Return what was decided after the decision of this number, oldest first, with its body as a dict.

        All of it when `after` is 0, else at most MAX_DECISIONS.
        """
        query = sa.select(decisions).where(decisions.c.seq > sa.bindparam("after")).order_by(decisions.c.seq)
        if after:  # few, so that nobody thinks of reading the whole table for them; the others come the next time
            query = query.limit(MAX_DECISIONS)
        rows = self._read(lambda connection: connection.execute(query, {"after": after}).mappings().all())
        return [{**row, "body": from_json(row["body"])} for row in rows]

    async def in_thread(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on a connection, in one transaction, in a thread.

        Raises
        ------
        StoreError
        """
        return await self._in_thread(work, commit=True)

    def close(self) -> None:
        """Write what still waits, and let go of the database."""
        self._writer.close()
        self._readers.shutdown()
        self.engine.dispose()
        if self._lock:
            self._lock.close()

    def _insert(self, table: sa.Table) -> Any:
        return (sqlite if self.engine.dialect.name == "sqlite" else postgresql).insert(table)

    async def _in_thread(self, work: Callable[[Connection], T], *, commit: bool = False) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, lambda: self._read(work, commit=commit))

    def _read(self, work: Callable[[Connection], T], *, commit: bool = False) -> T:
        return run_transaction(self.engine if commit else self._reading, work, commit=commit)

    def _read_last_seen(self) -> dict[int, int]:
        return self._read(
            lambda connection: {writer: seq or 0 for writer, seq in connection.execute(last_of_each, {"since_us": 0})}
        )
