"""What a rule of deferral brings genuine callers, and what it costs whoever waits longest: the frontier.

    python -m benchmarks.frontier            the tables of docs/queueing.md and docs/frontier.png, some ten minutes

Rules are fitted on the part of a log that set the policy and replayed on what came later. Seeds 0 to 2 of the made-up
cities are for choosing; docs/evaluation.md reports on others.
"""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib as mpl
import numpy as np

from benchmarks.centres import CITIES, Calls, Centre, city, drawn_centres
from model.arrays import Floats
from model.policy.deferral import DeferralSettings
from model.policy.deferral_curve import HeldOutScores
from model.queueing.scenarios import CONDITIONS, QueuedCalls, measure_waits

SEEDS = (0, 1, 2)
OPERATORS = 3
FREE = tuple(condition for condition in CONDITIONS if not condition.hang_ups)
BUSY = tuple(condition for condition in CONDITIONS if condition.hang_ups)
PLOT = Path(__file__).parent.parent / "docs" / "frontier.png"


@dataclass(frozen=True)
class Rule:
    """A shape of the factor and the seconds that go with it.

    Parameters
    ----------
    shape : callable, optional
        (calls fitted on, scores) -> h before caps; by default the product's own curve.
    passing : float
        What s is fitted to.
    """

    shape: Callable[[Calls, Floats], Floats] | None = None
    passing: float = 0.45
    kappa: float = 2.0
    base_s: float = 120.0

    def factors(self, centre: Centre) -> Floats:
        """Fit on the first part of a centre, give the factors of the second."""
        fit, test = centre.fit, centre.test
        if self.shape is None:
            curve = HeldOutScores(fit.guarded, fit.genuine, fit.handling_s).curve(cap=fit.cap)
            return curve.factors(test.guarded, test.cap)
        capped = np.minimum(self.shape(fit, fit.guarded), fit.cap)
        ahead = 1.0 - float(np.average(capped, weights=fit.handling_s))
        return min(1.0, self.passing / max(1e-9, ahead)) * np.minimum(self.shape(fit, test.guarded), test.cap)


def shape(
    ramp: tuple[float, float] = (0.45, 0.10), odds: float | None = None, rarer: float | None = 0.5
) -> Callable[[Calls, Floats], Floats]:
    """Make h: a ramp over the work below, and a second term by odds or by how much rarer genuine calls are."""

    def h(fit: Calls, score: Floats) -> Floats:
        order = np.argsort(fit.guarded, kind="stable")
        knots, first = np.unique(fit.guarded[order], return_index=True)
        done = np.concatenate(([0.0], np.cumsum(fit.handling_s[order])))[first] / fit.handling_s.sum()
        found = np.clip((np.interp(score, knots, done) - ramp[0]) / ramp[1], 0.0, 1.0)
        if odds is not None:
            median = np.median(1.0 - fit.guarded[fit.genuine])
            return np.minimum(found, -np.log(np.clip((1.0 - score) / median, 1.0 / odds, 1.0)) / np.log(odds))
        if rarer is None:
            return found
        genuine_done = np.searchsorted(np.sort(fit.guarded[fit.genuine]), knots) / fit.genuine.sum()
        purity = np.maximum.accumulate(1.0 - (1.0 - genuine_done) / (1.0 - done))
        return np.minimum(found, np.clip(np.interp(score, knots, purity) / rarer, 0.0, 1.0))

    return h


OLD = shape((0.25, 0.35), odds=20.0)
RULES = {
    "the rule": Rule(),
    "the rule before: ramp 0.25 to 0.60, odds R = 20": Rule(OLD),
    "odds R = 5": Rule(shape((0.25, 0.35), odds=5.0)),
    "odds R = 2": Rule(shape((0.25, 0.35), odds=2.0)),
    "by rank, ramp 0.25 to 0.60": Rule(shape((0.25, 0.35))),
    "by rank, ramp 0.40 to 0.60": Rule(shape((0.40, 0.20))),
    "by rank, ramp 0.40 to 0.50": Rule(shape((0.40, 0.10))),
    "by rank, ramp 0.50 to 0.60": Rule(shape((0.50, 0.10))),
    "by rank, ramp 0.55 to 0.65": Rule(shape((0.55, 0.10))),
    "by rank, ramp 0.60 to 0.80": Rule(shape((0.60, 0.20))),
    "ramp 0.45 to 0.55 and odds R = 3": Rule(shape(odds=3.0)),
    "no second term": Rule(shape(rarer=None)),
    "genuine calls 0.9 times rarer for a full deferral": Rule(shape(rarer=0.9)),
    "s from 0.42": Rule(shape(), passing=0.42),
    "s from 0.55": Rule(shape(), passing=0.55),
    "kappa 1": Rule(kappa=1.0),
    "kappa 3": Rule(kappa=3.0),
    "kappa 3, s from 0.30": Rule(shape(), passing=0.30, kappa=3.0),
    "kappa 3, s from 0.55": Rule(shape(), passing=0.55, kappa=3.0),
    "base_s 0": Rule(base_s=0.0),
    "base_s 240": Rule(base_s=240.0),
}


