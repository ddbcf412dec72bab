"""Simulations behind docs/proofs.md: what is promised against what happens. `pytest -m slow -s` prints the tables.

A promise with failure chance delta passes if the exact 99.9 % interval of its observed failure rate reaches down to
delta; where a promise is shown to fail, that interval must lie wholly above it.
"""

import numpy as np
import pytest
from scipy import stats

from model.certification.bounds import exact_interval, mean_upper, order_statistic_rank
from model.certification.monitor import Monitor
from model.certification.proof import CALLER_CAP_S, one_call_per_caller, prove_deferral

pytestmark = pytest.mark.slow
ALPHA, DELTA, KEY = 0.05, 0.05, b"slow"
# The exact failure chance with 106 independent callers: below delta because a rank is a whole number.
INDEPENDENT = float(stats.binom.sf(order_statistic_rank(106, ALPHA, DELTA) - 1, 106, 1.0 - ALPHA))


def row(label, failures, repetitions):
    low, high = exact_interval(failures, repetitions)
    rate = failures / repetitions
    print(f"| {label} | {repetitions} | {100 * rate:.2f} % | {100 * low:.2f} to {100 * high:.2f} % |")


def holds(failures, repetitions, nominal=DELTA):
    return exact_interval(failures, repetitions, 0.999)[0] <= nominal


def breaks(failures, repetitions, nominal=DELTA):
    return exact_interval(failures, repetitions, 0.999)[0] > nominal


def thresholds(scores, alpha=ALPHA, delta=DELTA):
    """Threshold of each row of scores."""
    k = order_statistic_rank(scores.shape[1], alpha, delta)
    return np.partition(scores, k - 1, axis=1)[:, k - 1]


@pytest.mark.parametrize(("n", "alpha"), [(59, 0.05), (106, 0.05), (300, 0.05), (299, 0.01), (1000, 0.01)])
def test_the_order_statistic_keeps_its_promise(n, alpha):
    rng, repetitions = np.random.default_rng(n), 40_000
    flagged = 1.0 - thresholds(rng.random((repetitions, n)), alpha)
    failures = int((flagged > alpha).sum())
    row(f"no ties, n = {n}, alpha {100 * alpha:g} %", failures, repetitions)
    assert holds(failures, repetitions)


@pytest.mark.parametrize("levels", [3, 10, 50])
def test_ties_only_make_it_safer(levels):
    rng, repetitions, n = np.random.default_rng(levels), 40_000, 106
    at = thresholds(np.floor(rng.random((repetitions, n)) * levels))
    failures = int((1.0 - (at + 1.0) / levels > ALPHA).sum())
    row(f"scores on {levels} levels, n = {n}", failures, repetitions)
    assert holds(failures, repetitions)


def frequent_callers(rng, size, slope):
    """Genuine callers with 1 to some hundred calls; the more calls, the higher (slope > 0) or lower they score."""
    calls = np.where(rng.random(size) < 0.15, rng.geometric(1 / 15, size), 1)
    return calls, rng.normal(slope * np.log(calls), 1.0, size)


@pytest.mark.parametrize("slope", [1.0, -1.0])
def test_one_call_per_caller_keeps_the_promise_for_callers_and_all_calls_together_do_not(slope):
    rng, repetitions, n = np.random.default_rng(7), 4_000, 106
    # The truth: share of callers whose randomly chosen call scores above t; a call is its caller's level + N(0, 0.5).
    _, levels = frequent_callers(rng, 200_000, slope)
    grid = np.linspace(-8, 14, 4001)
    truth = np.searchsorted(np.sort(levels + rng.normal(0, 0.5, levels.size)), grid, side="right")
    above = 1.0 - truth / levels.size
    failures = {"one call per caller": 0, "all calls as if independent": 0}
    for _ in range(repetitions):
        calls, level = frequent_callers(rng, n, slope)
        callers = np.repeat(np.arange(n), calls)
        scores = level[callers] + rng.normal(0, 0.5, callers.size)
        # Call ids must differ between repetitions, or the key would choose the same positions each time.
        ids = [f"{i:x}" for i in rng.integers(0, 2**62, callers.size)]
        for label, sample in (
            ("one call per caller", scores[one_call_per_caller(callers, ids, KEY)]),
            ("all calls as if independent", scores),
        ):
            at = thresholds(sample[None])[0]
            failures[label] += int(np.interp(at, grid, above) > ALPHA)
    for label, count in failures.items():
        row(f"chronic callers score {'higher' if slope > 0 else 'lower'}: {label}", count, repetitions)
    assert holds(failures["one call per caller"], repetitions)
    if slope < 0:
        assert breaks(failures["all calls as if independent"], repetitions)


