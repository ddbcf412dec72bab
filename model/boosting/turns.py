"""Where the steps of a feature may turn: only where enough genuine calls say so.

A free boosting follows chance: its steps jump up and down from one second or hour to the next. Its turns are taken
back, those that matter least first, until each has `EVIDENCE` genuine calls; between the turns that are left a feature
is cut into columns, each of which may only rise or only fall, and the boosting is fitted anew on these.
"""

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from model.arrays import Floats, Integers

#: So many genuine calls stand behind each turn, and behind the way up to and down from it.
EVIDENCE = 20
#: A rise or fall of less log-odds than this is levelled out, too: each turn costs a column, and nobody could tell it.
SMALL = 0.1


class Column(NamedTuple):
    """A feature between two of its turns: values outside count as `low` or `high`.

    Parameters
    ----------
    feature : int
        Its place in the row.
    direction : {-1, 0, 1}
        As of `features.Feature`, along this column.
    """

    feature: int
    direction: int
    low: float = -math.inf
    high: float = math.inf


def columns_between_turns(feature: int, edges: Floats, values: Floats, genuine: Floats) -> list[Column]:
    """Cut a feature into columns at the turns that are borne out; a feature that makes no difference is one point.

    Parameters
    ----------
    edges : float64 (k,)
        Upper edges of all steps but the last, increasing.
    values : float64 (k + 1,)
        Of the steps, freely fitted.
    genuine : float64 (n,)
        The feature in the genuine calls that were fitted on; NaN where it is not known.

    Examples
    --------
    >>> hours = np.repeat([1.0, 2.0, 3.0], [30, 5, 30])
    >>> columns_between_turns(0, np.array([1.5, 2.5]), np.array([0.0, 3.0, 1.0]), hours)
    [Column(feature=0, direction=1, low=-inf, high=inf)]
    """
    if len(edges) == 0:
        return [Column(feature, 0, 0.0, 0.0)]
    places = np.searchsorted(edges, genuine[~np.isnan(genuine)])
    levels = supported_levels(values, np.bincount(places, minlength=len(values)))
    if len(levels) == 2:
        return [Column(feature, 1 if values[-1] >= values[0] else -1)]
    found = []
    for (start, end), (start_after, end_after) in pairwise(levels):
        rises = values[start_after : end_after + 1].mean() >= values[start : end + 1].mean()
        high = float(np.nextafter(edges[start_after - 1], np.inf))
        found.append(Column(feature, 1 if rises else -1, float(edges[end]), high))
    return found


def supported_levels(values: Floats, genuine: Integers) -> list[tuple[int, int]]:
    """Return the levels between which a function of steps rises or falls: its ends and the turns that are borne out.

    Each level is its first and its last step, which with all between them hold `EVIDENCE` genuine calls. Where one does
    not, or a rise or fall is below `SMALL`, the smallest of those at it is levelled out, with the turns at its ends.
    Two levels are just the ends, whatever they hold.

    Parameters
    ----------
    values : float64 (k,)
    genuine : int64 (k,)
        How many genuine calls lie in each step.

    Examples
    --------
    >>> supported_levels(np.array([0.0, 2.0, 1.0]), np.array([30, 25, 20]))
    [(0, 0), (1, 1), (2, 2)]
    >>> supported_levels(np.array([0.0, 2.0, 1.0]), np.array([30, 25, 19]))
    [(0, 0), (2, 2)]
    """
    last = len(values) - 1
    ways = np.sign(np.diff(values))
    turns = [0, *(np.flatnonzero(ways[1:] != ways[:-1]) + 1).tolist(), last]
    heights, calls = values.tolist(), genuine.tolist()
    while len(turns) > 2:
        levels = [_level(heights, calls, turns, place) for place in range(len(turns))]
        poor = [sum(calls[start : end + 1]) < EVIDENCE for start, end in levels]
        sizes = [abs(heights[there] - heights[here]) for here, there in pairwise(turns)]
        for place, ((_, end), (start, _)) in enumerate(pairwise(levels)):
            if start <= end or sizes[place] < SMALL:
                poor[place] = poor[place + 1] = True
        if not any(poor):
            return levels
        runs = [place for place in range(len(turns) - 1) if poor[place] or poor[place + 1]]
        gone = min(runs, key=sizes.__getitem__)
        turns = [turn for place, turn in enumerate(turns) if place not in (gone, gone + 1) or turn in (0, last)]
    return [(0, 0), (last, last)]


def _level(heights: list[float], calls: list[int], turns: list[int], place: int) -> tuple[int, int]:
    """Widen a turn by the step nearer to it in height until it holds the evidence, at most to the turns beside it."""
    turn = start = end = turns[place]
    lowest = turns[place - 1] + 1 if place > 0 else turn
    highest = turns[place + 1] - 1 if place < len(turns) - 1 else turn
    held = calls[turn]
    while held < EVIDENCE and (start > lowest or end < highest):
        left = abs(heights[start - 1] - heights[turn]) if start > lowest else math.inf
        right = abs(heights[end + 1] - heights[turn]) if end < highest else math.inf
        if left <= right:
            start -= 1
            held += calls[start]
        else:
            end += 1
            held += calls[end]
    return start, end
