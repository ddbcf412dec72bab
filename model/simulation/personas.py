"""Who calls a made-up city: its personas, read from `model/simulation/cities/*.toml`."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from model.simulation.sampling import Mix, Spread

_FOLDER = files("model.simulation") / "cities"
_COMMON = "personas.toml"


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Numbers that several personas share: the phones of schools, of families, of the whole town."""

    numbers: int
    popularity: float
    lines: Mix


@dataclass(frozen=True, kw_only=True)
class Persona:
    """One kind of caller. `model/simulation/cities/personas.toml` says what each field means and what it rests on."""

    name: str
    who: str
    rests_on: str
    genuine: bool
    calls: int
    one_incident: bool
    callers_per_event: Spread
    event_s: Spread
    calls_per_caller: Spread
    stay_days: Spread
    calls_per_session: Spread
    gap_s: Spread
    hours: tuple[float, ...]
    weekdays: tuple[float, ...]
    months: tuple[float, ...]
    trend: tuple[tuple[float, float], ...]
    numbers: str
    lines: Mix
    opening_s: Spread
    opening_silence: Spread
    duration_s: Spread
    silence: Spread
    closed_as: Mix
    corrected: float
    first_closed_as: Mix
    ended_by: Mix
    category: Mix


@dataclass(frozen=True, kw_only=True)
class City:
    """A place, a period and the personas who call there. Times `starts` and `ends` are local."""

    name: str
    about: str
    time_zone: str
    region: str
    starts: str
    ends: str
    call_id_prefix: str
    centre: str
    queue: str
    area_code: str
    audio_missing: Mix
    ring_s: Spread
    habit: float
    label_delay_s: Spread
    late_share: float
    late_delay_s: Spread
    correction_delay_s: Spread
    pools: Mapping[str, Pool]
    personas: tuple[Persona, ...]

    @property
    def calls(self) -> int:
        """How many calls the city receives at its own size."""
        return sum(persona.calls for persona in self.personas)


def cities() -> tuple[str, ...]:
    """Return the made-up cities that can be simulated, in alphabetical order.

    Examples
    --------
    >>> "bengkulu" in cities()
    True
    """
    found = (entry.name for entry in _FOLDER.iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml") and name != _COMMON))


def load_city(name: str) -> City:
    """Read a city with the personas that call there: what all cities have in common, overlaid with its own file.

    Raises
    ------
    ValueError
        If no city has this name.
    TypeError
        If a file gives a persona, pool or city a field that does not exist, or leaves one out.

    Examples
    --------
    >>> load_city("bengkulu").calls
    13746
    """
    if name not in cities():
        raise ValueError(f"no made-up city is called {name!r}; there are {', '.join(cities())}")
    common = tomllib.loads((_FOLDER / _COMMON).read_text(encoding="utf-8"))
    table = _overlaid(common, tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8")))
    library = table["personas"]
    personas = tuple(
        _persona(who, _described(library[who], library, table["any_persona"]), table["rhythms"])
        for who in sorted(library)
        if library[who].get("calls", 0) > 0
    )
    pools = {pool: Pool(**fields) for pool, fields in table["pools"].items()}
    return City(name=name, personas=personas, pools=pools, **_with_spreads(table["city"]))


def _overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one table over another; a table of numbers only (a mix, a spread) is replaced whole."""
    laid = dict(below)
    for key, value in above.items():
        old = laid.get(key)
        merges = isinstance(old, dict) and not all(isinstance(share, int | float) for share in old.values())
        laid[key] = _overlaid(laid[key], value) if merges else value
    return laid


def _described(persona: Mapping[str, Any], library: Mapping[str, Any], anybody: Mapping[str, Any]) -> dict[str, Any]:
    """Complete a persona from the one it is `like`, or from what holds for anybody."""
    own = {key: value for key, value in persona.items() if key != "like"}
    below = _described(library[persona["like"]], library, anybody) if "like" in persona else anybody
    return _overlaid(below, own)


def _persona(name: str, table: Mapping[str, Any], rhythms: Mapping[str, Any]) -> Persona:
    """Make a persona from its table, with the names of its rhythms replaced by their weights."""
    weights = {key: tuple(rhythms[key][table[key]]) for key in ("hours", "weekdays", "months")}
    trend = tuple((float(at), float(rate)) for at, rate in table["trend"])
    return Persona(name=name, **{**_with_spreads(table), **weights, "trend": trend})


def _with_spreads(table: Mapping[str, Any]) -> dict[str, Any]:
    """Replace every sub-table that has a median by a `Spread`."""
    return {k: Spread(**v) if isinstance(v, dict) and "median" in v else v for k, v in table.items()}
