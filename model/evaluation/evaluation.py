"""Time-ordered evaluation of a release: ranking, calibration, bands, waits, guardrails and slices, as one document.

Nothing is fitted on the calls that are evaluated. docs/metrics.md explains every key.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from model.arrays import Floats
from model.calls.call_events import UNLABELLED
from model.certification.certificate import Certificate
from model.errors import TrainingError
from model.evaluation import guardrail_ablation, slices
from model.evaluation.baselines import Baselines
from model.evaluation.likeness_coverage import measure_likeness
from model.evaluation.ranking import evaluate_ranking
from model.policy.policy import Policy
from model.policy.stage_scores import stage_scores
from model.queueing.scenarios import CONDITIONS, DRAWS, PATIENCE_S, QueuedCalls, block_days, measure_over_seeds
from model.scorecard.features import ACTING_STAGES, QUEUE_STAGE, STAGES
from model.training.dataset import MOST_OF_A_LABEL, subsample
from model.training.origins import FEW_BLOCKS

if TYPE_CHECKING:
    from model.evaluation.window import EvaluationWindow, HeldOut
    from model.training.dataset import Dataset

FORMAT = 1
DISCIPLINES = ("first_come", "by_score", "fixed", "rule_without_guardrails", "rule", "oracle")


@dataclass(frozen=True)
class Effort:
    """How thorough an evaluation is.

    Parameters
    ----------
    operators : int
        On duty in the replay.
    seeds : int
        Weeks and patience are drawn so often; for the price of the guardrails a quarter of it.
    resamples : int
        Callers are drawn so often; the less often the more calls there are.
    most_calls : int
        A seed replays about so many calls at most.
    most_judged : int
        Ranking and calibration look at so many calls at most, drawn at random.
    origins : int
        A training is measured on the calls after so many cuts in time at most; with plenty of genuine calls after two.
    policy_draws : int
        Weeks are drawn so often for a trial of the policy's search; 0 leaves the policy where it starts.
    """

    operators: int = 3
    seeds: int = 20
    resamples: int = 200
    most_calls: int = 50_000
    most_judged: int = 200_000
    origins: int = FEW_BLOCKS
    policy_draws: int = DRAWS

    def resamples_for(self, calls: int) -> int:
        """Return how often callers are drawn from so many calls: at least 20 times."""
        return max(20, min(self.resamples, self.resamples * 2 * self.most_calls // max(1, calls)))


def evaluate(
    window: "EvaluationWindow",
    policy: Policy,
    certificate: Certificate,
    *,
    about: Mapping[str, Any],
    effort: Effort | None = None,
) -> dict[str, Any]:
    """Measure a release on the calls of a window.

    Parameters
    ----------
    window : EvaluationWindow
        Each stretch of it later than all that its release was fitted on. What that was is needed for the baselines and
        the price of the guardrails: null without it.
    about : mapping
        What else stands at the top of the document: `count_splits` and `evaluated_on`.

    Returns
    -------
    dict
        As docs/metrics.md says: strict JSON, keys sorted, six significant digits.
    """
    effort = effort or Effort()
    replayable = bool(window.genuine.any()) and int(np.ptp(window.received_us)) > 0 and window.handling_s.sum() > 0
    bands = {stage: window.count_bands(certificate, stage) for stage in ACTING_STAGES}
    document: dict[str, Any] = {
        "format": FORMAT,
        **about,
        "window": window.describe(),
        "settings": _settings(window, policy, effort),
        "deferral_on": {stage: certificate.stage(stage).deferral.on for stage in ACTING_STAGES},
        "stages": {},
        "yardsticks": {},
        "bands": bands,
        "likeness": {stage: measure_likeness(window, stage, _threshold(certificate, stage)) for stage in STAGES},
        **dict.fromkeys(("waits", "guardrails", "slices", "slices_worse_off", "slices_not_shown_to_gain", "summary")),
    }
    beside = _yardsticks(window, effort)
    for stage in STAGES:
        document["stages"][stage], document["yardsticks"][stage] = _ranking(window, stage, beside[stage], effort)
    if replayable:
        scores = window.scores[QUEUE_STAGE]
        calls = window.queued_calls({"rule": scores.factor, "rule_without_guardrails": scores.unguarded})
        size = {"operators": effort.operators, "most_calls": effort.most_calls, "seeds": effort.seeds}
        document["waits"] = measure_over_seeds(calls, DISCIPLINES, CONDITIONS, policy.deferral, **size)
        document["guardrails"] = _prices(window, policy, calls, effort)
        document |= _fairness(window, policy, calls, effort)
        document["summary"] = _summary(window, document["waits"], bands[QUEUE_STAGE])
    return round_document(document)  # type: ignore[no-any-return]


def _threshold(certificate: Certificate, stage: str) -> float | None:
    return certificate.stage(stage).flag.threshold if stage in ACTING_STAGES else None


def count_splits(past: "Dataset", window: "EvaluationWindow | None" = None) -> dict[str, Any]:
    """Count the calls of a log and of what they were used for; a call may have been used for more than one thing.

    Parameters
    ----------
    window : EvaluationWindow, optional
        The calls that the training was measured on.
    """
    outcome = past.events.outcome
    parts = {name: getattr(past, name) for name in ("fit", "calibrate", "certify")}
    if window is not None:
        parts["measured"] = np.zeros_like(past.fit)
        parts["measured"][window.rows] = window.closed
    return {
        "calls": {name: int(rows.sum()) for name, rows in parts.items()},
        "genuine_calls": {name: int((outcome[rows] == 0).sum()) for name, rows in parts.items()},
        "proof": {**asdict(past.proof_size), "held_out": past.proof_size.enough},
        "unlabelled_calls": int((outcome == UNLABELLED).sum()),
        "too_young_calls": past.too_young,
    }


def _settings(window: "EvaluationWindow", policy: Policy, effort: Effort) -> dict[str, Any]:
    return {
        "operators": effort.operators,
        "seeds": effort.seeds,
        "resamples": effort.resamples_for(min(int(window.closed.sum()), effort.most_judged)),
        "block_days": block_days(window.received_us),
        "most_calls": effort.most_calls,
        "most_judged": effort.most_judged,
        "mean_patience_genuine_s": PATIENCE_S[0],
        "mean_patience_others_s": PATIENCE_S[1],
        **asdict(policy.deferral),
    }


def _yardsticks(window: "EvaluationWindow", effort: Effort) -> dict[str, dict[str, Floats]]:
    """Return the baselines' scores of the calls that are judged, by stage and name; none without earlier calls."""
    judged, place = window.judged(effort.most_judged), np.cumsum(window.rows) - 1
    parts: dict[str, list[dict[str, Floats]]] = {stage: [] for stage in STAGES}
    for one in window.rehearsals:
        yardsticks = _baselines(one.made_of) if one.made_of else None
        if yardsticks is None:
            return {stage: {} for stage in STAGES}
        mine = np.intersect1d(judged, place[one.rows], assume_unique=True)
        for stage in STAGES:
            parts[stage].append(yardsticks.scores(stage, window.features[mine]))
    return {
        stage: {name: np.concatenate([part[name] for part in mine]) for name in (mine[0] if mine else ())}
        for stage, mine in parts.items()
    }


