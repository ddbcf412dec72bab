"""How much a call is deferred: from score to defer_factor, fitted on held-out calls.

    L(p)    share of held-out handling time spent on calls with a lower score than p
    R(p)    1 - (share of genuine calls) / (share of handling time), both with at least score p; made rising
    h(p)    min( clip((L(p) - ramp_from) / ramp_width, 0, 1),  clip(R(p) / rarer_enough, 0, 1) )
    factor  s min(cap, h(p)),   s = min(1, passing_work / (1 - mean of min(cap, h) weighted by handling time))

The first term of h ranks by work, so that the rule behaves alike in a centre with 1 % genuine calls and in one
with 50 %. It is nearly a step in the middle of the work, because that is what closes most of the gap for a given
longest wait: whoever is deferred waits about twice as long, so about half of the work has to be. The second term
holds back where genuine calls are not much rarer than work from p up: 0 where they are as common, 1 from half as
common. Both are ranks: neither needs calibrated scores, nor moves with the share of genuine calls. The four numbers are
fitted to the centre (`model.queueing.fitting`); docs/queueing.md has the frontier of those it starts from.

A guardrail's cap is applied before s. A call with the largest factor, s, is passed by the share
s (1 - mean min(cap, h)) of the work that arrives in the time it is deferred for, and s holds that share at
passing_work at most, whatever the guardrails cover; since s <= 1, the factor stays at or below the cap too. With
min(cap, s h) capped calls would be deferred more, and the share would no longer be the one that s names.
"""

import itertools
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from model.arrays import Floats
from model.kernels import kernel, log_kernel

Table = tuple[Floats, Floats, float]

KNOTS = 500


class CurveShape(NamedTuple):
    """The four numbers of a curve."""

    ramp_from: float = 0.45
    ramp_width: float = 0.10
    rarer_enough: float = 0.5
    passing_work: float = 0.45

    def h(self, below: Floats, rarer: Floats) -> Floats:
        """Return h where L and R are these, 0 to 1."""
        found: Floats = np.minimum((below - self.ramp_from) / self.ramp_width, rarer / self.rarer_enough)
        return np.clip(found, 0.0, 1.0)


DEFAULT_SHAPE = CurveShape()


