"""What the name of an Asterisk channel tells: when it was made."""

import re

_UNIQUEID = re.compile(r"(?:.*-)?(\d{9,11})\.\d+")


def uniqueid_us(uniqueid: str) -> int | None:
    """Return when a channel was made, in microseconds since 1970, to the second; None when its name does not tell.

    Examples
    --------
    >>> uniqueid_us("1717207200.17"), uniqueid_us("pbx-1-1717207200.17"), uniqueid_us("sip-abc")
    (1717207200000000, 1717207200000000, None)
    """
    found = _UNIQUEID.fullmatch(uniqueid)
    return int(found[1]) * 1_000_000 if found else None
