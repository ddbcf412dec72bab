"""How long a caller has talked, from what Asterisk's TALK_DETECT says of a channel.

ChannelTalkingStart comes when talking begins; ChannelTalkingStop when it has ended, with the milliseconds it lasted
without the silence by which the end was noticed. Only channels of which something was heard, or that are known to be
listened to, have a ratio: no event is silence only where TALK_DETECT is on.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass
class _Channel:
    since: datetime
    talked_s: float = 0.0
    talking_since: datetime | None = None


class TalkMeter:
    """Adds up talking by channel.

    Examples
    --------
    >>> from datetime import UTC
    >>> meter, start = TalkMeter(), datetime(2024, 6, 1, tzinfo=UTC)
    >>> meter.listen("PJSIP/trunk-1", start)
    >>> meter.stopped("PJSIP/trunk-1", 2_000)
    >>> meter.silence_ratio("PJSIP/trunk-1", start + timedelta(seconds=8))
    0.75
    >>> meter.silence_ratio("PJSIP/trunk-2", start)
    """

    def __init__(self) -> None:
        self._channels: dict[str, _Channel] = {}

    def listen(self, channel: str, at: datetime) -> None:
        """Begin anew at this moment: TALK_DETECT was set, or the conversation began."""
        talking = self._channels[channel].talking_since if channel in self._channels else None
        self._channels[channel] = _Channel(at, talking_since=at if talking else None)

    def started(self, channel: str, at: datetime) -> None:
        """Note that the caller began to talk."""
        self._channels.setdefault(channel, _Channel(at)).talking_since = at

    def stopped(self, channel: str, talked_ms: float) -> None:
        """Note that the caller has talked for so long."""
        found = self._channels.get(channel)
        if found is not None:
            found.talked_s += talked_ms / 1e3
            found.talking_since = None

    def silence_ratio(self, channel: str, at: datetime) -> float | None:
        """Return the share of the time since `listen` without talking, 0 to 1; None when nobody listens."""
        found = self._channels.get(channel)
        span_s = (at - found.since).total_seconds() if found else 0.0
        if found is None or span_s <= 0.0:
            return None
        talked_s = found.talked_s
        if found.talking_since is not None:
            talked_s += (at - max(found.talking_since, found.since)) / timedelta(seconds=1)
        return min(1.0, max(0.0, 1.0 - talked_s / span_s))

    def forget(self, channel: str) -> None:
        """Let go of a channel that has ended."""
        self._channels.pop(channel, None)
