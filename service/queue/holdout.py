"""The holdout: a random share of calls that are never deferred and show no badge, whatever they score.

Later training, the evaluation and the monitor then have calls that the system did not touch. Whether a call belongs
to it depends on nothing but its call_id and a secret, so that nobody can choose it and every process says the same.
"""

import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Any

SHARE = 0.02
LARGEST = 0.10
#: Genuine calls that the share should hold in the life of a certificate.
MIN_GENUINE = 30
LIFE_DAYS = 180


class Holdout:
    """Decides which calls belong to the holdout, a share from 0 to 1.

    Examples
    --------
    >>> holdout = Holdout(bytes(32), 0.1)
    >>> sum(holdout.contains(f"call {number}") for number in range(10_000))
    992
    """

    def __init__(self, secret: bytes, share: float) -> None:
        self.share = share
        self._keyed = hmac.new(hmac.digest(secret, b"random share", "sha256"), digestmod="sha256")

    def contains(self, call_id: str) -> bool:
        """Return whether a call belongs to it."""
        keyed = self._keyed.copy()
        keyed.update(call_id.encode())
        return int.from_bytes(keyed.digest()[:8]) < self.share * 2**64


def choose_share(data: Mapping[str, Any]) -> float:
    """Return the share for a centre: 2 %, more where genuine calls are few, at most 10 %.

    The data are those of a release's manifest: so many `genuine_calls` from `first_call` to `last_call`.

    Examples
    --------
    >>> year = {"first_call": "2024-01-01T00:00:00+00:00", "last_call": "2024-12-31T00:00:00+00:00"}
    >>> [round(choose_share(year | {"genuine_calls": genuine}), 3) for genuine in (106, 1_000, 50_000)]
    [0.1, 0.061, 0.02]
    """
    first, last = (datetime.fromisoformat(data[name]) for name in ("first_call", "last_call"))
    days = (last - first).total_seconds() / 86_400.0
    expected = data["genuine_calls"] * LIFE_DAYS / max(days, 1.0)
    return min(LARGEST, max(SHARE, MIN_GENUINE / expected if expected > 0.0 else LARGEST))
