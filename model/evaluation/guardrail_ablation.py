"""Guardrail ablation: the rule with each on and off, each time with a curve fitted to those that are on."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from model.arrays import Booleans, Floats
from model.evaluation.scenarios import CONDITIONS, QueuedCalls, measure_over_seeds
from model.policy.deferral_curve import fit_factor
from model.policy.guardrails import GUARDRAILS, PROTECTED, SILENCE
from model.policy.policy import Policy
from model.policy.stage_scores import StageScores


def enable_all_guardrails(policy: Policy) -> Policy:
    """Return the policy with every guardrail on, so that scoring a call tells of each whether it holds."""
    caps = tuple(rail.cap if np.isnan(cap) else cap for rail, cap in zip(GUARDRAILS, policy.caps, strict=True))
    return replace(policy, caps=caps)


def apply_guardrails(scores: StageScores, caps: tuple[float, ...], on: Collection[int]) -> tuple[Floats, Floats]:
    """Return score and cap of calls, scored with `enable_all_guardrails`, when only some guardrails are on."""
    cap = np.ones(len(scores.held))
    for rail in on:
        cap = np.where(scores.held >> rail & 1, np.minimum(cap, caps[rail]), cap)
    return (scores.guarded if SILENCE in on else scores.likelihood), cap


def ablate_guardrails(
    policy: Policy,
    fitted: tuple[StageScores, Booleans, Floats],
    scores: StageScores,
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
    fitted : tuple
        Scores, genuine and handling_s of the calls that the policy's curves were fitted on.
    scores : StageScores
        Of the calls to be replayed; both scored with `enable_all_guardrails`.

    Returns
    -------
    dict
        By guardrail, "none" and "all", as docs/metrics.md names it.
    """
    everything = enable_all_guardrails(policy).caps
    enabled = [rail for rail, cap in enumerate(policy.caps) if not np.isnan(cap)]
    before, genuine, handling_s = fitted
    sets = {"none": [], "all": enabled}
    priced = [rail for rail in range(len(GUARDRAILS)) if rail != PROTECTED]
    for rail in priced:
        sets[f"{rail} alone"] = [rail]
        sets[f"{rail} off"] = [other for other in enabled if other != rail]
    factors = {}
    for name, on in sets.items():
        score, cap = apply_guardrails(before, everything, on)
        factors[name] = fit_factor(score, genuine, handling_s, cap).factors(*apply_guardrails(scores, everything, on))
    queued = replace(calls, factors=factors)
    found = measure_over_seeds(
        queued, tuple(sets), CONDITIONS, policy.deferral, operators=operators, seeds=seeds, most_calls=most_calls
    )
    short = {name: _short(found, name) for name in sets}
    table: dict[str, dict[str, Any]] = {"none": short["none"], "all": short["all"]}
    for rail in priced:
        holds = scores.held >> rail & 1
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
