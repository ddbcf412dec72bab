"""The percentile bootstrap over callers: which callers there were is what varies.

Calls of one caller are alike, so a caller is drawn with all of their calls; a call without a number is a caller of its
own. An interval says what other callers would have given, with the model as it is.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from model.arrays import Floats, Integers


class Interval(NamedTuple):
    """An estimate and its interval; NaN where there is nothing to measure."""

    value: float
    low: float
    high: float

    def named(self, name: str) -> dict[str, float]:
        """Return the three as `name`, `name_low` and `name_high`."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}


def caller_index(callers: Integers) -> tuple[Integers, int]:
    """Assign each caller a number from 0; a call without a number (-1) is a caller of its own.

    Returns
    -------
    index : int64 (n,)
    count : int
        How many callers there are.

    Examples
    --------
    >>> index, count = caller_index(np.array([7, -1, 7, -1]))
    >>> count, index[0] == index[2], index[1] == index[3]
    (3, np.True_, np.False_)
    """
    own = np.where(callers < 0, callers.max(initial=-1) + 1 + np.arange(len(callers)), callers)
    distinct, unit = np.unique(own, return_inverse=True)
    return unit.astype(np.int64), len(distinct)


def bootstrap_weights(count: int, resamples: int, seed: int) -> Iterator[Floats]:
    """Yield how often each caller is drawn, float64 (count,), with replacement and as many as there are.

    Efron (1979), Bootstrap methods: another look at the jackknife, Annals of Statistics 7.

    Examples
    --------
    >>> [int(weights.sum()) for weights in bootstrap_weights(5, 3, seed=0)]
    [5, 5, 5]
    """
    rng = np.random.default_rng(seed)
    for _ in range(resamples if count else 0):
        yield np.bincount(rng.integers(0, count, count), minlength=count).astype(np.float64)


def percentile_interval(value: float, drawn: ArrayLike, confidence: float = 0.95) -> Interval:
    """Return the percentile bootstrap interval of an estimate; resampled values that are NaN are left out.

    Examples
    --------
    >>> percentile_interval(0.5, [0.4, 0.6, float("nan")]).low < 0.5
    True
    >>> percentile_interval(0.5, [])
    Interval(value=0.5, low=nan, high=nan)
    """
    numbers = np.asarray(drawn, dtype=np.float64)
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return Interval(value, np.nan, np.nan)
    low, high = np.quantile(numbers, [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0])
    return Interval(value, float(low), float(high))


def bootstrap_sums(
    columns: "Floats | sparse.csr_array", unit: Integers, count: int, resamples: int, seed: int
) -> Floats:
    """Sum the columns (one row a call) over each resample of callers: float64 (resamples, k).

    Examples
    --------
    >>> bootstrap_sums(np.ones((4, 1)), np.array([0, 1, 2, 3]), 4, resamples=2, seed=0).tolist()
    [[4.0], [4.0]]
    """
    calls_of = sparse.csr_array((np.ones(len(unit)), (unit, np.arange(len(unit)))), shape=(count, len(unit)))
    by_caller = calls_of @ columns
    sums = [weights @ by_caller for weights in bootstrap_weights(count, resamples, seed)]
    return np.array(sums).reshape(resamples, -1)
