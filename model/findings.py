"""What was measured, as plots and sentences of the report: waits, slices, guardrails, ranking, calibration."""

from html import escape
from typing import Literal

from model.answer import QUEUE_STAGE, Document
from model.features import STAGES
from model.guardrails import GUARDRAILS
from model.numerals import count, decimal, duration, known, of_people, people, span, span_of
from model.plots import Axis, Dot, Look, dots, round_ticks, table
from model.words import CONDITIONS, DISCIPLINES, SHORT_STAGE_NAMES, SLICES, STAGE_NAMES, WHEN, YARDSTICKS

#: What a model that a person can read may cost in AUC against unconstrained boosting before the report says so.
GLASS = {"ring": 0.002, "opening": 0.002, "ended": 0.005}
HUNDRED = Axis(0.0, 1.0, tuple((share / 100, f"{share}") for share in (0, 25, 50, 75, 100)))
PAIRS = Axis(0.4, 1.0, tuple((share / 100, f"{share}") for share in (40, 50, 60, 70, 80, 90, 100)), even=0.5)
NOT_MEASURED = '<p class="small">Not measured: the calls that were looked at hold too few genuine ones.</p>'


def look_of(low: float | None, high: float | None, even: float = 1.0) -> Literal["worse", "better", "unsure"]:
    """Say whether an interval lies wholly above ("worse") or below ("better") an even chance, or neither ("unsure").

    Examples
    --------
    >>> look_of(1.01, 1.2), look_of(0.8, 0.9), look_of(0.8, 1.2), look_of(None, None)
    ('worse', 'better', 'unsure', 'unsure')
    """
    if low is None or high is None or not known(low, high):
        return "unsure"
    return "worse" if low > even else "better" if high < even else "unsure"


def losses(metrics: Document) -> str:
    """Draw the genuine callers lost under each rule, at each load with hang-ups."""
    if metrics["waits"] is None:
        return NOT_MEASURED
    rows = []
    for condition in ("hang_ups_0.95", "hang_ups_1.2", "hang_ups_2.0"):
        rows.append(Dot(CONDITIONS[condition], look="heading"))
        for name, label in DISCIPLINES.items():
            row = metrics["waits"][condition][name]
            low, high = row["lost_share_low"], row["lost_share_high"]
            between = span_of(low, high)
            said = f"{of_people(row['lost_share'])}" + (f" ({between})" if between else "")
            rows.append(Dot(label, row["lost_share"], low, high, said, "ours" if name == "rule" else "plain"))
    top = max([row.high or 0.0 for row in rows] + [0.1])
    axis = Axis(0.0, top, tuple((tick, f"{100 * tick:g}") for tick in round_ticks(0.0, top)))
    caption = "Genuine callers who hang up before they are answered, of 100, with ranges."
    return dots(rows, axis, caption=caption, heads=("Who is answered next", "lost, of 100", "Lost (range)"))


def gaps(metrics: Document) -> str:
    """Draw the share of avoidable waiting that each rule removes, at each load without hang-ups."""
    if metrics["waits"] is None:
        return NOT_MEASURED
    rows = []
    for condition in ("no_hang_ups_0.7", "no_hang_ups_0.95", "no_hang_ups_1.1"):
        rows.append(Dot(CONDITIONS[condition], look="heading"))
        for name, label in DISCIPLINES.items():
            if name in ("first_come", "oracle"):
                continue
            row = metrics["waits"][condition][name]
            said = f"{of_people(row['gap_closed'])}; longest wait ×{decimal(row['longest_ratio'], 1)}"
            look: Look = "ours" if name == "rule" else "plain"
            rows.append(Dot(label, row["gap_closed"], row["gap_closed_low"], row["gap_closed_high"], said, look))
    caption = "How much of the avoidable waiting of genuine callers goes away, of 100, with ranges; and what it costs."
    return dots(rows, HUNDRED, caption=caption, heads=("Who is answered next", "of 100", "Gone; the price"))


