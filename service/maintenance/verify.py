"""The proof that what the store derives follows from what was said.

Each checkpoint has to be what its stream's base and events give, each row of `calls` what the call's events say.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from model.history.caller_history import FIRST, LAST, RECEIVED, SIZE, VERSION, Event, apply_events
from service.queue.projection import changed_labels, mismatched_columns
from service.security.pseudonyms import short_pseudonym
from service.store.database import transaction
from service.store.event_streams import Row, StoredStream, apply_event, read_batch, read_call_rows
from service.store.records import EVENT_COLUMNS, Checkpoint, history_event_of
from service.store.tables import calls, events, facts

#: A sum of less than this is read as nothing.
TOLERANCE = 1e-9
Labels = Mapping[str, int]


@dataclass
class VerifyReport:
    """What was looked at, and what differs: a sentence for each difference, with the stream's short pseudonym."""

    streams: int = 0
    events: int = 0
    calls: int = 0
    checkpoints: int = 0
    checkpoints_differ: int = 0
    to_the_bit: int = 0
    differences: list[str] = field(default_factory=list)


def history_facts(labels: Labels) -> dict[str, str]:
    """Return the facts that a database and a release must have in common.

    Examples
    --------
    >>> history_facts({"prank": 1, "genuine": 0})["label mapping"]
    'genuine=0,prank=1'
    """
    mapping = ",".join(f"{name}={label}" for name, label in sorted(labels.items()))
    return {"history version": VERSION, "label mapping": mapping}


def read_history_facts(engine: Engine) -> dict[str, str]:
    """Read what the histories of a database were made with; empty when no service has used it yet."""
    with transaction(engine) as connection:
        return {row.name: row.value for row in connection.execute(sa.select(facts)) if row.name in history_facts({})}


def labels_of(stored: Mapping[str, str]) -> dict[str, int]:
    """Read the mapping of labels out of the facts.

    Examples
    --------
    >>> labels_of({"label mapping": "genuine=0,prank=1"})
    {'genuine': 0, 'prank': 1}
    """
    pairs = (pair.split("=") for pair in stored.get("label mapping", "").split(",") if pair)
    return {name: int(label) for name, label in pairs}


def count(engine: Engine) -> int:
    """Count all events."""
    with transaction(engine) as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(events)).scalar_one())


def verify(engine: Engine, labels: Labels, progress: Callable[[int], None]) -> VerifyReport:
    """Compare everything that is derived with what it is derived from. The service may run meanwhile.

    Parameters
    ----------
    engine : Engine
    labels : mapping of str to {0, 1}
        By which the histories were made.
    progress : callable
        Called after each batch with its number of events.
    """
    found, after, more = VerifyReport(), b"", True
    while more:
        with transaction(engine) as connection:
            streams, upto = read_batch(connection, after)
            known = read_call_rows(connection, {row["call_id"] for one in streams for row in one.events})
        for one in streams:
            _verify_stream(one, known, labels, found)
        progress(sum(len(one.events) for one in streams))
        after, more = upto or b"", upto is not None
    found.differences += _without_events(engine, found.calls)
    return found


def _verify_stream(one: StoredStream, known: Mapping[str, Row], labels: Labels, found: VerifyReport) -> None:
    found.streams += 1
    found.events += len(one.events)
    whose = _named(one)
    numbers = [row["nth"] for row in one.events]
    if numbers != list(range(one.removed_events + 1, one.removed_events + len(numbers) + 1)):
        found.differences.append(f"{whose}: its events are not numbered from {one.removed_events + 1} on without a gap")
    if changed_labels(one.events, labels, labels):
        found.differences.append(f"{whose}: labels of its events are not what the dispositions give")
    if one.checkpoint is not None:
        found.checkpoints += 1
        wrong, same = _compare(one, one.checkpoint)
        found.to_the_bit += same
        if wrong:
            found.checkpoints_differ += 1
            found.differences.append(f"{whose}: its checkpoint {wrong}")
    found.differences += [f"{whose}: {what}" for what in _calls_of(one, known, found)]


