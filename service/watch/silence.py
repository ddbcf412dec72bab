"""Calls of which nothing is heard: they are let go after a time, so that a ghost never adds to anybody's wait.

Whatever is said of a call is heard in memory, at no cost, also when it was said before. A quarter of the time-out
later at most that is written beside the call, for the other processes: whoever is about to let a call go looks first
whether another one has heard of it. What is written is a mark and no time to reckon with: it has changed, or it has
not. So clocks on walls, which are set and differ, let no call go.
"""

import asyncio
from datetime import UTC, datetime
from math import inf

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from service.contract.problems import Problem
from service.intake.intake import Intake
from service.queue.states import ANSWERED, WAITING
from service.store.records import Call
from service.store.tables import calls
from service.timestamps import microseconds

#: So often in the time after which a waiting call is let go it is written that it was heard of.
NOTED = 4
#: So few, that a call that comes in meanwhile does not wait long for its turn.
AT_ONCE = 16

_hear = sa.update(calls).where(calls.c.call_id == sa.bindparam("of_call")).values(heard_at_us=sa.bindparam("at_us"))


class Silence:
    """The watch over the calls of a board.

    Parameters
    ----------
    intake : Intake
    waiting_s, answered_s : float
        After so long a silence a call leaves the queue, or frees its operator. One that is taken stays.
    """

    def __init__(self, intake: Intake, waiting_s: float, answered_s: float) -> None:
        self._intake, self._waiting_s = intake, waiting_s
        self._patience_s = {WAITING: waiting_s, ANSWERED: answered_s}

    async def look(self) -> None:
        """Write down which calls were heard of, and let those go of which nobody has heard.

        Raises
        ------
        StoreError
            Then no call is let go that was not.
        """
        await self._note()
        board = self._intake.board
        silent = [call.call_id for call in board.silent(min(self._patience_s.values())) if self._may_go(call)]
        for start in range(0, len(silent), AT_ONCE):
            some = silent[start : start + AT_ONCE]
            await self._ask(some)
            await asyncio.gather(*map(self._let_go, some))
        board.prune()

    def _may_go(self, call: Call) -> bool:
        return self._intake.board.silent_s(call.call_id) > self._patience_s.get(call.state, inf)

    async def _note(self) -> None:
        """Write down which calls were heard of here."""
        board, at_us = self._intake.board, microseconds(datetime.now(UTC))
        heard = sorted(call.call_id for call in board.heard_anew(self._waiting_s / NOTED))
        if not heard:
            return
        rows = [{"of_call": call_id, "at_us": at_us} for call_id in heard]
        await self._intake.store.in_thread(lambda connection: connection.execute(_hear, rows))
        for call_id in heard:
            board.note(call_id, at_us)

    async def _ask(self, call_ids: list[str]) -> None:
        """Take note of what other processes have heard."""
        board, written = self._intake.board, await self._intake.store.in_thread(lambda one: _heard(one, call_ids))
        for call_id, at_us in written.items():
            call = board.calls.get(call_id)
            if call is not None and call.heard_at_us != at_us:
                board.hear(call_id)
                board.note(call_id, at_us)

    async def _let_go(self, call_id: str) -> None:
        try:
            await self._intake.left(call_id, datetime.now(UTC), self._may_go)
        except Problem:  # it was erased meanwhile
            self._intake.board.remove([call_id])


def _heard(connection: Connection, call_ids: list[str]) -> dict[str, int]:
    query = sa.select(calls.c.call_id, calls.c.heard_at_us).where(calls.c.call_id.in_(call_ids))
    return {row.call_id: row.heard_at_us for row in connection.execute(query)}