def clustered(rng, repetitions, n, size, correlation):
    """Scores N(0, 1) of n callers in groups of `size`, equally correlated within a group."""
    groups = -(-n // size)
    shared = np.repeat(rng.normal(size=(repetitions, groups)), size, axis=1)[:, :n]
    return np.sqrt(correlation) * shared + np.sqrt(1.0 - correlation) * rng.normal(size=(repetitions, n))


@pytest.mark.parametrize("correlation", [0.3, 0.8])
@pytest.mark.parametrize("size", [2, 5, 10])
def test_several_callers_for_one_incident_weaken_the_promise(size, correlation):
    rng, repetitions, n = np.random.default_rng(size), 40_000, 106
    at = thresholds(clustered(rng, repetitions, n, size, correlation))
    failures = int((stats.norm.sf(at) > ALPHA).sum())
    row(f"{size} callers an incident, correlation {correlation}, n = {n} callers", failures, repetitions)
    assert exact_interval(failures, repetitions, 0.999)[0] > INDEPENDENT


@pytest.mark.parametrize("size", [2, 5])
def test_one_caller_per_incident_keeps_the_promise_again(size):
    # The same 300 callers as one call for each incident: fewer, but independent.
    rng, repetitions, n = np.random.default_rng(size), 40_000, 300
    scores = clustered(rng, repetitions, n, size, 0.8)[:, ::size]
    at = thresholds(scores)
    failures = int((stats.norm.sf(at) > ALPHA).sum())
    row(f"one of {size} callers an incident, n = {scores.shape[1]} incidents", failures, repetitions)
    assert holds(failures, repetitions)


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_a_person_who_withholds_the_number_counts_once_for_each_call(share):
    # Of 106 genuine calls a share has no number; five of those are always one person, at one level.
    rng, repetitions, n = np.random.default_rng(5), 40_000, 106
    hidden = 5 * round(share * n / 5)
    scores = np.concatenate(
        [rng.normal(size=(repetitions, n - hidden)), clustered(rng, repetitions, hidden, 5, 0.8)], axis=1
    )
    failures = int((stats.norm.sf(thresholds(scores)) > ALPHA).sum())
    row(f"{100 * share:.0f} % of genuine calls without number, five to a person", failures, repetitions)
    assert exact_interval(failures, repetitions, 0.999)[0] > INDEPENDENT


@pytest.mark.parametrize("later", [0.05, 0.10, 0.15, 0.20, 0.30])
def test_the_promise_follows_the_mix_of_genuine_callers_and_not_the_base_rate(later):
    # One genuine caller in ten is of a kind that scores like a prank; `later` is that share when it is served.
    rng, repetitions, n = np.random.default_rng(11), 40_000, 106
    odd = rng.random((repetitions, n)) < 0.10
    at = thresholds(rng.normal(np.where(odd, 3.0, 0.0)))
    flagged = later * stats.norm.sf(at - 3.0) + (1.0 - later) * stats.norm.sf(at)
    failures = int((flagged > ALPHA).sum())
    row(f"odd kind 10 % when certified, {100 * later:.0f} % when served", failures, repetitions)
    assert holds(failures, repetitions) if later <= 0.10 else breaks(failures, repetitions)


FACTORS = {
    "spread (Beta 1, 4)": (0.2, lambda rng, n: rng.beta(1, 4, n)),
    "70 % zero, rest Beta 2, 3": (0.12, lambda rng, n: np.where(rng.random(n) < 0.7, 0.0, rng.beta(2, 3, n))),
    "93 % zero, rest Beta 2, 3": (0.028, lambda rng, n: np.where(rng.random(n) < 0.93, 0.0, rng.beta(2, 3, n))),
    "0 or 1, 10 % ones": (0.1, lambda rng, n: (rng.random(n) < 0.1) * 1.0),
}


def ordered_upper(x, delta):
    """The predictable plug-in bettor of the same paper, for comparison: its bound depends on the order."""
    n, t = len(x), np.arange(1, len(x) + 1)
    mean = (0.5 + np.cumsum(x)) / (t + 1)
    spread = (0.25 + np.cumsum((x - mean) ** 2)) / (t + 1)
    stake = np.sqrt(2 * np.log(1 / delta) / (n * np.concatenate([[0.25], spread[:-1]])))
    low, high = 0.0, 1.0
    for _ in range(30):
        m = (low + high) / 2
        wealth = np.cumsum(np.log1p(np.minimum(stake, 0.75 / (1 - m)) * (m - x)))
        low, high = (low, m) if wealth.max() >= np.log(1 / delta) else (m, high)
    return high


@pytest.mark.parametrize("name", list(FACTORS))
def test_the_betting_bound_holds_and_is_narrower_than_hoeffding(name):
    truth, draw = FACTORS[name]
    rng, repetitions = np.random.default_rng(2), 2_000
    for n in (20, 60, 106, 300, 1000):
        samples = [draw(rng, n) for _ in range(repetitions)]
        uppers = np.array([mean_upper(x, DELTA) for x in samples])
        failures = int((uppers < truth).sum())
        width = float(np.mean(uppers - [x.mean() for x in samples]))
        few = samples[:200]
        strict = float(np.mean([mean_upper(x, DELTA / 8) - x.mean() for x in few]))
        ordered = float(np.mean([ordered_upper(x, DELTA) - x.mean() for x in few]))
        hoeffding = float(np.sqrt(np.log(1 / DELTA) / (2 * n)))
        low, high = exact_interval(failures, repetitions)
        print(
            f"| {name} | {n} | {width:.3f} | {strict:.3f} | {ordered:.3f} | {hoeffding:.3f} | "
            f"{100 * failures / repetitions:.2f} % ({100 * low:.2f} to {100 * high:.2f}) |"
        )
        assert holds(failures, repetitions)
        assert width < hoeffding or name.startswith("0 or 1")


def a_load(rng, n, lean):
    """Callers' own mean factor, calls and total time; 3 % ring often, and are deferred more (lean > 0) or less."""
    chronic = rng.random(n) < 0.03
    calls = np.where(chronic, 1 + rng.geometric(1 / 60, n), 1 + rng.poisson(0.3, n))
    centre = np.clip(0.4 + lean * chronic, 0.05, 0.95)
    own = rng.beta(5 * centre, 5 * (1 - centre))
    callers = np.repeat(np.arange(n), calls)
    time_s = np.minimum(rng.lognormal(np.log(50), 0.8, callers.size), 3600.0)
    return own[callers], time_s, callers


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
        bounds = np.array(
            [prove_deferral(np.zeros(0), *a_load(rng, n, lean), DELTA, DELTA).load_lower for _ in range(repetitions)]
        )
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
        prove_deferral(rng.beta(5 * plain, 5 * (1 - plain), 106), *a_load(rng, 1500, lean), DELTA / 2, DELTA / 2).on
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
            prove_deferral(rng.beta(2 * mean, 2 * (1 - mean), n), *a_load(rng, 1500, 0.4), DELTA / 8, DELTA / 8).on
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
