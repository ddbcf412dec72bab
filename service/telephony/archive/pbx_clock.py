"""When something happened, by the clock of a telephone system.

Asterisk writes local times without a zone, but a channel's uniqueid (`1717207200.17`, or `pbx1-1717207200.17`) begins
with the second in which the channel was made, since 1970. So the hour that comes twice when clocks go back is known,
and so is a zone that is not that of the log.
"""

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo


def local_us(text: str, zone: ZoneInfo, near_us: int | None = None) -> int | None:
    """Return a time of a CDR in microseconds since 1970; None when it is empty or no time.

    Parameters
    ----------
    text : str
        A local time without a zone, with an offset of its own, or seconds since 1970.
    near_us : int, optional
        Of an hour that comes twice, the one that lies nearer to this.

    Examples
    --------
    >>> berlin = ZoneInfo("Europe/Berlin")
    >>> first = local_us("2024-10-27 02:30:00", berlin)
    >>> local_us("2024-10-27 02:30:00", berlin, near_us=first + 3_500_000_000) - first
    3600000000
    >>> local_us("1717207200", berlin), local_us("0000-00-00 00:00:00", berlin)
    (1717207200000000, None)
    """
    if re.fullmatch(r"\d{9,11}(\.\d+)?", text):
        return round(float(text) * 1e6)
    at = _parsed(text)
    if at is None:
        return None
    if at.tzinfo is not None:
        return _us(at)
    both = {_us(at.replace(tzinfo=zone, fold=fold)) for fold in (0, 1)}
    return min(both) if near_us is None else min(both, key=lambda us: abs(us - near_us))


def _parsed(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _us(at: datetime) -> int:
    since = at.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
