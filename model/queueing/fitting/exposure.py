"""How much each group of genuine callers gives way, against the work as a whole: what a replay shows, without one.

In a busy queue a call that gives way for d seconds waits about d - D longer than first come, first served, where D is
what work gives way on average (each call's d weighted by its handling time): all work with a key below the call's own
goes first, and that is what had arrived d - D after it. With d = factor (kappa E~ + base_s) and E~ about the wait W,

    wait of a call        W (1 + kappa (factor - mean factor of work))         never below 0
    longest wait          W (1 + kappa s (1 - mean u))                         u = min(cap, h), factor = s u
    mean wait of a group  longer than W if its mean u is above that of work

So whether a group loses does not depend on how strong the deferral is, only on its shape and caps, and gains are in
proportion to kappa s. On the made-up cities this says how much of the gap a replay closes to 0.05, a thousand times as
fast. It knows nothing of when calls come: a replay has the last word (`model.queueing.fitting.policy_search`).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from model.arrays import Floats
from model.policy.deferral_curve import CurveShape
from model.policy.guardrails import lowest_cap
from model.queueing.fitting.group_estimates import EVERYBODY, Z, drawn_together

if TYPE_CHECKING:
    from model.queueing.fitting.held_out_calls import HeldOutCalls

#: Calls are counted in so many classes of work below them, times the sets of guardrails that hold: what a look costs
#: does not grow with the log.
CLASSES = 500


class Shares(NamedTuple):
    """What a shape and caps do.

    Parameters
    ----------
    work : float
        Mean u of the work.
    gain : float
        How much less genuine callers give way than work does, at a strength (kappa s (1 - mean u)) of 1, as a share of
        the mean wait: the share of the gap to a perfect order that is closed.
    upper : float64 (groups,)
        The upper end of the mean u of each group, as a share of that of work: above 1 the group may lose.
    """

    work: float
    gain: float
    upper: Floats


class Exposure:
    """Held-out calls, counted so that many shapes and caps can be looked at.

    Examples
    --------
    Genuine calls of the group "all" score lowest, so they give way least:

    >>> from model.queueing.fitting.held_out_calls import HeldOutCalls
    >>> n = 1000
    >>> calls = HeldOutCalls(np.arange(n), np.ones(n), np.arange(n) < 200, np.full(n, -1), np.arange(n) / n,
    ...                      np.zeros(n, np.int64), {})
    >>> shares = Exposure(calls).of(CurveShape(0.45, 0.1, 0.5, 0.45), (1.0,))
    >>> round(shares.work, 2), round(shares.gain, 2), shares.upper.tolist()
    (0.5, 1.0, [0.0, 0.0])
    """

    def __init__(self, calls: "HeldOutCalls") -> None:
        below, rarer = calls.scores.ranks()
        which = np.unique(np.floor(below * CLASSES).astype(np.int64), return_inverse=True)[1]
        count = np.bincount(which)
        self._below, self._rarer = np.bincount(which, below) / count, np.bincount(which, rarer) / count
        patterns, pattern = np.unique(calls.held, return_inverse=True)
        cells, cell = np.unique(which * len(patterns) + pattern, return_inverse=True)
        self._class, self._pattern, self._patterns = cells // len(patterns), cells % len(patterns), patterns
        self._work = np.bincount(cell, calls.handling_s) / calls.handling_s.sum()
        self.groups = tuple(calls.groups)
        everyone = self.groups.index(EVERYBODY)
        sizes = np.array([len(rows) for rows in calls.groups.values()])
        counts = np.array([np.bincount(cell[rows], minlength=len(cells)) for rows in calls.groups.values()])
        self._groups = sparse.csr_array(counts / sizes[:, None])
        clusters = [_clustering(below[rows], calls.caller_codes[rows]) for rows in calls.groups.values()]
        self._of_one, self._everybody = np.array(clusters) / sizes, everyone

    def of(self, shape: CurveShape, caps: Sequence[float]) -> Shares:
        """Return what a shape and caps do; NaN in a cap switches its guardrail off."""
        h = shape.h(self._below, self._rarer)[self._class]
        u = np.minimum(h, lowest_cap(self._patterns, caps)[self._pattern])
        work = float((u * self._work).sum())
        if work < 1e-6:
            return Shares(0.0, 0.0, np.zeros(len(self.groups)))
        means = self._groups @ u
        errors = np.sqrt(np.maximum(self._groups @ (u * u) - means**2, 0.0) * self._of_one)
        genuine = float(means[self._everybody])
        centre, error = drawn_together(means / work, errors / work, genuine / work)
        return Shares(work, (work - genuine) * min(1.0 / (1.0 - work), 1.0 / work), centre + Z * error)


def _clustering(rank: Floats, callers: NDArray[np.intp]) -> float:
    """Return how many times larger the variance of a mean is because callers ring more than once, at least 1."""
    apart = rank - rank.mean()
    alone = float((apart**2).sum())
    return max(1.0, float((np.bincount(callers, apart) ** 2).sum()) / alone) if alone > 0.0 else 1.0
