"""Forgets a caller: the history, the hash and every stored observation; what stays is a note that it was done.

An erasure has a moment: all that was said before goes, and nothing that is said after. Until it is committed nobody
can add to the caller's events, so whoever rings meanwhile waits a moment and begins a new history; and what a journal
kept before the moment does not come back (`service.security.tombstones`).

In a SQLite file and its log nothing of it can be read afterwards. What it does not reach: backups; on PostgreSQL what
VACUUM has not yet written over; blocks that the disk or the file system keeps of files it has written over; the
caller's place in what was already learned, counted or exported.
"""

import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from model.errors import StoreError
from service.contract.problems import Conflict, Invalid
from service.durable_queue.queue_file import count_pending
from service.maintenance.scrubbing.sqlite_scrub import scrub
from service.queue.operations import record_decision
from service.security import tombstones
from service.store.database import run_transaction
from service.store.event_streams import lock
from service.store.journal import Journal
from service.store.tables import LIVE_STATES, bases, calls, checkpoints, events, protected
from service.timestamps import microseconds

if TYPE_CHECKING:
    from service.intake.intake import Intake

#: So many calls are removed by one statement: a database takes only so many values at once.
AT_ONCE = 1_000
#: So many of a number's last digits, written in whatever way, are the number.
NUMBER_DIGITS = 7


class Removed(NamedTuple):
    """The calls that were removed, and how many events."""

    call_ids: list[str]
    events: int

    @property
    def calls(self) -> int:
        """How many calls."""
        return len(self.call_ids)


async def erase(intake: "Intake", hashes: Sequence[bytes], who: str, reason: str) -> Removed:
    """Erase a caller everywhere: in the database and in the caches of this process.

    Raises
    ------
    Conflict, StoreError
        As `erase_from`.
    """
    removed = await asyncio.to_thread(erase_from, intake.store.engine, hashes, who, reason)
    intake.event_log.evict_all()
    intake.board.remove(removed.call_ids)
    return removed


def erase_from(engine: Engine, hashes: Sequence[bytes], who: str, reason: str) -> Removed:
    """Forget a caller in a database; services that run on it notice within a second.

    Parameters
    ----------
    engine : Engine
    hashes : sequence of bytes
        Of the number, under every live key.
    who, reason : str
        For the note, which has neither number nor hash.

    Raises
    ------
    Conflict
        When the caller has a call that is not over yet.
    StoreError
        When the store did not do it; nothing was removed then. Or when it did, and traces stay in the file.
    """

    def noted(connection: Connection) -> Removed:
        lock(connection, hashes)
        now_us = microseconds(datetime.now(UTC))
        removed = _remove(connection, hashes)
        tombstones.add_tombstones(connection, hashes, now_us)
        body = {"reason": reason, "calls": removed.calls, "events": removed.events}
        record_decision(connection, who, "erase", body, now_us)
        return removed

    removed = run_transaction(engine, noted, commit=True)
    scrub(engine, hashes, removed.call_ids)
    return removed


def check_reason(reason: str, number: str) -> None:
    """See that a reason, which is kept, does not have the number in it.

    Raises
    ------
    Invalid

    Examples
    --------
    >>> check_reason("asked for on 3 March", "+6281234567890")
    >>> check_reason("0812-3456-7890 asked", "+6281234567890")
    Traceback (most recent call last):
    service.contract.problems.Invalid: reason: has the number in it, which is to be forgotten
    """
    told, of_number = (re.sub(r"\D", "", text) for text in (reason, number))
    if of_number[-NUMBER_DIGITS:] in told and of_number:
        raise Invalid("reason: has the number in it, which is to be forgotten", [("reason", "words without it")])


def check_journals(folder: Path) -> None:
    """See that no journal in a folder still holds what the store has not been told, and wipe those nobody has open.

    Raises
    ------
    StoreError
        When one does: it may be of the caller.
    """
    for path in sorted(folder.glob("journal-*.saring")):
        if count_pending(path):
            raise StoreError(f"{path}: holds what the store was not told of yet: erase when a service has told it")
        try:
            journal = Journal(path)
        except StoreError:
            continue  # a service has it open, and wipes it
        journal.wipe()
        journal.close()


def _remove(connection: Connection, hashes: Sequence[bytes]) -> Removed:
    """Remove what was said of a caller, and the calls that it was said of.

    What is removed is what is asked whether it lives: the first event of a chain has none before it that could be
    locked, and whoever rings for the first time in between keeps the call.
    """
    said = connection.execute(sa.delete(events).where(events.c.chain.in_(hashes)).returning(events.c.call_id))
    of_events = [row.call_id for row in said]
    call_ids = sorted(set(of_events))
    removed: list[sa.Row[Any, Any]] = []
    for start in range(0, len(call_ids), AT_ONCE):
        of_them = sa.delete(calls).where(calls.c.call_id.in_(call_ids[start : start + AT_ONCE]))
        removed += connection.execute(of_them.returning(calls.c.call_id, calls.c.state)).all()
    if any(row.state in LIVE_STATES for row in removed):
        raise Conflict("the caller has a call that is not over yet; erase when it is", [("caller", "no live call")])
    for table in (checkpoints, bases, protected):
        connection.execute(sa.delete(table).where(table.c.chain.in_(hashes)))
    return Removed([row.call_id for row in removed], len(of_events))
