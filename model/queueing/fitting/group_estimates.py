"""Means of groups of few callers, drawn towards the mean of all: what a group's own data say, as far as they say it."""

import numpy as np

from model.arrays import Floats

#: The name of the group of all.
EVERYBODY = "all"
#: Groups are taken to differ by at least so much (standard deviation, of whatever their means are measured in).
LEAST_SPREAD = 0.01
#: Of the standard normal: a one-sided bound that holds three times in four. With 95 % the groups of a small centre
#: forbid nearly everything, and on later calls hardly more of them are shown to lose by this one (docs/queueing.md).
Z = 0.674


def drawn_together(means: Floats, errors: Floats, everybody: float) -> tuple[Floats, Floats]:
    """Return the means of groups and their standard errors, both drawn towards the mean of all.

    By empirical Bayes: groups are taken to lie around the mean of all with a variance that is what their means spread
    beyond their own errors (method of moments; Efron and Morris 1975). A group of many callers keeps its mean; one of
    few is believed to be like the others, as far as the others are like each other.

    Parameters
    ----------
    means, errors : float64 (groups,)
    everybody : float
        The mean of all genuine callers.

    Examples
    --------
    >>> means, errors = drawn_together(np.array([0.5, 0.9, 0.9]), np.array([0.02, 0.02, 0.4]), 0.5)
    >>> means.round(2).tolist(), errors.round(2).tolist()
    ([0.5, 0.9, 0.6], [0.02, 0.02, 0.2])
    """
    known = errors > 0.0
    spread = float(np.mean(((means - everybody) ** 2 - errors**2)[known])) if known.any() else 0.0
    spread = max(LEAST_SPREAD**2, spread)
    own = spread / (spread + errors**2)
    return everybody + own * (means - everybody), np.sqrt(own) * errors
