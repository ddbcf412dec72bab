"""How much of the oracle's gain a rule of deferral brings, and what it costs the call that waits longest.

`frontier` takes arrays, of a made-up centre or of a real log: received_at, handling, guarded score, genuine and
the guardrails' caps. Run it for the table in docs/queueing.md:

    python benchmarks/frontier.py
"""

import dataclasses
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.deferral import DeferralSettings
from model.factor import fit_factor
from model.queueing import Rule, Waits, gap_closed, handling_for_load, keys_after, keys_by_score, replay, waits

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
LOADS = (0.7, 0.95, 1.1)
NO_CAP = np.inf


@dataclass(frozen=True)
class Calls:
    """A centre's held-out calls in the order of received_at; the first half fits, the second half is replayed."""

    name: str
    received_at_us: npt.NDArray[np.int64]
    handling_s: Floats
    score: Floats
    genuine: Bools
    cap: Floats
    operators: int

    def part(self, chosen: slice) -> "Calls":
        """Give some of the calls, with every column."""
        columns = (self.received_at_us, self.handling_s, self.score, self.genuine, self.cap)
        return Calls(self.name, *(column[chosen] for column in columns), self.operators)


Discipline = Callable[[Calls, Calls, Floats, float], "npt.NDArray[np.int64] | Rule"]


def log_odds_factor(fit: Calls, test: Calls, odds_range: float) -> Floats:
    """-ln(g / m) clipped to 0..ln R, over ln R: the shape before ranking by work."""
    median = np.median(1.0 - fit.score[fit.genuine])
    return -np.log(np.clip((1.0 - test.score) / median, 1.0 / odds_range, 1.0)) / np.log(odds_range)


def curve_factor(fit: Calls, test: Calls) -> Floats:
    return fit_factor(fit.score, fit.genuine, fit.handling_s, fit.cap).factors(test.score, test.cap)


def shaped_factor(
    fit: Calls,
    test: Calls,
    ramp: tuple[float, float] = (0.25, 0.60),
    odds_range: float = 20.0,
    passing: float = 0.45,
    power: float = 1.0,
    by_normalised_work: bool = False,
    cap_after_scale: bool = False,
    by_rank: float = 0.0,
) -> Floats:
    """Try other shapes of the factor: another ramp, a power of it, another s, or the cap after s."""
    weight = fit.handling_s * (fit.cap if by_normalised_work else 1.0)
    order = np.argsort(fit.score, kind="stable")
    knots, first = np.unique(fit.score[order], return_index=True)
    done = np.concatenate(([0.0], np.cumsum(weight[order])))[first] / weight.sum()

    genuine_done = np.searchsorted(np.sort(fit.score[fit.genuine]), knots) / fit.genuine.sum()
    purity = np.maximum.accumulate(1.0 - (1.0 - genuine_done) / (1.0 - done))

    def ranked(calls: Calls) -> Floats:
        """Instead of odds: 1 - (share of genuine calls) / (share of work) with at least this score."""
        return np.clip(np.interp(calls.score, knots, purity) / by_rank, 0.0, 1.0)

    def h(calls: Calls, capped: bool) -> Floats:
        below = np.interp(calls.score, knots, done)
        by_work = np.clip((below - ramp[0]) / (ramp[1] - ramp[0]), 0.0, 1.0) ** power
        found = np.minimum(by_work, ranked(calls) if by_rank else log_odds_factor(fit, calls, odds_range))
        return np.minimum(found, calls.cap) if capped else found

    s = min(1.0, passing / max(1e-9, 1.0 - np.average(h(fit, capped=True), weights=fit.handling_s)))
    return np.minimum(test.cap, s * h(test, capped=False)) if cap_after_scale else s * h(test, capped=True)


def rule(
    factor: Callable[[Calls, Calls], Floats], kappa: float = 2.0, base_s: float = 120.0, cap_s: float = NO_CAP
) -> Discipline:
    settings = DeferralSettings(kappa, base_s, cap_s)
    return lambda fit, test, handling_s, mean_s: Rule(factor(fit, test), mean_s, settings)


def by_band(fit: Calls, test: Calls, handling_s: Floats, mean_s: float) -> npt.NDArray[np.int64]:
    """Defer by band: 300 s above the 95th percentile of genuine scores, 120 s above the 80th."""
    unsure, likely = np.quantile(fit.score[fit.genuine], [0.80, 0.95])
    return keys_after(
        test.received_at_us, np.where(test.score > likely, 300.0, np.where(test.score > unsure, 120.0, 0.0))
    )


