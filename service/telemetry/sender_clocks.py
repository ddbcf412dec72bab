"""The senders whose clock is off, as the last call of each showed it: told in answers, on a page, and in the log."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from model.language.numbers import format_elapsed
from service.telemetry.logs import RateLimit, mask_numbers

#: So many senders are remembered, those heard last: whoever sends requests may name any centre.
MAX_SENDERS = 100
LOG_AGAIN_S = 3_600.0
log = logging.getLogger(__name__)


class ClockOffset(NamedTuple):
    """By how many seconds a sender's clock is ahead of this machine's (below 0: behind), and when that was seen."""

    sender: str
    offset_s: float
    at: datetime


def clock_warnings(received_at_us: int, arrived_at_us: int, tolerance_s: float) -> list[dict[str, str]]:
    """Return the warning of a call whose received_at its place does not rest on; none of one within the tolerance.

    Examples
    --------
    >>> clock_warnings(540_000_000, 0, 60.0)[0]["detail"]
    '9 minutes ahead of the clock of this service; the call is placed by when it was first heard of'
    >>> clock_warnings(60_000_000, 0, 60.0)
    []
    """
    offset_s = (received_at_us - arrived_at_us) / 1e6
    if abs(offset_s) <= tolerance_s:
        return []
    detail = f"{off_by(offset_s)} the clock of this service; the call is placed by when it was first heard of"
    return [{"field": "received_at", "detail": detail}]


def off_by(offset_s: float) -> str:
    """Say how far ahead or behind a clock is, up to the name of the other one."""
    return f"{format_elapsed(abs(offset_s))} {'ahead of' if offset_s > 0.0 else 'behind'}"


class SenderClocks:
    """What this process heard of its senders' clocks.

    Parameters
    ----------
    tolerance_s : float
        A clock that is off by no more is not told of.
    on_off : callable
        Called with the sender, and whether it is ahead, for each score with a clock that is off.

    Examples
    --------
    >>> clocks = SenderClocks(60.0, lambda sender, ahead: print(sender, ahead))
    >>> clocks.note("trunk-1", 540.0, datetime(2026, 1, 31))
    trunk-1 True
    >>> [(one.sender, one.offset_s) for one in clocks.off()]
    [('trunk-1', 540.0)]
    >>> clocks.note("trunk-1", 2.0, datetime(2026, 1, 31))     # it was put right
    >>> clocks.off()
    []
    """

    def __init__(self, tolerance_s: float, on_off: Callable[[str, bool], None]) -> None:
        self._tolerance_s, self._on_off = tolerance_s, on_off
        self._off: dict[str, ClockOffset] = {}
        self._may_log: dict[str, RateLimit] = {}

    def note(self, sender: str, offset_s: float, now: datetime) -> None:
        """Take note of how far received_at lay ahead of when a sender's call was first heard of."""
        if abs(offset_s) <= self._tolerance_s:
            if self._off:
                self._off.pop(mask_numbers(sender), None)
            return
        sender = mask_numbers(sender)
        self._on_off(sender, offset_s > 0.0)
        self._off.pop(sender, None)
        self._off[sender] = ClockOffset(sender, offset_s, now)
        may_log = self._may_log.pop(sender, None) or RateLimit(LOG_AGAIN_S)
        self._may_log[sender] = may_log
        if len(self._off) > MAX_SENDERS:
            del self._off[next(iter(self._off))]
        if len(self._may_log) > MAX_SENDERS:
            del self._may_log[next(iter(self._may_log))]
        if may_log():
            log.warning("calls from %s come with a clock that is %s this machine's: they are placed by when they are "
                        "first heard of", sender, off_by(offset_s))  # fmt: skip

    def off(self) -> list[ClockOffset]:
        """Return the senders whose last call came with a clock that is off, by name."""
        return sorted(self._off.values())
