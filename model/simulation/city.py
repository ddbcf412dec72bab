"""A made-up city's call log.

The engine knows mechanisms only: events that make several people call, callers who call again and again, numbers that
several people share, what is heard, how and when a call is closed. Who they are, and which published figure each of
their habits rests on, is data: see `model/simulation/cities/personas.toml` and `docs/cities.md`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from model.arrays import Booleans, Floats, Integers
from model.calls.columns import GENUINE
from model.simulation.call_times import Calendar, arrival_times
from model.simulation.personas import City, Persona, cities, load_city
from model.simulation.sampling import Names, apportion, assign_groups, deal, roll, run_starts

__all__ = ["CityLog", "cities", "simulate"]

COLUMNS = (
    *("call_id", "received_at", "caller", "line", "centre", "queue"),
    *("opening_duration_s", "opening_silence_ratio", "duration_s", "silence_ratio"),
    *("answered_at", "ended_at", "ended_by", "disposition", "disposed_at", "category", "x_persona"),
)
TIMES = ("received_at", "answered_at", "ended_at", "disposed_at")
NUMBERS = ("opening_duration_s", "opening_silence_ratio", "duration_s", "silence_ratio")
# Closed by the system: nobody spoke to the caller.
UNHEARD = ("abandoned", "unanswered")
ANONYMOUS = ("withheld", "no_sim")
WIRED = ("landline", "payphone", "voip", "alarm", "relay")
MOBILE_PREFIXES = (*range(811, 820), *range(821, 824), *range(851, 854), *range(855, 860), 877, 878, *range(895, 900))

Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class CityLog:
    """A made-up city's calls, the later corrections of their dispositions, and the settings they need."""

    calls: pd.DataFrame
    corrections: pd.DataFrame
    time_zone: str
    region: str


def simulate(city: str | City, seed: int = 0, *, calls: int | None = None) -> CityLog:
    """Simulate a city's call log; the same seed gives the same log, bit for bit.

    Parameters
    ----------
    city : str or City
        One of `cities()`, else a ValueError; or a city of one's own.
    seed : int
        From 0 upwards.
    calls : int, optional
        From 0 upwards; by default the city's own number. Callers, shared numbers and events grow with it, the period
        does not.

    Returns
    -------
    CityLog
        `calls` in the call log's columns plus `x_persona` (who really called), sorted by `received_at`; `corrections`
        with one row for each disposition that was replaced later, sorted by `disposed_at`.

    Examples
    --------
    >>> log = simulate("bengkulu", seed=1)
    >>> len(log.calls), log.time_zone
    (13746, 'Asia/Jakarta')
    """
    plan = load_city(city) if isinstance(city, str) else city
    size = plan.calls if calls is None else calls
    if size < 0:
        raise ValueError(f"calls must be 0 or more, got {size}")
    counts = apportion({persona.name: persona.calls for persona in plan.personas}, size)
    # Each persona has its own stream of chance: editing one leaves what the others do as it was.
    numbering, *streams = np.random.default_rng(seed).spawn(1 + len(plan.personas))
    calendar = Calendar.of(plan)
    phones = _Phones(plan, size / plan.calls, numbering)
    parts = [
        _calls_of(persona, int(count), plan, calendar, phones, rng)
        for persona, count, rng in zip(plan.personas, counts, streams, strict=True)
    ]
    log = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    in_time = np.argsort(log["received_at"], kind="stable")
    log = {name: values[in_time] for name, values in log.items()}
    return _as_frames(log, phones.written(log["caller"], log["line"]), plan, calendar)


