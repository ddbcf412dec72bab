"""The proof of deferral: genuine callers, and each guarded group of them, are deferred less than the work they meet."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.arrays import Floats, Integers
from model.certification.bootstrap import caller_index
from model.certification.bounds import mean_lower, mean_upper
from model.certification.certificate import DeferralProof, GroupProof
from model.policy.guardrails import GUARDRAIL_NAMES, GUARDRAILS

# A caller's handling time in the certified calls counts up to one hour. Set before any data: without a
# limit one caller who rings all day decides the mean, and then nothing can be proven about it at all.
CALLER_CAP_S = 3_600.0
#: With fewer genuine units (`model.certification.units`) nothing is proven of a group; of one that the policy lets be
#: deferred no more than the default wall does, not before a bound is narrow enough to say something.
LEAST_UNITS, ENOUGH_UNITS = 20, 60
_DEFAULT_CAPS = {rail.name: rail.cap for rail in GUARDRAILS}


class Group(NamedTuple):
    """Genuine calls that one guardrail holds, one for each unit; `cap` is what the policy lets them be deferred."""

    name: str
    cap: float
    rows: NDArray[np.intp]


class Load:
    """Every call that took an operator's time: what the deferral of genuine callers is compared with.

    Parameters
    ----------
    handling_s
        Shape (n,), 0 or more; NaN counts as 0.
    callers
        Shape (n,), codes from 0; -1: a caller of its own.
    caller_cap_s
        Above 0; a caller's time counts up to here.
    """

    def __init__(self, handling_s: Floats, callers: Integers, caller_cap_s: float = CALLER_CAP_S) -> None:
        if caller_cap_s <= 0.0:
            raise ValueError(f"caller_cap_s must be above 0, not {caller_cap_s!r}")
        self._time_s = np.nan_to_num(handling_s, nan=0.0)
        if not bool(np.all((self._time_s >= 0.0) & np.isfinite(self._time_s))):
            raise ValueError("handling_s must not be negative or infinite")
        self._unit, _ = caller_index(callers)
        self._total_s = np.bincount(self._unit, weights=self._time_s)
        self._heard = self._total_s > 0.0
        self.callers, self.caller_cap_s = int(self._heard.sum()), float(caller_cap_s)

    def mean(self, factors: Floats, delta: float) -> tuple[float | None, float]:
        """Return the mean of factors by handling time, None without any, and its lower bound."""
        if not self.callers:
            return None, 0.0
        deferred_s = np.bincount(self._unit, weights=self._time_s * factors)
        means = np.clip(deferred_s[self._heard] / self._total_s[self._heard], 0.0, 1.0)
        seen = float(deferred_s.sum() / self._total_s.sum())
        lower = mean_lower(means, delta, np.minimum(self._total_s[self._heard] / self.caller_cap_s, 1.0))
        return seen, min(lower, seen)


def prove_deferral(
    genuine_factors: Floats,
    factors: Floats,
    load: Load,
    delta_genuine: float,
    delta_load: float,
    groups: Sequence[GroupProof] = (),
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
        Shape (g,), in [0, 1]: one call for each genuine unit.
    factors
        Shape (n,): of every call of the load.
    delta_genuine, delta_load
        Chances that an upper and the lower bound are wrong.
    groups
        What was measured of each group; all that may be deferred have to lie below the load.

    Examples
    --------
    >>> load = Load(np.full(3000, 60.0), np.arange(3000))
    >>> proof = prove_deferral(np.zeros(106), np.full(3000, 0.4), load, 0.01, 0.01)
    >>> proof.on, round(proof.genuine_upper, 3), round(proof.load_lower, 3)
    (True, 0.044, 0.346)
    """
    seen, lower = load.mean(factors, delta_load)
    upper = mean_upper(genuine_factors, delta_genuine)
    on = max([upper, *(group.genuine_upper for group in groups if group.deferred)]) < lower
    return DeferralProof(
        delta_genuine=delta_genuine,
        delta_load=delta_load,
        genuine_callers=len(genuine_factors),
        genuine_mean=float(np.mean(genuine_factors)) if len(genuine_factors) else None,
        genuine_upper=upper,
        load_callers=load.callers,
        load_mean=seen,
        load_lower=lower,
        caller_cap_s=load.caller_cap_s,
        on=on,
        reason="proven" if on else "not_proven" if len(genuine_factors) else "no_genuine_callers",
        groups=tuple(groups),
    )


def prove_groups(
    genuine_rows: NDArray[np.intp],
    groups: Sequence[Group],
    factors: Floats,
    held: Integers,
    load: Load,
    delta_genuine: float,
    delta_load: float,
) -> DeferralProof:
    """Prove it of genuine callers as a whole, and of each guarded group that has the data.

    A group that is not proven goes behind a wall: its calls are not deferred, and the load is what is left of it. So
    does a group that the policy lets be deferred by more than its default wall, when it has too few units. Where every
    wall stands as it does by default, the mean alone is proven.

    Parameters
    ----------
    genuine_rows
        Positions of one call for each genuine unit.
    groups
        Those that the policy lets be deferred.
    factors, held
        Shape (n,): of every call of the load; bit i of `held` is set where guardrail i holds.
    delta_genuine, delta_load
        Shared out before a factor is looked at, among the k groups that caps and counts name: a half of the first
        among the groups, the other half and all of the second among the 2 ** k ways in which walls may stand, since
        it is the data that choose one of them. Without a group the mean has all of it.

    Notes
    -----
    A wall only ever lowers a factor, so a group's bound without walls holds with any.
    """
    opened = {one.name for one in groups if one.cap > _DEFAULT_CAPS[one.name]}
    fewest = {one.name: LEAST_UNITS if one.name in opened else ENOUGH_UNITS for one in groups}
    tested = [one for one in groups if opened and len(one.rows) >= fewest[one.name]]
    k = len(tested)
    of_group, of_mean = (delta_genuine / 2.0 / k, delta_genuine / 2.0 ** (k + 1)) if k else (0.0, delta_genuine)
    uppers = {one.name: min(mean_upper(factors[one.rows], of_group), one.cap) for one in tested}
    walls = opened - uppers.keys()
    while True:
        bits = sum(1 << GUARDRAIL_NAMES.index(name) for name in walls)
        kept = np.where(held & bits, 0.0, factors)
        _, lower = load.mean(kept, delta_load / 2.0**k)
        lost = {name for name, upper in uppers.items() if upper >= lower} - walls
        if not lost:
            break
        walls |= lost
    measured = [
        GroupProof(
            one.name,
            len(one.rows),
            float(factors[one.rows].mean()) if len(one.rows) else None,
            uppers.get(one.name, one.cap),
            one.name not in walls,
        )
        for one in groups
        if one in tested or one.name in walls
    ]
    proof = prove_deferral(kept[genuine_rows], kept, load, of_mean, delta_load / 2.0**k, measured)
    return replace(proof, delta_genuine=delta_genuine, delta_load=delta_load)