def replayed(centre: Centre, rules: dict[str, Rule], conditions: Iterable = FREE) -> dict[str, Floats]:
    """Replay the second part of a centre under each rule, in strict order by score, and under the oracle.

    Returns
    -------
    dict of float64 (conditions, 3)
        Gap closed, longest wait of anybody against first come, first served, share of genuine callers lost.
    """
    test = centre.test
    queued = QueuedCalls(test.received_us, test.handling_s, test.genuine, test.guarded, {})
    found: dict[str, list[list[float]]] = {}
    for name, rule in {"": Rule(), **rules}.items():
        disciplines = (name,) if name else ("first_come", "by_score", "oracle")
        calls = replace(queued, factors={name: rule.factors(centre)})
        settings = DeferralSettings(rule.kappa, rule.base_s)
        for _, discipline, numbers in measure_waits(calls, disciplines, tuple(conditions), settings, OPERATORS, seed=0):
            row = [numbers["gap_closed"], numbers["longest_ratio"], numbers["lost_share"]]
            found.setdefault(discipline, []).append(row)
    return {name: np.array(rows) for name, rows in found.items()}


def bound(centre: Centre, longest: float) -> float:
    """Most of the gap that any order with these scores and caps can close while nobody waits `longest` times as long.

    In a fluid queue (many small calls, always busy) work keeps its mean wait W. At best the calls that may be deferred
    and score highest, a share q of the work with a share a of the genuine calls, all wait `longest` W, and the others
    what is left, (1 - q longest) / (1 - q) W; the oracle's own wait counts as 0.
    """
    test = centre.test
    order = np.argsort(np.where(test.cap > 0.0, -test.guarded, np.inf), kind="stable")
    order = order[: int((test.cap > 0.0).sum())]
    q = np.cumsum(test.handling_s[order]) / test.handling_s.sum()
    a = np.cumsum(test.genuine[order]) / test.genuine.sum()
    others = (1.0 - q * longest) / (1.0 - q)
    feasible = others >= 0.0
    return float((1.0 - (1.0 - a) * others - a * longest)[feasible].max(initial=0.0))


def table(centres: list[Centre], rules: dict[str, Rule]) -> None:
    """Print what each rule does, mean over centres and loads."""
    print("| rule | gap closed | longest wait, mean | longest, worst | genuine lost 0.95 | 1.2 | 2.0 |")
    print("|---|---|---|---|---|---|---|")
    free = [replayed(centre, rules) for centre in centres]
    busy = [replayed(centre, rules, BUSY) for centre in centres]
    for name in ("first_come", *rules, "by_score", "oracle"):
        rows = np.array([found[name] for found in free])
        lost = np.array([found[name][:, 2] for found in busy]).mean(axis=0)
        shares = " | ".join(f"{share:.1%}" for share in lost)
        print(
            f"| {name.replace('_', ' ')} | {rows[..., 0].mean():.3f} | {rows[..., 1].mean():.2f} "
            f"| {rows[..., 1].max():.2f} | {shares} |"
        )
        sys.stdout.flush()


