"""Plots without a script and without a picture file: tables of dots, a reliability plot, and scales.

A dot table is a table that is read aloud well; its track is an SVG in percent, so it fits a telephone and a wide screen
alike. Colours are classes of the page's style; a shape or a word always says the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import asinh, ceil, floor, log, log10
from typing import Any, Literal

from model.numerals import known

Warp = Literal["plain", "ratio", "wide"]
Look = Literal["plain", "ours", "worse", "better", "unsure", "heading"]
#: Percent of a track that is left free on either side, so that no mark is cut.
_MARGIN = 6.0


@dataclass(frozen=True)
class Axis:
    """A scale from `low` to `high`.

    Parameters
    ----------
    low, high : float
    ticks : tuple of (float, str)
        Where a line is drawn, and what stands there.
    warp : {"plain", "ratio", "wide"}
        Equal differences, equal ratios, or nearly equal differences below `unit` and ratios above it.
    unit : float
    even : float, optional
        Where neither side is ahead; drawn dashed.
    """

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    warp: Warp = "plain"
    unit: float = 1.0
    even: float | None = None

    def share(self, value: float) -> float:
        """Give how far along the axis a value stands, 0 to 1; beyond its ends, at them.

        Examples
        --------
        >>> Axis(0.25, 4.0, (), "ratio").share(1.0), Axis(0.0, 10.0, ()).share(12.0), Axis(1.0, 1.0, ()).share(1.0)
        (0.5, 1.0, 0.5)
        """
        low, high, at = (self._warped(number) for number in (self.low, self.high, value))
        return min(1.0, max(0.0, (at - low) / (high - low))) if high > low else 0.5

    def _warped(self, value: float) -> float:
        if self.warp == "ratio":
            return log(max(value, 1e-12))
        return asinh(value / self.unit) if self.warp == "wide" else value


def round_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Give round numbers between low and high, at most `most` and at least one.

    Examples
    --------
    >>> round_ticks(0.0, 0.37), round_ticks(0.88, 1.0), round_ticks(3.0, 3.0)
    ([0.0, 0.1, 0.2, 0.3], [0.9, 0.95, 1.0], [3.0])
    """
    if high <= low:
        return [low]
    size = 10.0 ** floor(log10(high - low))
    for step in (size / 10, size / 5, size / 2, size, 2 * size, 5 * size):
        first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
        if 1 <= last - first + 1 <= most:
            return [round(place * step, 12) for place in range(first, last + 1)]
    return [low]


@dataclass(frozen=True)
class Dot:
    """One line of a dot table; without a value it is a heading, or says what was not measured.

    Parameters
    ----------
    label : str
    value, low, high : float or None
    said : str
        What stands beside the track.
    look : {"plain", "ours", "worse", "better", "unsure", "heading"}
        "unsure" is hollow, "worse" a square, the others are round.
    """

    label: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    said: str = ""
    look: Look = "plain"


def dots(rows: Sequence[Dot], axis: Axis, *, caption: str, heads: tuple[str, str, str]) -> str:
    """Draw a table of dots with their intervals.

    Parameters
    ----------
    rows : sequence of Dot
    axis : Axis
    caption : str
    heads : tuple of str
        Above the labels, the track and what is said.

    Returns
    -------
    str
        HTML; every text is escaped.
    """
    labels = "".join(
        f'<text x="{_percent(axis, value)}%" y="12" text-anchor="middle">{escape(text)}</text>'
        for value, text in axis.ticks
    )
    head = (
        f'<thead><tr><th scope="col">{escape(heads[0])}</th><th scope="col" class="track"><span class="name">'
        f'{escape(heads[1])}</span><svg class="scale" aria-hidden="true">{labels}</svg></th>'
        f'<th scope="col">{escape(heads[2])}</th></tr></thead>'
    )
    body = "".join(_line(row, axis) for row in rows)
    return f'<table class="dots"><caption>{escape(caption)}</caption>{head}<tbody>{body}</tbody></table>'