def _compare(one: StoredStream, checkpoint: Checkpoint) -> tuple[str | None, bool]:
    """Return what is wrong with a checkpoint, and whether it is the same to the bit."""
    end = one.removed_events + len(one.events)
    if not one.removed_events <= checkpoint.version <= end:
        return f"includes {checkpoint.version:,} events, and there are {one.removed_events:,} to {end:,}", False
    if len(checkpoint.state) != SIZE:
        return "has a state of another version", False
    caller = one.initial_caller()
    told = one.events[: checkpoint.version - one.removed_events]
    for row in told:
        apply_event(caller, row)
    pending = Counter(map(json.dumps, checkpoint.pending))
    if Counter(map(json.dumps, caller.pending)) == pending:
        if caller.state.tobytes() == checkpoint.state.tobytes():
            return None, True
    else:  # a caller that was made anew from the store folds later; what it has folded must have been known
        caller = one.initial_caller()
        every = [*caller.pending, *(event for row in told if (event := _event(row)) is not None)]
        folded = _without(every, pending)
        last_us = max((event.received_at_us for event in every if event.kind == RECEIVED), default=0)
        if pending.total() or any(event.known_at_us >= last_us for event in folded):
            return "holds back other events than those that no call has come after", False
        apply_events(caller.state, folded)
    return (None, False) if _alike(caller.state, checkpoint.state) else ("is not what its events give", False)


def _without(every: Sequence[Event], pending: Counter[str]) -> list[Event]:
    """Return the events that are not held back, taking those that are off `pending`."""
    folded = []
    for event in every:
        text = json.dumps(event)
        if pending[text]:
            pending[text] -= 1
        else:
            folded.append(event)
    return folded


def _alike(one: np.ndarray, other: np.ndarray) -> bool:
    times = [LAST, FIRST]
    return bool((one[times] == other[times]).all() and np.allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE))


def _calls_of(one: StoredStream, known: Mapping[str, Row], found: VerifyReport) -> list[str]:
    """Say which rows of `calls` do not follow from this stream's events."""
    by_call: dict[str, list[Row]] = {}
    for event in one.events:
        by_call.setdefault(event["call_id"], []).append(event)
    wrong = []
    for call_id, said in by_call.items():
        row, kinds = known.get(call_id), [each["kind"] for each in said]
        if "received" not in kinds and row is None and one.removed_events:
            continue  # the call is gone, this was said of it later than what had to go
        if kinds[0] != "received" or kinds.count("received") > 1:
            wrong.append("a call was not received exactly once, before all else")
        elif row is None:
            wrong.append("a call has events and no row")
        else:
            found.calls += 1
            columns = mismatched_columns(row, said)
            if columns:
                wrong.append(f"the row of a call does not follow from its events: {', '.join(columns)}")
    return wrong


def _without_events(engine: Engine, seen: int) -> list[str]:
    """Look for calls without events, when there are more calls than were seen."""
    caller = sa.func.coalesce(calls.c.caller, _own_chain(engine))
    received = sa.exists().where(
        events.c.chain == caller, events.c.call_id == calls.c.call_id, events.c.kind == "received"
    )
    with transaction(engine) as connection:
        if connection.execute(sa.select(sa.func.count()).select_from(calls)).scalar_one() <= seen:
            return []
        lost = connection.execute(sa.select(calls.c.caller).where(~received)).scalars().all()
    return [f"{short_pseudonym(caller) or 'a call without a number'}: a call has no events" for caller in lost]


def _own_chain(engine: Engine) -> sa.ColumnElement[bytes]:
    if engine.dialect.name == "sqlite":
        return sa.cast(sa.literal(b"\0").op("||")(calls.c.call_id), sa.LargeBinary)
    return sa.literal(b"\0").op("||")(sa.func.convert_to(calls.c.call_id, "UTF8"))


def _event(row: Row) -> Event | None:
    return history_event_of(row[name] for name in EVENT_COLUMNS)


def _named(one: StoredStream) -> str:
    return "a call without a number" if one.stream[:1] == b"\0" else short_pseudonym(one.stream) or ""
