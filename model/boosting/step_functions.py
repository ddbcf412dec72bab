"""Reads a fitted boosting and its calibration: what each feature adds, as steps, and Platt's two parameters."""

import numpy as np
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.pipeline import Pipeline

from model.arrays import Floats, Integers


def step_functions(fitted: Pipeline) -> tuple[float, list[tuple[Floats, Floats, float]]]:
    """Return what a boosting of columns says: a constant, and each feature's edges, values and value when missing."""
    take, clip, boosting = (step for _, step in fitted.steps)
    columns, lows, highs = take.kw_args["indices"], clip.kw_args["a_min"], clip.kw_args["a_max"]
    trees: list[list[NDArray[np.void]]] = [[] for _ in range(fitted.n_features_in_)]
    raw = float(np.ravel(boosting._baseline_prediction)[0])
    for (tree,) in boosting._predictors:
        used = np.unique(columns[tree.nodes["feature_idx"][tree.nodes["is_leaf"] == 0]])
        if len(used) > 1:
            raise ValueError(f"a tree uses features {used.tolist()}, expected one")
        if len(used) == 0:
            raw += float(tree.nodes["value"][0])
        else:
            trees[used[0]].append(tree.nodes)
    return raw, [_steps(mine, lows, highs) for mine in trees]


def platt_parameters(estimator: CalibratedClassifierCV) -> tuple[float, float]:
    """Return slope and offset of the calibration: log-odds = slope * decision function + offset."""
    (calibrated,) = estimator.calibrated_classifiers_
    (sigmoid,) = calibrated.calibrators
    return -float(sigmoid.a_), -float(sigmoid.b_)


def _steps(trees: list[NDArray[np.void]], lows: Floats, highs: Floats) -> tuple[Floats, Floats, float]:
    """Sum trees over the columns of one feature into edges (k,), values (k + 1,) and the value of a missing feature."""
    cuts = [nodes["num_threshold"][nodes["is_leaf"] == 0] for nodes in trees]
    edges = np.unique(np.concatenate([np.empty(0), *cuts]))
    edges = edges[np.isfinite(edges)]  # a cut at infinity parts only the missing from the known
    at_edges = np.append(edges, [np.inf, np.nan])  # the upper end of each step stands for the step
    values = np.zeros(len(at_edges))
    columns = np.clip(at_edges, lows[:, np.newaxis], highs[:, np.newaxis])
    for nodes in trees:
        values += _predict(nodes, columns)
    step = np.append(np.diff(values[:-1]) != 0.0, True)  # neighbours of one value are one step
    return edges[step[:-1]], values[:-1][step], float(values[-1])


def _predict(nodes: NDArray[np.void], columns: Floats) -> Floats:
    """Return what a tree says of points, given as each column sees them: float64 (columns, points)."""
    points = np.arange(columns.shape[1])
    at: Integers = np.zeros(len(points), dtype=np.int64)
    while not (done := nodes["is_leaf"][at].astype(bool)).all():
        values = columns[nodes["feature_idx"][at], points]
        left = np.where(np.isnan(values), nodes["missing_go_to_left"][at] == 1, values <= nodes["num_threshold"][at])
        at = np.where(done, at, np.where(left, nodes["left"][at], nodes["right"][at]))
    return nodes["value"][at].astype(np.float64)
