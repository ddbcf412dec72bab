"""Scales of charts, and where things stand on them; `templates/charts.jinja` draws them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import asinh, ceil, floor, log, log10
from typing import Any, Literal

Warp = Literal["plain", "ratio", "wide"]
#: Percent of a track that is left free on either side, so that no mark is cut.
_MARGIN = 6.0


@dataclass(frozen=True)
class Axis:
    """A scale from `low` to `high`.

    Parameters
    ----------
    ticks : tuple of (float, str)
        Where a line is drawn, and what stands there.
    warp : {"plain", "ratio", "wide"}
        Equal differences, equal ratios, or nearly equal differences below `unit` and ratios above it.
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
        """Return how far along the axis a value stands, 0 to 1; beyond its ends, at them.

        Examples
        --------
        >>> Axis(0.25, 4.0, (), "ratio").share(1.0), Axis(0.0, 10.0, ()).share(12.0), Axis(1.0, 1.0, ()).share(1.0)
        (0.5, 1.0, 0.5)
        """
        low, high, at = (self._warped(number) for number in (self.low, self.high, value))
        return min(1.0, max(0.0, (at - low) / (high - low))) if high > low else 0.5

    def percent(self, value: float) -> str:
        """Return where a value stands on a track with its margins, in percent."""
        return f"{_MARGIN + (100.0 - 2.0 * _MARGIN) * self.share(value):.2f}"

    def _warped(self, value: float) -> float:
        if self.warp == "ratio":
            return log(max(value, 1e-12))
        return asinh(value / self.unit) if self.warp == "wide" else value


def round_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers between low and high, at most `most` and at least one.

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


def share_axis(values: Iterable[float | None], low: float = 0.0, high: float = 0.1, even: float | None = None) -> Axis:
    """Return an axis of shares, told as counts of a hundred, that reaches at least from `low` to `high`.

    Examples
    --------
    >>> share_axis([0.31, None]).ticks
    ((0.0, '0'), (0.1, '10'), (0.2, '20'), (0.3, '30'))
    """
    ends = [value for value in values if value is not None]
    low, high = min([low, *ends]), max([high, *ends])
    return Axis(low, high, tuple((tick, f"{100 * tick:g}") for tick in round_ticks(low, high)), even=even)


def losses_axis(waits: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Axis:
    """Return the axis of callers lost, for all rules at all loads with hang-ups."""
    rows = [row for name, rules in waits.items() if name.startswith("hang_ups") for row in rules.values()]
    return share_axis(row["lost_share_high"] for row in rows)


def prices_axis(guardrails: Mapping[str, Mapping[str, Any]]) -> Axis:
    """Return the axis of what guardrails cost; either side of 0."""
    return share_axis((row.get("price_gap_closed") for row in guardrails.values()), low=-0.02, even=0.0)


def ratio_axis(rows: Iterable[Mapping[str, Any]]) -> Axis:
    """Return an axis of waits against those first come, first served that is as wide as it must be."""
    ends = [end for row in rows for end in (row["wait_ratio"], row["wait_ratio_low"], row["wait_ratio_high"]) if end]
    furthest = max([1.0, *(max(end, 1.0 / end) for end in ends)])
    for high, low_words, high_words in ((1.25, "a fifth less", "a quarter more"), (1.5, "a third less", "half more")):
        if furthest <= high:
            near = ((1.0 / high, low_words), (1.0, "as long"), (high, high_words))
            return Axis(1.0 / high, high, near, "ratio", even=1.0)
    ticks = ((0.25, "a quarter"), (0.5, "half"), (1.0, "as long"), (2.0, "twice"), (4.0, "4 times"))
    if furthest <= 2.0:
        return Axis(0.5, 2.0, ticks[1:-1], "ratio", even=1.0)
    return Axis(0.25, 4.0, ticks, "ratio", even=1.0)


def reliability_axis(groups: Sequence[Mapping[str, Any]]) -> Axis:
    """Return the axis of predicted and observed, from a stage's `reliability`; it starts where the data do."""
    lowest = min(min(group["predicted"], group["observed_low"]) for group in groups)
    start = floor(lowest * 20.0 - 1e-9) / 20.0 if lowest > 0.0 else 0.0
    return Axis(start, 1.0, tuple((tick, f"{100 * tick:.3g}") for tick in round_ticks(start, 1.0, 5)))


#: Of a hundred; and of a hundred pairs, of which tossing a coin gets fifty right.
HUNDRED = Axis(0.0, 1.0, tuple((share / 100, f"{share}") for share in (0, 25, 50, 75, 100)))
PAIRS = Axis(0.4, 1.0, tuple((share / 100, f"{share}") for share in (40, 50, 60, 70, 80, 90, 100)), even=0.5)