def reliability(groups: Sequence[Mapping[str, Any]], title: str) -> str:
    """Draw what was predicted against what was observed, from a stage's `reliability` in the metrics.

    Returns
    -------
    str
        A figure whose axes start where the data do; "" without groups.
    """
    if not groups:
        return ""
    lowest = min(min(group["predicted"], group["observed_low"]) for group in groups)
    start = floor(lowest * 20.0 - 1e-9) / 20.0 if lowest > 0.0 else 0.0
    axis = Axis(start, 1.0, tuple((tick, f"{100 * tick:.3g}") for tick in round_ticks(start, 1.0, 5)))
    size, left, top = 240.0, 44.0, 8.0

    def x(value: float) -> str:
        return f"{left + size * axis.share(value):.1f}"

    def y(value: float) -> str:
        return f"{top + size * (1.0 - axis.share(value)):.1f}"

    parts = [f'<line class="even" x1="{x(start)}" y1="{y(start)}" x2="{x(1.0)}" y2="{y(1.0)}"/>']
    for tick, text in axis.ticks:
        parts.append(f'<line class="grid" x1="{x(tick)}" y1="{y(start)}" x2="{x(tick)}" y2="{y(1.0)}"/>')
        parts.append(f'<line class="grid" x1="{x(start)}" y1="{y(tick)}" x2="{x(1.0)}" y2="{y(tick)}"/>')
        parts.append(f'<text x="{x(tick)}" y="{top + size + 16:.0f}" text-anchor="middle">{text}</text>')
        parts.append(f'<text x="{left - 6:.0f}" y="{y(tick)}" dy="4" text-anchor="end">{text}</text>')
    for group in groups:
        at = x(group["predicted"])
        ends = y(group["observed_low"]), y(group["observed_high"])
        parts.append(f'<line class="bar ours" x1="{at}" y1="{ends[0]}" x2="{at}" y2="{ends[1]}"/>')
        parts.append(f'<circle class="dot ours" cx="{at}" cy="{y(group["observed"])}" r="4"/>')
    middle = top + size / 2.0
    parts.append(
        f'<text x="{left + size / 2:.0f}" y="{top + size + 34:.0f}" text-anchor="middle">predicted, of 100 calls</text>'
        f'<text transform="translate(12 {middle:.0f}) rotate(-90)" text-anchor="middle">closed as not genuine</text>'
    )
    label = f"{title}: predicted against observed, in ten groups"
    return (
        f'<figure><svg class="square" viewBox="0 0 300 290" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg><figcaption>{escape(title)}</figcaption></figure>"
    )


def table(rows: Iterable[tuple[str, ...]], heads: tuple[str, ...] = ()) -> str:
    """Write a table that scrolls when it is wide; a row of one text is a heading.

    Parameters
    ----------
    rows : iterable of tuple of str
        The first of each names the row.
    heads : tuple of str
        Above the columns; empty for none.
    """
    body = []
    for first, *cells in rows:
        if cells:
            inside = "".join(f"<td>{escape(text)}</td>" for text in cells)
            body.append(f'<tr><th scope="row">{escape(first)}</th>{inside}</tr>')
        else:
            body.append(f'<tr class="heading"><th scope="rowgroup" colspan="{len(heads)}">{escape(first)}</th></tr>')
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    above = f"<thead><tr>{head}</tr></thead>" if heads else ""
    return f'<div class="scroll"><table class="plain">{above}<tbody>{"".join(body)}</tbody></table></div>'


def _percent(axis: Axis, value: float) -> str:
    return f"{_MARGIN + (100.0 - 2.0 * _MARGIN) * axis.share(value):.2f}"


def _line(row: Dot, axis: Axis) -> str:
    if row.look == "heading":
        return f'<tr class="heading"><th scope="rowgroup" colspan="3">{escape(row.label)}</th></tr>'
    marks = []
    for value, _ in axis.ticks:
        at = _percent(axis, value)
        look = "even" if value == axis.even else "grid"
        marks.append(f'<line class="{look}" x1="{at}%" x2="{at}%" y1="0" y2="100%"/>')
    if row.value is not None and known(row.value):
        if row.low is not None and row.high is not None and known(row.low, row.high):
            ends = _percent(axis, row.low), _percent(axis, row.high)
            marks.append(f'<line class="bar {row.look}" x1="{ends[0]}%" x2="{ends[1]}%" y1="50%" y2="50%"/>')
        at = _percent(axis, row.value)
        if row.look == "worse":
            # A square is drawn from its corner, so it is moved back by half its side.
            marks.append(
                f'<svg x="{at}%" y="50%" overflow="visible">'
                f'<rect class="dot worse" x="-5" y="-5" width="10" height="10"/></svg>'
            )
        else:
            marks.append(f'<circle class="dot {row.look}" cx="{at}%" cy="50%" r="5"/>')
    track = f'<svg class="line" aria-hidden="true">{"".join(marks)}</svg>'
    strong = ' class="ours"' if row.look == "ours" else ""
    return (
        f'<tr{strong}><th scope="row">{escape(row.label)}</th><td class="track">{track}</td>'
        f'<td class="said">{escape(row.said)}</td></tr>'
    )
