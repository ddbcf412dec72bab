"""Derives anew what the store derives from what was said, as another release asks for it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from model.errors import StoreError
from model.history.caller_history import VERSION, Caller
from service.maintenance.verify import Labels, history_facts, labels_of
from service.queue.operations import record_decision
from service.queue.projection import changed_labels
from service.store.database import lock_sqlite_file, transaction
from service.store.event_streams import Row, StoredStream, apply_event, read_batch
from service.store.tables import bases, calls, checkpoints, events, facts, writers
from service.timestamps import microseconds

#: A service on a database that several share says every ten seconds that it writes.
SILENT_US = 30_000_000


@dataclass
class RebuildReport:
    """What was derived anew."""

    checkpoints: int = 0
    events: int = 0
    callers_with_old_labels: int = 0


@contextmanager
def exclude_services(engine: Engine) -> Iterator[None]:
    """Keep services out of a database, or find that one is there.

    Raises
    ------
    StoreError
        When one is: it has histories in its memory that would be wrong from then on.
    """
    lock = lock_sqlite_file(engine.url.render_as_string(hide_password=False))
    try:
        if lock is None:
            now_us = microseconds(datetime.now(UTC))
            running = sa.select(sa.func.count()).where(writers.c.seen_at_us > now_us - SILENT_US)
            with transaction(engine) as connection:
                if connection.execute(running).scalar_one():
                    raise StoreError("a service was running on it less than half a minute ago: stop it first")
        yield
    finally:
        if lock is not None:
            lock.close()


def rebuild(engine: Engine, labels: Labels, progress: Callable[[int], None]) -> RebuildReport:
    """Derive anew: checkpoints are dropped, and labels are those of `labels`; all of it happens, or nothing.

    What retention folded away keeps the labels it had. No service may be running.

    Raises
    ------
    StoreError
        When the history is of another version and the store has bases, which cannot be made anew.
    """
    written = RebuildReport()
    with transaction(engine, writing=True) as connection:
        stored = {row.name: row.value for row in connection.execute(sa.select(facts)) if row.name in history_facts({})}
        based = connection.execute(sa.select(sa.func.count()).select_from(bases)).scalar_one()
        another_version = stored.get("history version", VERSION) != VERSION
        if another_version and based:
            raise StoreError(
                f"retention has folded the calls of {based:,} callers into histories of version "
                f"{stored['history version']}, which version {VERSION} cannot read: use the program that wrote them"
            )
        written.checkpoints = connection.execute(sa.delete(checkpoints)).rowcount
        new = history_facts(labels)
        if stored and stored != new:
            written.callers_with_old_labels = based if stored.get("label mapping") != new["label mapping"] else 0
            _rewrite(connection, labels, labels_of(stored), another_version, written, progress)
            for name, value in new.items():
                connection.execute(sa.update(facts).where(facts.c.name == name).values(value=value))
        body = {"checkpoints": written.checkpoints, "events": written.events, "made_by": new, "before": stored}
        record_decision(connection, "command", "rebuild", body, microseconds(datetime.now(UTC)))
    return written


def _rewrite(
    connection: Connection,
    labels: Labels,
    old: Labels,
    another_version: bool,
    written: RebuildReport,
    progress: Callable[[int], None],
) -> None:
    after, more = b"", True
    change = (
        sa.update(events)
        .where(events.c.writer == sa.bindparam("of_writer"), events.c.seq == sa.bindparam("of_seq"))
        .values(genuine=sa.bindparam("genuine"), not_genuine=sa.bindparam("not_genuine"))
    )
    while more:
        streams, upto = read_batch(connection, after)
        for one in streams:
            changed = changed_labels(one.events, labels, old)
            written.events += len(changed)
            if changed:
                rows = [{"of_writer": writer, "of_seq": seq, **row} for (writer, seq), row in changed.items()]
                connection.execute(change, rows)
            if another_version:
                _rewrite_histories(connection, one, changed)
        progress(sum(len(one.events) for one in streams))
        after, more = upto or b"", upto is not None


def _rewrite_histories(connection: Connection, one: StoredStream, changed: Mapping[tuple[int, int], Row]) -> None:
    """Write down anew what each call read of its caller's history: a vector of another version means nothing now."""
    caller = Caller()
    for row in one.events:
        if row["kind"] == "received":
            caller.settle(row["received_at_us"])
            history = (Caller() if one.stream[:1] == b"\0" else caller).read(row["received_at_us"])
            mine = sa.update(calls).where(calls.c.call_id == row["call_id"])
            connection.execute(mine.values(history=history.tobytes()))
        apply_event(caller, {**row, **changed.get((row["writer"], row["seq"]), {})})
