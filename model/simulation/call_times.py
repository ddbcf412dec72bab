"""When the people of a made-up city call."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from model.arrays import Floats, Integers
from model.simulation.personas import City, Persona
from model.simulation.sampling import assign_groups, run_starts


@dataclass(frozen=True)
class Calendar:
    """The hours of a city's period, as its people live them; moments are seconds since `start`.

    `edges_s` has one entry more than there are hours.
    """

    start: pd.Timestamp
    hour: Integers
    weekday: Integers
    month: Integers
    edges_s: Floats

    @classmethod
    def of(cls, city: City) -> "Calendar":
        """Return the local hours of a city's period; a zone with summer time has its odd days too."""
        hours = pd.date_range(city.starts, city.ends, freq="h", tz=city.time_zone, inclusive="left")
        hour, weekday, month = (np.asarray(part, np.int64) for part in (hours.hour, hours.day_of_week, hours.month))
        edges_s: Floats = 3600.0 * np.arange(len(hours) + 1, dtype=np.float64)
        return cls(hours[0], hour, weekday, month, edges_s)

    def elapsed(self, who: Persona) -> Floats:
        """Return the share of a persona's calls that is due before each of `edges_s`, from 0 to 1."""
        through = (np.arange(len(self.hour)) + 0.5) / len(self.hour)
        at, rate = np.array(who.trend).T
        weights = (
            np.interp(through, at, rate)
            * np.array(who.hours)[self.hour]
            * np.array(who.weekdays)[self.weekday]
            * np.array(who.months)[self.month - 1]
        )
        elapsed: Floats = np.concatenate([[0.0], np.cumsum(weights)]) / weights.sum()
        return elapsed


def arrival_times(
    who: Persona, calendar: Calendar, caller: Integers, event: Integers, busy_s: Floats, rng: np.random.Generator
) -> Floats:
    """Return when each call of one persona arrives, seconds since the calendar's start, shape (calls,).

    An event falls where the persona's rhythm wants it, and its callers ring `event_s` after it began. A caller who
    stays for days has several sessions, placed by the same rhythm within the stay; anybody else has one. The calls of
    a session follow each other with gaps.

    Parameters
    ----------
    caller : ndarray of int, shape (calls,)
        Who makes each call, counted from 0, in runs.
    event : ndarray of int, shape (callers,)
        What each caller calls about, counted from 0.
    busy_s : ndarray of float, shape (calls,)
        How long each call keeps its caller on the line.
    """
    n = len(caller)
    edges_s, elapsed = calendar.edges_s, calendar.elapsed(who)
    happens_s = np.interp(rng.random(len(event)), elapsed, edges_s)[event]
    middle_s = happens_s + who.event_s.amounts(rng.standard_normal(len(event)))
    half_stay_s = 86400 / 2 * who.stay_days.amounts(rng.standard_normal(len(event)))

    stays = half_stay_s[caller] > 0
    begins = run_starts(caller) | (run_starts(assign_groups(n, who.calls_per_session, rng)) & stays)
    first, session = np.flatnonzero(begins), np.cumsum(begins) - 1
    opens = np.interp(middle_s - half_stay_s, edges_s, elapsed)[caller[first]]
    closes = np.interp(middle_s + half_stay_s, edges_s, elapsed)[caller[first]]
    by_rhythm_s = np.interp(opens + rng.random(len(first)) * (closes - opens), elapsed, edges_s)
    session_s = np.where(stays[first], by_rhythm_s, middle_s[caller[first]])

    gap_s = who.gap_s.amounts(rng.standard_normal(n))
    passed_s = np.concatenate([[0.0], np.cumsum(busy_s + gap_s)])
    length_s = np.diff(passed_s[np.append(first, n)])
    session_s = np.clip(session_s, 0.0, edges_s[-1] - length_s)
    at: Floats = session_s[session] + passed_s[:-1] - passed_s[first][session]
    return at
