"""Certificate, proof of deferral and p-value as a training makes them; `benchmarks.coverage` has the whole table."""

import pytest

from benchmarks.coverage import CASES, DELTA, LEVELS, run, told
from tests.support.statistics.failure_rates import breaks, holds

pytestmark = pytest.mark.slow
DRAWS = 200
#: Where later genuine callers are not like those certified, or are not independent, the flag's promise does not hold.
BROKEN = {
    "chronic callers, each call counted",
    "ten callers an incident, each counted",
    "later genuine callers score 0.5 higher",
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_promised_holds_where_genuine_callers_are_alike_and_independent(name):
    found = run(CASES[name], DRAWS)
    print(told(name, found))
    assert breaks(found.flag_failed, DRAWS, DELTA / 2) == (name in BROKEN)
    assert holds(found.deferral_failed, DRAWS, DELTA / 2)


def test_a_group_that_gains_nothing_is_not_deferred_though_genuine_callers_gain_on_average():
    found = run(CASES["a group that gains nothing"], DRAWS)
    assert found.on > 0.9 * DRAWS
    assert found.walls > 0.9 * DRAWS


def test_the_p_value_is_at_most_its_level_among_later_genuine_callers():
    found = run(CASES["one call each, policy fitted with another model"], DRAWS)
    for level, observed in zip(LEVELS, found.like / DRAWS, strict=True):
        assert observed < level + 0.01