def frontier(
    centre: Calls,
    disciplines: dict[str, Discipline],
    loads: tuple[float, ...] = LOADS,
    patience_s: Floats | None = None,
) -> dict[str, list[tuple[float, float, float, float, float]]]:
    """Replay the later half of a centre's calls under each discipline at each load.

    Returns
    -------
    dict of list of tuple
        Per discipline and load: gap closed in the genuine callers' mean wait; the longest wait against first come,
        first served; the longest wait of a genuine caller, likewise; genuine callers lost; those lost under the
        oracle.
    """
    half = len(centre.score) // 2
    fit, test = centre.part(slice(None, half)), centre.part(slice(half, None))
    patience = np.inf if patience_s is None else patience_s[half:]
    found: dict[str, list[tuple[float, float, float, float, float]]] = {name: [] for name in disciplines}
    for load in loads:
        handling_s = handling_for_load(test.received_at_us, test.handling_s, test.operators, load)
        mean_s = float(handling_s.mean())

        def summary(keys: "npt.NDArray[np.int64] | Rule", handling_s: Floats = handling_s) -> tuple[Waits, Waits]:
            result = replay(test.received_at_us, handling_s, keys, test.operators, patience)
            return waits(result), waits(result, test.genuine)

        fcfs, oracle = summary(test.received_at_us), summary(1 - test.genuine)
        for name, discipline in disciplines.items():
            everybody, genuine = summary(discipline(fit, test, handling_s, mean_s))
            found[name].append(
                (
                    gap_closed(fcfs[1], genuine, oracle[1]),
                    everybody.longest_s / fcfs[0].longest_s,
                    genuine.longest_s / fcfs[1].longest_s,
                    genuine.lost_share,
                    oracle[1].lost_share,
                )
            )
    return found


