"""When a call counts as arrived: what its sender's clock says, as far as the clock of whoever heard of it allows.

    arrived = received_at   if heard_at - tolerance <= received_at <= heard_at
              heard_at      otherwise

So `heard_at - tolerance <= arrived <= heard_at` whatever the sender says, and the order of the queue rests on `arrived`
(`model.policy.deferral`). A sender whose clock is right, or slow by no more than the tolerance, is believed to the
microsecond; one that is ahead or far behind is placed by when its call was first heard of. This file imports nothing,
so that the client may use it.
"""

#: So many seconds a sender's clock may be behind and is believed all the same.
CLOCK_TOLERANCE_S = 60.0


def arrival_us(received_at_us: int, heard_at_us: int, tolerance_s: float = CLOCK_TOLERANCE_S) -> int:
    """Return when a call counts as arrived, in microseconds since 1970 like both times.

    Parameters
    ----------
    received_at_us : int
        When it arrived, by its sender's clock.
    heard_at_us : int
        When it was first heard of, by the clock that the order goes by.
    tolerance_s : float, >= 0

    Examples
    --------
    >>> arrival_us(940_000_000, 1_000_000_000), arrival_us(939_999_999, 1_000_000_000)
    (940000000, 1000000000)
    >>> arrival_us(1_000_000_001, 1_000_000_000)
    1000000000
    """
    believed = heard_at_us - round(tolerance_s * 1e6) <= received_at_us <= heard_at_us
    return received_at_us if believed else heard_at_us