def _calls_of(
    who: Persona, n: int, city: City, calendar: Calendar, phones: "_Phones", rng: np.random.Generator
) -> Columns:
    """Simulate all calls of one persona; times in seconds since the city's start, callers as plain counts."""
    caller = assign_groups(n, who.calls_per_caller, rng)
    event = assign_groups(len(np.unique(caller)), who.callers_per_event, rng)
    number, line = phones.given(who, len(event), rng)

    heard = _heard(who, city, caller, rng)
    closed_as = deal(who.closed_as, n, rng)
    answered = ~np.isin(closed_as, UNHEARD)
    waited_s = heard["opening_duration_s"] + city.ring_s.amounts(rng.standard_normal(n))
    busy_s = waited_s + np.where(answered, heard["duration_s"], 0.0)
    received_at = arrival_times(who, calendar, caller, event, busy_s, rng)
    incident = event[caller] if who.one_incident else caller
    category = roll(who.category, len(np.unique(incident)), rng)[incident]
    # One incident is genuine once; whoever reports it later is a duplicate.
    if who.one_incident:
        closed_as[(closed_as == "genuine") & ~_is_earliest(received_at, incident)] = "duplicate"

    ended_by = roll(who.ended_by, n, rng)
    ended_by[closed_as == "abandoned"] = "caller"
    ended_by[closed_as == "unanswered"] = "network"
    return {
        "received_at": received_at,
        "caller": number[caller],
        "line": line[caller],
        **_recorded(heard, answered, line[caller], city, rng),
        "answered_at": np.where(answered, received_at + waited_s, np.nan),
        "ended_at": received_at + busy_s,
        "ended_by": ended_by,
        **_closed(who, city, closed_as, category, received_at + busy_s, rng),
        "x_persona": np.full(n, who.name, dtype=object),
    }


def _is_earliest(at: Floats, group: Integers) -> Booleans:
    """Mark the earliest member of each group."""
    order = np.lexsort((at, group))
    earliest = np.zeros(len(group), dtype=bool)
    earliest[order] = run_starts(group[order])
    return earliest


class _Phones:
    """Gives callers their numbers, own or shared, as plain counts; writes them out at the end."""

    def __init__(self, city: City, growth: float, rng: np.random.Generator) -> None:
        self._area_code = city.area_code
        self._rng = rng
        self._count = 0
        self._pools: dict[str, tuple[Integers, Names, Floats]] = {}
        for name, pool in city.pools.items():
            n = max(1, round(pool.numbers * growth))
            use = np.exp(pool.popularity * rng.standard_normal(n))
            self._pools[name] = (self._new(n), roll(pool.lines, n, rng), use / use.sum())

    def given(self, who: Persona, callers: int, rng: np.random.Generator) -> tuple[Integers, Names]:
        """Return a number and a line for each caller, their own or those of a telephone from the persona's pool.

        A telephone has its line for good; but a share of the callers withholds the number or has no SIM.
        """
        if who.numbers == "own":
            return self._new(callers), roll(who.lines, callers, rng)
        numbers, lines, use = self._pools[who.numbers]
        telephone = rng.choice(len(numbers), callers, p=use)
        hidden = {line: who.lines.get(line, 0.0) for line in ANONYMOUS}
        shown = roll({"": 1 - sum(hidden.values()), **hidden}, callers, rng)
        return numbers[telephone], np.where(shown == "", lines[telephone], shown)

    def written(self, number: Integers, line: Names) -> pd.Series:
        """Return numbers in E.164, null where the line shows none. Digits are random: they tell of nobody."""
        digits = pd.Series(20_000_000 + self._rng.choice(70_000_000, self._count, replace=False)).astype("str")
        mobile = pd.Series(self._rng.choice(MOBILE_PREFIXES, self._count)).astype("str")
        prefix = mobile[number].mask(np.isin(line, WIRED), self._area_code).reset_index(drop=True)
        return ("+62" + prefix + digits[number].reset_index(drop=True)).mask(np.isin(line, ANONYMOUS))

    def _new(self, n: int) -> Integers:
        self._count += n
        return np.arange(self._count - n, self._count)


def _heard(who: Persona, city: City, caller: Integers, rng: np.random.Generator) -> dict[str, Floats]:
    """Return what the opening and the conversation sound like, if there is one.

    Callers have habits: `city.habit` is their share of the variance. A call that opens in silence tends to stay
    silent: half of the variance is common to both.
    """
    n = len(caller)
    callers = len(np.unique(caller))

    def habitual() -> Floats:
        noise = np.sqrt(city.habit) * rng.standard_normal(callers)[caller]
        habitual: Floats = noise + np.sqrt(1 - city.habit) * rng.standard_normal(n)
        return habitual

    quiet = habitual()
    quiet_at_first = np.sqrt(0.5) * (quiet + rng.standard_normal(n))
    quiet_later = np.sqrt(0.5) * (quiet + rng.standard_normal(n))
    return {
        "opening_duration_s": who.opening_s.amounts(rng.standard_normal(n)).round(1),
        "opening_silence_ratio": who.opening_silence.shares(quiet_at_first).round(2),
        "duration_s": who.duration_s.amounts(habitual()).round(1),
        "silence_ratio": who.silence.shares(quiet_later).round(2),
    }