def waits(metrics: Document) -> str:
    """Tabulate all waits."""
    if metrics["waits"] is None:
        return NOT_MEASURED
    rows: list[tuple[str, ...]] = []
    for condition, label in CONDITIONS.items():
        hang_ups = " (callers hang up)" if condition.startswith("hang_ups") else " (nobody hangs up)"
        rows.append((f"{label}{hang_ups}",))
        for name, discipline in DISCIPLINES.items():
            row = metrics["waits"][condition][name]
            waits = [duration(row[f"{key}_wait_s"]) for key in ("mean", "p95", "p99_9", "longest")]
            lost = of_people(row["lost_share"]) if hang_ups.startswith(" (callers") else "nobody"
            ratio = decimal(row["longest_ratio"], 1)
            ends = span(row["longest_ratio_low"], row["longest_ratio_high"])
            rows.append((discipline, *waits, lost, f"×{ratio}" + (f" ({ends})" if ends else "")))
    heads = ("", "average", "95 of 100 wait at most", "999 of 1,000", "longest", "lost", "anybody's longest")
    return table(rows, heads)


def fairness(metrics: Document) -> str:
    """Draw the waits of each slice of genuine callers against first come, first served."""
    if not metrics["slices"]:
        return NOT_MEASURED
    parts: dict[str, str] = {}
    for condition, rows in metrics["slices"].items():
        lines = []
        worse = (metrics["slices_worse_off"] or {}).get(condition, ())
        for name in [name for name in SLICES if name in rows]:
            row = rows[name]
            low, high = row["wait_ratio_low"], row["wait_ratio_high"]
            look: Look = "worse" if name in worse else look_of(low, high)
            verdict = {"worse": "worse off", "better": "gain", "unsure": "cannot be told"}[look]
            label = f"{SLICES[name]['en']} ({count(row['calls'])})"
            waits = f"{duration(row['mean_wait_first_come_s'])} → {duration(row['mean_wait_s'])}"
            lines.append(Dot(label, row["wait_ratio"], low, high, f"{waits}: {verdict}", look))
        caption = f"Wait {WHEN[condition]['en']} against first come, first served; in brackets the genuine calls."
        heads = ("Genuine callers", "they wait", "First come → this release")
        parts[condition] = dots(lines, _ratios(lines), caption=caption, heads=heads)
    first, *others = (condition for condition in WHEN if condition in parts)
    more = (
        f"<details><summary>The same {escape(WHEN[condition]['en'])}</summary>{parts[condition]}</details>"
        for condition in others
    )
    return parts[first] + "".join(more)


def _ratios(lines: list[Dot]) -> Axis:
    """Give an axis of ratios that is as wide as it must be."""
    ends = [end for line in lines for end in (line.value, line.low, line.high) if end]
    furthest = max([1.0, *(max(end, 1.0 / end) for end in ends)])
    for high, low_words, high_words in ((1.25, "a fifth less", "a quarter more"), (1.5, "a third less", "half more")):
        if furthest <= high:
            near = ((1.0 / high, low_words), (1.0, "as long"), (high, high_words))
            return Axis(1.0 / high, high, near, "ratio", even=1.0)
    ticks = ((0.25, "a quarter"), (0.5, "half"), (1.0, "as long"), (2.0, "twice"), (4.0, "4 times"))
    if furthest <= 2.0:
        return Axis(0.5, 2.0, ticks[1:-1], "ratio", even=1.0)
    return Axis(0.25, 4.0, ticks, "ratio", even=1.0)


def prices(metrics: Document) -> str:
    """Draw what each guardrail costs, and tabulate what was measured with it off and alone."""
    rails = metrics["guardrails"]
    if not rails:
        return NOT_MEASURED
    lines: list[Dot] = []
    rows: list[tuple[str, ...]] = []
    for rail in GUARDRAILS:
        if rail.name not in rails:
            continue
        row, words = rails[rail.name], rail.words["en"]
        held = f"{people(row['holds_share_genuine'])} and {people(row['holds_share'])} of 100"
        look: Look = "plain" if row["enabled"] else "unsure"
        off = "" if row["enabled"] else " (off in this release)"
        lines.append(Dot(f"{words}{off}", row["price_gap_closed"], said=held, look=look))
        rows.append((words, *_measured(row["off"]), *_measured(row["alone"])))
    rows.append(("all, as in this release", *_measured(rails["all"]), "", "", ""))
    rows.append(("none at all", *_measured(rails["none"]), "", "", ""))
    ends = [line.value for line in lines if line.value is not None]
    low, high = min([*ends, -0.02]), max([*ends, 0.1])
    axis = Axis(low, high, tuple((tick, f"{100 * tick:g}") for tick in round_ticks(low, high)), even=0.0)
    caption = "Avoidable waiting of genuine callers, of 100, that stays because of a guardrail (nobody hangs up)."
    plot = dots(lines, axis, caption=caption, heads=("Guardrail", "of 100", "Holds on genuine, on all calls"))
    kinds = ("avoidable waiting gone", "anybody's longest", "lost in overload")
    heads = ("Guardrail", *(f"{which}: {kind}" for which in ("without it", "it alone") for kind in kinds))
    note = (
        "A price below 0 is chance, or says that the guardrail helps. The protected list (hospitals, schools, chronic "
        "patients) is kept by the centre and is not in a log, so its price cannot be told."
    )
    figures = f"<details><summary>In figures</summary>{table(rows, heads)}</details>"
    return f'{plot}<p class="small">{note}</p>{figures}'


