"""The bounds keep their promises, measured over thousands of made-up logs."""

import numpy as np
import pytest
from scipy import stats

from model.certification.bounds import exact_interval, mean_upper, order_statistic_rank
from model.certification.units import keyed_order, one_call_per_unit
from tests.support.statistics.failure_rates import breaks, holds, row

pytestmark = pytest.mark.slow
ALPHA, DELTA, KEY = 0.05, 0.05, b"slow"
# The exact failure chance with 106 independent callers: below delta because a rank is a whole number.
INDEPENDENT = float(stats.binom.sf(order_statistic_rank(106, ALPHA, DELTA) - 1, 106, 1.0 - ALPHA))


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
def test_one_call_a_caller_keeps_the_promise_for_callers_and_all_calls_together_do_not(slope):
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
            ("one call per caller", scores[one_call_per_unit(callers, keyed_order(ids, KEY))]),
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
