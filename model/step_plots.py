"""A scorecard as pictures: one small plot for each step function, with how many calls lie where."""

from collections.abc import Sequence
from html import escape
from itertools import pairwise
from math import asinh, exp, log

import numpy as np

from model.features import FEATURES, NAMES, Feature
from model.numerals import of_people
from model.plots import Axis, round_ticks
from model.scorecard import Scorecard, Steps
from model.words import DIRECTIONS, GROUPS, UNITS

_WIDTH, _LEFT, _RIGHT, _TOP, _HEIGHT, _DENSITY = 300.0, 40.0, 16.0, 10.0, 100.0, 26.0
#: Above this ratio of the last to the first edge, an axis goes by ratios.
_WIDE = 30.0
_TABLE = dict(zip(NAMES, FEATURES, strict=True))


def scorecard_plots(scorecard: Scorecard) -> str:
    """Draw every step function of a scorecard, grouped as a person is shown reasons.

    Parameters
    ----------
    scorecard : Scorecard

    Returns
    -------
    str
        HTML: a heading for each group and one figure for each feature that moves a score; those that do not are named.
    """
    scale = _odds(scorecard.steps)
    parts = []
    for group, heading in GROUPS.items():
        mine = [steps for steps in scorecard.steps if _TABLE[steps.feature].group == group]
        if not mine:
            continue
        used = sorted((steps for steps in mine if moves(steps)), key=_weight, reverse=True)
        idle = [steps.feature for steps in mine if not moves(steps)]
        figures = "".join(_figure(_TABLE[steps.feature], steps, scale) for steps in used)
        parts.append(f"<h4>{escape(heading)}</h4>")
        parts.append(f'<div class="steps">{figures}</div>' if figures else "")
        if idle:
            names = "; ".join(f"{escape(_TABLE[name].meaning)} (<code>{name}</code>)" for name in idle)
            parts.append(f'<p class="small">Known, but this scorecard makes nothing of it: {names}.</p>')
    return "".join(parts)


def moves(steps: Steps) -> bool:
    """Say whether a feature can change a score at all."""
    return bool(np.ptp(np.append(steps.contributions, steps.missing)) > 0.0)


def _weight(steps: Steps) -> float:
    """How much a feature moves the score of an average training call."""
    return float(np.abs(np.append(steps.contributions, steps.missing)) @ steps.shares)


def _odds(steps: Sequence[Steps]) -> Axis:
    """Give the axis of contributions, the same for all plots of a scorecard; ticks are factors of the odds."""
    # The contribution of a missing value counts only where values are missing.
    shown = [np.append(s.contributions, s.missing if s.shares[-1] > 0.0 else 0.0) for s in steps]
    values = np.concatenate([*shown, [-0.3, 0.3]])
    low, high = float(values.min()) - 0.1, float(values.max()) + 0.1
    doublings = next((n for n in (1, 2, 3, 5) if (high - low) / (n * log(2.0)) <= 5.0), 8)
    size = doublings * log(2.0)
    places = range(int(low / size), int(high / size) + 1)
    return Axis(low, high, tuple((place * size, _factor(place * size)) for place in places))


def _factor(log_odds: float) -> str:
    """Write a contribution as what it does to the odds.

    Examples
    --------
    >>> _factor(0.0), _factor(log(4.0)), _factor(-log(2.0))
    ('×1', '×4', '÷2')
    """
    if abs(log_odds) < 1e-9:
        return "×1"
    return f"×{exp(log_odds):.0f}" if log_odds > 0.0 else f"÷{exp(-log_odds):.0f}"


def _figure(feature: Feature, steps: Steps, scale: Axis) -> str:
    note = f"{UNITS.get(feature.unit, feature.unit)}; {DIRECTIONS[feature.direction]}"
    if steps.shares[-1] > 0.0:
        note += f"; not known in {of_people(float(steps.shares[-1]))} calls, then {_in_words(steps.missing)}"
    inside = _kinds(feature, steps, scale) if feature.words else _curve(feature, steps, scale)
    return (
        f"<figure><figcaption><b>{escape(feature.meaning)}</b> <code>{feature.name}</code><br>"
        f"<span>{escape(note)}</span></figcaption>{inside}</figure>"
    )


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


def _frame(scale: Axis) -> list[str]:
    parts = []
    for value, text in scale.ticks:
        look = "even" if text == "×1" else "grid"
        at = f"{_y(scale, value):.1f}"
        parts.append(f'<line class="{look}" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at}" y2="{at}"/>')
        parts.append(f'<text x="{_LEFT - 4}" y="{at}" dy="3.5" text-anchor="end">{text}</text>')
    return parts


def _y(scale: Axis, value: float) -> float:
    return _TOP + _HEIGHT * (1.0 - scale.share(value))


def _curve(feature: Feature, steps: Steps, scale: Axis) -> str:
    axis = _x_axis(feature, steps.edges.tolist())

    def x(value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * axis.share(value)

    ends = [axis.low, *steps.edges.tolist(), axis.high]
    path = " ".join(
        f"{'M' if place == 0 else 'L'}{x(low):.1f} {_y(scale, value):.1f}H{x(high):.1f}"
        for place, ((low, high), value) in enumerate(zip(pairwise(ends), steps.contributions.tolist(), strict=True))
    )
    base = _TOP + _HEIGHT + _DENSITY + 4.0
    most = max(float(steps.shares[:-1].max()), 1e-12)
    bars = "".join(
        f"M{x(low):.1f} {base:.1f}v{-_DENSITY * share / most:.1f}H{max(x(high), x(low) + 2.5):.1f}V{base:.1f}z"
        for (low, high), share in zip(pairwise(ends), steps.shares[:-1].tolist(), strict=True)
        if share > 0.0
    )
    ticks = "".join(
        f'<text x="{x(value):.1f}" y="{base + 13:.1f}" text-anchor="middle">{text}</text>' for value, text in axis.ticks
    )
    label = f"{feature.meaning}: step function with the share of calls below"
    return (
        f'<svg class="step" viewBox="0 0 {_WIDTH:.0f} {base + 18:.0f}" role="img" aria-label="{escape(label)}">'
        f'{"".join(_frame(scale))}<path class="density" d="{bars}"/><path class="curve" d="{path}"/>{ticks}</svg>'
    )


def _kinds(feature: Feature, steps: Steps, scale: Axis) -> str:
    """Draw a categorical feature: a row for each step, named by the kinds that fall in it."""
    rows = []
    places = np.searchsorted(steps.edges, np.arange(len(feature.words)))
    for place, value in enumerate(steps.contributions.tolist()):
        names = [word.replace("_", " ") for word, at in zip(feature.words, places, strict=True) if at == place]
        if names:
            rows.append((", ".join(names), value, float(steps.shares[place])))
    lines = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{_in_words(value)}</td><td>{of_people(share)}</td>'
        '<td class="share"><svg aria-hidden="true">'
        f'<rect class="density" width="{100.0 * share:.1f}%" height="100%"/></svg></td></tr>'
        for name, value, share in rows
    )
    return f'<table class="plain kinds"><tbody>{lines}</tbody></table>'
