"""Whether certificate, proof of deferral and p-value keep their promises: made-up centres, many times over.

    python -m benchmarks.coverage [--draws N]

Scores and groups are drawn; what follows is the product's own: a policy is fitted to the first calls of a centre, the
certificate is made on the next ones, and both are judged by what fifty times as many later callers would meet.
Prints the table of docs/proofs.md. A thousand draws take some ten minutes of a core.
"""

import argparse
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from model.arrays import Booleans, Floats
from model.certification.bounds import exact_interval
from model.certification.proof import StageCalls, certify
from model.policy.deferral_curve import DEFAULT_SHAPE, HeldOutScores
from model.policy.guardrails import FIRST_CALL, GUARDRAIL_NAMES, NO_NUMBER, lowest_cap
from model.training.centre_likeness import fit_likeness

ALPHA, DELTA = 0.05, 0.05
#: Two guardrails of a made-up centre, both wide open: nothing but the proof protects their callers.
CAPS = tuple(1.0 if place in (FIRST_CALL, NO_NUMBER) else 0.0 for place in range(len(GUARDRAIL_NAMES)))
BITS = np.array([0, 1 << FIRST_CALL, 1 << NO_NUMBER])
LEVELS = (0.05, 0.2, 0.5)
#: So many times as many later callers as the certificate was made on.
LATER = 50
NOW = datetime(2026, 11, 28, tzinfo=UTC)


@dataclass(frozen=True)
class Centre:
    """How the calls of a made-up centre come about.

    Parameters
    ----------
    units, others : int
        Genuine units, and other callers, for the policy and again for the proof.
    callers : float
        Mean number of calls about one incident, their scores correlated by 0.8.
    chronic : float
        Share of genuine callers who ring some ten times each; the more often, the lower they score.
    lost : float
        By how much the callers without a number look more like pranks than other genuine callers.
    earlier_noise, served_noise : float
        Standard deviations of what the models that the policy was fitted with, and the served one, each add by chance.
    named : bool
        Whether incidents are known; if not, each call counts as one of its own.
    later_others, later_shift : float
        How many times as many other calls come later, and by how much later genuine callers score higher.
    """

    units: int = 200
    others: int = 1_500
    callers: float = 1.0
    chronic: float = 0.0
    lost: float = 0.6
    earlier_noise: float = 0.5
    served_noise: float = 0.5
    named: bool = True
    later_others: float = 1.0
    later_shift: float = 0.0


CASES = {
    "one call each, policy fitted with another model": Centre(),
    "a group that gains nothing": Centre(lost=2.1),
    "a served model better than the earlier ones": Centre(earlier_noise=0.9, served_noise=0.4),
    "a served model worse than the earlier ones": Centre(earlier_noise=0.4, served_noise=0.9),
    "chronic callers, counted once": Centre(chronic=0.15),
    "chronic callers, each call counted": Centre(chronic=0.15, named=False),
    "ten callers an incident, counted once": Centre(callers=10.0),
    "ten callers an incident, each counted": Centre(callers=10.0, units=20, named=False),
    "base rate: a third of the other calls later": Centre(later_others=1.0 / 3.0),
    "base rate: three times the other calls later": Centre(later_others=3.0),
    "later genuine callers score 0.5 higher": Centre(later_shift=0.5),
}


class Calls:
    """Calls of a centre, the genuine ones first."""

    def __init__(self, centre: Centre, rng: np.random.Generator, units: int, others: int, shift: float = 0.0) -> None:
        many = 1 + rng.poisson(centre.callers - 1.0, units)
        rings = np.where(rng.random(units) < centre.chronic, 1 + rng.poisson(9.0, units), many)
        unit = np.repeat(np.arange(units), rings)
        n, total = len(unit), len(unit) + others
        alike = np.sqrt(0.8) * rng.normal(size=units)[unit] + np.sqrt(0.2) * rng.normal(size=n)
        chronic = np.log(rings)[unit] if centre.chronic else np.zeros(n)
        group = np.concatenate(
            [rng.choice(3, units, p=(0.3, 0.45, 0.25))[unit], rng.choice(3, others, p=(0.5, 0.3, 0.2))]
        )
        genuine = alike - 1.0 + shift - chronic + centre.lost * (group[:n] == 2)
        self.score = np.concatenate([genuine, rng.normal(1.2, 1.2, others)])
        self.genuine, self.held = np.arange(total) < n, BITS[group]
        self.unit = np.concatenate([unit, units + np.arange(others)])
        self.handling_s = rng.lognormal(np.log(60.0), 0.6, total)

    def likelihood(self, noise: float, rng: np.random.Generator) -> Floats:
        """Return what a model says of them that adds so much noise of its own."""
        said: Floats = 1.0 / (1.0 + np.exp(-self.score - noise * rng.normal(size=len(self.score))))
        return said

    def unit_mean(self, values: NDArray[np.generic], mine: Booleans) -> float:
        """Return the mean over genuine units of the mean of each one's calls."""
        rows = np.flatnonzero(mine & self.genuine)
        counts = np.bincount(self.unit[rows])
        return float((np.bincount(self.unit[rows], values[rows])[counts > 0] / counts[counts > 0]).mean())


