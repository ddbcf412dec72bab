"""What a finite sample of callers proves: a rank, an exact binomial interval, and bounds on a mean."""

from bisect import bisect_left
from math import ceil, expm1, log, log1p
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

from model.arrays import Floats

# The bets of `mean_lower`: one for each guess at the standard deviation of one caller's contribution. They
# are fixed here, before any data, and their wealth is averaged, so nobody can choose the bet that won.
_SPREADS = (0.5, 0.28, 0.16, 0.09, 0.05, 0.028)
# A bet never stakes everything on one caller, so that wealth stays above zero and its logarithm finite.
_LARGEST_STAKE = 0.99
_BISECTIONS = 32


class DeltaShares(NamedTuple):
    """One stage's part of delta: for the flag, and for the two bounds that open the gate of deferral."""

    flag: float
    genuine: float
    load: float


def split_delta(delta: float, stages: int) -> DeltaShares:
    """Share delta evenly among the stages; in each a half for the flag, a quarter for each bound of the gate.

    All promises of all stages then hold together except with chance delta (Bonferroni).

    Examples
    --------
    >>> split_delta(0.05, 2)
    DeltaShares(flag=0.0125, genuine=0.00625, load=0.00625)
    """
    if stages < 1:
        raise ValueError(f"there must be at least one stage, not {stages!r}")
    return DeltaShares(delta / stages / 2.0, delta / stages / 4.0, delta / stages / 4.0)


def _check_share(name: str, value: float) -> None:
    if not 0.0 < value < 1.0:
        raise ValueError(f"{name} must lie strictly between 0 and 1, not {value!r}")


