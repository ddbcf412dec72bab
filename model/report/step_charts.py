"""A scorecard as charts: each step function, with how many calls lie where; `templates/charts.jinja` draws them."""

from collections.abc import Sequence
from itertools import pairwise
from math import asinh, exp, log
from typing import NamedTuple

import numpy as np

from model.arrays import Floats
from model.report.charts import Axis, round_ticks
from model.scorecard.features import FEATURES, NAMES, Feature
from model.scorecard.pairs import Pair
from model.scorecard.scorecard import Scorecard, Steps

WIDTH, LEFT, RIGHT, TOP, HEIGHT, DENSITY = 300.0, 40.0, 16.0, 10.0, 100.0, 26.0
#: Above this ratio of the last to the first edge, an axis goes by ratios.
_WIDE = 30.0
_TABLE = dict(zip(NAMES, FEATURES, strict=True))


class Curve(NamedTuple):
    """A step function: its lines and bars as SVG paths, heights and factors of the odds, and the x axis."""

    path: str
    bars: str
    lines: list[tuple[float, str]]
    ticks: list[tuple[float, str]]


class StepChart(NamedTuple):
    """One feature of a scorecard.

    Parameters
    ----------
    missing_share : float
        Of the training calls, in which it was not known; `missing` is what it then does to the odds.
    curve : Curve or None
        None for a categorical feature.
    kinds : list of (list of str, str, float)
        For each step of a categorical feature the kinds that fall in it, what they do to the odds, and their share.
    """

    feature: Feature
    missing_share: float
    missing: str
    curve: Curve | None
    kinds: list[tuple[list[str], str, float]]


class PairTable(NamedTuple):
    """What two features do to the odds together: a row for each step of the first, and a column for each of the second.

    Parameters
    ----------
    columns : list of str
    rows : list of (str, list of str)
    """

    features: tuple[Feature, Feature]
    columns: list[str]
    rows: list[tuple[str, list[str]]]


class Group(NamedTuple):
    """Features under one heading: those that move a score, what moves it most first, and those that do not."""

    name: str
    charts: list[StepChart]
    idle: list[Feature]
    pairs: list[PairTable]


def scorecard_charts(scorecard: Scorecard) -> list[Group]:
    """Return every step function of a scorecard, grouped as a person is shown reasons."""
    scale = _odds(scorecard.steps)
    groups = []
    for name in dict.fromkeys(feature.group for feature in FEATURES):
        mine = [steps for steps in scorecard.steps if _TABLE[steps.feature].group == name]
        used = sorted((steps for steps in mine if is_used(steps)), key=_weight, reverse=True)
        idle = [_TABLE[steps.feature] for steps in mine if not is_used(steps)]
        pairs = [_pair_table(pair) for pair in scorecard.pairs if _TABLE[pair.features[1]].group == name]
        if mine:
            groups.append(Group(name, [_chart(_TABLE[steps.feature], steps, scale) for steps in used], idle, pairs))
    return groups


def _pair_table(pair: Pair) -> PairTable:
    one, other = (_TABLE[name] for name in pair.features)
    rows, columns = (_step_names(feature, edges) for feature, edges in zip((one, other), pair.edges, strict=True))
    cells = [[_in_words(value) for value in line] for line in pair.contributions.tolist()]
    return PairTable((one, other), columns, list(zip(rows, cells, strict=True)))


def _step_names(feature: Feature, edges: Floats) -> list[str]:
    scale, unit = (100.0, " %") if feature.unit == "share" else (1.0, "")
    said = [f"{scale * edge:.3g}{unit}" for edge in edges.tolist()]
    return [*(f"up to {edge}" for edge in said), f"above {said[-1]}" if said else "any", "not known"]


def is_used(steps: Steps) -> bool:
    """Return whether a feature can change a score at all."""
    return bool(np.ptp(np.append(steps.contributions, steps.missing)) > 0.0)


def _weight(steps: Steps) -> float:
    """Return how much a feature moves the score of an average training call."""
    return float(np.abs(np.append(steps.contributions, steps.missing)) @ steps.shares)


def _chart(feature: Feature, steps: Steps, scale: Axis) -> StepChart:
    curve = None if feature.words else _curve(feature, steps, scale)
    kinds = _kinds(feature, steps) if feature.words else []
    return StepChart(feature, float(steps.shares[-1]), _in_words(steps.missing), curve, kinds)


