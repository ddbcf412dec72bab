"""Times as microseconds since 1970 and as RFC 3339."""

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


_MICROSECOND = timedelta(microseconds=1)


def microseconds(moment: datetime) -> int:
    """Return a time as microseconds since 1970, exactly."""
    return (moment - EPOCH) // _MICROSECOND


def now_us() -> int:
    """Return the time by this machine's clock, in microseconds since 1970."""
    return time.time_ns() // 1_000


def rfc3339(time_us: int | None) -> str | None:
    """Write a time in UTC with microseconds.

    Examples
    --------
    >>> rfc3339(1_700_000_000_000_001)
    '2023-11-14T22:13:20.000001+00:00'
    """
    if time_us is None:
        return None
    second, rest_us = divmod(time_us, 1_000_000)
    return f"{_written_second(second)}.{rest_us:06}+00:00"


@lru_cache(256)
def _written_second(second: int) -> str:
    """Write a second of UTC without its offset: most times of one moment share theirs."""
    return (EPOCH + timedelta(seconds=second)).isoformat()[:19]