def by_city(free: list[Centre], guarded: list[Centre]) -> None:
    """Print, for each city, how much of the gap can be closed at all and how much the rule closes."""
    print("| city | genuine | genuine from first calls | strict order | bound at 2.1 | the rule | perfect scores "
          "| guardrails: work that may wait | bound at 2.1 | the rule |")  # fmt: skip
    print("|---" * 10 + "|")
    for name in CITIES:
        rows = []
        for open_, held in zip(free, guarded, strict=True):
            if open_.name.split()[0] != name:
                continue
            test = held.test
            truth = [part.genuine for part in (open_.fit, open_.test)]
            rng = np.random.default_rng(0)
            known = open_.scored(tuple(np.where(mine, 0.0, 0.5) + 0.5 * rng.random(len(mine)) for mine in truth), name)
            mine = replayed(open_, {"rule": Rule()})
            rows.append(
                [
                    test.genuine.mean(),
                    (held.test.held[test.genuine] & 1).mean(),
                    mine["by_score"][:, 0].mean(),
                    bound(open_, 2.1),
                    mine["rule"][:, 0].mean(),
                    replayed(known, {"rule": Rule()})["rule"][:, 0].mean(),
                    np.average(test.cap > 0.0, weights=test.handling_s),
                    bound(held, 2.1),
                    replayed(held, {"rule": Rule()})["rule"][:, 0].mean(),
                ]
            )
        numbers = np.mean(rows, axis=0)
        print(f"| {name} | {numbers[0]:.1%} | {numbers[1]:.0%} | " + " | ".join(f"{x:.2f}" for x in numbers[2:]) + " |")
        sys.stdout.flush()


def plot(free: list[Centre], guarded: list[Centre]) -> None:
    """Draw gap closed against the longest wait, both means over cities and loads, for every kappa."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8.0, 5.5), layout="constrained")
    kappas = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0)
    lines = (
        ("the rule, guardrails off", free, None, "C0", "-"),
        ("the rule before (odds), guardrails off", free, OLD, "C1", "-"),
        ("the rule, guardrails on", guarded, None, "C0", "--"),
        ("the rule before (odds), guardrails on", guarded, OLD, "C1", "--"),
    )
    for label, centres, form, colour, style in lines:
        rules = {str(kappa): Rule(form, kappa=kappa) for kappa in kappas}
        found = [replayed(centre, rules) for centre in centres]
        gap, longest = ([np.mean([rows[name][:, column] for rows in found]) for name in rules] for column in (0, 1))
        axes.plot(longest, gap, style, color=colour, marker="o", markersize=3, label=label)
        now = kappas.index(2.0)
        axes.plot(longest[now], gap[now], "o", color=colour, markersize=8)
    ratios = np.linspace(1.0, 4.0, 31)
    for label, centres, style in (("guardrails off", free, "-"), ("guardrails on", guarded, "--")):
        most = [np.mean([bound(centre, ratio) for centre in centres]) for ratio in ratios]
        axes.plot(ratios, most, style, color="0.6", label=f"most that these scores allow (fluid queue), {label}")
    axes.plot(2.1, 0.85, "k*", label="target, guardrails off (0.85) and on (0.75)")
    axes.plot(2.1, 0.75, "k*")
    axes.set_xlim(1.0, 4.0)
    axes.set_ylim(0.0, 1.0)
    axes.set_xlabel("longest wait of anybody against first come, first served (mean of cities and loads)")
    axes.set_ylabel("share of the gap to a perfect oracle closed")
    axes.set_title("Eight made-up cities, learnt scores; kappa from 0.5 to 6, the large dot is kappa 2", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")
    figure.savefig(PLOT, dpi=110)


def main() -> None:
    """Print the tables and draw the plot."""
    guarded = [city(name, seed) for seed in SEEDS for name in CITIES]
    free = [centre.without_guardrails() for centre in guarded]
    print("\nThe eight cities, guardrails off\n")
    table(free, RULES)
    print("\nThe eight cities, guardrails on\n")
    table(guarded, RULES)
    print("\nBy city\n")
    by_city(free, guarded)
    plot(free, guarded)
    centres = drawn_centres()
    chosen = {name: RULES[name] for name in list(RULES)[:7]}
    print("\nFive centres with drawn scores and a good model, guardrails off\n")
    table([centre.without_guardrails() for centre in centres[:-1]], chosen)
    print("\nThe weak model alone\n")
    table([centres[-1].without_guardrails()], chosen)
    rng = np.random.default_rng(9)
    useless = [
        centre.scored((rng.permutation(centre.fit.score), rng.permutation(centre.test.score)), "useless")
        for centre in (centres[0].without_guardrails(), centres[2].without_guardrails())
    ]
    print("\nA useless model: scores dealt out at random\n")
    table(useless, chosen)


if __name__ == "__main__":
    main()
