"""Chance: how much, how many and which, for a made-up city."""

from collections.abc import Mapping
from math import inf
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from model.arrays import Booleans, Floats, Integers

Names = npt.NDArray[np.object_]
Mix = Mapping[str, float]


class Spread(NamedTuple):
    """A quantity that varies: its median, and a standard deviation on the scale it varies on.

    That scale is the logarithm for amounts (counts, seconds), and the log-odds for shares. A spread of 0 makes it a
    constant; `least` and `most` are hard limits.
    """

    median: float
    spread: float = 0.0
    least: float = 0.0
    most: float = inf

    def amounts(self, noise: Floats) -> Floats:
        """Return log-normal amounts of standard normal noise.

        Examples
        --------
        >>> Spread(10, 0.5, most=20).amounts(np.array([-1.0, 0.0, 5.0])).round(1)
        array([ 6.1, 10. , 20. ])
        """
        amounts: Floats = np.clip(self.median * np.exp(self.spread * noise), self.least, self.most)
        return amounts

    def shares(self, noise: Floats) -> Floats:
        """Return logit-normal shares between 0 and 1 of standard normal noise.

        Examples
        --------
        >>> Spread(0.5, 1).shares(np.array([-2.0, 0.0, 2.0])).round(2)
        array([0.12, 0.5 , 0.88])
        """
        odds = self.median / (1 - self.median) * np.exp(self.spread * noise)
        shares: Floats = np.clip(odds / (1 + odds), self.least, min(self.most, 1.0))
        return shares


def assign_groups(n: int, size: Spread, rng: np.random.Generator) -> Integers:
    """Assign n things, in order, to groups (from 0) of a varying size of at least 1; the last takes what is left.

    Examples
    --------
    >>> assign_groups(5, Spread(2), np.random.default_rng(0))
    array([0, 0, 1, 1, 2])
    """
    sizes = np.maximum(size.amounts(rng.standard_normal(n)).round(), 1)
    return np.searchsorted(np.cumsum(sizes), np.arange(n), side="right").astype(np.int64)


def run_starts(group: Integers) -> Booleans:
    """Mark where each run of equal values, none of them negative, begins.

    Examples
    --------
    >>> run_starts(np.array([0, 0, 1, 2, 2]))
    array([ True, False,  True,  True, False])
    """
    begins: Booleans = np.diff(group, prepend=-1) != 0
    return begins


def apportion(mix: Mix, total: int) -> Integers:
    """Divide a total in proportion to a mix, by largest remainder: the parts add up exactly.

    Examples
    --------
    >>> apportion({"genuine": 0.77, "prank": 99.23}, 13746)
    array([  106, 13640])
    """
    weights = np.array(list(mix.values()), dtype=np.float64)
    exact = total * weights / weights.sum()
    parts: Integers = np.floor(exact).astype(np.int64)
    missing = total - int(parts.sum())
    parts[np.argsort(parts - exact, kind="stable")[:missing]] += 1
    return parts


def deal(mix: Mix, n: int, rng: np.random.Generator) -> Names:
    """Deal outcomes like cards: shuffled, but every seed gives each outcome equally often."""
    return rng.permutation(np.repeat(_names(mix), apportion(mix, n)))


def roll(mix: Mix, n: int, rng: np.random.Generator) -> Names:
    """Roll outcomes like dice: each on its own."""
    weights = np.array(list(mix.values()), dtype=float)
    return _names(mix)[rng.choice(len(weights), n, p=weights / weights.sum())]


def _names(mix: Mix) -> Names:
    return np.array(list(mix), dtype=object)
