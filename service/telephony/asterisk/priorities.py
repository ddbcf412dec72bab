"""Moves waiting callers forward in Asterisk's queue when their key in Saring has moved forward.

A key moves when more is heard of a call or the switch is pulled. A priority is changed only upwards, and never sent
again unchanged: a caller whose priority is set stands behind all others of the same one, and would lose a place.
"""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import httpx

from service.telephony.asterisk.call_follower import FollowedCall
from service.telephony.asterisk.manager import Manager, ManagerError
from service.telephony.asterisk.place_server import PRIORITY, priority_of

log = logging.getLogger(__name__)


class Priorities:
    """The priorities of the callers that wait in one Asterisk.

    Parameters
    ----------
    service : httpx.AsyncClient
        With the address of the service and a key of the role intake.
    """

    def __init__(self, service: httpx.AsyncClient) -> None:
        self._service = service
        self._known: dict[str, int] = {}

    async def move_forward(self, manager: Manager, calls: Mapping[str, FollowedCall]) -> int:
        """Compare every waiting caller's priority with its key, and raise what is too low; return how many were.

        Parameters
        ----------
        calls : mapping of str to FollowedCall
            Those followed, by uniqueid.

        Raises
        ------
        ManagerError
            When Asterisk does not answer.
        """
        waiting = [call for call in calls.values() if call.queue and call.answered_at is None]
        self._known = {uniqueid: priority for uniqueid, priority in self._known.items() if uniqueid in calls}
        if not waiting:
            return 0
        wanted = await self._wanted()
        moved = 0
        for call in waiting:
            priority = wanted.get(call.call_id)
            if priority is None:
                continue
            known = await self._current(manager, call)
            if known is not None and priority > known:
                moved += await self._change(manager, call, priority)
        return moved

    async def _wanted(self) -> dict[str, int]:
        try:
            answer = await self._service.get("/v1/queue", params={"reasons": 0})
            answer.raise_for_status()
            calls: list[dict[str, Any]] = answer.json()["calls"]
            keys = {call["call_id"]: datetime.fromisoformat(call["queue_key"]) for call in calls}
            return {call_id: priority_of(key.timestamp()) for call_id, key in keys.items()}
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            log.warning("the queue could not be read: %s", type(error).__name__)
            return {}

    async def _current(self, manager: Manager, call: FollowedCall) -> int | None:
        """Return the priority that a caller has, asked of its channel once; None when it has none of ours."""
        if call.uniqueid not in self._known:
            try:
                answer = await manager.ask("Getvar", Channel=call.channel, Variable=PRIORITY)
                self._known[call.uniqueid] = int(answer.get("value", ""))
            except (ManagerError, ValueError):
                return None
        return self._known[call.uniqueid]

    async def _change(self, manager: Manager, call: FollowedCall, priority: int) -> int:
        self._known[call.uniqueid] = priority
        try:
            await manager.ask(
                "QueueChangePriorityCaller",
                Queue=call.queue,
                Caller=call.channel,
                Priority=str(priority),
                Immediate="yes",
            )
        except ManagerError as error:  # it was answered in the meantime, or this Asterisk is older than 15
            log.info("a caller was not moved: %s", error)
            return 0
        return 1
