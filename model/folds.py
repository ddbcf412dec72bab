"""Folds of a small centre pooled into one threshold: it certifies the procedure, not the model."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.bounds import exact_interval
from model.certificate import FlagProof
from model.proof import one_call_per_caller, prove_flag


class Fold(NamedTuple):
    """The held-out calls of one fold, scored by that fold's model; arrays of one length.

    Parameters
    ----------
    log_odds
        Finite; after the guardrails.
    genuine
        Whether the call was closed as genuine (or duplicate).
    callers
        A code for each caller, the same in every fold; -1 = no number.
    call_ids
        n strings.
    """

    log_odds: NDArray[np.float64]
    genuine: NDArray[np.bool_]
    callers: NDArray[np.int64]
    call_ids: Sequence[str]


class BackTest(NamedTuple):
    """Genuine callers flagged in later calls: how many of how many, and the exact 95 % interval of the share."""

    flagged: int
    genuine_callers: int
    interval: tuple[float, float]


def genuine_median(fold: Fold, key: bytes) -> float:
    """Median log-odds of a fold's genuine callers, one call each; NaN without any."""
    log_odds = fold.log_odds[_one_genuine_call_each(fold, key)]
    return float(np.median(log_odds)) if len(log_odds) else float("nan")


def pool_folds(folds: Sequence[Fold], alpha: float, delta: float, key: bytes) -> FlagProof:
    """Prove a threshold for log-odds above the genuine median, from all folds together.

    Each fold has its own model, and models trained on different shares of prank calls put genuine callers at
    different log-odds; raw scores of several models are therefore not one sample, and a threshold from them
    breaks its promise. With each fold's own genuine median taken away they are nearly one. Nearly: the median
    is itself estimated, and the model that will be served is none of the folds'. In simulation alpha is kept on
    average, whatever the prank share does, but exceeded more often than delta (docs/proofs.md). So what comes
    out is a certificate of the procedure (`Certificate.subject` = "procedure"), to be shown with `back_test`.

    Parameters
    ----------
    folds
        Any number; a caller counts once over all of them, in the fold that holds the chosen call. Folds without
        genuine callers add nothing.
    alpha, delta, key
        As in `model.proof.certify`.

    Returns
    -------
    A FlagProof whose threshold is an offset: flag iff log-odds - genuine median of the served model > threshold.

    Examples
    --------
    >>> import numpy as np
    >>> calls = np.arange(60)
    >>> fold = Fold(calls / 10.0, np.ones(60, dtype=bool), calls, [str(i) for i in calls])
    >>> shifted = fold._replace(log_odds=fold.log_odds + 3.0, callers=calls + 60)
    >>> pool_folds([fold, shifted], 0.05, 0.05, b"key").rank
    119
    """
    above, callers = [], []
    call_ids: list[str] = []
    for fold in folds:
        chosen = _one_genuine_call_each(fold, key)
        above.append(fold.log_odds[chosen] - genuine_median(fold, key))
        callers.append(fold.callers[chosen])
        call_ids.extend(fold.call_ids[i] for i in chosen.tolist())
    pooled = np.concatenate([np.empty(0), *above])
    chosen = one_call_per_caller(np.concatenate([np.empty(0, dtype=np.int64), *callers]), call_ids, key)
    return prove_flag(pooled[chosen], alpha, delta)


def back_test(proof: FlagProof, served_median: float, later: Fold, key: bytes) -> BackTest:
    """Count the genuine callers whom the pooled threshold flags in calls later than every fold.

    Parameters
    ----------
    proof
        From `pool_folds`; without threshold nobody is flagged.
    served_median
        `genuine_median` of the served model, on calls that are neither its training calls nor in `later`.
    later
        Later calls, scored by the served model.
    """
    log_odds = later.log_odds[_one_genuine_call_each(later, key)]
    flagged = 0 if proof.threshold is None else int(np.sum(log_odds - served_median > proof.threshold))
    return BackTest(flagged, len(log_odds), exact_interval(flagged, len(log_odds)))


def _one_genuine_call_each(fold: Fold, key: bytes) -> NDArray[np.intp]:
    genuine = np.flatnonzero(fold.genuine)
    call_ids = [fold.call_ids[i] for i in genuine.tolist()]
    return genuine[one_call_per_caller(fold.callers[genuine], call_ids, key)]
