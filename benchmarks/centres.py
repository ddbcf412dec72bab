"""Logs to try rules on: the made-up cities with learnt scores, and six centres whose scores are drawn.

Each log comes in two parts: held-out calls to fit a rule on, and later ones to replay.
"""

from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from model.arrays import Booleans, Floats, Integers
from model.evaluation.rehearsal import rehearse
from model.params import Params
from model.policy.stage_scores import join_scores, stage_scores
from model.queueing.scenarios import handling_times
from model.simulation.city import simulate
from model.training.centre_policy import set_policy
from model.training.dataset import prepare_dataset
from model.training.rolling_origin import train

CITIES = ("bengkulu", "silence", "shared", "numberless", "drift", "launch", "storm", "metro")


@dataclass(frozen=True)
class Calls:
    """Calls in the order of received_at; `guarded` and `cap` are what the guardrails leave, `held` which ones hold."""

    received_us: Integers
    handling_s: Floats
    genuine: Booleans
    score: Floats
    guarded: Floats
    cap: Floats
    held: Integers


@dataclass(frozen=True)
class Centre:
    """A log in two parts."""

    name: str
    fit: Calls
    test: Calls

    def without_guardrails(self) -> "Centre":
        """Return the same calls with nothing to hold a deferral back."""
        parts = [
            replace(part, guarded=part.score, cap=np.ones_like(part.cap), held=np.zeros_like(part.held))
            for part in (self.fit, self.test)
        ]
        return Centre(self.name, *parts)

    def scored(self, score: "tuple[Floats, Floats]", name: str) -> "Centre":
        """Return the same calls with other scores."""
        parts = [
            replace(part, score=mine, guarded=mine) for part, mine in zip((self.fit, self.test), score, strict=True)
        ]
        return Centre(name, *parts)


def city(name: str, seed: int) -> Centre:
    """Train on the first part of a made-up city, set the policy on the next, and give that and what came later."""
    log, params = simulate(name, seed), Params()
    with threadpool_limits(1):
        past = prepare_dataset(log.calls, params, corrections=log.corrections)
        trained = train(past, params)
    policy = set_policy(past, *trained.held_out(), params, draws=0)
    # Without a part for the certificate, the last two stretches.
    later = rehearse(trained, policy, most=1 if past.certify.any() else 2, draws=0)
    of = later[0].made_of
    assert of is not None
    scores = [
        stage_scores(past.table, one.scorecards["opening"], policy.with_every_guardrail(), one.rows) for one in later
    ]
    window = np.logical_or.reduce([one.rows for one in later])
    events, parts = past.events, []
    for rows, mine in ((of.rows, of.scores), (window, join_scores(scores))):
        parts.append(
            Calls(
                received_us=events.received_us[rows],
                handling_s=handling_times(events)[rows],
                genuine=((events.outcome == 0) & past.mature)[rows],
                score=mine.likelihood,
                guarded=mine.guarded,
                cap=mine.cap,
                held=mine.held,
            )
        )
    return Centre(f"{name} {seed}", *parts)


def drawn_centre(
    name: str, seed: int, operators: int, genuine_share: float, separation: float, days: int = 40
) -> Centre:
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
    held = np.where(kind < 0.1, 1, np.where(kind < 0.2, 8, 0))
    whole = Calls(received, handling_s, genuine, score, score, cap, held)
    columns = ("received_us", "handling_s", "genuine", "score", "guarded", "cap", "held")
    halves = (slice(None, n // 2), slice(n // 2, None))
    return Centre(name, *(Calls(*(getattr(whole, column)[half] for column in columns)) for half in halves))


def drawn_centres() -> list[Centre]:
    """Return five centres with a good model (d' = 4) and one with a weak one."""
    return [
        drawn_centre("rare", 1, 2, 0.01, 4.0),
        drawn_centre("few", 2, 4, 0.05, 4.0),
        drawn_centre("mixed", 3, 4, 0.25, 4.0),
        drawn_centre("half", 4, 8, 0.50, 4.0),
        drawn_centre("most", 5, 8, 0.75, 4.0),
        drawn_centre("weak model", 6, 4, 0.25, 1.5),
    ]
