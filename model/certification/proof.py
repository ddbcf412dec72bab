"""The proving: from calls that nothing was fitted on to a certificate."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.arrays import Booleans, Floats, Integers
from model.certification.bounds import DeltaShares, best_alpha, callers_needed, order_statistic_rank, split_delta
from model.certification.certificate import LIFE, Certificate, FlagProof, StageProof
from model.certification.deferral_proof import Group, Load, prove_groups
from model.certification.units import keyed_order, one_call_per_unit
from model.policy.guardrails import GUARDRAIL_NAMES


class StageCalls(NamedTuple):
    """The certified calls as one stage sees them; arrays of one length n, in any order.

    Parameters
    ----------
    score
        Finite; after the guardrails, so that a call which can never be flagged has the lowest score.
    defer_factor
        In [0, 1]; after the guardrails.
    held
        Bit i is set where guardrail i holds.
    genuine
        Whether the call was closed as genuine (or duplicate) and counts for a proof (`units.is_repeat`).
    handling_s
        Operator's time, 0 or more; NaN counts as 0.
    callers
        Codes from 0; -1 = no number: each such call is a caller of its own.
    units
        Codes from 0 of what counts once among genuine calls: the incident, else the caller; -1: the call by itself.
    """

    score: Floats
    defer_factor: Floats
    held: Integers
    genuine: Booleans
    handling_s: Floats
    callers: Integers
    units: Integers
    call_ids: Sequence[str]


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


def certify(
    stages: Mapping[str, StageCalls],
    *,
    alpha: float,
    delta: float,
    key: bytes,
    issued_at: datetime,
    fingerprint: str,
    base_rate: float,
    caps: Sequence[float] = (0.0,) * len(GUARDRAIL_NAMES),
) -> Certificate:
    """Certify each stage that acts, on calls later than everything that was fitted.

    Parameters
    ----------
    stages
        For each stage that acts ("ring", "opening") its calls. Without genuine calls the certificate allows nothing.
    alpha, delta
        Fixed before the calls are looked at. delta is shared by `split_delta`.
    key
        Of the hash that chooses one call for each genuine unit (`one_call_per_unit`).
    issued_at
        Aware; the certificate expires 180 days later.
    fingerprint, base_rate
        As in `Certificate`.
    caps
        Of each guardrail in the policy; a group of callers whose cap is 0 or NaN needs no proof.
    """
    shares = split_delta(delta, len(stages))
    proofs = tuple(_prove_stage(name, calls, alpha, shares, key, caps) for name, calls in stages.items())
    return Certificate(fingerprint, issued_at, issued_at + LIFE, float(base_rate), delta, "model", proofs)


def _prove_stage(
    name: str, calls: StageCalls, alpha: float, shares: DeltaShares, key: bytes, caps: Sequence[float]
) -> StageProof:
    genuine = np.flatnonzero(calls.genuine)
    order = keyed_order([calls.call_ids[i] for i in genuine.tolist()], key)
    held = calls.held[genuine]

    def one_of_each(mine: Booleans) -> NDArray[np.intp]:
        return genuine[mine][one_call_per_unit(calls.units[genuine[mine]], order[mine])]

    chosen = one_of_each(np.ones(len(genuine), dtype=np.bool_))
    groups = [
        Group(rail, cap, one_of_each((held >> place & 1).astype(np.bool_)))
        for place, (rail, cap) in enumerate(zip(GUARDRAIL_NAMES, caps, strict=True))
        if cap > 0.0
    ]
    deferral = prove_groups(
        chosen,
        groups,
        calls.defer_factor,
        calls.held,
        Load(calls.handling_s, calls.callers),
        shares.genuine,
        shares.load,
    )
    return StageProof(name, prove_flag(calls.score[chosen], alpha, shares.flag), deferral)