@dataclass
class Tally:
    """What came of the draws of a case."""

    draws: int = 0
    flags: int = 0
    flag_failed: int = 0
    on: int = 0
    walls: int = 0
    deferral_failed: int = 0
    like: Floats = field(default_factory=lambda: np.zeros(len(LEVELS)))


def run(centre: Centre, draws: int, seed: int = 0) -> Tally:
    """Fit, certify and judge many times over."""
    rng = np.random.default_rng(seed)
    later = Calls(
        centre, rng, LATER * centre.units, round(LATER * centre.others * centre.later_others), centre.later_shift
    )
    served = later.likelihood(centre.served_noise, rng)
    everybody = np.ones(len(served), dtype=np.bool_)
    found = Tally()
    for _ in range(draws):
        past, proof = (Calls(centre, rng, centre.units, centre.others) for _ in range(2))
        said = past.likelihood(centre.earlier_noise, rng)
        curve = HeldOutScores(said, past.genuine, past.handling_s).curve(DEFAULT_SHAPE, lowest_cap(past.held, CAPS))
        scores = proof.likelihood(centre.served_noise, rng)
        factor = curve.factors(scores, lowest_cap(proof.held, CAPS))
        alone = np.full(len(scores), -1)
        certificate = certify(
            {
                "opening": StageCalls(
                    score=np.where(factor > 0.0, scores, 0.0),
                    defer_factor=factor,
                    held=proof.held,
                    genuine=proof.genuine,
                    handling_s=proof.handling_s,
                    callers=alone,
                    units=proof.unit if centre.named else alone,
                    call_ids=[f"{part:x}" for part in rng.integers(0, 2**62, len(scores))],
                )
            },
            alpha=ALPHA,
            delta=DELTA,
            key=b"coverage",
            issued_at=NOW,
            fingerprint="",
            base_rate=0.9,
            caps=CAPS,
        ).stage("opening")
        truth = curve.factors(served, lowest_cap(later.held, CAPS))
        found.draws += 1
        if (threshold := certificate.flag.threshold) is not None:
            found.flags += 1
            found.flag_failed += later.unit_mean((served > threshold) & (truth > 0.0), everybody) > ALPHA
        gate = certificate.deferral
        if gate.on:
            found.on += 1
            found.walls += bool(gate.walled)
            kept = truth * gate.allows_rows(later.held)
            load = float(np.average(kept, weights=later.handling_s))
            means = [later.unit_mean(kept, everybody)]
            means += [
                later.unit_mean(kept, later.held & 1 << GUARDRAIL_NAMES.index(group.group) > 0)
                for group in gate.groups
                if group.deferred
            ]
            found.deferral_failed += max(means) >= load
        likeness = fit_likeness(said, past.genuine, past.unit if centre.named else np.full(len(said), -1))
        if likeness is not None:
            like, _ = likeness.of_rows(served)
            found.like += [later.unit_mean(like <= level, everybody) for level in LEVELS]
    return found


def told(name: str, found: Tally) -> str:
    """Return a case as a row of the table."""

    def share(failed: int) -> str:
        low, high = exact_interval(failed, found.draws)
        return f"{100 * failed / found.draws:.2f} % ({100 * low:.2f} to {100 * high:.2f})"

    like = " / ".join(f"{100 * value:.1f}" for value in found.like / found.draws)
    opened = f"{100 * found.on / found.draws:.0f} % ({100 * found.walls / found.draws:.0f} % with walls)"
    return f"| {name} | {share(found.flag_failed)} | {opened} | {share(found.deferral_failed)} | {like} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1_000)
    draws = parser.parse_args().draws
    print(f"{draws} draws a case. Nominal: flag {DELTA / 2:.1%}, deferral {DELTA / 2:.1%}, genuine_like 5 / 20 / 50 %.")
    print("\n| case | flag failed | deferral on | deferral proof failed | genuine_like at most 5 / 20 / 50 % |")
    print("|---|---|---|---|---|")
    for name, centre in CASES.items():
        print(told(name, run(centre, draws)), flush=True)


if __name__ == "__main__":
    main()
