"""Who gains and who loses: genuine callers by what the log says of them, the rule against first come, first served."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from model.arrays import Booleans, Floats, Integers
from model.certification.bootstrap import bootstrap_sums, caller_index, percentile_interval
from model.policy.deferral import DeferralSettings
from model.queueing.scenarios import Condition, QueuedCalls, replay_discipline

CONDITIONS = (Condition(0.95, hang_ups=False), Condition(0.95, hang_ups=True), Condition(1.2, hang_ups=True))
LONGER_S = (5.0, 30.0)
#: With fewer callers a bootstrap knows too little of what other callers would have given: no interval.
LEAST_CALLERS = 20


@dataclass(frozen=True)
class Outcomes:
    """What each genuine caller's call lived through, mean over seeds; arrays of one length."""

    first_come_s: Floats
    rule_s: Floats
    over: Floats
    lost_first_come: Floats
    lost: Floats


def replay_outcomes(
    calls: QueuedCalls, condition: Condition, deferral: DeferralSettings, operators: int, seeds: int
) -> Outcomes:
    """Replay calls first come, first served and under the rule, with the same patience in both.

    Parameters
    ----------
    calls : QueuedCalls
        With the factor of "rule".
    seeds : int
        Without hang-ups nothing varies, and one is enough.

    Returns
    -------
    Outcomes
        One row a genuine call; `over` has a column for each of `LONGER_S`.
    """
    clocked = calls.scaled_to_load(condition.load, operators)
    mine = calls.genuine
    rounds = []
    for seed in range(seeds if condition.hang_ups else 1):
        first = replay_discipline(clocked, "first_come", condition, deferral, operators, seed)
        rule = replay_discipline(clocked, "rule", condition, deferral, operators, seed)
        longer = (rule.wait_s - first.wait_s)[mine]
        columns = [first.wait_s[mine], rule.wait_s[mine], first.lost[mine], rule.lost[mine]]
        rounds.append(np.column_stack([*columns, *(longer > limit for limit in LONGER_S)]))
    mean = np.mean(rounds, axis=0)
    return Outcomes(mean[:, 0], mean[:, 1], mean[:, 4:], mean[:, 2], mean[:, 3])


def compare_slices(
    lived: Outcomes, members: Mapping[str, Booleans], callers: Integers, resamples: int
) -> dict[str, dict[str, float | int]]:
    """Compare the rule with first come, first served in each slice, with intervals by bootstrap over callers.

    Parameters
    ----------
    members : mapping of str to bool (g,)
        From `slice_masks`, of the same genuine calls.
    callers : int64 (g,)

    Returns
    -------
    dict
        As docs/metrics.md names it; slices without a call are left out.
    """
    inside = {name: mask for name, mask in members.items() if mask.any()}
    if not inside:
        return {}
    columns = np.column_stack(
        [np.ones(len(callers)), lived.first_come_s, lived.rule_s, lived.lost_first_come, lived.lost]
    )
    table = sparse.hstack([sparse.csr_array(columns * mask[:, None]) for mask in inside.values()], format="csr")
    unit, count = caller_index(callers)
    drawn = bootstrap_sums(table, unit, count, resamples, seed=0).reshape(resamples, len(inside), columns.shape[1])
    return {
        name: _compared(lived, mask, columns[mask].sum(axis=0), drawn[:, place], len(np.unique(unit[mask])))
        for place, (name, mask) in enumerate(inside.items())
    }


def _compared(lived: Outcomes, mask: Booleans, sums: Floats, drawn: Floats, callers: int) -> dict[str, float | int]:
    with np.errstate(divide="ignore", invalid="ignore"):
        calls, first_s, rule_s, lost_first, lost = sums
        ratio = percentile_interval(rule_s / first_s, drawn[:, 2] / drawn[:, 1])
        above = percentile_interval((lost - lost_first) / calls, (drawn[:, 4] - drawn[:, 3]) / drawn[:, 0])
    if callers < LEAST_CALLERS:
        ratio, above = percentile_interval(ratio.value, []), percentile_interval(above.value, [])
    over = lived.over[mask].mean(axis=0)
    return {
        "calls": int(calls),
        "callers": callers,
        "mean_wait_first_come_s": first_s / calls,
        "mean_wait_s": rule_s / calls,
        **ratio.named("wait_ratio"),
        **{f"over_{limit:g}_s": float(share) for limit, share in zip(LONGER_S, over, strict=True)},
        "lost_first_come": lost_first / calls,
        "lost": lost / calls,
        **above.named("lost_above_first_come"),
    }


def worse_off(found: Mapping[str, Mapping[str, float | int]]) -> list[str]:
    """Return the slices that are shown to wait longer, or to be lost more often, than first come, first served.

    Examples
    --------
    >>> at = {"wait_ratio_low": 0.9, "wait_ratio_high": 1.1, "lost_above_first_come_low": -0.1}
    >>> worse_off({"night": at, "storm": at | {"wait_ratio_low": 1.05}}), not_shown_to_gain({"night": at})
    (['storm'], ['night'])
    """
    return [
        name for name, row in found.items() if row["wait_ratio_low"] > 1.0 or row["lost_above_first_come_low"] > 0.0
    ]


def not_shown_to_gain(found: Mapping[str, Mapping[str, float | int]]) -> list[str]:
    """Return the other slices whose waits are not shown to be shorter: the interval does not end below 1."""
    worse = worse_off(found)
    return [name for name, row in found.items() if name not in worse and not row["wait_ratio_high"] < 1.0]
