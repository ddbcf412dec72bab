"""Read calls, what was said of them, and the histories that they belong to, on a connection."""

from collections.abc import Container, Iterable, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa
from pydantic_core import from_json
from sqlalchemy.engine import Connection

from model.history.caller_history import Event
from service.store.records import EVENT_COLUMNS, Call, Checkpoint, encode_json, history_event_of
from service.store.tables import bases, calls, checkpoints, events, writers
from service.timestamps import now_us

#: The most events of one other process that are read at once: a whole log may have been imported.
MAX_FOREIGN_EVENTS = 500
#: A writer that has said nothing for so long is followed no more.
SILENT_US = 3_600_000_000
#: The kinds of events that were answered with a score.
_WITH_ANSWER = ("received", "scored", "ended")
Row = dict[str, Any]

_one_call = sa.select(calls).where(calls.c.call_id == sa.bindparam("call_id"))
_noted = sa.union_all(*(sa.select(one).where(one.c.chain == sa.bindparam("chain")) for one in (checkpoints, bases)))
_events_after = (
    sa.select(*(events.c[name] for name in EVENT_COLUMNS))
    .where(events.c.chain == sa.bindparam("chain"), events.c.nth > sa.bindparam("included"))
    .order_by(events.c.nth)
)
last_of_each = sa.select(
    writers.c.writer,
    sa.select(sa.func.max(events.c.seq)).where(events.c.writer == writers.c.writer).scalar_subquery(),
).where(writers.c.seen_at_us >= sa.bindparam("since_us"))
_said = (
    sa.select(events.c.kind, events.c.known_at_us, events.c.recorded_at_us, events.c.body, events.c.told_by)
    .where(events.c.call_id == sa.bindparam("call_id"))
    .order_by(events.c.nth)
)
_following = (
    sa.select(events.c.seq, events.c.nth, events.c.kind.label("said"), events.c.body, calls)
    .outerjoin(calls, calls.c.call_id == events.c.call_id)
    .where(events.c.writer == sa.bindparam("writer"), events.c.seq > sa.bindparam("seq"))
    .order_by(events.c.seq)
    .limit(MAX_FOREIGN_EVENTS)
)


class ForeignEvent(NamedTuple):
    """An event of another process with its version in its stream, and its call as it is now."""

    version: int
    kind: str
    call: Call


def read_foreign_events(
    connection: Connection, seen: Mapping[int, int], own: Container[int]
) -> tuple[list[ForeignEvent], dict[int, int]]:
    """Return what other processes wrote since, and the number of the last event of each: `Store.read_since`."""
    found: list[ForeignEvent] = []
    last: dict[int, int] = {}
    for writer, seq in connection.execute(last_of_each, {"since_us": now_us() - SILENT_US}).all():
        if writer in own or (seq or 0) <= seen.get(writer, 0):
            continue
        for row in connection.execute(_following, {"writer": writer, "seq": seen.get(writer, 0)}).mappings():
            last[writer] = row["seq"]
            if row["call_id"] is not None:  # it was not removed meanwhile
                found.append(ForeignEvent(row["nth"], row["said"], _foreign_call(dict(row))))
    return found, last


def read_call(connection: Connection, call_id: str) -> Call | None:
    """Return a call with what was answered of it; None when it is unknown."""
    row = connection.execute(_one_call, {"call_id": call_id}).mappings().first()
    return None if row is None else with_answers(connection, Call.of(dict(row)))


def read_stream(connection: Connection, stream: bytes) -> tuple[Checkpoint | None, list[Event | None]]:
    """Return the last checkpoint of a stream and what each later event adds to the history, in their order."""
    noted = [Checkpoint.of(dict(row)) for row in connection.execute(_noted, {"chain": stream}).mappings()]
    last = max(noted, key=lambda one: one.version, default=None)
    later = connection.execute(_events_after, {"chain": stream, "included": last.version if last else 0})
    return last, [history_event_of(row) for row in later]


def with_answers(connection: Connection, call: Call) -> Call:
    """Add to a call what was asked and answered at each stage."""
    for said in read_events(connection, call.call_id):
        _add_answer(call, said["body"])
    return call


def _foreign_call(row: Row) -> Call:
    call = Call.of(row)
    if row["said"] in _WITH_ANSWER:
        _add_answer(call, from_json(row["body"]))
    return call


def _add_answer(call: Call, body: Row) -> None:
    if "answer" in body:
        call.asked[body["answer"]["stage"]] = encode_json(body.get("request"))
        call.answers[body["answer"]["stage"]] = encode_json(body["answer"])


def read_events(connection: Connection, call_id: str) -> list[Row]:
    """Return all that was said of a call, in that order: `Store.read_events`."""
    rows = connection.execute(_said, {"call_id": call_id}).mappings()
    return [{**row, "body": from_json(row["body"])} for row in rows]


def stream_versions(connection: Connection, streams: Iterable[bytes]) -> dict[bytes, int]:
    """Return how many events each stream has had."""
    asked = list(streams)
    found = dict.fromkeys(asked, 0)
    removed = sa.select(bases.c.chain, bases.c.included).where(bases.c.chain.in_(asked))
    last = (
        sa.select(events.c.chain, sa.func.max(events.c.nth)).where(events.c.chain.in_(asked)).group_by(events.c.chain)
    )
    for query in (removed, last):
        found.update({row[0]: row[1] for row in connection.execute(query)})
    return found
