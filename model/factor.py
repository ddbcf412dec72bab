"""How much a call is deferred: from score to defer_factor, fitted on held-out calls (DESIGN, section 5).

    L(p)    share of held-out handling time spent on calls with a lower score than p
    h(p)    min( clip((L(p) - 0.25) / 0.35, 0, 1),  -ln(clip(g / m, 1/20, 1)) / ln 20 ),   g = 1 - p
    factor  s min(cap, h(p)),   s = min(1, 0.45 / (1 - mean of min(cap, h) weighted by handling time))

The first term of h ranks by work, so that the rule behaves alike in a centre with 1 % genuine calls and in
one with 50 %. The second, with m the median g of genuine calls, keeps a model that cannot tell them apart
at 0.

A guardrail's cap is applied before s. A call with the largest factor, s, is passed by the share
s (1 - mean min(cap, h)) of the work that arrives in the time it is deferred for, and s holds that share at
0.45 at most, whatever the guardrails cover; since s <= 1, the factor stays at or below the cap too. With
min(cap, s h) capped calls would be deferred more, and the share would no longer be the one that s names.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from model.kernels import kernel

Floats = npt.NDArray[np.float64]

KNOTS = 500
RAMP_FROM, RAMP_WIDTH = 0.25, 0.35
ODDS_RANGE = 20.0
PASSING_WORK = 0.45


@dataclass(frozen=True)
class FactorCurve:
    """A fitted curve from score to defer_factor: a short rising table and two numbers.

    Parameters
    ----------
    scores : tuple of float, strictly rising, 0 to 1
        Knots of L; empty for a curve that is 0 everywhere.
    work_below : tuple of float, rising, 0 to 1
        L at the knots. Between them L is interpolated, outside it keeps the value at the end.
    genuine_median : float, 0 to 1
        m, the median of 1 - score over genuine calls. At 0 nothing is deferred.
    scale : float, 0 to 1
        s.

    Raises
    ------
    ValueError
        If the table does not rise, its columns differ in length, or a number is outside 0 to 1.

    Examples
    --------
    >>> curve = FactorCurve((0.0, 1.0), (0.0, 1.0), genuine_median=0.8, scale=0.5)
    >>> curve.factors(np.array([0.2, 0.5, 1.0, np.nan])).round(3).tolist()
    [0.0, 0.078, 0.5, 0.0]
    >>> FactorCurve.from_json(curve.to_json()) == curve
    True
    """

    scores: tuple[float, ...]
    work_below: tuple[float, ...]
    genuine_median: float
    scale: float

    def __post_init__(self) -> None:
        if len(self.scores) != len(self.work_below):
            raise ValueError(f"{len(self.scores)} scores for {len(self.work_below)} values of work_below")
        for name, column, least in (("scores", self.scores, True), ("work_below", self.work_below, False)):
            if not all(0.0 <= value <= 1.0 for value in column):
                raise ValueError(f"{name} has a value outside 0 to 1")
            if not all(a < b if least else a <= b for a, b in itertools.pairwise(column)):
                raise ValueError(f"{name} does not rise")
        for name, value in (("genuine_median", self.genuine_median), ("scale", self.scale)):
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} is {value}, expected 0 to 1")

    def factors(self, score: npt.ArrayLike, cap: npt.ArrayLike = 1.0) -> Floats:
        """Deferral factor of calls.

        Parameters
        ----------
        score : array_like of shape (n,), 0 to 1
            Guarded score (probability of not genuine). NaN or outside 0 to 1 gives 0.
        cap : array_like of shape (n,) or scalar, 0 to 1
            The lowest cap among the guardrails that hold; 1 without any. NaN or below 0 gives 0.

        Returns
        -------
        ndarray of shape (n,)
            s min(cap, h), 0 to min(cap, s); never smaller for a larger score.
        """
        p = np.atleast_1d(np.asarray(score, dtype=np.float64))
        caps = np.broadcast_to(np.asarray(cap, dtype=np.float64), p.shape)
        table = np.array([self.scores, self.work_below])
        return _factors(p, caps, table[0], table[1], self.genuine_median, self.scale)

    def to_json(self) -> dict[str, Any]:
        """Give the curve as plain JSON values."""
        return {
            "genuine_median": self.genuine_median,
            "scale": self.scale,
            "scores": list(self.scores),
            "work_below": list(self.work_below),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Read what `to_json` gave.

        Raises
        ------
        KeyError
            If a key is missing.
        ValueError
            As the class.
        """
        return cls(
            tuple(float(score) for score in value["scores"]),
            tuple(float(share) for share in value["work_below"]),
            float(value["genuine_median"]),
            float(value["scale"]),
        )


