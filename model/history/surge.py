"""How many calls, and how many numbers never seen before, arrive now against what is usual at this hour of the week.

A storm brings many first-time callers at once, so a surge may lower suspicion and never raises it: both ratios
are at least 1, and 1 is "as usual". Everything is counted in whole minutes and whole hours (UTC) before the
call's own, so that no two calls of one moment can see each other and order within a minute does not matter.
"""

import math

import numpy as np

from model.arrays import Booleans, Floats, Integers
from model.kernels import kernel, log_kernel

RECENT_MINUTES = 10
WEEKS = 8
MINUTE_US = 60_000_000
HOUR_MINUTES = 60
WEEK_HOURS = 168
#: So far back the calls count, with an hour of slack.
SURGE_US = (WEEKS * WEEK_HOURS + 1) * 60 * MINUTE_US
#: How many hours of the overall rate stand beside the same hours of earlier weeks, and how many calls
#: beside the recent ones: few observations then give a ratio near 1.
PRIOR_HOURS = 2.0
PRIOR_CALLS = 1.0


@kernel
def usual_per_hour(per_hour: Integers, hour: int) -> float:
    """Return the usual number of calls in an hour (an index into `per_hour`); NaN when none came before.

    The mean of the same hour of the week over the last `WEEKS` weeks, shrunk towards the mean of all those weeks.
    """
    first = max(0, hour - WEEKS * WEEK_HOURS)
    if hour <= 0:
        return np.nan
    overall = per_hour[first : min(hour, len(per_hour))].sum() / (hour - first)
    same, weeks = 0.0, 0
    for week in range(1, WEEKS + 1):
        then = hour - week * WEEK_HOURS
        if then >= 0:
            weeks += 1
            if then < len(per_hour):
                same += per_hour[then]
    return float((same + PRIOR_HOURS * overall) / (weeks + PRIOR_HOURS))


@kernel
def surge_ratio(per_minute: Integers, minute: int, usual: float) -> float:
    """Compare the last `RECENT_MINUTES` whole minutes before `minute` with `usual` calls an hour; at least 1."""
    if np.isnan(usual):
        return 1.0
    recent = 0
    for before in range(max(0, minute - RECENT_MINUTES), min(minute, len(per_minute))):
        recent += per_minute[before]
    expected = usual * RECENT_MINUTES / HOUR_MINUTES
    return max(1.0, (recent + PRIOR_CALLS) / (expected + PRIOR_CALLS))


@kernel
def _both(per_minute: Integers, minute: int, usual_calls: float, usual_new: float) -> tuple[float, float]:
    return surge_ratio(per_minute[0], minute, usual_calls), surge_ratio(per_minute[1], minute, usual_new)


@log_kernel
def _ratios(per_minute: Integers, per_hour: Integers, minutes: Integers) -> Floats:
    ratios = np.empty(len(minutes))
    usual, hour = np.nan, -1
    for row in range(len(minutes)):  # in order of time, so each hour's usual rate is found once
        if minutes[row] // HOUR_MINUTES != hour:
            hour = minutes[row] // HOUR_MINUTES
            usual = usual_per_hour(per_hour, hour)
        ratios[row] = surge_ratio(per_minute, minutes[row], usual)
    return ratios


def surge_ratios(received_us: Integers, first_call: Booleans) -> Floats:
    """Return the surge ratios of all calls and of numbers never seen before, float64 (n, 2), each at least 1.

    Parameters
    ----------
    received_us : int64 (n,)
        In increasing order.
    first_call : bool (n,)
        Whether the call's number was never seen before.
    """
    ratios = np.ones((len(received_us), 2))
    if len(received_us):
        start = first_minute(int(received_us[0]))
        minutes = received_us // MINUTE_US - start
        for column, counted in enumerate((minutes, minutes[first_call])):
            per_minute = np.bincount(counted, minlength=minutes[-1] + 1)
            per_hour = np.bincount(counted // HOUR_MINUTES, minlength=minutes[-1] // HOUR_MINUTES + 1)
            ratios[:, column] = _ratios(per_minute, per_hour, minutes)
    return ratios


def first_minute(received_us: int) -> int:
    """Return the minute (since 1970) in which the hour of a log's first call begins: counting starts there."""
    return received_us // MINUTE_US // HOUR_MINUTES * HOUR_MINUTES


#: So many hours are held: as many as are looked back, and as many again for what is told late.
_MOST_HOURS = 2 * WEEKS * WEEK_HOURS


class Surge:
    """The counts of one centre online, from the hour of the first call that is added; those of old hours are let go.

    A call is counted, and read, as in a log, unless it is told more than eight weeks after later ones.

    Parameters
    ----------
    start : int, optional
        The minute since 1970 from which it counts (`first_minute`); by default that of the first call that is added.
    """

    def __init__(self, start: int | None = None) -> None:
        self.start = start
        self._minutes = np.zeros((2, WEEK_HOURS * HOUR_MINUTES), dtype=np.int64)
        self._hours = np.zeros((2, WEEK_HOURS), dtype=np.int64)
        self._usual: tuple[int, float, float] = (-1, np.nan, np.nan)

    def add(self, received_us: int, first_call: bool, calls: int = 1) -> None:
        """Count `calls` calls that arrived in the minute of `received_us`."""
        if self.start is None:
            self.start = first_minute(received_us)
        minute = received_us // MINUTE_US - self.start
        if minute < 0:
            return
        hour = minute // HOUR_MINUTES
        if hour >= self._hours.shape[1]:
            self._make_room(hour)
            minute = received_us // MINUTE_US - self.start
            hour = minute // HOUR_MINUTES
        for row in range(1 + first_call):
            self._minutes[row, minute] += calls
            self._hours[row, hour] += calls
        if hour < self._usual[0]:
            self._usual = (-1, np.nan, np.nan)  # a late call changed what is usual

    def _make_room(self, hour: int) -> None:
        """Hold an hour that lies behind those held: for more of them at first, then in the place of the oldest ones."""
        held = self._hours.shape[1]
        size = min(_MOST_HOURS, held * 2 ** math.ceil(math.log2((hour + 1) / held)))
        # By weeks, so that room is made seldom.
        gone = 0 if hour < size else ((hour - size) // WEEK_HOURS + 1) * WEEK_HOURS
        self._hours = _moved(self._hours, gone, size)
        self._minutes = _moved(self._minutes, gone * HOUR_MINUTES, size * HOUR_MINUTES)
        if gone and self.start is not None:
            self.start += gone * HOUR_MINUTES
            self._usual = (-1, np.nan, np.nan)

    def read(self, as_of_us: int) -> tuple[float, float]:
        """Return the two ratios at a moment, as `surge_ratios` gives them for a log."""
        if self.start is None:
            return 1.0, 1.0
        minute = as_of_us // MINUTE_US - self.start
        hour = minute // HOUR_MINUTES
        if hour != self._usual[0]:
            self._usual = (hour, usual_per_hour(self._hours[0], hour), usual_per_hour(self._hours[1], hour))
        return _both(self._minutes, minute, self._usual[1], self._usual[2])


def _moved(counts: Integers, gone: int, size: int) -> Integers:
    """Return `size` counts of each row, without the first `gone` ones."""
    moved = np.zeros((len(counts), size), dtype=np.int64)
    stay = counts[:, gone : gone + size]
    moved[:, : stay.shape[1]] = stay
    return moved