def _recorded(
    heard: dict[str, Floats], answered: Booleans, line: Names, city: City, rng: np.random.Generator
) -> dict[str, Floats]:
    """Leave out what the log does not get: a conversation that never was, and audio that was not analysed."""
    chance = rng.random(len(line))
    deaf = chance < np.array([city.audio_missing.get(kind, 0.0) for kind in line])
    return {
        "opening_duration_s": np.where(deaf, np.nan, heard["opening_duration_s"]),
        "opening_silence_ratio": np.where(deaf, np.nan, heard["opening_silence_ratio"]),
        "duration_s": np.where(answered, heard["duration_s"], np.nan),
        "silence_ratio": np.where(answered & ~deaf, heard["silence_ratio"], np.nan),
    }


def _closed(
    who: Persona, city: City, closed_as: Names, category: Names, ended_at: Floats, rng: np.random.Generator
) -> Columns:
    """Close the calls: as what, known when; and some as something else at first, corrected later.

    `closed_as` is what stands in the end, the empty string where a call is never closed.
    """
    n = len(closed_as)
    unheard = np.isin(closed_as, UNHEARD)
    soon_s = city.label_delay_s.amounts(rng.standard_normal(n))
    late_s = city.late_delay_s.amounts(rng.standard_normal(n))
    delay_s = np.where(rng.random(n) < city.late_share, late_s, soon_s)
    disposed_at = ended_at + np.where(unheard, 0.0, delay_s)

    mistaken = (rng.random(n) < who.corrected) & ~unheard & (closed_as != "")
    first = np.where(mistaken, roll(who.first_closed_as, n, rng), closed_as)
    mistaken &= first != closed_as
    corrected_at = disposed_at + city.correction_delay_s.amounts(rng.standard_normal(n))
    return {
        "disposition": first,
        "disposed_at": np.where(closed_as == "", np.nan, disposed_at),
        "category": np.where(np.isin(first, GENUINE), category, ""),
        "corrected_disposition": np.where(mistaken, closed_as, ""),
        "corrected_category": np.where(mistaken & np.isin(closed_as, GENUINE), category, ""),
        "corrected_at": np.where(mistaken, corrected_at, np.nan),
    }


def _as_frames(log: Columns, caller: pd.Series, city: City, calendar: Calendar) -> CityLog:
    """Return the arrays as the call log and its corrections; the empty string becomes null."""
    start = np.datetime64(calendar.start.tz_convert(None), "us")

    def texts(values: npt.NDArray[Any]) -> pd.Series:
        written = pd.Series(values, dtype="str")
        return written.mask(written == "")

    def times(seconds: Floats) -> pd.Series:
        known = ~np.isnan(seconds)
        at = start + np.where(known, seconds * 1e6, 0).round().astype("timedelta64[us]")
        return pd.Series(pd.DatetimeIndex(np.where(known, at, np.datetime64("NaT"))).tz_localize("UTC"))

    n = len(caller)
    counted = pd.Series(np.arange(1, n + 1)).astype("str").str.zfill(max(6, len(str(n))))
    written: dict[str, Any] = {
        "call_id": city.call_id_prefix + "-" + counted,
        "caller": caller,
        "centre": texts(np.full(n, city.centre, dtype=object)),
        "queue": texts(np.full(n, city.queue, dtype=object)),
        **{name: times(log[name]) for name in TIMES},
        **{name: log[name] for name in NUMBERS},
        **{name: texts(log[name]) for name in ("line", "ended_by", "disposition", "category", "x_persona")},
    }
    corrections = pd.DataFrame(
        {
            "call_id": written["call_id"],
            "disposition": texts(log["corrected_disposition"]),
            "category": texts(log["corrected_category"]),
            "disposed_at": times(log["corrected_at"]),
        }
    )
    corrections = corrections[corrections["disposition"].notna()]
    return CityLog(
        calls=pd.DataFrame({name: written[name] for name in COLUMNS}),
        corrections=corrections.sort_values(["disposed_at", "call_id"], ignore_index=True),
        time_zone=city.time_zone,
        region=city.region,
    )
