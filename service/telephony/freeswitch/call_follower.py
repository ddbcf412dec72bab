"""Reports what becomes of each call: mod_callcenter's events, as events of the service.

member-queue-start       the call is followed from here
bridge-agent-start       answered, by the agent's name
bridge-agent-end         the conversation ended
member-queue-end         with CC-Cause Cancel: it left the queue unanswered; BREAK_OUT: the caller hung up
CHANNEL_HANGUP_COMPLETE  ended, and who hung up (sip_hangup_disposition); an outcome in `saring_disposition`
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from model.calls.columns import DISPOSITIONS
from service.telephony.freeswitch.event_socket import EventSocket, Headers
from service.telephony.reconnecting import SHORTEST_S, keep_connected
from service.telephony.vocabulary import ENDED_BY, disposition_of

if TYPE_CHECKING:
    from service.client.clients import AsyncClient

log = logging.getLogger(__name__)
OUTCOME, CATEGORY = "variable_saring_disposition", "variable_saring_category"
_ASKED = "event json CHANNEL_HANGUP_COMPLETE CUSTOM callcenter::info"


@dataclass
class FollowedCall:
    """A call between its coming into a queue and its end."""

    call_id: str
    answered_at: datetime | None = None
    bridge_ended_at: datetime | None = None
    abandoned: bool = False


class CallFollower:
    """Follows the calls of one FreeSWITCH.

    Parameters
    ----------
    queues : frozenset of str
        Those whose calls are followed, as `name@domain` or `name`; empty: all.
    codes : mapping of str to str
        What an operator's code means, in lower case.
    """

    def __init__(
        self, client: "AsyncClient", *, queues: frozenset[str] = frozenset(), codes: Mapping[str, str] | None = None
    ) -> None:
        self._client, self._queues, self._codes = client, queues, dict(codes or {})
        self.calls: dict[str, FollowedCall] = {}

    async def run(self, host: str, port: int, password: str, *, pause_s: float = SHORTEST_S) -> None:
        """Follow calls until cancelled, through every break."""

        async def once() -> bool:
            socket = await EventSocket.log_in(host, port, password)
            try:
                await socket.command(_ASKED)
                async for event in socket.events():
                    await self.tell(event)
            finally:
                await socket.close()
            return True

        await keep_connected(f"the event socket at {host}:{port}", once, pause_s)

    async def tell(self, event: Headers) -> None:
        """Report what one event says; an event of no followed call says nothing."""
        if event.get("event-name") == "CHANNEL_HANGUP_COMPLETE":
            await self._hung_up(event)
            return
        action, call_id = event.get("cc-action", ""), event.get("cc-member-session-uuid", "")
        if action in ("member-queue-start", "member-queue-resume"):
            queue = event.get("cc-queue", "")
            if call_id and (not self._queues or {queue, queue.split("@")[0]} & self._queues):
                self.calls.setdefault(call_id, FollowedCall(call_id))
            return
        call = self.calls.get(call_id)
        if call is None:
            return
        if action == "bridge-agent-start" and call.answered_at is None:
            call.answered_at = _when(event, "cc-agent-answered-time")
            await self._client.answered(call_id, call.answered_at, event.get("cc-agent") or None)
        elif action == "bridge-agent-end":
            call.bridge_ended_at = _when(event, "cc-bridge-terminated-time")
        elif action == "member-queue-end" and event.get("cc-cause") == "Cancel":
            call.abandoned = event.get("cc-cancel-reason") == "BREAK_OUT"

    async def _hung_up(self, event: Headers) -> None:
        call = self.calls.pop(event.get("unique-id", ""), None)
        if call is None:
            return
        at = _when(event, "caller-channel-hangup-time")
        ended_by = "caller" if call.abandoned else ENDED_BY.get(event.get("variable_sip_hangup_disposition", ""))
        duration_s = None
        if call.answered_at is not None:
            duration_s = max(0.0, ((call.bridge_ended_at or at) - call.answered_at).total_seconds())
        await self._client.ended(call.call_id, at, ended_by, duration_s)
        code = event.get(OUTCOME, "")
        said = disposition_of(code, self._codes)
        if said is None and code:
            log.warning("an outcome that the mapping does not name was left out; expected one of %s", DISPOSITIONS)
        if said is None and call.answered_at is None:
            said = "abandoned" if call.abandoned else "unanswered"
        if said is not None:
            await self._client.disposition(call.call_id, said, at, event.get(CATEGORY) or None)


def _when(event: Headers, name: str) -> datetime:
    """Return a time of an event: in seconds or microseconds since 1970; else when the event was made, else now."""
    for text in (event.get(name, ""), event.get("event-date-timestamp", "")):
        if text.isdigit() and int(text):
            number = int(text)
            return datetime.fromtimestamp(number / 1e6 if number > 1e12 else number, UTC)
    return datetime.now(UTC)