def _odds(steps: Sequence[Steps]) -> Axis:
    """Return the axis of contributions, the same for all plots of a scorecard; ticks are factors of the odds."""
    # The contribution of a missing value counts only where values are missing.
    shown = [np.append(s.contributions, s.missing if s.shares[-1] > 0.0 else 0.0) for s in steps]
    values = np.concatenate([*shown, [-0.3, 0.3]])
    low, high = float(values.min()) - 0.1, float(values.max()) + 0.1
    doublings = next((n for n in (1, 2, 3, 5) if (high - low) / (n * log(2.0)) <= 5.0), 8)
    size = doublings * log(2.0)
    places = range(int(low / size), int(high / size) + 1)
    return Axis(low, high, tuple((place * size, _factor(place * size)) for place in places))


def _factor(log_odds: float) -> str:
    """Return a contribution as what it does to the odds.

    Examples
    --------
    >>> _factor(0.0), _factor(log(4.0)), _factor(-log(2.0))
    ('×1', '×4', '÷2')
    """
    if abs(log_odds) < 1e-9:
        return "×1"
    return f"×{exp(log_odds):.0f}" if log_odds > 0.0 else f"÷{exp(-log_odds):.0f}"


def _in_words(contribution: float) -> str:
    factor = exp(abs(contribution))
    if factor < 1.05:
        return "×1"
    return f"{'×' if contribution > 0.0 else '÷'}{factor:.1f}"


def _x_axis(feature: Feature, edges: Sequence[float]) -> Axis:
    if feature.name == "local_hour":
        return Axis(0.0, 24.0, tuple((hour, f"{hour:g}") for hour in (0.0, 6.0, 12.0, 18.0, 24.0)))
    if feature.unit == "share":
        return Axis(0.0, 1.0, tuple((share, f"{100 * share:g} %") for share in (0.0, 0.25, 0.5, 0.75, 1.0)))
    above = [edge for edge in edges if edge > 0.0] or [1.0]
    if above[-1] / above[0] <= _WIDE:
        high = above[-1] * 1.2
        return Axis(0.0, high, tuple((tick, f"{tick:g}") for tick in round_ticks(0.0, high, 5)))
    # Decayed counts have edges as small as 1e-8: below a thousandth of the last all of them are as good as 0.
    unit = max(above[0], above[-1] / 1_000.0)
    high = above[-1] * 2.0
    decades = [0.0, *(tick for place in range(-6, 9) if unit < (tick := 10.0**place) <= high)]
    apart = [decades[0]]
    for tick in decades[1:]:
        if (asinh(tick / unit) - asinh(apart[-1] / unit)) / asinh(high / unit) > 0.14:
            apart.append(tick)
    return Axis(0.0, high, tuple((tick, f"{tick:,g}") for tick in apart), "wide", unit)


def _curve(feature: Feature, steps: Steps, scale: Axis) -> Curve:
    axis = _x_axis(feature, steps.edges.tolist())
    base = TOP + HEIGHT + DENSITY + 4.0

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * axis.share(value)

    def y(value: float) -> float:
        return TOP + HEIGHT * (1.0 - scale.share(value))

    ends = [axis.low, *steps.edges.tolist(), axis.high]
    path = " ".join(
        f"{'M' if place == 0 else 'L'}{x(low):.1f} {y(value):.1f}H{x(high):.1f}"
        for place, ((low, high), value) in enumerate(zip(pairwise(ends), steps.contributions.tolist(), strict=True))
    )
    most = max(float(steps.shares[:-1].max()), 1e-12)
    bars = "".join(
        f"M{x(low):.1f} {base:.1f}v{-DENSITY * share / most:.1f}H{max(x(high), x(low) + 2.5):.1f}V{base:.1f}z"
        for (low, high), share in zip(pairwise(ends), steps.shares[:-1].tolist(), strict=True)
        if share > 0.0
    )
    lines = [(y(value), text) for value, text in scale.ticks]
    return Curve(path, bars, lines, [(x(value), text) for value, text in axis.ticks])


def _kinds(feature: Feature, steps: Steps) -> list[tuple[list[str], str, float]]:
    places = np.searchsorted(steps.edges, np.arange(len(feature.words)))
    rows = []
    for place, value in enumerate(steps.contributions.tolist()):
        names = [word for word, at in zip(feature.words, places, strict=True) if at == place]
        if names:
            rows.append((names, _in_words(value), float(steps.shares[place])))
    return rows
