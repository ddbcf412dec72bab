"""The figures of a report's first page, gathered from an evaluation."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from model.evaluation.scenarios import CONDITIONS
from model.evaluation.window import QUEUE_STAGE, Window


def summary(window: Window, waits: Mapping[str, Any], bands: Mapping[str, Any]) -> dict[str, Any]:
    """Gather the figures of a first page.

    Parameters
    ----------
    window : Window
        With genuine calls.
    waits : mapping
        From `scenarios.measure_over_seeds`.
    bands : mapping
        From `Window.bands`, at the stage that orders the queue.

    Returns
    -------
    dict
        As docs/metrics.md names it.
    """
    free = [waits[condition.name] for condition in CONDITIONS if not condition.hang_ups]
    held = [waits[condition.name]["rule"]["longest_held_back_s_high"] for condition in CONDITIONS if condition.hang_ups]
    found: dict[str, Any] = {}
    for label, condition in (("", "hang_ups_0.95"), ("overload_", "hang_ups_1.2")):
        for name, discipline in (("first_come", "first_come"), ("rule", "rule")):
            for end in ("", "_low", "_high"):
                lost = waits[condition][discipline][f"lost_share{end}"]
                found[f"lost_of_100_{label}{name}{end}"] = 100.0 * lost
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
