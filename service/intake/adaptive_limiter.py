"""Limit how many calls wait for the store at once to what it has lately taken in time."""


class AdaptiveLimiter:
    """A concurrency limit that grows a little with each call in time, and shrinks by a tenth with each that is late.

    A call beyond it would be late, and to try it would only make the next one later. Additive increase and
    multiplicative decrease find what a machine can do, whatever else runs on it (Chiu and Jain 1989, Computer Networks
    and ISDN Systems 17).

    Parameters
    ----------
    min_limit, max_limit : int
        Bounds of the limit.

    Examples
    --------
    >>> limiter = AdaptiveLimiter(1, 2)
    >>> limiter.try_acquire(), limiter.try_acquire(), limiter.try_acquire()
    (True, True, False)
    >>> limiter.release(in_time=False)
    >>> limiter.try_acquire()
    False
    """

    def __init__(self, min_limit: int, max_limit: int) -> None:
        self._min_limit, self._max_limit = float(min_limit), float(max(min_limit, max_limit))
        self._limit, self._in_flight = self._max_limit, 0

    def try_acquire(self) -> bool:
        """Take a slot; False when there is none."""
        if self._in_flight + 1 > self._limit:
            return False
        self._in_flight += 1
        return True

    def release(self, *, in_time: bool) -> None:
        """Return a slot."""
        self._in_flight -= 1
        if in_time:
            self._limit = min(self._max_limit, self._limit + 1.0 / self._limit)
        else:
            self._limit = max(self._min_limit, 0.9 * self._limit)