def made_up_centre(
    name: str, seed: int, operators: int, genuine_share: float, separation: float, days: int = 40
) -> Calls:
    """Make a centre whose calls have a daily rhythm and storms, and a calibrated score from two normals.

    Calls come so that 60 s of handling would load the operators to 0.95. Genuine calls take 60 s on average,
    others 40 s (gamma, shape 2). A storm lasts two hours, once in ten days, with half as many calls again. A tenth
    are first calls (cap 0), a tenth have no number (cap 0.5); those are scored with half the separation d', the
    distance between the two normals in standard deviations.
    """
    rng = np.random.default_rng(seed)
    minutes = np.arange(days * 1440)
    rate = 1.0 + 0.3 * np.sin(2.0 * np.pi * (minutes / 1440.0 - 0.3))
    for start in rng.integers(0, len(minutes), days // 10):
        rate[start : start + 120] *= 1.5
    counts = rng.poisson(0.95 * operators * rate / rate.mean())
    received = np.sort((np.repeat(minutes, counts) + rng.random(counts.sum())) * 60e6).astype(np.int64)
    n = len(received)
    genuine = rng.random(n) < genuine_share
    kind = rng.random(n)
    width = np.where(kind < 0.2, separation / 2.0, separation)
    log_odds_ratio = width * (np.where(genuine, -width, width) / 2.0 + rng.normal(0.0, 1.0, n))
    prior = np.log((1.0 - genuine_share) / genuine_share)
    score = 1.0 / (1.0 + np.exp(-np.round(log_odds_ratio + prior, 3)))
    handling_s = rng.gamma(2.0, np.where(genuine, 30.0, 20.0))
    cap = np.where(kind < 0.1, 0.0, np.where(kind < 0.2, 0.5, 1.0))
    return Calls(name, received, handling_s, score, genuine, cap, operators)


CENTRES = (
    ("rare", 1, 2, 0.01, 4.0),
    ("few", 2, 4, 0.05, 4.0),
    ("mixed", 3, 4, 0.25, 4.0),
    ("half", 4, 8, 0.50, 4.0),
    ("most", 5, 8, 0.75, 4.0),
    ("weak model", 6, 4, 0.25, 1.5),
)


def without_guardrails(centre: Calls) -> Calls:
    return dataclasses.replace(centre, cap=np.ones_like(centre.cap))


def shuffled(centre: Calls) -> Calls:
    mixed = np.random.default_rng(9).permutation(centre.score)
    return dataclasses.replace(centre, name=f"{centre.name}, useless model", score=mixed)


def shaped(**shape: float | tuple[float, float] | bool) -> Callable[[Calls, Calls], Floats]:
    return lambda fit, test: shaped_factor(fit, test, **shape)  # type: ignore[arg-type]


DISCIPLINES: dict[str, Discipline] = {
    "strict order by score": lambda fit, test, handling_s, mean_s: keys_by_score(test.score),
    "fixed deferral by band": by_band,
    "log of g/m, R = 50, not normalised": rule(lambda fit, test: log_odds_factor(fit, test, 50.0)),
    "the rule": rule(curve_factor),
    "the rule, max_defer_s 300": rule(curve_factor, cap_s=300.0),
    "ramp 0.30 to 0.65, s from 0.425": rule(shaped(ramp=(0.30, 0.65), passing=0.425)),
    "ramp 0.20 to 0.50": rule(shaped(ramp=(0.20, 0.50))),
    "ramp 0.10 to 0.90": rule(shaped(ramp=(0.10, 0.90))),
    "ramp 0.35 to 0.45, almost a step": rule(shaped(ramp=(0.35, 0.45))),
    "ramp squared": rule(shaped(power=2.0)),
    "ramp to the power 1/2": rule(shaped(power=0.5)),
    "R = 2": rule(shaped(odds_range=2.0)),
    "R = 5": rule(shaped(odds_range=5.0)),
    "R = 10": rule(shaped(odds_range=10.0)),
    "R = 100": rule(shaped(odds_range=100.0)),
    "R = 5, s from 0.40": rule(shaped(odds_range=5.0, passing=0.40)),
    "R = 5, ramp 0.20 to 0.50": rule(shaped(odds_range=5.0, ramp=(0.20, 0.50))),
    "genuine against work in the tail, / 0.9": rule(shaped(by_rank=0.9)),
    "genuine against work in the tail, / 0.5": rule(shaped(by_rank=0.5)),
    "s from 0.60": rule(shaped(passing=0.60)),
    "kappa 1": rule(curve_factor, kappa=1.0),
    "kappa 1.5": rule(curve_factor, kappa=1.5),
    "kappa 3": rule(curve_factor, kappa=3.0),
    "kappa 3, s from 0.30": rule(shaped(passing=0.30), kappa=3.0),
    "base_s 0": rule(curve_factor, base_s=0.0),
    "base_s 60": rule(curve_factor, base_s=60.0),
    "base_s 240": rule(curve_factor, base_s=240.0),
}

USELESS = (
    "strict order by score",
    "the rule",
    "R = 5",
    "R = 2",
    "genuine against work in the tail, / 0.9",
    "genuine against work in the tail, / 0.5",
)

GUARDED: dict[str, Discipline] = {
    "the rule": rule(curve_factor),
    "cap after s": rule(shaped(cap_after_scale=True)),
    "L over deferrable work only": rule(shaped(by_normalised_work=True)),
}


def table(centres: list[Calls], disciplines: dict[str, Discipline]) -> None:
    print("| rule | gap closed, mean | gap closed, least | longest wait, mean | longest wait, worst | genuine, worst |")
    print("|---|---|---|---|---|---|")
    found = [frontier(centre, disciplines) for centre in centres]
    for name in disciplines:
        rows = np.array([row for result in found for row in result[name]])
        print(
            f"| {name} | {rows[:, 0].mean():.3f} | {rows[:, 0].min():.2f} | {rows[:, 1].mean():.2f} "
            f"| {rows[:, 1].max():.2f} | {rows[:, 2].max():.2f} |"
        )
        sys.stdout.flush()


def lost_table(centres: list[Calls]) -> None:
    disciplines = {
        "first come, first served": lambda fit, test, handling_s, mean_s: test.received_at_us,
        **{f"the rule, max_defer_s {cap:g}": rule(curve_factor, cap_s=cap) for cap in (120.0, 300.0, 600.0)},
    }
    loads = (0.95, 1.2, 2.0)
    print("| genuine callers lost | " + " | ".join(f"load {load}" for load in loads) + " |")
    print("|---" * (len(loads) + 1) + "|")
    found = []
    for seed, centre in enumerate(centres):
        patience_s = np.random.default_rng(100 + seed).exponential(np.where(centre.genuine, 320.0, 155.0))
        found.append(frontier(centre, disciplines, loads, patience_s))
    for name in disciplines:
        rows = np.array([[row[3] for row in result[name]] for result in found]).mean(axis=0)
        print(f"| {name} | " + " | ".join(f"{share:.1%}" for share in rows) + " |")
    rows = np.array([[row[4] for row in result[name]] for result in found]).mean(axis=0)
    print("| oracle | " + " | ".join(f"{share:.1%}" for share in rows) + " |")


def main() -> None:
    centres = [made_up_centre(*centre) for centre in CENTRES]
    print("\nWithout guardrails, without hang-ups\n")
    free = [without_guardrails(centre) for centre in centres]
    table(free[:-1], DISCIPLINES)
    print("\nThe rule by centre: gap closed at loads " + ", ".join(map(str, LOADS)) + "\n")
    for centre in free:
        rows = frontier(centre, {"the rule": rule(curve_factor)})["the rule"]
        print(f"{centre.name}: " + ", ".join(f"{row[0]:.2f}" for row in rows))
    print("\nThe weak model alone\n")
    table(free[-1:], DISCIPLINES)
    print("\nA useless model: the scores of `rare` and `mixed`, dealt out at random\n")
    table([shuffled(free[0]), shuffled(free[2])], {name: DISCIPLINES[name] for name in USELESS})
    print("\nWith guardrails, without hang-ups\n")
    table(centres, GUARDED)
    print("\nWith guardrails, with hang-ups\n")
    lost_table(centres)


if __name__ == "__main__":
    main()
