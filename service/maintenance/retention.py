"""Removes calls that are older than a centre may keep them; what they taught of their callers stays, as sums.

Of each stream the first events go, as many as belong to calls that are old enough and over. What they left of the
caller is written to `bases` in the same transaction, so the run can be stopped at any moment and started again, and a
later call reads the same history with and without it. A caller stays known by the keyed hash; `erase` forgets one.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from model.history.caller_history import Caller
from service.queue.operations import read_operations, record_decision
from service.queue.states import OVER
from service.store.database import run_transaction, transaction
from service.store.event_streams import apply_event
from service.store.records import EVENT_COLUMNS, Checkpoint, stream_of
from service.store.tables import bases, calls, checkpoints, events, facts
from service.timestamps import EPOCH, rfc3339

#: Calls looked for at once; and in one transaction so many streams, and so many events of each.
PAGE, AT_ONCE, MAX_EVENTS = 2_000, 25, 500
#: The share of the time that is left to a service on the same database, which waits as long as a transaction lasts.
LEFT_TO_OTHERS = 0.5
#: Until when calls were removed: a log of before then is not imported again, or it would count twice.
REMOVED_BEFORE_FACT = "calls removed before"

_old = (
    sa.select(calls.c.received_at_us, calls.c.call_id, calls.c.caller)
    .where(calls.c.received_at_us < sa.bindparam("cutoff_us"), calls.c.state.in_(OVER))
    .where(
        sa.or_(
            calls.c.received_at_us > sa.bindparam("after_us"),
            sa.and_(calls.c.received_at_us == sa.bindparam("after_us"), calls.c.call_id > sa.bindparam("after_id")),
        )
    )
    .order_by(calls.c.received_at_us, calls.c.call_id)
    .limit(sa.bindparam("page"))
)
_said = (
    sa.select(events.c.nth, *(events.c[name] for name in EVENT_COLUMNS), calls.c.state)
    .outerjoin(calls, calls.c.call_id == events.c.call_id)
    .where(events.c.chain == sa.bindparam("chain"))
    .order_by(events.c.nth)
)
_removed = sa.select(facts.c.value).where(facts.c.name == REMOVED_BEFORE_FACT)
_first = sa.and_(events.c.chain == sa.bindparam("of_chain"), events.c.nth <= sa.bindparam("upto"))
_DELETE = (
    sa.delete(calls).where(calls.c.call_id.in_(sa.select(events.c.call_id).where(_first))),
    sa.delete(events).where(_first),
    sa.delete(checkpoints).where(
        checkpoints.c.chain == sa.bindparam("of_chain"), checkpoints.c.included <= sa.bindparam("upto")
    ),
    sa.delete(bases).where(bases.c.chain == sa.bindparam("of_chain"), bases.c.included < sa.bindparam("upto")),
)
_keep = sa.insert(bases)
BASE = tuple(bases.c.keys())


@dataclass
class Removed:
    """How many rows were removed, and of how many streams."""

    calls: int = 0
    events: int = 0
    streams: int = 0


def remove_old_calls(engine: Engine, cutoff_us: int, now_us: int, progress: Callable[[int], None], who: str) -> Removed:
    """Remove the calls that were received before a moment and are over. A service may run meanwhile.

    Parameters
    ----------
    engine : Engine
    cutoff_us, now_us : int
        Microseconds since 1970.
    progress : callable
        Is told again and again how many more old calls were looked at.
    who : str
        For the note that it was done.

    Raises
    ------
    StoreError
        When the database did not take a part of it; the parts before are done.
    """
    removed = Removed()
    for page in _pages(engine, cutoff_us):
        left, touched = list(dict.fromkeys(page)), set[bytes]()
        while left:
            started = time.monotonic()
            some, left = sorted(left[:AT_ONCE]), left[AT_ONCE:]  # in the order in which a service locks streams
            gone = run_transaction(engine, partial(_remove, streams=some, cutoff_us=cutoff_us), snapshot=True)
            for stream, (calls_gone, events_gone) in gone.items():
                removed.calls, removed.events = removed.calls + calls_gone, removed.events + events_gone
                if events_gone:
                    touched.add(stream)
                if events_gone >= MAX_EVENTS:
                    left.append(stream)
            time.sleep((time.monotonic() - started) * LEFT_TO_OTHERS / (1.0 - LEFT_TO_OTHERS))
        removed.streams += len(touched)  # on a later page nothing of them goes any more
        progress(len(page))
    body = {"cutoff": rfc3339(cutoff_us), "calls": removed.calls, "events": removed.events, "chains": removed.streams}
    run_transaction(
        engine, lambda connection: record_decision(connection, who, "retention", body, now_us), snapshot=True
    )
    return removed


def count_old_calls(engine: Engine, cutoff_us: int) -> int:
    """Count the calls received before a moment."""
    query = sa.select(sa.func.count()).where(calls.c.received_at_us < cutoff_us, calls.c.state.in_(OVER))
    with transaction(engine) as connection:
        return int(connection.execute(query).scalar_one())


def removed_before(engine: Engine) -> datetime | None:
    """Return the moment before which calls were ever removed; None when none were."""
    with transaction(engine) as connection:
        found = removed_before_us(connection)
    return EPOCH + timedelta(microseconds=found) if found else None


def removed_before_us(connection: Connection) -> int:
    """Return the moment before which calls were ever removed, in microseconds since 1970; 0 when none were."""
    return int(connection.execute(_removed).scalar() or 0)


def monitor_since_us(engine: Engine) -> int | None:
    """Return the moment from which on the monitor counts genuine callers; None when nothing was ever served."""
    operations = read_operations(engine)
    return max((*operations.releases.values(), operations.switch.at_us)) if operations.releases else None


def _pages(engine: Engine, cutoff_us: int) -> Iterator[list[bytes]]:
    """Return the streams of old calls, page by page, the oldest calls first."""
    after: dict[str, Any] = {"after_us": -1, "after_id": ""}
    while True:
        with transaction(engine) as connection:
            page = connection.execute(_old, {"cutoff_us": cutoff_us, "page": PAGE, **after}).all()
        if not page:
            return
        after = {"after_us": page[-1].received_at_us, "after_id": page[-1].call_id}
        yield [stream_of(row.caller, row.call_id) for row in page]


def _remove(connection: Connection, streams: list[bytes], cutoff_us: int) -> dict[bytes, tuple[int, int]]:
    """Shorten streams; return how many calls and events of each went."""
    _note(connection, cutoff_us)
    based = connection.execute(sa.select(bases).where(bases.c.chain.in_(streams))).mappings()
    base = {row["chain"]: Checkpoint.of(dict(row)) for row in based}
    gone, going = {}, []
    for stream in streams:
        left, gone[stream] = _folded(connection, stream, base.get(stream), cutoff_us)
        if gone[stream][1]:
            going.append(left)
    if going:
        ends = [{"of_chain": left.stream, "upto": left.version} for left in going]
        for statement in _DELETE:
            connection.execute(statement, ends)
        rows = [dict(zip(BASE, left.row(), strict=True)) for left in going if left.stream[:1] != b"\0"]
        if rows:  # nobody rings twice without a number
            connection.execute(_keep, rows)
    return gone


def _folded(
    connection: Connection, stream: bytes, base: Checkpoint | None, cutoff_us: int
) -> tuple[Checkpoint, tuple[int, int]]:
    """Fold the first events of a stream, which may go; return what is left of them, and how many calls and events."""
    caller = Caller(base.state, base.pending) if base else Caller()
    included = before = base.version if base else 0
    of_nobody, call_ids = stream[:1] == b"\0", set()
    with closing(connection.execute(_said, {"chain": stream})) as said:
        for event in islice(said.mappings(), None if of_nobody else MAX_EVENTS):
            # What was said late of a call that is gone already stands alone.
            if event["received_at_us"] >= cutoff_us or event["state"] not in (*OVER, None):
                break
            apply_event(caller, event)
            included = event["nth"]
            if event["state"] is not None:
                call_ids.add(event["call_id"])
    return Checkpoint(stream, included, caller.state, caller.pending), (len(call_ids), included - before)


def _note(connection: Connection, cutoff_us: int) -> None:
    """Write down until when calls were removed; the latest moment stays."""
    found = connection.execute(_removed).scalar()
    if found is None:
        connection.execute(sa.insert(facts).values(name=REMOVED_BEFORE_FACT, value=str(cutoff_us)))
    elif int(found) < cutoff_us:
        connection.execute(sa.update(facts).where(facts.c.name == REMOVED_BEFORE_FACT).values(value=str(cutoff_us)))
