"""The proving: from calls that nothing was fitted on to a certificate."""

import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.arrays import Booleans, Floats, Integers
from model.certification.bootstrap import caller_index
from model.certification.bounds import (
    best_alpha,
    callers_needed,
    mean_lower,
    mean_upper,
    order_statistic_rank,
    split_delta,
)
from model.certification.certificate import LIFE, Certificate, DeferralProof, FlagProof, StageProof

# A caller's handling time in the certified calls counts up to one hour. Set before any data: without a
# limit one caller who rings all day decides the mean, and then nothing can be proven about it at all.
CALLER_CAP_S = 3_600.0


class StageCalls(NamedTuple):
    """The certified calls as one stage sees them; arrays of one length n, in any order.

    Parameters
    ----------
    score
        Finite; after the guardrails, so that a call which can never be flagged has the lowest score.
    defer_factor
        In [0, 1]; after the guardrails.
    genuine
        Whether the call was closed as genuine (or duplicate).
    handling_s
        Operator's time, 0 or more; NaN counts as 0.
    callers
        Codes from 0; -1 = no number: each such call is a caller of its own.
    """

    score: Floats
    defer_factor: Floats
    genuine: Booleans
    handling_s: Floats
    callers: Integers
    call_ids: Sequence[str]


def one_call_per_caller(callers: Integers, call_ids: Sequence[str], key: bytes) -> NDArray[np.intp]:
    """Return the positions, rising, of one call for each caller: the one with the lowest keyed hash of call_id.

    The choice knows neither score nor time, and without the key nobody can make a call_id that is chosen; so it is one
    call at random for each caller, and the same one whenever it is asked again.

    Parameters
    ----------
    callers
        Shape (n,), codes from 0; -1 = no number: each such call is a caller of its own.
    key
        Not empty.

    Examples
    --------
    >>> import numpy as np
    >>> one_call_per_caller(np.array([4, 4, 4, -1, -1]), ["a", "b", "c", "d", "e"], b"key").tolist()
    [2, 3, 4]
    """
    if not key:
        raise ValueError("key must not be empty")
    if len(callers) != len(call_ids):
        raise ValueError(f"callers and call_ids must have one length: {len(callers)} and {len(call_ids)}")
    if len(callers) and int(np.min(callers)) < -1:
        raise ValueError(f"caller codes start at -1, not {int(np.min(callers))}")
    digests = b"".join(hmac.digest(key, call_id.encode(), "sha256")[:8] for call_id in call_ids)
    order = np.lexsort((np.frombuffer(digests, dtype=">u8"), callers))
    ordered = callers[order]
    first = np.ones(len(order), dtype=np.bool_)
    first[1:] = (ordered[1:] != ordered[:-1]) | (ordered[1:] == -1)
    return np.sort(order[first])


def prove_flag(scores: Floats, alpha: float, delta: float) -> FlagProof:
    """Find the lowest threshold that is proven to spare genuine callers: P(share flagged > alpha) <= delta.

    Parameters
    ----------
    scores
        Shape (n,), finite; one for each genuine caller. With too few there is no threshold and `missing` says how many
        more are needed.

    Examples
    --------
    >>> import numpy as np
    >>> prove_flag(np.linspace(0, 1, 106), 0.05, 0.05).rank, prove_flag(np.linspace(0, 1, 20), 0.05, 0.05).missing
    (105, 39)
    """
    if not bool(np.isfinite(scores).all()):
        raise ValueError("scores must be finite")
    n = len(scores)
    rank = order_statistic_rank(n, alpha, delta)
    threshold = None if rank is None else float(np.partition(scores, rank - 1)[rank - 1])
    return FlagProof(
        alpha=alpha,
        delta=delta,
        genuine_callers=n,
        rank=rank,
        threshold=threshold,
        missing=0 if rank is not None else callers_needed(alpha, delta) - n,
        observed_share=None if threshold is None else float(np.mean(scores > threshold)),
        best_alpha=best_alpha(n, delta),
    )