def exact_interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the two-sided exact interval of a share (Clopper and Pearson 1934); (0, 1) for n = 0.

    Examples
    --------
    >>> low, high = exact_interval(0, 59)
    >>> low, round(high, 4)
    (0.0, 0.0606)
    """
    _check_share("confidence", confidence)
    if not 0 <= successes <= n:
        raise ValueError(f"successes must lie between 0 and n = {n}, not {successes!r}")
    tail = (1.0 - confidence) / 2.0
    low = float(special.betaincinv(successes, n - successes + 1, tail)) if successes else 0.0
    high = float(special.betaincinv(successes + 1, n - successes, 1.0 - tail)) if successes < n else 1.0
    return low, high


def order_statistic_rank(n: int, alpha: float, delta: float) -> int | None:
    """Return the rank k, from 1, of the genuine score that serves as threshold, or None if no rank is safe.

    With n genuine callers' scores sorted upwards, flagging a call iff its score is strictly above the k-th keeps
    P(share of genuine callers flagged > alpha) <= delta for the smallest k with
    sum over j >= k of C(n, j) (1 - alpha)^j alpha^(n - j) <= delta (Tong, Feng and Li 2018, Neyman-Pearson
    classification algorithms and NP receiver operating characteristics, Science Advances 4, proposition 1). It holds
    for any distribution; equal scores only make it safer. The callers must be drawn like those to come.

    Parameters
    ----------
    n
        Number of genuine callers, one score each.
    alpha, delta
        In (0, 1).

    Examples
    --------
    >>> [order_statistic_rank(n, 0.05, 0.05) for n in (58, 59, 106)]
    [None, 59, 105]
    """
    _check_share("alpha", alpha)
    _check_share("delta", delta)
    if n < 0:
        raise ValueError(f"n must not be negative, not {n!r}")
    # The tail falls as the rank rises, so the first rank that is safe is found by bisection.
    ranks = range(1, n + 1)
    k = 1 + bisect_left(ranks, x=True, key=lambda k: bool(stats.binom.sf(k - 1, n, 1.0 - alpha) <= delta))
    return k if k <= n else None


def callers_needed(alpha: float, delta: float) -> int:
    """Return the fewest genuine callers with which any threshold can be proven.

    Examples
    --------
    >>> [callers_needed(alpha, 0.05) for alpha in (0.05, 0.02, 0.01)]
    [59, 149, 299]
    """
    _check_share("alpha", alpha)
    _check_share("delta", delta)
    n = max(1, ceil(log(delta) / log1p(-alpha)))
    # The formula and the binomial tail may round differently in the last place: the tail decides.
    while order_statistic_rank(n, alpha, delta) is None:
        n += 1
    while n > 1 and order_statistic_rank(n - 1, alpha, delta) is not None:
        n -= 1
    return n


def best_alpha(n: int, delta: float) -> float:
    """Return the tightest share that n genuine callers could ever certify: 1 - delta ** (1 / n); 1 when n = 0.

    Examples
    --------
    >>> round(best_alpha(106, 0.05), 4), round(best_alpha(106, 0.0125), 4), best_alpha(0, 0.05)
    (0.0279, 0.0405, 1.0)
    """
    _check_share("delta", delta)
    if n < 0:
        raise ValueError(f"n must not be negative, not {n!r}")
    return -expm1(log(delta) / n) if n else 1.0


def mean_lower(values: ArrayLike, delta: float, weights: ArrayLike | None = None) -> float:
    """Return a lower bound of a mean, or of a weighted mean: the truth lies below it with chance at most delta.

    A gambler who believes theta = E[w x] / E[w] to be above m multiplies his wealth by 1 + lambda w (x - m) at each
    caller. If theta <= m his wealth cannot be expected to grow, so by Markov's inequality it reaches 1 / delta with
    chance at most delta; every m at which it did is ruled out. Several stakes lambda <= 0.99 / m, fixed beforehand, are
    played side by side and their wealth averaged (Waudby-Smith and Ramdas 2024, Estimating means of bounded random
    variables by betting, JRSS B 86(1), section 4 and appendix on diversified Kelly betting). The product does not
    depend on the order of the callers, and the bound never exceeds the sample's own weighted mean.

    Parameters
    ----------
    values
        Shape (n,), in [0, 1], one for each caller; the callers independent and alike. n = 0 gives 0.
    delta
        In (0, 1).
    weights
        Shape (n,), in [0, 1]; all 1 when absent. A weight without a fixed upper limit admits no distribution-free
        bound: divide by a limit that was set before the data, and cap there.

    Examples
    --------
    >>> import numpy as np
    >>> round(mean_lower(np.full(106, 0.3), 0.05), 3), mean_lower([], 0.05)
    (0.29, 0.0)
    """
    _check_share("delta", delta)
    x = _unit_array("values", values)
    w = np.ones_like(x) if weights is None else _unit_array("weights", weights)
    if w.shape != x.shape:
        raise ValueError(f"weights must have one entry for each value: {w.size} for {x.size}")
    if x.size == 0:
        return 0.0
    # Each stake is the best one for its guess when 1 / delta shared among all bets is to be reached in n callers.
    aim = log(len(_SPREADS) / delta)
    stakes = [(2.0 * aim / x.size) ** 0.5 / spread for spread in _SPREADS]
    gain, weight = w * x, w

    def ruled_out(m: float) -> bool:
        edge = gain - m * weight
        wealth = [float(np.log1p(min(stake, _LARGEST_STAKE / m) * edge).sum()) for stake in stakes]
        return bool(np.logaddexp.reduce(wealth) >= aim)

    # Wealth falls as m rises, so what is ruled out is an interval from 0; its lower side is kept.
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if ruled_out(middle) else (low, middle)
    return low


def mean_upper(values: ArrayLike, delta: float, weights: ArrayLike | None = None) -> float:
    """Return an upper bound of a mean: `mean_lower` seen from the other end. n = 0 gives 1.

    Examples
    --------
    >>> import numpy as np
    >>> round(mean_upper(np.full(106, 0.3), 0.05), 3), mean_upper([], 0.05)
    (0.321, 1.0)
    """
    return 1.0 - mean_lower(1.0 - _unit_array("values", values), delta, weights)


def _unit_array(name: str, values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} must have one dimension, not {array.ndim}")
    outside = array[~((array >= 0.0) & (array <= 1.0))]
    if len(outside):
        raise ValueError(f"{name} must lie in [0, 1]; the first that does not is {float(outside[0])!r}")
    return array