def _measured(row: Document) -> tuple[str, str, str]:
    return of_people(row["gap_closed"]), f"×{decimal(row['longest_ratio'], 2)}", of_people(row["lost_1.2"])


def ranking(metrics: Document, key: str, axis: Axis) -> str:
    """Draw one figure of ranking (`key`) of the scorecards and their yardsticks, by stage."""
    rows = []
    for stage in (QUEUE_STAGE, *(stage for stage in STAGES if stage != QUEUE_STAGE)):
        rows.append(Dot(STAGE_NAMES[stage], look="heading"))
        others = metrics["yardsticks"][stage] or {}
        for name, label in YARDSTICKS.items():
            row = metrics["stages"][stage] if name == "scorecard" else others.get(name)
            if row is None:
                continue
            low, high = row[f"{key}_low"], row[f"{key}_high"]
            between = span_of(low, high)
            said = of_people(row[key]) + (f" ({between})" if between else "")
            rows.append(Dot(label, row[key], low, high, said, "ours" if name == "scorecard" else "plain"))
    caption = (
        "The genuine call first, of 100 pairs, with ranges."
        if key == "auc"
        else "Genuine among those passed, of 100, with ranges."
    )
    return dots(rows, axis, caption=caption, heads=("Score", "of 100", "Value (range)"))


def glass(metrics: Document) -> str:
    """Say what it costs that a person can read the score: where a yardstick is shown to order pairs better."""
    if not any(metrics["yardsticks"][stage] for stage in STAGES):
        return "There were no earlier calls to fit yardsticks on."
    costs = []
    for name in ("unconstrained_boosting", "logistic_regression", "earlier_pranks"):
        found = []
        for stage in STAGES:
            row = (metrics["yardsticks"][stage] or {}).get(name)
            if row is not None and known(row["auc_above_scorecard_low"]) and row["auc_above_scorecard_low"] > 0.0:
                cost = decimal(100.0 * row["auc_above_scorecard"], 1)
                above = row["auc_above_scorecard"] > GLASS[stage]
                limit = f" (more than the {100 * GLASS[stage]:g} that we meant to pay)" if above else ""
                found.append(f"{cost} of 100 pairs {SHORT_STAGE_NAMES[stage]}{limit}")
        if found:
            costs.append(f"{YARDSTICKS[name]} is better by {', '.join(found)}.")
    if not costs:
        return (
            "No yardstick is shown to order pairs better: that a person can read this score costs nothing that could "
            "be measured."
        )
    return f"That a person can read this score has a price. {' '.join(costs)}"


def expected(stage: Document) -> str:
    """Say how many genuine calls a stage's scores expected, how many came, and whether scores are too extreme."""
    groups = stage["reliability"] or []
    calls = sum(group["calls"] for group in groups)
    if not calls:
        return "This could not be measured: no closed call was looked at."
    said = sum(group["calls"] * (1.0 - group["predicted"]) for group in groups)
    found = sum(group["calls"] * (1.0 - group["observed"]) for group in groups)
    text = (
        f"As calls joined the queue, the scores expected {count(said)} genuine among {count(calls)} calls; there were "
        f"{count(found)}."
    )
    low, high = stage["calibration_slope_low"], stage["calibration_slope_high"]
    if known(stage["calibration_slope"], low, high):
        looks = look_of(low, high)
        words = {
            "worse": "High and low scores lie closer together than they should",
            "better": "High and low scores lie a little further apart than they should",
            "unsure": "High and low scores lie as far apart as they should, as far as can be told",
        }
        text += f" {words[looks]} (slope {decimal(stage['calibration_slope'], 2)}, {span(low, high, 2)}; 1 is right)."
    return text
