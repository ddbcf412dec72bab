"""Moves a caller from the hash under an older key to the one under the current key: a rotated key loses no history.

The events under both are one chain afterwards.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from model.history import merge
from service.chains import lock
from service.intake import Intake
from service.records import Checkpoint
from service.tables import bases, calls, checkpoints, events, protected

_FAR = 1_000_000_000


async def moved(intake: Intake, older: Sequence[bytes], current: bytes) -> None:
    """Bring together what is stored of a caller under several hashes of its number.

    Parameters
    ----------
    intake : Intake
    older : sequence of bytes
        Under the keys before.
    current : bytes

    Raises
    ------
    StoreError
    """
    known, ends = intake.known, intake.operations.protected
    if known.at_hand(current):
        return
    for chain in older:
        if chain not in ends and not await intake.store.length(chain):
            continue
        call_ids = await intake.store.in_thread(lambda connection, chain=chain: _move(connection, chain, current))  # type: ignore[misc]
        for call_id in ("", *call_ids):
            known.forget(call_id, chain)
        known.forget("", current)
        if chain in ends:  # until the list is read anew
            ends[current] = max(ends.pop(chain), ends.get(current, 0))


def _move(connection: Connection, old: bytes, new: bytes) -> Sequence[str]:
    """Put the events under the old hash behind those under the new one; gives the call_ids that were moved."""
    lock(connection, (old, new))
    rows = connection.execute(sa.select(bases).where(bases.c.chain.in_((old, new)))).mappings()
    base = {row["chain"]: Checkpoint.of(dict(row)) for row in rows}
    removed = base[old].included if old in base else 0
    last = connection.execute(sa.select(sa.func.max(events.c.nth)).where(events.c.chain == new)).scalar()
    if last is None:
        last = base[new].included if new in base else 0
    of_old = sa.select(events.c.call_id).where(events.c.chain == old).distinct()
    call_ids = connection.execute(of_old).scalars().all()
    connection.execute(sa.update(calls).where(calls.c.call_id.in_(of_old)).values(caller=new))
    if removed:  # make room for them in front, first out of the way: a number is given once at every moment
        for by in (_FAR + removed, -_FAR):
            connection.execute(sa.update(events).where(events.c.chain == new).values(nth=events.c.nth + by))
    connection.execute(sa.update(events).where(events.c.chain == old).values(chain=new, nth=events.c.nth + last))
    for table in (checkpoints, bases):
        connection.execute(sa.delete(table).where(table.c.chain.in_((old, new))))
    if base:
        connection.execute(sa.insert(bases).values(_together(new, list(base.values())).row()))
    _protect(connection, old, new)
    return call_ids


def _protect(connection: Connection, old: bytes, new: bytes) -> None:
    rows = connection.execute(sa.select(protected).where(protected.c.chain.in_((old, new)))).all()
    if any(row.chain == old for row in rows):
        longest = max(rows, key=lambda row: row.expires_at_us)
        connection.execute(sa.delete(protected).where(protected.c.chain.in_((old, new))))
        row = {"chain": new, "reason": longest.reason, "expires_at_us": longest.expires_at_us}
        connection.execute(sa.insert(protected).values(row))


def _together(chain: bytes, parts: Sequence[Checkpoint]) -> Checkpoint:
    """Bring together what retention wrote down of two chains."""
    state = parts[0].state
    for other in parts[1:]:
        state = merge(state, other.state)
    pending = [event for part in parts for event in part.pending]
    return Checkpoint(chain, sum(part.included for part in parts), state, pending)
