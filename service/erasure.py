"""Forgets a caller: the history, the hash and every stored observation; what stays is a note that it was done."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from service.intake import Intake
from service.operations import decide
from service.records import microseconds
from service.tables import bases, calls, checkpoints, events, protected

#: Every process has read of the erasure by then, and has nothing at hand of the caller any more.
SETTLED_S = 1.0


class Removed(NamedTuple):
    """How many rows were removed."""

    calls: int
    events: int


async def erase(intake: Intake, hashes: Sequence[bytes], who: str, reason: str) -> Removed:
    """Forget a caller everywhere.

    Parameters
    ----------
    intake : Intake
    hashes : sequence of bytes
        Of the number, under every live key.
    who, reason : str
        For the note, which has neither number nor hash.

    Raises
    ------
    StoreError
        When the store did not do it; nothing was removed then.
    """
    removed = await intake.store.in_thread(lambda connection: erased(connection, hashes, who, reason))
    _forget(intake, hashes)
    if intake.store.shared:
        # A process that had not read of it yet may have added to the chain since.
        await asyncio.sleep(SETTLED_S)
        late = await intake.store.in_thread(lambda connection: _remove(connection, hashes))
        removed = Removed(removed.calls + late.calls, removed.events + late.events)
        _forget(intake, hashes)
    else:
        await intake.store.flush()
    return removed


def erased(connection: Connection, hashes: Sequence[bytes], who: str, reason: str) -> Removed:
    """Remove a caller's rows and note it, in the transaction of `connection`."""
    removed = _remove(connection, hashes)
    body = {"reason": reason, "calls": removed.calls, "events": removed.events}
    decide(connection, who, "erase", body, microseconds(datetime.now(UTC)))
    return removed


def _remove(connection: Connection, hashes: Sequence[bytes]) -> Removed:
    of_caller = sa.select(events.c.call_id).where(events.c.chain.in_(hashes))
    gone = connection.execute(sa.delete(calls).where(calls.c.call_id.in_(of_caller))).rowcount
    said = connection.execute(sa.delete(events).where(events.c.chain.in_(hashes))).rowcount
    for table in (checkpoints, bases, protected):
        connection.execute(sa.delete(table).where(table.c.chain.in_(hashes)))
    return Removed(gone, said)


def _forget(intake: Intake, hashes: Sequence[bytes]) -> None:
    intake.known.forget_all()
    board = intake.board
    board.remove([call_id for call_id, call in board.calls.items() if call.caller in hashes])