@kernel
def defer_factor(
    score: float, cap: float, scores: Floats, work_below: Floats, genuine_median: float, scale: float
) -> float:
    """Deferral factor of one call; the arguments are those of `FactorCurve`, the table as two arrays.

    Examples
    --------
    >>> table = np.array([0.0, 1.0])
    >>> defer_factor(1.0, 1.0, table, table, 0.8, 0.5), defer_factor(1.0, 0.5, table, table, 0.8, 0.5)
    (0.5, 0.25)
    """
    if not (0.0 <= score <= 1.0 and cap > 0.0 and genuine_median > 0.0) or len(scores) == 0:
        return 0.0
    right = int(np.searchsorted(scores, score, side="right"))
    if right == 0:
        below = float(work_below[0])
    elif right == len(scores):
        below = float(work_below[-1])
    else:
        low, high = float(work_below[right - 1]), float(work_below[right])
        inner = (high - low) * (score - scores[right - 1]) / (scores[right] - scores[right - 1])
        below = min(low + inner, high)
    by_work = (below - RAMP_FROM) / RAMP_WIDTH
    odds = min(max((1.0 - score) / genuine_median, 1.0 / ODDS_RANGE), 1.0)
    by_odds = -math.log(odds) / math.log(ODDS_RANGE)
    return max(0.0, min(by_work, by_odds, cap, 1.0)) * scale


@kernel
def _factors(
    score: Floats, cap: Floats, scores: Floats, work_below: Floats, genuine_median: float, scale: float
) -> Floats:
    factors = np.empty(len(score))
    for i in range(len(score)):
        factors[i] = defer_factor(score[i], cap[i], scores, work_below, genuine_median, scale)
    return factors


def fit_factor(
    score: npt.ArrayLike,
    genuine: npt.ArrayLike,
    handling_s: npt.ArrayLike,
    cap: npt.ArrayLike = 1.0,
) -> FactorCurve:
    """Fit the curve on held-out calls, later than those the model was trained on.

    Parameters
    ----------
    score : array_like of shape (n,), 0 to 1
        Guarded scores.
    genuine : array_like of bool, shape (n,)
        Whether the call was closed as genuine (or duplicate).
    handling_s : array_like of shape (n,), >= 0, seconds
        Operator's time spent on the call.
    cap : array_like of shape (n,) or scalar, 0 to 1
        The guardrails' caps on these calls.

    Returns
    -------
    FactorCurve
        0 everywhere without calls, without a genuine call, without work, or when all scores are equal.

    Raises
    ------
    ValueError
        If the lengths differ or a value is missing or outside its range.

    Examples
    --------
    >>> curve = fit_factor([0.1, 0.2, 0.9, 0.99], [True, True, False, False], [60.0, 60.0, 30.0, 30.0])
    >>> curve.factors([0.1, 0.2, 0.9, 0.99]).round(2).tolist()
    [0.0, 0.01, 0.45, 0.64]
    """
    p, time_s = (np.asarray(x, dtype=np.float64) for x in (score, handling_s))
    is_genuine = np.asarray(genuine, dtype=np.bool_)
    if not p.shape == time_s.shape == is_genuine.shape or p.ndim != 1:
        raise ValueError(f"score, genuine, handling_s have shapes {p.shape}, {is_genuine.shape}, {time_s.shape}")
    caps = np.broadcast_to(np.asarray(cap, dtype=np.float64), p.shape)
    for name, values, most in (("score", p, 1.0), ("handling_s", time_s, np.inf), ("cap", caps, 1.0)):
        wrong = np.flatnonzero(~((values >= 0.0) & (values <= most) & np.isfinite(values)))
        if len(wrong):
            raise ValueError(f"{name} of call {wrong[0]} is {values[wrong[0]]}, expected 0 to {most}")
    work_s = float(time_s.sum())
    if not is_genuine.any() or work_s == 0.0:
        return FactorCurve((), (), genuine_median=0.0, scale=0.0)
    knots, which = np.unique(p, return_inverse=True)
    done = np.concatenate(([0.0], np.cumsum(np.bincount(which, weights=time_s))[:-1]))
    below = np.minimum(done / work_s, 1.0)
    kept = _thinned(below)
    unscaled = FactorCurve(
        tuple(knots[kept].tolist()),
        tuple(below[kept].tolist()),
        genuine_median=float(np.median(1.0 - p[is_genuine])),
        scale=1.0,
    )
    ahead = 1.0 - float(np.average(unscaled.factors(p, caps), weights=time_s))
    scale = PASSING_WORK / ahead if ahead > PASSING_WORK else 1.0
    return FactorCurve(unscaled.scores, unscaled.work_below, unscaled.genuine_median, scale)


def _thinned(below: Floats) -> npt.NDArray[np.intp]:
    """Choose at most `KNOTS` knots: both sides of each of 249 levels of the ramp, so steps stay steps.

    Between two kept knots L either moves by less than one level or has no knot left out, so the factor is off
    by less than 1/248.
    """
    if len(below) <= KNOTS:
        return np.arange(len(below))
    levels = np.linspace(RAMP_FROM, RAMP_FROM + RAMP_WIDTH, KNOTS // 2 - 1)
    after = np.minimum(np.searchsorted(below, levels), len(below) - 1)
    return np.unique(np.concatenate((after, np.maximum(after - 1, 0))))
