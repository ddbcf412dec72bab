"""Distils a calibrated boosting and its pairs into a scorecard: the same function, written as sums."""

from dataclasses import replace

import numpy as np
from sklearn.calibration import CalibratedClassifierCV

from model.arrays import Floats
from model.boosting.step_functions import platt_parameters, step_functions
from model.scorecard.features import NAMES
from model.scorecard.scorecard import Scorecard, Steps


def distil(estimator: CalibratedClassifierCV, rows: Floats, stage: str) -> Scorecard:
    """Write a calibrated boosting as step functions, centred on the mean of `rows`.

    Parameters
    ----------
    estimator : CalibratedClassifierCV
        Platt's calibration of what `fit_stage` gives, with its pairs (`boosting.Paired`).
    rows : float64 (n, d)
        The training rows: each contribution is 0 on their mean.

    Returns
    -------
    Scorecard
        Equal to the estimator's log-odds of class 1, up to the rounding of the sums.

    Raises
    ------
    ValueError
        When a tree uses two features, or the calibration would turn the order round.
    """
    slope, offset = platt_parameters(estimator)
    if not slope > 0.0:
        raise ValueError(f"stage {stage}: a calibration slope of {slope:.3g}, expected more than 0: the calls used for "
                         "calibration contradict those used for fitting")  # fmt: skip
    fitted = estimator.estimator.estimator
    raw, functions = step_functions(fitted.boosting)
    intercept = slope * raw + offset
    steps = []
    for place, (edges, values, missing) in enumerate(functions):
        column = rows[:, place]
        known = column[~np.isnan(column)]
        counts = np.bincount(np.searchsorted(edges, known), minlength=len(values))
        shares = np.append(counts, len(column) - len(known)) / max(1, len(column))
        contributions = slope * np.append(values, missing)
        mean = float(shares @ contributions)
        intercept += mean
        contributions -= mean
        steps.append(Steps(NAMES[place], edges, contributions[:-1], float(contributions[-1]), shares))
    pairs = []
    for pair in fitted.pairs:
        shares = np.zeros(pair.shares.shape)
        np.add.at(shares, pair.cells(rows), 1.0 / max(1, len(rows)))
        mean = slope * float((shares * pair.contributions).sum())
        intercept += mean
        pairs.append(replace(pair, contributions=slope * pair.contributions - mean, shares=shares))
    return Scorecard(stage, intercept, steps, pairs)
