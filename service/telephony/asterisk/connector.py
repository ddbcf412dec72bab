"""Keeps a manager's connection: follows its calls while it lasts, and comes back after every break."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from service.telephony.asterisk.call_follower import TalkListener
from service.telephony.asterisk.manager import Manager, ManagerError
from service.telephony.asterisk.place_server import CALL_ID
from service.telephony.asterisk.priorities import Priorities

log = logging.getLogger(__name__)
SHORTEST_S, LONGEST_S = 0.5, 30.0


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
        After a break, at first; doubled up to `LONGEST_S`.
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
        self._every_s, self._shortest_s, self._tell = every_s, pause_s, tell

    async def run(self) -> None:
        """Follow calls until cancelled."""
        pause_s = self._shortest_s
        while True:
            try:
                manager = await Manager.connect(*self._account)
            except (ManagerError, TimeoutError, OSError) as error:
                log.warning("no manager at %s:%d: %s", self._account.host, self._account.port, error)
            else:
                pause_s = self._shortest_s
                try:
                    await self._follow(manager)
                except (ManagerError, TimeoutError, OSError) as error:
                    log.warning("the manager's connection ended: %s", error)
                finally:
                    await manager.close()
            await asyncio.sleep(pause_s)
            pause_s = min(LONGEST_S, 2.0 * pause_s)

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
