"""How often the gate opens and the monitor alarms, measured over thousands of made-up years."""

import numpy as np
import pytest

from model.certification.deferral_proof import CALLER_CAP_S, Load, prove_deferral
from model.certification.monitor import Monitor
from tests.support.statistics.failure_rates import breaks, holds, row

pytestmark = pytest.mark.slow
ALPHA, DELTA, KEY = 0.05, 0.05, b"slow"


def a_load(rng, n, lean):
    """Callers' own mean factor, calls and total time; 3 % ring often, and are deferred more (lean > 0) or less."""
    chronic = rng.random(n) < 0.03
    calls = np.where(chronic, 1 + rng.geometric(1 / 60, n), 1 + rng.poisson(0.3, n))
    centre = np.clip(0.4 + lean * chronic, 0.05, 0.95)
    own = rng.beta(5 * centre, 5 * (1 - centre))
    callers = np.repeat(np.arange(n), calls)
    time_s = np.minimum(rng.lognormal(np.log(50), 0.8, callers.size), 3600.0)
    return own[callers], time_s, callers


def proof_of(genuine_factors, drawn, delta):
    factors, time_s, callers = drawn
    return prove_deferral(genuine_factors, factors, Load(time_s, callers), delta, delta)


def true_means(lean):
    factors, time_s, callers = a_load(np.random.default_rng(99), 400_000, lean)
    total = np.bincount(callers, time_s)
    own = np.bincount(callers, time_s * factors) / total
    capped = np.minimum(total, CALLER_CAP_S)
    return float((total * own).sum() / total.sum()), float((capped * own).sum() / capped.sum())


@pytest.mark.parametrize("lean", [0.0, 0.4, -0.3])
def test_the_lower_bound_of_the_load_holds_for_the_capped_mean(lean):
    rng, repetitions = np.random.default_rng(4), 1_000
    plain, capped = true_means(lean)
    for n in (300, 1500):
        bounds = np.array([proof_of(np.zeros(0), a_load(rng, n, lean), DELTA).load_lower for _ in range(repetitions)])
        failures, failures_plain = int((bounds > capped).sum()), int((bounds > plain).sum())
        row(
            f"chronic {lean:+.1f}, {n} callers: plain mean {plain:.3f}, capped {capped:.3f}, "
            f"bound {bounds.mean():.3f}; above the capped mean",
            failures,
            repetitions,
        )
        row("the same; above the plain mean", failures_plain, repetitions)
        assert holds(failures, repetitions)
        assert breaks(failures_plain, repetitions) == (lean < 0 and n == 1500)


@pytest.mark.parametrize("lean", [0.0, 0.4, -0.3])
def test_the_gate_stays_shut_when_genuine_callers_gain_nothing(lean):
    rng, repetitions = np.random.default_rng(6), 1_000
    plain, _ = true_means(lean)
    opened = sum(
        proof_of(rng.beta(5 * plain, 5 * (1 - plain), 106), a_load(rng, 1500, lean), DELTA / 2).on
        for _ in range(repetitions)
    )
    row(f"no gain, chronic {lean:+.1f}, 106 genuine callers, 1500 callers", opened, repetitions)
    assert holds(opened, repetitions)


@pytest.mark.parametrize("gain", [0.10, 0.20, 0.30])
def test_how_often_the_gate_opens_when_genuine_callers_gain(gain):
    rng, repetitions = np.random.default_rng(8), 300
    _, capped = true_means(0.4)
    mean = capped - gain
    opened = {}
    for n in (20, 60, 106, 300):
        opened[n] = sum(
            proof_of(rng.beta(2 * mean, 2 * (1 - mean), n), a_load(rng, 1500, 0.4), DELTA / 8).on
            for _ in range(repetitions)
        )
        row(f"gain {gain:.2f}, {n} genuine callers", opened[n], repetitions)
    assert opened[300] > opened[20]
    assert gain < 0.3 or opened[106] > 0.9 * repetitions


def alarms(alpha, a_year, breach, from_month, repetitions, seed):
    """Events from the breach to the alarm, for each year in which one sounded."""
    rng, delays = np.random.default_rng(seed), []
    months = np.arange(a_year) * 12 // a_year
    start = int((months < from_month).sum())
    for _ in range(repetitions):
        share = np.where(months < from_month, alpha, breach * alpha)
        monitor = Monitor(alpha, DELTA)
        for event, (x, month) in enumerate(zip(rng.random(a_year) < share, months, strict=True)):
            monitor.update(int(x), int(month))
            if monitor.alarmed:
                delays.append(event + 1 - start)
                break
    return np.array(delays)


@pytest.mark.parametrize(("alpha", "a_year", "repetitions"), [(0.05, 106, 4000), (0.01, 106, 4000), (0.01, 1060, 800)])
def test_the_monitor_seldom_cries_wolf(alpha, a_year, repetitions):
    sounded = len(alarms(alpha, a_year, 1.0, 0, repetitions, 1))
    row(f"share exactly alpha = {100 * alpha:g} %, {a_year} a year: false alarms in a year", sounded, repetitions)
    assert holds(sounded, repetitions)


@pytest.mark.parametrize(
    ("alpha", "a_year", "repetitions", "from_month", "at_least", "at_most"),
    [
        (0.05, 106, 1500, 0, 0.97, 1.0),
        (0.05, 106, 1500, 6, 0.75, 0.90),
        (0.01, 106, 1500, 0, 0.25, 0.40),
        (0.01, 106, 1500, 6, 0.05, 0.20),
        (0.01, 1060, 300, 0, 0.97, 1.0),
        (0.01, 1060, 300, 6, 0.90, 1.0),
    ],
)
def test_the_monitor_finds_a_fourfold_breach_where_there_are_callers_enough(
    alpha, a_year, repetitions, from_month, at_least, at_most
):
    delays = alarms(alpha, a_year, 4.0, from_month, repetitions, 2)
    found = delays[delays > 0]
    row(
        f"fourfold from month {from_month}, alpha {100 * alpha:g} %, {a_year} a year: "
        f"found by year's end, median delay {np.median(found):.0f} callers",
        len(found),
        repetitions,
    )
    assert at_least <= len(found) / repetitions <= at_most
