"""Keeps a manager's connection: follows its calls while it lasts, and comes back after every break."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from service.telephony.asterisk.call_follower import TalkListener
from service.telephony.asterisk.manager import Manager, ManagerError
from service.telephony.asterisk.place_server import CALL_ID
from service.telephony.asterisk.priorities import Priorities
from service.telephony.reconnecting import SHORTEST_S, keep_connected


class Account(NamedTuple):
    """Where the manager listens, and as whom it is logged in to; the secret is never shown."""

    host: str
    port: int
    user: str
    secret: str


class Connector:
    """Connects a follower to a manager for good.

    Parameters
    ----------
    priorities : Priorities, optional
        Without it no waiting caller is moved.
    every_s : float
        How often keys are compared with priorities.
    pause_s : float
        After a break, at first.
    """

    def __init__(
        self,
        account: Account,
        follower: TalkListener,
        priorities: Priorities | None = None,
        *,
        every_s: float = 1.0,
        pause_s: float = SHORTEST_S,
        tell: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._account, self._follower, self._priorities = account, follower, priorities
        self._every_s, self._pause_s, self._tell = every_s, pause_s, tell

    async def run(self) -> None:
        """Follow calls until cancelled."""
        await keep_connected(f"the manager at {self._account.host}:{self._account.port}", self._once, self._pause_s)

    async def _once(self) -> bool:
        manager = await Manager.connect(*self._account)
        try:
            await self._follow(manager)
        finally:
            await manager.close()
        return True

    async def _follow(self, manager: Manager) -> None:
        there = await manager.ask_list("Status", Variables=CALL_ID)
        await self._follower.resume(there)
        self._tell(f"following {self._account.host}:{self._account.port}; calls at hand: {len(self._follower.calls)}")
        mover = asyncio.create_task(self._move(manager)) if self._priorities else None
        try:
            async for event in manager.events():
                await self._follower.tell(event)
        finally:
            if mover is not None:
                mover.cancel()
                with suppress(asyncio.CancelledError, ManagerError):
                    await mover

    async def _move(self, manager: Manager) -> None:
        while self._priorities is not None:
            await asyncio.sleep(self._every_s)
            await self._priorities.move_forward(manager, self._follower.calls)