def _baselines(made_of: "HeldOut") -> Baselines | None:
    """Return the baselines, fitted on the very calls that a release's scorecards were fitted on."""
    past, params, origin = made_of.past, made_of.params, made_of.origin
    most = min(params.boosting.most_of_a_label, MOST_OF_A_LABEL)
    fit = subsample(origin.fit, origin.outcome, most, params.seed)
    try:
        return Baselines(past.table.matrix(fit), origin.outcome[fit], params)
    except TrainingError:
        return None


def _ranking(
    window: "EvaluationWindow", stage: str, beside: Mapping[str, Floats], effort: Effort
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    closed, scores = window.judged(effort.most_judged), window.scores[stage]
    own, others = evaluate_ranking(
        window.genuine[closed],
        scores.log_odds[closed],
        scores.likelihood[closed],
        beside,
        window.units[closed],
        effort.resamples_for(len(closed)),
    )
    return own, others or None


def _prices(window: "EvaluationWindow", policy: Policy, calls: QueuedCalls, effort: Effort) -> dict[str, Any] | None:
    parts = []
    for one in window.rehearsals:
        if one.made_of is None or not one.made_of.rows.any():
            return None
        every = one.policy.with_every_guardrail()
        scores = stage_scores(window.table, one.scorecards[QUEUE_STAGE], every, one.rows)
        parts.append((one.policy, one.made_of.curve_calls, scores))
    return guardrail_ablation.ablate_guardrails(
        policy,
        parts,
        calls,
        operators=effort.operators,
        seeds=max(1, effort.seeds // 4),
        most_calls=effort.most_calls,
    )


def _fairness(window: "EvaluationWindow", policy: Policy, calls: QueuedCalls, effort: Effort) -> dict[str, Any]:
    mine = window.genuine
    members = window.genuine_slices()
    seeds = max(1, min(effort.seeds, effort.seeds * effort.most_calls // len(mine)))
    found = {}
    for condition in slices.CONDITIONS:
        lived = slices.replay_outcomes(calls, condition, policy.deferral, effort.operators, seeds)
        found[condition.name] = slices.compare_slices(
            lived, members, window.units[mine], effort.resamples_for(len(mine))
        )
    return {
        "slices": found,
        "slices_worse_off": {name: slices.worse_off(rows) for name, rows in found.items()},
        "slices_not_shown_to_gain": {name: slices.not_shown_to_gain(rows) for name, rows in found.items()},
    }


def _summary(window: "EvaluationWindow", waits: Mapping[str, Any], bands: Mapping[str, Any]) -> dict[str, Any]:
    """Gather the figures of a report's first page; `bands` are those of the stage that orders the queue."""
    free = [waits[condition.name] for condition in CONDITIONS if not condition.hang_ups]
    held = [waits[condition.name]["rule"]["longest_held_back_s_high"] for condition in CONDITIONS if condition.hang_ups]
    found: dict[str, Any] = {}
    for label, condition in (("", "hang_ups_0.95"), ("overload_", "hang_ups_1.2")):
        for discipline in ("first_come", "rule"):
            for end in ("", "_low", "_high"):
                lost = waits[condition][discipline][f"lost_share{end}"]
                found[f"lost_of_100_{label}{discipline}{end}"] = 100.0 * lost
    for label, discipline in (("", "rule"), ("_without_guardrails", "rule_without_guardrails")):
        found[f"gap_closed{label}"] = float(np.mean([row[discipline]["gap_closed"] for row in free]))
        found[f"longest_ratio{label}"] = max(row[discipline]["longest_ratio"] for row in free)
    mine = window.scores[QUEUE_STAGE].factor[window.genuine]
    return found | {
        "genuine_marked": bands["likely_prank"]["genuine_calls"],
        "genuine_calls": int(window.genuine.sum()),
        "genuine_deferred_share": float((mine > 0.0).mean()),
        "longest_held_back_s": max(held),
    }


def headline(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures that two trainings are compared by first: few enough to be read side by side."""
    ranking = ("auc", "average_precision_genuine", "brier", "calibration_error", "calibration_slope")
    return {
        "stages": {stage: {name: metrics["stages"][stage][name] for name in ranking} for stage in STAGES},
        "summary": metrics["summary"],
        "genuine_calls": metrics["window"]["genuine"],
    }


def reliability(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the groups of calls by likelihood, of all stages, as rows of one table."""
    return [{"stage": stage, **group} for stage in STAGES for group in metrics["stages"][stage]["reliability"] or []]


def round_document(value: Any) -> Any:
    """Return a document that can be compared line by line: keys sorted, six significant digits, null for NaN.

    Examples
    --------
    >>> round_document({"b": float("nan"), "a": [1 / 3, np.int64(2)]})
    {'a': [0.333333, 2], 'b': None}
    """
    if isinstance(value, Mapping):
        return {key: round_document(value[key]) for key in sorted(value)}
    if isinstance(value, (list, tuple)):
        return [round_document(item) for item in value]
    if isinstance(value, (bool, str)) or value is None:
        return value
    if isinstance(value, (int, np.integer)):
        return int(value)
    return float(f"{float(value):.6g}") if math.isfinite(value) else None
