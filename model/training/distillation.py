"""Distils a calibrated boosting without interactions into a scorecard: the same function, written as sums."""

import numpy as np
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier

from model.arrays import Floats
from model.scorecard.features import NAMES, WIDTHS
from model.scorecard.scorecard import Scorecard, Steps


def distil(estimator: CalibratedClassifierCV, rows: Floats, stage: str) -> Scorecard:
    """Write a calibrated boosting as step functions, centred on the mean of `rows`.

    Parameters
    ----------
    estimator : CalibratedClassifierCV
        Platt's calibration of a HistGradientBoostingClassifier whose trees use one feature each.
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
    boosting: HistGradientBoostingClassifier = estimator.estimator.estimator
    trees: list[list[NDArray[np.void]]] = [[] for _ in range(WIDTHS[stage])]
    raw = float(np.ravel(boosting._baseline_prediction)[0])
    for (tree,) in boosting._predictors:
        used = np.unique(tree.nodes["feature_idx"][tree.nodes["is_leaf"] == 0])
        if len(used) > 1:
            raise ValueError(f"stage {stage}: a tree uses features {used.tolist()}, expected one")
        if len(used) == 0:
            raw += float(tree.nodes["value"][0])
        else:
            trees[used[0]].append(tree.nodes)

    intercept = slope * raw + offset
    steps = []
    for place, mine in enumerate(trees):
        edges, values, missing = _steps(mine)
        column = rows[:, place]
        known = column[~np.isnan(column)]
        counts = np.bincount(np.searchsorted(edges, known), minlength=len(values))
        shares = np.append(counts, len(column) - len(known)) / max(1, len(column))
        contributions = slope * np.append(values, missing)
        mean = float(shares @ contributions)
        intercept += mean
        contributions -= mean
        steps.append(Steps(NAMES[place], edges, contributions[:-1], float(contributions[-1]), shares))
    return Scorecard(stage, intercept, steps)


def platt_parameters(estimator: CalibratedClassifierCV) -> tuple[float, float]:
    """Return slope and offset of the calibration: log-odds = slope * decision function + offset."""
    (calibrated,) = estimator.calibrated_classifiers_
    (sigmoid,) = calibrated.calibrators
    return -float(sigmoid.a_), -float(sigmoid.b_)


def _steps(trees: list[NDArray[np.void]]) -> tuple[Floats, Floats, float]:
    """Sum trees over one feature into edges (k,), values (k + 1,) and the value of a missing feature."""
    cuts = [nodes["num_threshold"][nodes["is_leaf"] == 0] for nodes in trees]
    edges = np.unique(np.concatenate([np.empty(0), *cuts]))
    edges = edges[np.isfinite(edges)]  # a cut at infinity parts only the missing from the known
    values = np.zeros(len(edges) + 1)
    missing = 0.0
    at_edges = np.append(edges, np.inf)  # the upper end of each step stands for the step
    for nodes in trees:
        values += _predict(nodes, at_edges)
        missing += float(_predict(nodes, np.array([np.nan]))[0])
    step = np.append(np.diff(values) != 0.0, True)  # neighbours of one value are one step
    return edges[step[:-1]], values[step], missing


def _predict(nodes: NDArray[np.void], values: Floats) -> Floats:
    at = np.zeros(len(values), dtype=np.int64)
    while not (done := nodes["is_leaf"][at].astype(bool)).all():
        left = np.where(np.isnan(values), nodes["missing_go_to_left"][at] == 1, values <= nodes["num_threshold"][at])
        at = np.where(done, at, np.where(left, nodes["left"][at], nodes["right"][at]))
    return nodes["value"][at].astype(np.float64)