def prove_deferral(
    genuine_factors: Floats,
    factors: Floats,
    handling_s: Floats,
    callers: Integers,
    delta_genuine: float,
    delta_load: float,
    caller_cap_s: float = CALLER_CAP_S,
) -> DeferralProof:
    """Prove, or fail to prove, that genuine callers are deferred less than the work they queue with.

    The mean over handling time is a ratio, sum of w x over sum of w, and calls of one caller are alike, so the caller
    is the unit: x is the caller's own mean factor by handling time and w the caller's handling time over
    `caller_cap_s`, at most 1. Callers whose time exceeds the cap count as if they had rung less; what is bounded is
    the mean in which they do. That is the one assumption: it understates the load's mean when the heaviest callers are
    deferred most, and would overstate it in the opposite case, so the bound is also held to the plain mean that was
    seen.

    Parameters
    ----------
    genuine_factors
        Shape (g,), in [0, 1]: one call for each genuine caller.
    factors, handling_s, callers
        Shape (n,): every call that took an operator's time, as in `StageCalls`.
    delta_genuine, delta_load
        Chances that the upper and the lower bound are wrong.
    caller_cap_s
        Above 0.

    Examples
    --------
    >>> import numpy as np
    >>> n = 3000
    >>> proof = prove_deferral(np.zeros(106), np.full(n, 0.4), np.full(n, 60.0), np.arange(n), 0.01, 0.01)
    >>> proof.on, round(proof.genuine_upper, 3), round(proof.load_lower, 3)
    (True, 0.044, 0.346)
    """
    if caller_cap_s <= 0.0:
        raise ValueError(f"caller_cap_s must be above 0, not {caller_cap_s!r}")
    time_s = np.nan_to_num(handling_s, nan=0.0)
    if not bool(np.all((time_s >= 0.0) & np.isfinite(time_s))):
        raise ValueError("handling_s must not be negative or infinite")
    unit, _ = caller_index(callers)
    total_s = np.bincount(unit, weights=time_s)
    deferred_s = np.bincount(unit, weights=time_s * factors)
    heard = total_s > 0.0
    means = np.clip(deferred_s[heard] / total_s[heard], 0.0, 1.0)
    seen = float(deferred_s.sum() / total_s.sum()) if heard.any() else None
    lower = mean_lower(means, delta_load, np.minimum(total_s[heard] / caller_cap_s, 1.0))
    load_lower = lower if seen is None else min(lower, seen)
    genuine_upper = mean_upper(genuine_factors, delta_genuine)
    on = genuine_upper < load_lower
    return DeferralProof(
        delta_genuine=delta_genuine,
        delta_load=delta_load,
        genuine_callers=len(genuine_factors),
        genuine_mean=float(np.mean(genuine_factors)) if len(genuine_factors) else None,
        genuine_upper=genuine_upper,
        load_callers=int(heard.sum()),
        load_mean=seen,
        load_lower=load_lower,
        caller_cap_s=float(caller_cap_s),
        on=on,
        reason="proven" if on else "not_proven" if len(genuine_factors) else "no_genuine_callers",
    )


def certify(
    stages: Mapping[str, StageCalls],
    *,
    alpha: float,
    delta: float,
    key: bytes,
    issued_at: datetime,
    fingerprint: str,
    base_rate: float,
) -> Certificate:
    """Certify each stage that acts, on calls later than everything that was fitted.

    Parameters
    ----------
    stages
        For each stage that acts ("ring", "opening") its calls. Without genuine calls the certificate allows nothing.
    alpha, delta
        Fixed before the calls are looked at. delta is shared by `split_delta`.
    key
        Of the hash that chooses one call for each genuine caller (`one_call_per_caller`).
    issued_at
        Aware; the certificate expires 180 days later.
    fingerprint, base_rate
        As in `Certificate`.
    """
    shares = split_delta(delta, len(stages))
    proofs = []
    for name, calls in stages.items():
        genuine = np.flatnonzero(calls.genuine)
        call_ids = [calls.call_ids[i] for i in genuine.tolist()]
        chosen = genuine[one_call_per_caller(calls.callers[genuine], call_ids, key)]
        flag = prove_flag(calls.score[chosen], alpha, shares.flag)
        of_load = (calls.defer_factor, calls.handling_s, calls.callers)
        deferral = prove_deferral(calls.defer_factor[chosen], *of_load, shares.genuine, shares.load)
        proofs.append(StageProof(name, flag, deferral))
    return Certificate(fingerprint, issued_at, issued_at + LIFE, float(base_rate), delta, "model", tuple(proofs))
