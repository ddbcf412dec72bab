"""How good scores are: how well they put genuine calls first, and the baselines beside them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from model.arrays import Booleans, Floats, Integers
from model.certification.bootstrap import bootstrap_weights, caller_index, percentile_interval
from model.evaluation.calibration import Calibration, measure_calibration, quantile_groups, reliability
from model.kernels import log_kernel

#: What is measured of a scorecard, in the order of `auc_and_precision` and of `Calibration`.
MEASURES = (
    "auc", "average_precision_genuine", "brier", "calibration_error", "calibration_slope", "calibration_intercept",
)  # fmt: skip


class RankedCalls(NamedTuple):
    """Calls by score, lowest first; `ends` are the ends (not included) of runs of equal scores."""

    order: Integers
    genuine: Booleans
    ends: Integers


def rank_calls(genuine: Booleans, score: Floats) -> RankedCalls:
    """Sort calls by score once, so that every resample can be measured without sorting again."""
    order = np.argsort(score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])) + 1, len(order))
    return RankedCalls(order, genuine[order], ends)


def auc_and_precision(calls: RankedCalls, weights: Floats | None = None) -> tuple[float, float]:
    """Return AUC, and the average precision of genuine calls when the lowest scores come first.

    Parameters
    ----------
    weights : float64 (n,), optional
        In the order of the log; 1 by default.

    Returns
    -------
    auc : float
        The chance that a call closed as not genuine scores higher than a genuine one, ties counting half. NaN when one
        kind lacks.
    average_precision : float
        As scikit-learn's average_precision_score of the genuine calls. NaN without any.

    Examples
    --------
    >>> calls = rank_calls(np.array([True, False, False]), np.array([0.2, 0.1, 0.9]))
    >>> auc_and_precision(calls)
    (0.5, 0.5)
    """
    ordered = np.ones(len(calls.order)) if weights is None else weights[calls.order]
    auc, precision = _walk(calls.genuine, calls.ends, ordered)
    return auc, precision


@log_kernel
def _walk(genuine: Booleans, ends: Integers, weights: Floats) -> tuple[float, float]:
    below, pairs, precision, seen = 0.0, 0.0, 0.0, 0.0
    start = 0
    for end in ends:
        mine, others = 0.0, 0.0
        for call in range(start, end):
            if genuine[call]:
                mine += weights[call]
            else:
                others += weights[call]
        pairs += others * (below + 0.5 * mine)
        below += mine
        seen += mine + others
        if mine > 0.0:
            precision += mine * below / seen
        start = end
    other = seen - below
    auc = pairs / (below * other) if below > 0.0 and other > 0.0 else np.nan
    return auc, precision / below if below > 0.0 else np.nan


def evaluate_ranking(
    genuine: Booleans,
    log_odds: Floats,
    likelihood: Floats,
    yardsticks: Mapping[str, Floats],
    callers: Integers,
    resamples: int,
) -> tuple[dict[str, Any], dict[str, dict[str, float]]]:
    """Measure the scores of one stage and the baselines' on the same calls and the same resamples of callers.

    Parameters
    ----------
    genuine : bool (n,)
    log_odds, likelihood : float64 (n,)
        The scorecard's, of not genuine.
    yardsticks : mapping of str to float64 (n,)
        Scores, higher for less genuine.
    callers : int64 (n,)
        -1 without a number.

    Returns
    -------
    scorecard, yardsticks : dict
        As docs/metrics.md names them; NaN where something cannot be measured.
    """
    groups = quantile_groups(likelihood)
    mine = rank_calls(genuine, log_odds)
    others = {name: rank_calls(genuine, score) for name, score in yardsticks.items()}
    whole = measure_calibration(log_odds, likelihood, genuine, groups)
    start = (whole.slope, whole.intercept) if np.isfinite(whole.slope) else (0.0, 0.0)
    drawn_ranks: dict[str, list[tuple[float, float]]] = {"": [], **{name: [] for name in others}}
    drawn_truth: list[Calibration] = []
    unit, count = caller_index(callers)
    for by_caller in bootstrap_weights(count, resamples, seed=0):
        weights = by_caller[unit]
        drawn_ranks[""].append(auc_and_precision(mine, weights))
        drawn_truth.append(measure_calibration(log_odds, likelihood, genuine, groups, weights, start))
        for name, calls in others.items():
            drawn_ranks[name].append(auc_and_precision(calls, weights))
    ranks = np.array(drawn_ranks[""]).reshape(-1, 2)
    truth = np.array(drawn_truth).reshape(-1, len(Calibration._fields))
    base = float(genuine.mean()) if len(genuine) else np.nan
    constant = base * (1.0 - base)
    own = auc_and_precision(mine)
    scorecard = {
        "base_rate_genuine": base,
        "brier_skill": 1.0 - whole.brier / constant if constant > 0.0 else np.nan,
        "reliability": reliability(likelihood, genuine, groups),
    }
    for name, value, resampled in zip(MEASURES, (*own, *whole), (*ranks.T, *truth.T), strict=True):
        scorecard |= percentile_interval(value, resampled).named(name)
    beside = {}
    for name, calls in others.items():
        theirs, drawn = auc_and_precision(calls), np.array(drawn_ranks[name]).reshape(-1, 2)
        beside[name] = {
            **percentile_interval(theirs[0], drawn[:, 0]).named("auc"),
            **percentile_interval(theirs[1], drawn[:, 1]).named("average_precision_genuine"),
        }
        above, drawn_above = np.subtract(theirs, own), drawn - ranks
        for place, measure in enumerate(("auc", "average_precision")):
            interval = percentile_interval(float(above[place]), drawn_above[:, place])
            beside[name] |= interval.named(f"{measure}_above_scorecard")
    return scorecard, beside