@dataclass(frozen=True)
class FactorCurve:
    """A fitted curve from score to defer_factor: a short rising table and one number.

    Parameters
    ----------
    scores : tuple of float, strictly rising, 0 to 1
        Knots of h; empty for a curve that is 0 everywhere.
    shares : tuple of float, rising, 0 to 1
        h at the knots; interpolated between them, outside as at the end.
    scale : float, 0 to 1
        s.

    Raises
    ------
    ValueError
        If the table does not rise, its columns differ in length, or a number is outside 0 to 1.

    Examples
    --------
    >>> curve = FactorCurve((0.0, 1.0), (0.0, 1.0), scale=0.5)
    >>> curve.factors(np.array([0.2, 0.5, 1.0, np.nan])).round(3).tolist()
    [0.1, 0.25, 0.5, 0.0]
    >>> FactorCurve.from_json(curve.to_json()) == curve
    True
    """

    scores: tuple[float, ...]
    shares: tuple[float, ...]
    scale: float

    def __post_init__(self) -> None:
        if len(self.scores) != len(self.shares):
            raise ValueError(f"{len(self.scores)} scores for {len(self.shares)} shares")
        for name, column in {"scores": self.scores, "shares": self.shares}.items():
            if not all(0.0 <= value <= 1.0 for value in column):
                raise ValueError(f"{name} has a value outside 0 to 1")
            if not all(a < b or (a == b and name != "scores") for a, b in itertools.pairwise(column)):
                raise ValueError(f"{name} does not rise")
        if not 0.0 <= self.scale <= 1.0:
            raise ValueError(f"scale is {self.scale}, expected 0 to 1")

    def factors(self, score: npt.ArrayLike, cap: npt.ArrayLike = 1.0) -> Floats:
        """Return the defer_factor of calls: s min(cap, h), 0 to min(cap, s); never smaller for a larger score.

        Parameters
        ----------
        score : array_like of shape (n,), 0 to 1
            Guarded score (probability of not genuine). NaN or outside 0 to 1 gives 0.
        cap : array_like of shape (n,) or scalar, 0 to 1
            The lowest cap among the guardrails that hold; 1 without any. NaN or below 0 gives 0.
        """
        p = np.atleast_1d(np.asarray(score, dtype=np.float64))
        caps = np.broadcast_to(np.asarray(cap, dtype=np.float64), p.shape)
        return _factors(p, caps, *self.table())

    def table(self) -> Table:
        """Return the curve as `defer_factor` takes it."""
        return np.array(self.scores), np.array(self.shares), self.scale

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"scale": self.scale, "scores": list(self.scores), "shares": list(self.shares)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Read what `to_json` gave, also that of the first edition; a missing key is a KeyError."""
        if "work_below" in value:
            below, rarer = np.array(value["work_below"], float), np.array(value["genuine_rarer"], float)
            shares = tuple(DEFAULT_SHAPE.h(below, rarer).tolist())
            return cls(tuple(map(float, value["scores"])), shares, float(value["scale"]))
        scores, shares = (tuple(map(float, value[name])) for name in ("scores", "shares"))
        return cls(scores, shares, float(value["scale"]))


NO_CURVE = FactorCurve((), (), scale=0.0)
"""A curve that defers nobody."""


@kernel
def defer_factor(score: float, cap: float, scores: Floats, shares: Floats, scale: float) -> float:
    """Return the defer_factor of one call; the table of `FactorCurve` as two arrays.

    Examples
    --------
    >>> table = np.array([0.0, 1.0])
    >>> defer_factor(1.0, 1.0, table, table, 0.5), defer_factor(1.0, 0.5, table, table, 0.5)
    (0.5, 0.25)
    """
    if not (0.0 <= score <= 1.0 and cap > 0.0) or len(scores) == 0:
        return 0.0
    right = int(np.searchsorted(scores, score, side="right"))
    left = max(right - 1, 0)
    right = min(right, len(scores) - 1)
    part = (score - scores[left]) / (scores[right] - scores[left]) if 0 <= left < right else 0.0
    share = min(shares[left] + (shares[right] - shares[left]) * part, shares[right])
    factor: float = max(0.0, min(share, cap)) * scale
    return factor


@log_kernel
def _factors(score: Floats, cap: Floats, scores: Floats, shares: Floats, scale: float) -> Floats:
    factors = np.empty(len(score))
    for i in range(len(score)):
        factors[i] = defer_factor(score[i], cap[i], scores, shares, scale)
    return factors


class HeldOutScores:
    """The scores of held-out calls, ranked once, on which curves of many shapes can be fitted.

    Parameters
    ----------
    score : array_like of shape (n,), 0 to 1
        Guarded scores, of calls later than those that the model was trained on.
    genuine : array_like of bool, shape (n,)
        Whether the call was closed as genuine (or duplicate).
    handling_s : array_like of shape (n,), >= 0, seconds
        Operator's time spent on the call.

    Raises
    ------
    ValueError
        If the lengths differ or a value is missing or outside its range.

    Examples
    --------
    >>> held_out = HeldOutScores([0.1, 0.2, 0.9, 0.99], [True, True, False, False], [60.0, 60.0, 30.0, 30.0])
    >>> held_out.curve().factors([0.1, 0.2, 0.9, 0.99]).round(2).tolist()
    [0.0, 0.0, 0.68, 0.68]
    """

    def __init__(self, score: npt.ArrayLike, genuine: npt.ArrayLike, handling_s: npt.ArrayLike) -> None:
        p, time_s = (np.asarray(x, dtype=np.float64) for x in (score, handling_s))
        is_genuine = np.asarray(genuine, dtype=np.bool_)
        if not p.shape == time_s.shape == is_genuine.shape or p.ndim != 1:
            raise ValueError(f"score, genuine, handling_s have shapes {p.shape}, {is_genuine.shape}, {time_s.shape}")
        _check_range("score", p, 1.0)
        _check_range("handling_s", time_s, np.inf)
        self._time_s, self._work_s = time_s, float(time_s.sum())
        self._ranked = bool(is_genuine.any()) and self._work_s > 0.0
        if not self._ranked:
            self._which, self._below = np.zeros(len(p), np.intp), np.zeros(1)
            self._rarer = self._below
            return
        self._knots, self._which = np.unique(p, return_inverse=True)
        self._below = _share_below(np.bincount(self._which, weights=time_s))
        # Genuine calls against work among those that score at least as much; where no work is left, as before it.
        among = np.divide(
            1.0 - _share_below(np.bincount(self._which, weights=is_genuine)),
            1.0 - self._below,
            out=np.full(len(self._knots), np.inf),
            where=self._below < 1.0,
        )
        self._rarer = np.maximum.accumulate(np.maximum(1.0 - among, 0.0))

    def ranks(self) -> tuple[Floats, Floats]:
        """Return L and R of each call; 0 where there is no work or no genuine call."""
        return self._below[self._which], self._rarer[self._which]

    def factors(self, shape: CurveShape, cap: npt.ArrayLike = 1.0) -> Floats:
        """Return the defer_factor of these calls themselves under the curve of a shape, float64 (n,)."""
        if not self._ranked:
            return np.zeros(len(self._time_s))
        capped = np.minimum(shape.h(self._below, self._rarer)[self._which], cap)
        return capped * self._scale(capped, shape)

    def curve(self, shape: CurveShape = DEFAULT_SHAPE, cap: npt.ArrayLike = 1.0) -> FactorCurve:
        """Fit a curve of this shape.

        Parameters
        ----------
        cap : array_like of shape (n,) or scalar, 0 to 1
            The guardrails' caps on these calls.

        Returns
        -------
        FactorCurve
            0 everywhere without calls, without a genuine call, without work, or when all scores are equal.
        """
        caps = np.broadcast_to(np.asarray(cap, dtype=np.float64), self._time_s.shape)
        _check_range("cap", caps, 1.0)
        if not self._ranked:
            return NO_CURVE
        h = shape.h(self._below, self._rarer)
        kept = _thinned(h)
        scores, shares = (tuple(column[kept].tolist()) for column in (self._knots, h))
        capped = FactorCurve(scores, shares, scale=1.0).factors(self._knots[self._which], caps)
        return FactorCurve(scores, shares, self._scale(capped, shape))

    def _scale(self, capped: Floats, shape: CurveShape) -> float:
        ahead = 1.0 - float((capped * self._time_s).sum()) / self._work_s
        return shape.passing_work / ahead if ahead > shape.passing_work else 1.0


def _check_range(name: str, values: Floats, most: float) -> None:
    wrong = np.flatnonzero(~((values >= 0.0) & (values <= most) & np.isfinite(values)))
    if len(wrong):
        raise ValueError(f"{name} of call {wrong[0]} is {values[wrong[0]]}, expected 0 to {most}")


def _share_below(weights: npt.NDArray[np.number]) -> Floats:
    """Return the share of the weight that lies before each place."""
    done = np.concatenate((np.zeros(1), np.cumsum(weights, dtype=np.float64)))
    share: Floats = np.minimum(done[:-1] / done[-1], 1.0)
    return share


def _thinned(h: Floats) -> npt.NDArray[np.intp]:
    """Return at most `KNOTS` knots: both sides of each of 250 levels of h, so that steps stay steps.

    Between two kept knots h either moves by less than one level or has no knot left out, so the factor is off by less
    than 1/248.
    """
    if len(h) <= KNOTS:
        return np.arange(len(h))
    levels = np.linspace(0.0, 1.0, KNOTS // 2 - 1)
    after = np.minimum(np.searchsorted(h, levels), len(h) - 1)
    beyond = np.minimum(np.searchsorted(h, levels[:1], side="right"), len(h) - 1)
    return np.unique(np.concatenate((after, np.maximum(after - 1, 0), beyond, np.maximum(beyond - 1, 0))))
