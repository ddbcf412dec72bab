"""What holds for the constants holds for whatever shape, kappa and caps a search may choose."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.policy.deferral import DeferralSettings
from model.policy.deferral_curve import CurveShape, HeldOutScores
from model.policy.guardrails import GUARDRAILS, PROTECTED, SILENCE, lowest_cap
from model.queueing.fitting.policy_proposal import CAPS, GRID
from model.queueing.fitting.policy_search import KAPPAS
from model.queueing.queue_replay import Rule, replay

SHAPES = st.builds(
    CurveShape,
    **{name: st.sampled_from(values) for name, values in GRID.items()},
    passing_work=st.floats(0.0, 1.0),
)


@st.composite
def policies(draw):
    caps = [draw(st.sampled_from(CAPS)) for _ in GUARDRAILS]
    caps[SILENCE], caps[PROTECTED] = 1.0, 0.0
    return draw(SHAPES), draw(st.sampled_from(KAPPAS)), tuple(caps)


CALLS = st.lists(
    st.tuples(
        st.integers(0, 40).map(lambda p: p / 40.0),  # guarded score
        st.booleans(),  # genuine
        st.floats(1.0, 120.0),  # handling_s
        st.integers(0, 2 ** len(GUARDRAILS) - 1),  # guardrails that hold
        st.integers(0, 30),  # seconds since the call before
    ),
    min_size=2,
    max_size=40,
)


def columns(calls):
    score, genuine, handling_s, held, gaps = (np.array(column) for column in zip(*calls, strict=True))
    return score, genuine, handling_s, held, np.cumsum(gaps).astype(np.int64) * 1_000_000


@given(policies(), CALLS)
def test_a_factor_never_falls_with_the_score_and_stays_within_its_cap(policy, calls):
    (shape, _, caps), (score, genuine, handling_s, held, _) = policy, columns(calls)
    cap = lowest_cap(held, caps)
    curve = HeldOutScores(score, genuine, handling_s).curve(shape, cap)
    factor = curve.factors(score, cap)
    assert ((factor >= 0.0) & (factor <= np.minimum(cap, curve.scale) + 1e-12)).all()
    for one in np.unique(cap):
        assert (np.diff(curve.factors(np.linspace(0.0, 1.0, 41), one)) >= 0.0).all()
    capped = curve.factors(score, cap) / curve.scale if curve.scale else np.zeros(len(score))
    ahead = 1.0 - float(np.average(capped, weights=handling_s))
    assert curve.scale * ahead <= shape.passing_work + 1e-9 or curve.scale == 0.0


@given(policies(), CALLS, st.sampled_from([math.nan, -0.1, 1.5]))
def test_protected_and_unscored_calls_are_never_deferred(policy, calls, nonsense):
    (shape, _, caps), (score, genuine, handling_s, held, _) = policy, columns(calls)
    curve = HeldOutScores(score, genuine, handling_s).curve(shape, lowest_cap(held, caps))
    assert not curve.factors(score, lowest_cap(held | 1 << PROTECTED, caps)).any()
    assert curve.factors(nonsense).tolist() == [0.0]


@given(policies(), CALLS, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_what_silence_adds_never_raises_a_deferral(policy, calls, likelihood, taken_off):
    (shape, _, caps), (score, genuine, handling_s, held, _) = policy, columns(calls)
    curve = HeldOutScores(score, genuine, handling_s).curve(shape, lowest_cap(held, caps))
    for others in held:
        silent = lowest_cap(np.array([others | 1 << SILENCE]), caps)
        spoken = lowest_cap(np.array([others & ~(1 << SILENCE)]), caps)
        assert curve.factors(likelihood * taken_off, silent) <= curve.factors(likelihood, spoken)


@given(policies(), CALLS, st.integers(1, 3))
def test_only_calls_that_arrive_within_a_deferral_pass_a_call_and_never_one_with_no_smaller_a_factor(
    policy, calls, operators
):
    (shape, kappa, caps), (score, genuine, handling_s, held, received_us) = policy, columns(calls)
    cap = lowest_cap(held, caps)
    factor = HeldOutScores(score, genuine, handling_s).factors(shape, cap)
    found = replay(received_us, handling_s, Rule(factor, 60.0, DeferralSettings(kappa)), operators)
    assert (found.defer_s <= 300.0).all()
    place = np.argsort(found.order)
    for earlier in range(len(calls)):
        for later in range(earlier + 1, len(calls)):
            if place[later] < place[earlier]:
                assert received_us[later] <= received_us[earlier] + found.defer_s[earlier] * 1e6
                assert factor[later] < factor[earlier] or received_us[later] == received_us[earlier]
