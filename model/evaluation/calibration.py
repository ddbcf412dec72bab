"""Whether the probabilities of a score are true; weighted, for the bootstrap."""

from typing import NamedTuple

import numpy as np

from model.arrays import Booleans, Floats, Integers
from model.certification.bounds import exact_interval
from model.kernels import log_kernel

GROUPS = 10
_STEPS = 50
_CLOSE = 1e-9


class Calibration(NamedTuple):
    """Brier score, mean calibration error over groups, and slope and intercept of a recalibration."""

    brier: float
    error: float
    slope: float
    intercept: float


def quantile_groups(likelihood: Floats) -> Integers:
    """Assign calls to `GROUPS` groups of about equal size by their likelihood; equal ones stay together.

    Examples
    --------
    >>> quantile_groups(np.arange(20) / 20.0).tolist()[::2]
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    edges = np.quantile(likelihood, np.arange(1, GROUPS) / GROUPS) if len(likelihood) else np.zeros(0)
    return np.searchsorted(np.unique(edges), likelihood, side="right").astype(np.int64)


def measure_calibration(
    log_odds: Floats,
    likelihood: Floats,
    genuine: Booleans,
    groups: Integers,
    weights: Floats | None = None,
    start: tuple[float, float] = (0.0, 0.0),
) -> Calibration:
    """Measure how true probabilities of not genuine are.

    Parameters
    ----------
    log_odds, likelihood : float64 (n,)
    genuine : bool (n,)
    groups : int64 (n,)
        From `quantile_groups`.
    weights : float64 (n,), optional
    start : tuple of float
        Slope and intercept to search from.

    Returns
    -------
    Calibration
        NaN without calls; slope and intercept are NaN when the two kinds are separated or one lacks (Cox 1958,
        Two further applications of a model for binary regression).
    """
    weight = np.ones(len(genuine)) if weights is None else weights
    total = weight.sum()
    if total == 0.0:
        return Calibration(np.nan, np.nan, np.nan, np.nan)
    outcome = (~genuine).astype(np.float64)
    gap = np.bincount(groups, weights=weight * (likelihood - outcome))
    slope, intercept = _recalibrated(log_odds, outcome, weight, *start)
    return Calibration(
        float(weight @ (likelihood - outcome) ** 2 / total), float(np.abs(gap).sum() / total), slope, intercept
    )


@log_kernel
def _recalibrated(x: Floats, y: Floats, weights: Floats, slope: float, intercept: float) -> tuple[float, float]:
    """Fit y on x by logistic regression: Newton's method in two unknowns."""
    for _ in range(_STEPS):
        first, second, a, b, c = 0.0, 0.0, 0.0, 0.0, 0.0
        for i in range(len(x)):
            p = 1.0 / (1.0 + np.exp(-(slope * x[i] + intercept)))
            away, bend = weights[i] * (y[i] - p), weights[i] * p * (1.0 - p)
            first += away * x[i]
            second += away
            a += bend * x[i] * x[i]
            b += bend * x[i]
            c += bend
        determinant = a * c - b * b
        if not determinant > _CLOSE * a * c:
            return np.nan, np.nan
        by_slope = (c * first - b * second) / determinant
        by_intercept = (a * second - b * first) / determinant
        slope, intercept = slope + by_slope, intercept + by_intercept
        if not (abs(slope) < 1e3 and abs(intercept) < 1e3):
            return np.nan, np.nan
        if abs(by_slope) + abs(by_intercept) < _CLOSE:
            return slope, intercept
    return np.nan, np.nan


def reliability(likelihood: Floats, genuine: Booleans, groups: Integers) -> list[dict[str, float]]:
    """Return predicted and observed share of not genuine by group, with exact binomial intervals."""
    rows = []
    for group in np.unique(groups).tolist():
        here = groups == group
        seen = int(here.sum())
        low, high = exact_interval(int((~genuine[here]).sum()), seen)
        rows.append(
            {
                "calls": seen,
                "predicted": float(likelihood[here].mean()),
                "observed": float((~genuine[here]).mean()),
                "observed_low": low,
                "observed_high": high,
            }
        )
    return rows
