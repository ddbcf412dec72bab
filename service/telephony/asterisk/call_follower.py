"""Reports what becomes of each call: what the manager's events say, as events of the service.

QueueCallerJoin                   the call is followed from here
AgentConnect                      answered, by the member's name
ChannelTalkingStart, ..Stop       talking, which makes the silence ratio of the conversation
AgentComplete                     ended, and who hung up; after a transfer the conversation goes on
QueueCallerAbandon                the caller hung up while waiting
Hangup                            ended, where nothing else said so
UserEvent SaringDisposition       how an operator closed the call
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from model.calls.columns import DISPOSITIONS
from service.telephony.asterisk.manager import Message
from service.telephony.asterisk.place_server import CALL_ID
from service.telephony.asterisk.talk_meter import TalkMeter
from service.telephony.vocabulary import disposition_of

if TYPE_CHECKING:
    from service.client.clients import AsyncClient

log = logging.getLogger(__name__)
OUTCOME = "SaringDisposition"
#: The variable that a dialplan sets beside TALK_DETECT, since setting that alone raises no event.
LISTENED = "SARING_LISTENED"
#: So long after a hang-up Asterisk may still say who hung up.
PATIENCE_S = 1.0
_WHO = {"caller": "caller", "agent": "operator"}


@dataclass
class FollowedCall:
    """A call between its coming into a queue and its end.

    Parameters
    ----------
    channel, uniqueid : str
        Of the caller; a channel may be renamed, its uniqueid stays.
    answered_at : datetime, optional
    known_answer : bool
        Whether the moment of the answer was seen: after a restart it was not, and no duration is told.
    """

    call_id: str
    channel: str
    uniqueid: str
    queue: str
    answered_at: datetime | None = None
    known_answer: bool = True
    transferred: bool = False


class TalkListener:
    """Hears what TALK_DETECT says of channels, and nothing else.

    Parameters
    ----------
    talk : TalkMeter
    """

    def __init__(self, talk: TalkMeter) -> None:
        self._talk = talk
        self.calls: dict[str, FollowedCall] = {}

    async def resume(self, channels: list[Message]) -> None:
        """Begin with the channels that there are."""

    async def tell(self, event: Message) -> None:
        """Take note of what one event says."""
        kind, channel, at = event.get("event", ""), event.get("channel", ""), _when(event)
        if kind == "VarSet" and event.get("variable") == LISTENED:
            self._talk.listen(channel, at)
        elif kind == "ChannelTalkingStart":
            self._talk.started(channel, at)
        elif kind == "ChannelTalkingStop":
            self._talk.stopped(channel, float(event.get("duration", "0") or 0))
        elif kind == "Hangup" and event.get("uniqueid", "") not in self.calls:
            self._talk.forget(channel)


class CallFollower(TalkListener):
    """Follows the calls of one Asterisk.

    Parameters
    ----------
    client : AsyncClient
        With an outbox: what the service does not take at once is kept on disk and told later.
    talk : TalkMeter
    queues : frozenset of str
        Those whose calls are followed; empty: all.
    codes : mapping of str to str
        What an operator's code means, in lower case.
    """

    def __init__(
        self,
        client: "AsyncClient",
        talk: TalkMeter,
        *,
        queues: frozenset[str] = frozenset(),
        codes: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(talk)
        self._pending: set[asyncio.Task[None]] = set()
        self._client, self._queues, self._codes = client, queues, dict(codes or {})

    async def resume(self, channels: list[Message]) -> None:
        """Follow the calls that a restart or a break has left, and report the end of those that ended meanwhile.

        Parameters
        ----------
        channels : list of Message
            Of the action Status, with the call_id that the dialplan's question has left in each.
        """
        there = {channel.get("uniqueid", "") for channel in channels}
        for call in [call for uniqueid, call in self.calls.items() if uniqueid not in there]:
            await self._end(call, datetime.now(UTC), None)
        for channel in channels:
            named = dict(pair.partition("=")[::2] for pair in channel.get("variable", "").split("\n"))
            call_id, uniqueid = named.get(CALL_ID, ""), channel.get("uniqueid", "")
            if call_id and uniqueid not in self.calls:
                at = _when(channel) if channel.get("bridgeid") else None
                self.calls[uniqueid] = FollowedCall(
                    call_id, channel.get("channel", ""), uniqueid, "", answered_at=at, known_answer=False
                )

    async def tell(self, event: Message) -> None:
        """Report what one event says; an event of no followed call says nothing."""
        kind = event.get("event", "")
        at = _when(event)
        if kind == "QueueCallerJoin":
            self._join(event)
        elif kind == "Rename":
            self._rename(event)
        elif kind == "UserEvent" and event.get("userevent") == OUTCOME:
            await self._close(event, at)
        else:
            await self._follow(kind, event, at)
            await super().tell(event)

    def _join(self, event: Message) -> None:
        queue, uniqueid = event.get("queue", ""), event.get("uniqueid", "")
        if self._queues and queue not in self._queues:
            return
        call = self.calls.get(uniqueid)
        if call is None:
            call_id = event.get("linkedid") or uniqueid
            self.calls[uniqueid] = FollowedCall(call_id, event.get("channel", ""), uniqueid, queue)
        else:
            call.queue = queue

    async def _follow(self, kind: str, event: Message, at: datetime) -> None:
        call = self.calls.get(event.get("uniqueid", ""))
        if call is None:
            return
        if kind == "AgentConnect" and call.answered_at is None:
            call.answered_at = at
            self._talk.listen(call.channel, at)
            await self._client.answered(call.call_id, at, event.get("membername") or None)
        elif kind == "AgentComplete":
            reason = event.get("reason", "").lower()
            if reason == "transfer":
                call.transferred = True
            else:
                await self._end(call, at, _WHO.get(reason))
        elif kind == "QueueCallerAbandon" and call.answered_at is None:
            await self._end(call, at, "caller")
            await self._client.disposition(call.call_id, "abandoned", at)
        elif kind == "Hangup" and call.answered_at is not None and not call.transferred:
            # Who hung up comes by AgentComplete, which may come after this.
            later = asyncio.create_task(self._end_unless_told(call, at))
            self._pending.add(later)
            later.add_done_callback(self._pending.discard)
        elif kind == "Hangup":
            await self._end(call, at, None)

    async def _end_unless_told(self, call: FollowedCall, at: datetime) -> None:
        await asyncio.sleep(PATIENCE_S)
        if call.uniqueid in self.calls:
            await self._end(call, at, None)

    async def _end(self, call: FollowedCall, at: datetime, ended_by: str | None) -> None:
        self.calls.pop(call.uniqueid, None)
        heard: dict[str, Any] = {}
        if call.answered_at is not None and call.known_answer:
            heard["duration_s"] = max(0.0, (at - call.answered_at).total_seconds())
            heard["silence_ratio"] = self._talk.silence_ratio(call.channel, at)
        self._talk.forget(call.channel)
        await self._client.ended(call.call_id, at, ended_by, **heard)

    async def _close(self, event: Message, at: datetime) -> None:
        code = event.get("disposition", "")
        said = disposition_of(code, self._codes)
        call_id = event.get("callid") or event.get("linkedid", "")
        if not said or not call_id:
            log.warning("an outcome that the mapping does not name was left out; expected one of %s", DISPOSITIONS)
            return
        await self._client.disposition(call_id, said, at, event.get("category") or None, event.get("operator") or None)

    def _rename(self, event: Message) -> None:
        call = self.calls.get(event.get("uniqueid", ""))
        if call is not None:
            call.channel = event.get("newname", call.channel)


def _when(event: Message) -> datetime:
    """Return when an event happened: its `timestamp` (timestampevents=yes), else now."""
    try:
        return datetime.fromtimestamp(float(event.get("timestamp", "")), UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.now(UTC)
