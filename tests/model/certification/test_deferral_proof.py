"""Each guarded group of genuine callers is proven to be deferred less than the work around it, or is not deferred."""

import numpy as np
import pytest

from model.certification.deferral_proof import ENOUGH_UNITS, LEAST_UNITS, Group, Load, prove_groups
from model.policy.guardrails import FIRST_CALL, GUARDRAIL_NAMES, NO_NUMBER, REDIAL

WORK = 4_000
BITS = {GUARDRAIL_NAMES[bit]: 1 << bit for bit in (FIRST_CALL, NO_NUMBER, REDIAL)}


def proven(groups, *, rest=0.02, work=0.5, rest_units=150, cap=1.0, caps=None, delta=0.00625):
    """Prove it of groups: for each its genuine units, their factor, and the share of other calls that it holds."""
    held, factors = [np.zeros(rest_units, dtype=np.int64)], [np.full(rest_units, rest)]
    for name, (units, factor, _) in groups.items():
        held.append(np.full(units, BITS[name]))
        factors.append(np.full(units, factor))
    genuine = sum(map(len, held))
    others, start = np.zeros(WORK, dtype=np.int64), 0
    for name, (*_, share) in groups.items():
        others[start : start + round(share * WORK)] = BITS[name]
        start += round(share * WORK)
    held_by, factor = np.concatenate([*held, others]), np.concatenate([*factors, np.full(WORK, work)])
    rows = np.arange(genuine)
    return prove_groups(
        rows,
        [Group(name, (caps or {}).get(name, cap), rows[held_by[rows] == BITS[name]]) for name in groups],
        factor,
        held_by,
        Load(np.full(len(factor), 60.0), np.arange(len(factor))),
        delta,
        delta,
    )


def deferred(proof):
    return {group.group: group.deferred for group in proof.groups}


def test_groups_that_all_gain_are_all_deferred():
    proof = proven({"first_call": (60, 0.1, 0.2), "no_number": (40, 0.05, 0.1)})
    assert (proof.on, proof.walled) == (True, ())
    assert deferred(proof) == {"first_call": True, "no_number": True}
    assert proof.allows(["first_call", "no_number"])


def test_a_group_that_does_not_gain_is_not_deferred_and_the_others_are():
    proof = proven({"first_call": (60, 0.6, 0.1), "no_number": (80, 0.05, 0.1)}, work=0.5)
    assert (proof.on, proof.walled) == (True, ("first_call",))
    assert proof.allows(["no_number"])
    assert proof.allows([])
    assert not proof.allows(["no_number", "first_call"])
    held = np.array([0, BITS["first_call"], BITS["no_number"], BITS["first_call"] | BITS["no_number"]])
    assert proof.allows_rows(held).tolist() == [True, False, True, False]
    # What is proven of the load is proven of it as it will be: without what lies behind the wall.
    assert proof.load_mean < 0.46


def test_a_group_that_loses_is_found_though_genuine_callers_gain_on_average():
    groups = {"redial": (30, 0.9, 0.02)}
    proof = proven(groups, rest_units=1_000)
    assert proof.walled == ("redial",)
    assert proven(groups, rest_units=1_000, cap=0.2).walled == ()  # no factor of theirs lies above their cap


def test_a_group_that_the_policy_opened_is_not_deferred_without_data():
    few, enough = (proven({"redial": (n, 0.0, 0.02)}, rest_units=1_000) for n in (LEAST_UNITS - 1, LEAST_UNITS))
    assert (few.on, deferred(few)) == (True, {"redial": False})
    assert (enough.on, deferred(enough)) == (True, {"redial": True})
    assert proven({"redial": (0, 0.0, 0.0)}).groups[0].genuine_mean is None


def test_where_every_wall_stands_as_by_default_the_mean_alone_is_proven():
    default, alone = proven({"no_number": (100, 0.1, 0.1)}, cap=0.1), proven({"no_number": (100, 0.1, 0.1)}, cap=0.0)
    assert (default.on, default.groups) == (True, ())
    assert default == alone


def test_beside_an_opened_group_one_at_its_default_needs_data_before_it_needs_a_proof():
    """Of the numberless the default lets a tenth be deferred; what is proven of few of them says nothing."""
    caps = {"no_number": 0.1, "first_call": 1.0}
    few, enough = (
        proven({"no_number": (n, 0.1, 0.1), "first_call": (200, 0.02, 0.1)}, caps=caps)
        for n in (ENOUGH_UNITS - 1, ENOUGH_UNITS)
    )
    assert (few.on, deferred(few)) == (True, {"first_call": True})
    assert (enough.on, deferred(enough)) == (True, {"no_number": True, "first_call": True})
    assert enough.groups[0].genuine_upper == 0.1


def test_proofs_of_groups_share_the_delta_of_the_mean_and_cost_width():
    alone, beside = proven({}), proven({"no_number": (40, 0.02, 0.0)}, rest_units=110)
    for proof in (alone, beside):
        assert (proof.delta_genuine, proof.delta_load, proof.genuine_callers) == (0.00625, 0.00625, 150)
    assert beside.genuine_upper > alone.genuine_upper
    assert beside.load_lower < alone.load_lower


@pytest.mark.parametrize("seed", range(5))
def test_the_more_a_group_is_deferred_the_less_it_is_proven(seed):
    rng = np.random.default_rng(seed)
    units, share = int(rng.integers(LEAST_UNITS, 200)), rng.uniform(0.0, 0.3)
    on = [not proven({"first_call": (units, factor, share)}).walled for factor in np.linspace(0.0, 0.6, 7)]
    assert on == sorted(on, reverse=True)
