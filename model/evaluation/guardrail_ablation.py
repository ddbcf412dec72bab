"""Guardrail ablation: the rule with each on and off, each time with a curve fitted to those that are on."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from model.arrays import Booleans, Floats
from model.policy.deferral_curve import HeldOutScores
from model.policy.guardrails import GUARDRAILS, PROTECTED, SILENCE, lowest_cap
from model.policy.policy import Policy
from model.policy.stage_scores import StageScores
from model.queueing.scenarios import CONDITIONS, QueuedCalls, measure_over_seeds


def ablate_guardrails(
    policy: Policy,
    parts: Sequence[tuple[Policy, tuple[StageScores, Booleans, Floats], StageScores]],
    calls: QueuedCalls,
    *,
    operators: int,
    seeds: int,
    most_calls: int,
) -> dict[str, dict[str, Any]]:
    """Measure each guardrail alone, and all but that one.

    Parameters
    ----------
    policy : Policy
        As released.
    parts : sequence of tuple
        For each stretch of the calls to be replayed: the policy that holds there; scores, genuine and handling_s of the
        calls that its curves were fitted on; and the scores of the stretch. All scored with
        `Policy.with_every_guardrail`.

    Returns
    -------
    dict
        By guardrail, "none" and "all", as docs/metrics.md names it.
    """
    enabled = [rail for rail, cap in enumerate(policy.caps) if not np.isnan(cap)]
    sets = {"none": [], "all": enabled}
    priced = [rail for rail in range(len(GUARDRAILS)) if rail != PROTECTED]
    for rail in priced:
        sets[f"{rail} alone"] = [rail]
        sets[f"{rail} off"] = [other for other in enabled if other != rail]
    factors = {name: np.concatenate([_factors(on, *part) for part in parts]) for name, on in sets.items()}
    queued = replace(calls, factors=factors)
    found = measure_over_seeds(
        queued, tuple(sets), CONDITIONS, policy.deferral, operators=operators, seeds=seeds, most_calls=most_calls
    )
    short = {name: _short(found, name) for name in sets}
    held = np.concatenate([scores.held for _, _, scores in parts])
    table: dict[str, dict[str, Any]] = {"none": short["none"], "all": short["all"]}
    for rail in priced:
        holds = held >> rail & 1
        alone, off = short[f"{rail} alone"], short[f"{rail} off"]
        table[GUARDRAILS[rail].name] = {
            "enabled": rail in enabled,
            "holds_share": float(holds.mean()),
            "holds_share_genuine": float(holds[calls.genuine].mean()),
            "alone": alone,
            "off": off,
            "price_gap_closed": off["gap_closed"] - short["all"]["gap_closed"],
            "price_lost_1.2": short["all"]["lost_1.2"] - off["lost_1.2"],
        }
    return table


def _short(found: Mapping[str, Mapping[str, Mapping[str, float]]], discipline: str) -> dict[str, float]:
    """Return the figures that say what a set of guardrails does."""
    free = [found[condition.name][discipline] for condition in CONDITIONS if not condition.hang_ups]
    lost = {
        f"lost_{condition.load}": found[condition.name][discipline]["lost_share"]
        for condition in CONDITIONS
        if condition.hang_ups
    }
    return {
        "gap_closed": float(np.mean([row["gap_closed"] for row in free])),
        "longest_ratio": max(row["longest_ratio"] for row in free),
        **lost,
    }


def _factors(
    on: Collection[int], policy: Policy, fitted: tuple[StageScores, Booleans, Floats], scores: StageScores
) -> Floats:
    """Return the factors of a stretch with some guardrails on, by a curve fitted to those."""
    before, genuine, handling_s = fitted
    everything = policy.with_every_guardrail().caps
    caps = tuple(cap if rail in on else np.nan for rail, cap in enumerate(everything))
    curve = HeldOutScores(_score(before, on), genuine, handling_s).curve(policy.shape, lowest_cap(before.held, caps))
    return curve.factors(_score(scores, on), lowest_cap(scores.held, caps))


def _score(scores: StageScores, on: Collection[int]) -> Floats:
    return scores.guarded if SILENCE in on else scores.likelihood
