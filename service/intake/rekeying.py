"""Merge a caller's streams into the one under the number key in use, so that a rotated key loses no history.

The events under both are one stream afterwards. What another service keeps under a key that is not in use here is read
together with the caller's own: a history is a sum.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from model.history.caller_history import Caller, merge
from service.intake.history_cache import Aliases, restore_stream
from service.security.pseudonyms import ID_BYTES, Pseudonyms
from service.store.event_streams import lock
from service.store.records import Checkpoint
from service.store.tables import bases, calls, checkpoints, events, protected

if TYPE_CHECKING:
    from service.intake.intake import Intake

_FAR = 1_000_000_000


async def gather_aliases(intake: "Intake", pseudonyms: Pseudonyms, hashes: Sequence[bytes], in_use: bytes) -> Aliases:
    """Merge what is stored of a caller under older keys, and read what others keep under a newer one.

    Parameters
    ----------
    intake : Intake
    pseudonyms : Pseudonyms
    hashes : sequence of bytes
        Of its number under the other live keys.
    in_use : bytes
        Under the one in use.

    Raises
    ------
    StoreError
    """
    store, place = intake.store, {name: place for place, name in enumerate(pseudonyms.key_ids)}
    elsewhere: list[Caller] = []
    # In a database of its own nothing is added under another key any more.
    if store.shared or not intake.event_log.is_cached(in_use):
        for one in hashes:
            if not await store.stream_version(one) and one not in intake.operations.protected:
                continue
            if place.get(one[:ID_BYTES], len(place)) > place.get(in_use[:ID_BYTES], len(place)):
                await merge_into_current_key(intake, one, in_use)
            else:
                elsewhere.append(restore_stream(*await store.read_stream(one)).caller)
    return Aliases(hashes, tuple(elsewhere))


async def merge_into_current_key(intake: "Intake", old: bytes, new: bytes) -> None:
    """Move what is stored of a caller under one hash to another.

    Raises
    ------
    StoreError
    """
    known, ends = intake.event_log, intake.operations.protected

    def move(connection: Connection) -> Sequence[str]:
        lock(connection, (old, new))
        return move_stream(connection, old, new)

    call_ids = await intake.store.in_thread(move)
    for call_id in ("", *call_ids):
        known.evict(call_id, old)
    known.evict("", new)
    if old in ends:  # until the list is read anew
        ends[new] = max(ends.pop(old), ends.get(new, 0))


def move_stream(connection: Connection, old: bytes, new: bytes) -> Sequence[str]:
    """Append the events under the old hash to those under the new one, both locked; return the moved call_ids."""
    rows = connection.execute(sa.select(bases).where(bases.c.chain.in_((old, new)))).mappings()
    base = {row["chain"]: Checkpoint.of(dict(row)) for row in rows}
    removed = base[old].version if old in base else 0
    first = connection.execute(sa.select(sa.func.min(events.c.nth)).where(events.c.chain == old)).scalar()
    last = connection.execute(sa.select(sa.func.max(events.c.nth)).where(events.c.chain == new)).scalar()
    if last is None:
        last = base[new].version if new in base else 0
    of_old = sa.select(events.c.call_id).where(events.c.chain == old).distinct()
    call_ids = connection.execute(of_old).scalars().all()
    connection.execute(sa.update(calls).where(calls.c.call_id.in_(of_old)).values(caller=new))
    if removed:  # make room for them in front, first out of the way: a number is given once at every moment
        for by in (_FAR + removed, -_FAR):
            connection.execute(sa.update(events).where(events.c.chain == new).values(nth=events.c.nth + by))
    # Those before the first were moved while another service added this one behind them.
    gap = 0 if first is None else first - removed - 1
    connection.execute(sa.update(events).where(events.c.chain == old).values(chain=new, nth=events.c.nth + last - gap))
    for table in (checkpoints, bases):
        connection.execute(sa.delete(table).where(table.c.chain.in_((old, new))))
    if base:
        connection.execute(sa.insert(bases).values(_merge_checkpoints(new, list(base.values())).row()))
    _protect(connection, old, new)
    return call_ids


def _protect(connection: Connection, old: bytes, new: bytes) -> None:
    rows = connection.execute(sa.select(protected).where(protected.c.chain.in_((old, new)))).all()
    if any(row.chain == old for row in rows):
        longest = max(rows, key=lambda row: row.expires_at_us)
        connection.execute(sa.delete(protected).where(protected.c.chain.in_((old, new))))
        row = {"chain": new, "reason": longest.reason, "expires_at_us": longest.expires_at_us}
        connection.execute(sa.insert(protected).values(row))


def _merge_checkpoints(stream: bytes, parts: Sequence[Checkpoint]) -> Checkpoint:
    """Merge the base checkpoints that retention left of two streams."""
    state = parts[0].state
    for other in parts[1:]:
        state = merge(state, other.state)
    pending = [event for part in parts for event in part.pending]
    return Checkpoint(stream, sum(part.version for part in parts), state, pending)
