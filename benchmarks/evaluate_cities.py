"""Evaluates releases of the eight made-up cities and writes the tables of docs/evaluation.md.

    python -m benchmarks.evaluate_cities     some ten minutes on two cores

Each city is made with seeds on which nothing was chosen; a release is trained on its first part and evaluated on its
last (the certify split). Numbers are means over the seeds.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.centres import CITIES
from model.params import Params
from model.queueing.scenarios import CONDITIONS
from model.release.pipeline import make_release
from model.simulation.city import simulate

SEEDS = (100, 101, 102)
PAGE = Path(__file__).parent.parent / "docs" / "evaluation.md"
MARK = "<!-- What follows is written by python -m benchmarks.evaluate_cities -->\n"
DISCIPLINES = ("first_come", "fixed", "rule", "rule_without_guardrails", "by_score", "oracle")
FREE = [condition.name for condition in CONDITIONS if not condition.hang_ups]
BUSY = [condition.name for condition in CONDITIONS if condition.hang_ups]
GUARDRAILS = ("first_call", "closed_genuine", "silence", "no_number", "surge", "redial")
SLICES = ("silent", "audio_missing", "no_number", "shared_phone", "chronic", "first_call", "storm", "night")

Runs = dict[str, list[dict[str, Any]]]


def mean(runs: list[dict[str, Any]], *path: str) -> float:
    """Mean of one number over the seeds; NaN where no seed has it."""
    values = []
    for run in runs:
        here: Any = run
        for key in path:
            here = here.get(key) if here is not None else None
        if here is not None:
            values.append(float(here))
    return float(np.mean(values)) if values else np.nan


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def number(value: float, form: str = ".3f") -> str:
    return "n/a" if np.isnan(value) else format(value, form)


def ranking(runs: Runs) -> str:
    text = ""
    for measure, title in (("auc", "AUC"), ("average_precision_genuine", "Average precision of genuine calls")):
        for stage in ("ring", "opening", "ended"):
            rows = []
            for city, mine in runs.items():
                path = ("yardsticks", stage)
                cost = "auc_above_scorecard" if measure == "auc" else "average_precision_above_scorecard"
                low, high = (mean(mine, *path, "unconstrained_boosting", f"{cost}{end}") for end in ("_low", "_high"))
                names = ("unconstrained_boosting", "logistic_regression", "earlier_pranks", "no_model")
                scorecard = mean(mine, "stages", stage, measure)
                others = [number(mean(mine, *path, name, measure)) for name in names]
                rows.append([city, f"**{number(scorecard)}**", *others, f"{low:+.3f} to {high:+.3f}"])
            head = [
                "city",
                "scorecard",
                "unconstrained",
                "logistic",
                "earlier pranks",
                "no model",
                "unconstrained above",
            ]
            text += f"\n### {title}, {stage}\n\n{table(head, rows)}"
    return text


def truth(runs: Runs) -> str:
    rows = []
    for city, mine in runs.items():
        path = ("stages", "opening")
        names = ("brier", "brier_skill", "calibration_error", "calibration_slope", "calibration_intercept")
        rows.append([city, *(number(mean(mine, *path, name)) for name in names)])
    return table(["city", "Brier", "skill", "error", "slope", "intercept"], rows)


def waits(runs: Runs, measure: str, conditions: list[str], form: str) -> str:
    rows, means = [], {}
    for discipline in DISCIPLINES:
        for condition in conditions:
            every = [mean(mine, "waits", condition, discipline, measure) for mine in runs.values()]
            means[discipline, condition] = np.nanmean(every)
            rows.append([discipline.replace("_", " "), condition, *(number(x, form) for x in every),
                         f"**{means[discipline, condition]:{form}}**"])  # fmt: skip
    return table(["discipline", "condition", *runs, "mean"], rows)


def prices(runs: Runs) -> str:
    rows = []
    for name in GUARDRAILS:
        for what, form in (("price_gap_closed", "+.3f"), ("price_lost_1.2", "+.2%"), ("holds_share_genuine", ".0%")):
            every = [mean(mine, "guardrails", name, what) for mine in runs.values()]
            rows.append([name, what, *(number(x, form) for x in every), f"**{np.nanmean(every):{form}}**"])
    return table(["guardrail", "", *runs, "mean"], rows)


def slices(runs: Runs, condition: str) -> str:
    rows = []
    for name in SLICES:
        cells = []
        for mine in runs.values():
            path = ("slices", condition, name)
            ratio, low, high = (mean(mine, *path, f"wait_ratio{end}") for end in ("", "_low", "_high"))
            if any(np.isnan(mean([run], *path, "wait_ratio_low")) for run in mine):
                low = np.nan  # too few callers in one of the seeds
            mark = "**" if low > 1.0 else ""
            cells.append(
                f"{mark}{ratio:.2f} ({low:.2f} to {high:.2f}){mark}" if np.isfinite(low) else number(ratio, ".2f")
            )
        rows.append([name, *cells])
    return table(["slice", *runs], rows)


def worse(runs: Runs) -> str:
    rows = []
    for city, mine in runs.items():
        named: dict[str, int] = {}
        for run in mine:
            for condition, names in run["slices_worse_off"].items():
                for name in names:
                    key = f"{name} ({condition})"
                    named[key] = named.get(key, 0) + 1
        listed = ", ".join(f"{key}: {count} of {len(mine)}" for key, count in sorted(named.items()))
        rows.append([city, listed or "none"])
    return table(["city", "slices shown to be worse off, and in how many of the seeds"], rows)


def bands(runs: Runs) -> str:
    rows = []
    for city, mine in runs.items():
        share = [mean(mine, "bands", "opening", "likely_prank", key) for key in ("calls", "genuine_calls")]
        on = sum(run["deferral_on"]["opening"] for run in mine)
        high = mean(mine, "bands", "opening", "likely_prank", "share_of_genuine_high")
        genuine = mean(mine, "window", "genuine")
        rows.append([city, number(genuine, ".0f"), f"{on} of {len(mine)}", number(share[0], ".0f"),
                     number(share[1], ".1f"), f"{share[1] / genuine:.1%}", f"{high:.1%}"])  # fmt: skip
    head = ["city", "genuine calls", "deferral proven", "calls marked", "genuine marked", "share", "upper end"]
    return table(head, rows)


def main() -> None:
    runs: Runs = {}
    for city in CITIES:
        for seed in SEEDS:
            log = simulate(city, seed)
            made = make_release(log.calls, Params(), datetime(2026, 11, 23, tzinfo=UTC), corrections=log.corrections)
            runs.setdefault(city, []).append(dict(made.metrics))
            print(city, seed, made.metrics["summary"]["gap_closed"], flush=True)
    text = f"""
## Ranking
{ranking(runs)}
## Calibration at the opening

{truth(runs)}
## Gap closed, nobody hangs up and the deferral has no cap

{waits(runs, "gap_closed", FREE, ".2f")}
## Longest wait of anybody against first come, first served

{waits(runs, "longest_ratio", FREE, ".2f")}
## Genuine callers lost

{waits(runs, "lost_share", BUSY, ".1%")}
## Mean wait of genuine callers, seconds

{waits(runs, "mean_wait_s", BUSY, ".0f")}
## What each guardrail costs

{prices(runs)}
## Slices of genuine callers: mean wait under the rule against first come, first served

Load 0.95, callers hang up (means over seeds of the ratio and of both ends of its interval):

{slices(runs, "hang_ups_0.95")}
Load 1.2, callers hang up:

{slices(runs, "hang_ups_1.2")}
Load 0.95, nobody hangs up:

{slices(runs, "no_hang_ups_0.95")}
{worse(runs)}
## Marked calls and the gate

{bands(runs)}"""
    head = PAGE.read_text(encoding="utf-8").split(MARK)[0] if PAGE.exists() else ""
    PAGE.write_text(head + MARK + text, encoding="utf-8")


if __name__ == "__main__":
    main()
