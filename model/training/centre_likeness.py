"""Fits what a score says to a person on held-out calls: the tables of `model.policy.likeness`."""

import numpy as np
from sklearn.isotonic import IsotonicRegression

from model.arrays import Booleans, Floats, Integers
from model.certification.bootstrap import caller_index
from model.policy.likeness import ONE_IN, Likeness

#: With fewer genuine calls nothing is said: they could not tell one in twenty from none.
LEAST_GENUINE = 20
#: Each step of `one_in` rests on so many genuine calls: their number is then right to within a factor of two.
GENUINE_OF_STEP = 10
#: So many scores stand in a table at most; between them a share is rounded up, by 5 % at most with 20,000 callers.
MOST_SCORES = 200


def fit_likeness(score: Floats, genuine: Booleans, units: Integers) -> Likeness | None:
    """Fit the two tables of a stage.

    Parameters
    ----------
    score : float64 (n,), 0 to 1
        Guarded scores, as the release would serve them, of calls later than those that the model was fitted on.
    genuine : bool (n,)
    units : int64 (n,)
        What counts once, however many calls it made: callers, or incidents; -1: the call is one of its own.

    Returns
    -------
    Likeness or None
        None with fewer than `LEAST_GENUINE` genuine calls.

    Notes
    -----
    `genuine_like` is a conformal p-value (Vovk, Gammerman and Shafer 2005, Algorithmic learning in a random world,
    chapter 2; Bates, Candès, Lei, Romano and Sesia 2023, Testing for outliers with conformal p-values, Annals of
    Statistics 51): one more than the genuine callers who score at least as much, over one more than all of them. If
    later genuine callers are like these, at most a share t of them has a `genuine_like` of at most t, for every t and
    whatever the score is worth. A caller of several calls counts once, each of these for its part (Lee, Barber and
    Willett 2023, Distribution-free inference with hierarchical data). Equal scores count as at least as much.

    `one_in` is the number of calls for each genuine one, in groups of neighbouring scores with `GENUINE_OF_STEP`
    genuine calls each, made monotone (pool adjacent violators), and told as the nearest of `ONE_IN` by ratio. The
    groups are made before, not by, the regression, which would else find steepness that later calls do not show.

    Examples
    --------
    >>> score = np.arange(100) / 100
    >>> fitted = fit_likeness(score, score < 0.2, np.full(100, -1))
    >>> round(fitted.genuine_like(0.1), 3), fitted.one_in(0.05), fitted.one_in(0.9)
    (0.524, 3, 10)
    """
    if int(genuine.sum()) < LEAST_GENUINE:
        return None
    return Likeness(*_shares(score[genuine], units[genuine]), *_steps(score, genuine))


def _shares(score: Floats, units: Integers) -> tuple[tuple[float, ...], tuple[float, ...]]:
    unit, count = caller_index(units)
    distinct, place = np.unique(score, return_inverse=True)
    part = np.bincount(place, weights=1.0 / np.bincount(unit)[unit])
    at_least = np.append(np.cumsum(part[::-1])[::-1], 0.0)
    shares = np.minimum((1.0 + at_least) / (count + 1.0), 1.0)
    if len(distinct) > MOST_SCORES:
        level = np.floor(np.log(shares) / np.log(shares[-1]) * (MOST_SCORES - 1))
        kept = np.flatnonzero(np.diff(level))
        distinct, shares = distinct[kept], np.append(shares[0], shares[kept + 1])
    return tuple(distinct.tolist()), tuple(shares.tolist())


def _steps(score: Floats, genuine: Booleans) -> tuple[tuple[float, ...], tuple[int, ...]]:
    distinct, place = np.unique(score, return_inverse=True)
    calls, hits = np.cumsum(np.bincount(place)), np.cumsum(np.bincount(place, weights=genuine))
    ends = [-1]  # of each group its last score; what is left over belongs to the last group
    while hits[-1] - (hits[ends[-1]] if len(ends) > 1 else 0) >= GENUINE_OF_STEP:
        ends.append(int(np.searchsorted(hits, (hits[ends[-1]] if len(ends) > 1 else 0) + GENUINE_OF_STEP)))
    ends[-1] = len(distinct) - 1
    n, k = (np.diff(total[ends[1:]], prepend=0) for total in (calls, hits))
    share = IsotonicRegression(increasing=False).fit_transform(np.arange(len(n)), k / n, sample_weight=n)
    step = np.abs(np.log(share)[:, None] + np.log(ONE_IN)).argmin(axis=1)
    new = np.flatnonzero(np.diff(step)) + 1
    starts = distinct[np.array(ends)[:-1] + 1]
    return tuple(starts[new].tolist()), tuple(ONE_IN[place] for place in step[np.append(0, new)])
