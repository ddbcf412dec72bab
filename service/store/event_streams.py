"""Read streams from the store, in batches that fit in memory."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from model.history.caller_history import Caller
from service.store.database import begin_immediate
from service.store.records import EVENT_COLUMNS, Checkpoint, history_event_of
from service.store.tables import bases, calls, checkpoints, events

#: A batch has about so many events, and at least one whole stream.
BATCH_EVENTS = 20_000
BATCH_STREAMS = 2_000
Row = Mapping[str, Any]

_one: sa.BindParameter[bytes] = sa.bindparam("chain")
_base = sa.select(bases).where(bases.c.chain == _one)
_checkpoint = sa.select(checkpoints).where(checkpoints.c.chain == _one)
_last = sa.select(events.c.nth).where(events.c.chain == _one).order_by(events.c.nth.desc()).limit(1).with_for_update()
_events = sa.select(events).where(events.c.chain == _one).order_by(events.c.nth)


class VersionConflict(Exception):  # noqa: N818 - not an error: look again
    """An event was decided on a version that is no longer the last of its stream."""


@dataclass(slots=True)
class StoredStream:
    """One stream as the store holds it; `events` are the rows of its events, in order."""

    stream: bytes
    base: Checkpoint | None
    checkpoint: Checkpoint | None
    events: Sequence[Row]

    @property
    def removed_events(self) -> int:
        """How many events retention has removed."""
        return self.base.version if self.base else 0

    def initial_caller(self) -> Caller:
        """Return the caller as the events that were removed left it."""
        return Caller(self.base.state.copy(), self.base.pending) if self.base else Caller()


def apply_event(caller: Caller, row: Mapping[Any, Any]) -> None:
    """Add an event's row to a caller as the service did: a call is received after what was known before it is read."""
    if row["kind"] == "received":
        caller.settle(row["received_at_us"])
    event = history_event_of(row[name] for name in EVENT_COLUMNS)
    if event is not None:
        caller.add(event)


def lock(connection: Connection, streams: Iterable[bytes]) -> None:
    """Let nobody add to streams until the end of the transaction; every later statement of it sees all that was added.

    A SQLite file is locked as a whole. On PostgreSQL the last row of each stream is, which whoever adds the next one
    holds on to (`service.store.statements`); the transaction must see what others commit meanwhile (READ COMMITTED).
    """
    begin_immediate(connection)
    if connection.dialect.name == "sqlite":
        return
    for stream in sorted(streams):
        asked, before = {"chain": stream}, -1
        connection.execute(_base.with_for_update(), asked)
        while (last := connection.execute(_last, asked).scalar() or 0) != before:
            before = last  # it may have waited for whoever added one more


def read_stream(connection: Connection, stream: bytes) -> StoredStream:
    """Read one stream."""
    asked = {"chain": stream}
    base, checkpoint = (_read(connection, query, asked) for query in (_base, _checkpoint))
    return StoredStream(stream, _checkpoint_of(base), _checkpoint_of(checkpoint), _read(connection, _events, asked))


def read_batch(connection: Connection, after: bytes) -> tuple[list[StoredStream], bytes | None]:
    """Read the streams that follow `after`, in their order; the second is the last of them, None at the end."""
    upto = _batch_end(connection, after)

    def within(table: sa.Table) -> sa.ColumnElement[bool]:
        return table.c.chain > after if upto is None else sa.and_(table.c.chain > after, table.c.chain <= upto)

    based = _checkpoints_by_stream(connection, bases, within)
    noted = _checkpoints_by_stream(connection, checkpoints, within)
    query = sa.select(events).where(within(events)).order_by(events.c.chain, events.c.nth)
    said = {stream: list(rows) for stream, rows in groupby(_read(connection, query), itemgetter("chain"))}
    names = sorted({*based, *noted, *said})
    return [StoredStream(name, based.get(name), noted.get(name), said.get(name, [])) for name in names], upto


def _batch_end(connection: Connection, after: bytes) -> bytes | None:
    """Return the last stream of the batch that begins after `after`; None when nothing follows it."""
    ends: list[bytes] = []
    for table in (bases, checkpoints):
        query = sa.select(table.c.chain).where(table.c.chain > after).order_by(table.c.chain).offset(BATCH_STREAMS - 1)
        ends += connection.execute(query.limit(1)).scalars().all()
    counted = (
        sa.select(events.c.chain, sa.func.count())
        .where(events.c.chain > after)
        .group_by(events.c.chain)
        .order_by(events.c.chain)
        .limit(BATCH_STREAMS)
    )
    last: bytes = b""
    read, left = 0, BATCH_EVENTS
    for stream, count in connection.execute(counted):
        if read and count > left:
            return min((last, *ends))
        read, left, last = read + 1, left - count, bytes(stream)
    return min((*ends, last) if read == BATCH_STREAMS else ends, default=None)


def read_call_rows(connection: Connection, call_ids: Iterable[str]) -> dict[str, Row]:
    """Read the rows of calls, by call_id."""
    asked = sorted(call_ids)
    found: dict[str, Row] = {}
    for first in range(0, len(asked), BATCH_STREAMS):
        query = sa.select(calls).where(calls.c.call_id.in_(asked[first : first + BATCH_STREAMS]))
        found.update({row["call_id"]: row for row in _read(connection, query)})
    return found


def _checkpoints_by_stream(
    connection: Connection, table: sa.Table, within: Callable[[sa.Table], sa.ColumnElement[bool]]
) -> dict[bytes, Checkpoint]:
    return {row["chain"]: Checkpoint.of(row) for row in _read(connection, sa.select(table).where(within(table)))}


def _read(connection: Connection, query: sa.Select[Any], asked: Row | None = None) -> list[Row]:
    result = connection.execute(query, asked)
    names = tuple(result.keys())
    return [dict(zip(names, row, strict=True)) for row in result]


def _checkpoint_of(rows: Sequence[Row]) -> Checkpoint | None:
    return Checkpoint.of(rows[0]) if rows else None
