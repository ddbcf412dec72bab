"""Expires silent calls, so that a caller who is gone never adds to anybody's wait.

Every event of a call, also a repeated one, marks it as heard in memory. At most a quarter of the time-out later that
is written beside the call for the other processes; before one of them expires a call, it reads whether another has
heard of it. What is written is only compared for change, never reckoned with as a time. So wall clocks, which are set
and differ, expire no call.
What was heard and not yet written is not lost either: the process that heard it brings back what another expired.
"""

import asyncio
from datetime import UTC, datetime
from math import inf
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from service.contract.problems import Problem
from service.queue.states import ANSWERED, WAITING
from service.store.call_reading import ForeignEvent
from service.store.records import Call
from service.store.tables import calls
from service.timestamps import microseconds

if TYPE_CHECKING:
    from service.intake.intake import Intake

#: How often per time-out of a waiting call it is written that it was heard of.
WRITES_PER_TIMEOUT = 4
#: So few at once that a call that comes in meanwhile does not wait long for its turn.
BATCH_CALLS = 16

_update_heard_at = (
    sa.update(calls).where(calls.c.call_id == sa.bindparam("of_call")).values(heard_at_us=sa.bindparam("at_us"))
)


class SilentCallExpiry:
    """Expires the silent calls of a board.

    After `waiting_s` a silent call leaves the queue, after `answered_s` it frees its operator; one that is taken stays.
    """

    def __init__(self, intake: "Intake", waiting_s: float, answered_s: float) -> None:
        self._intake, self._waiting_s = intake, waiting_s
        self._timeout_s = {WAITING: waiting_s, ANSWERED: answered_s}

    async def expire_silent_calls(self) -> None:
        """Write which calls were heard of, and expire those of which no process has heard.

        Raises
        ------
        StoreError
            Then no further call is expired.
        """
        await self._write_heard()
        board = self._intake.board
        silent = [call.call_id for call in board.silent_calls(min(self._timeout_s.values())) if self._is_expired(call)]
        for start in range(0, len(silent), BATCH_CALLS):
            some = silent[start : start + BATCH_CALLS]
            await self._refresh_heard(some)
            await asyncio.gather(*map(self._expire, some))
        board.prune()

    def _is_expired(self, call: Call) -> bool:
        return self._intake.board.silent_s(call.call_id) > self._timeout_s.get(call.state, inf)

    def contradicts(self, event: ForeignEvent) -> bool:
        """Return whether another process expired a call that was heard of here in time, before that was written.

        To be asked before the event is applied to the board.
        """
        before = self._intake.board.calls.get(event.call.call_id)
        if event.kind != "left" or before is None:
            return False
        return self._intake.board.silent_here_s(before.call_id) <= self._timeout_s.get(before.state, inf)

    async def _write_heard(self) -> None:
        """Write which calls were heard of here."""
        board, at_us = self._intake.board, microseconds(datetime.now(UTC))
        heard = sorted(call.call_id for call in board.unwritten_heard(self._waiting_s / WRITES_PER_TIMEOUT))
        if not heard:
            return
        rows = [{"of_call": call_id, "at_us": at_us} for call_id in heard]
        await self._intake.store.in_thread(lambda connection: connection.execute(_update_heard_at, rows))
        for call_id in heard:
            board.record_heard_at(call_id, at_us)

    async def _refresh_heard(self, call_ids: list[str]) -> None:
        """Read which calls other processes have heard of."""
        board, written = (
            self._intake.board,
            await self._intake.store.in_thread(lambda one: _read_heard_at(one, call_ids)),
        )
        for call_id, at_us in written.items():
            call = board.calls.get(call_id)
            if call is not None and call.heard_at_us != at_us:
                board.mark_heard(call_id, foreign=True)
                board.record_heard_at(call_id, at_us)

    async def _expire(self, call_id: str) -> None:
        try:
            await self._intake.lifecycle.expire(call_id, datetime.now(UTC), self._is_expired)
        except Problem:  # it was erased meanwhile
            self._intake.board.remove([call_id])


def _read_heard_at(connection: Connection, call_ids: list[str]) -> dict[str, int]:
    query = sa.select(calls.c.call_id, calls.c.heard_at_us).where(calls.c.call_id.in_(call_ids))
    return {row.call_id: row.heard_at_us for row in connection.execute(query)}
