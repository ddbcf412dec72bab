"""What holds of a policy whatever a centre's fit has chosen: shape, kappa, and every cap but that of the protected."""

import math
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.policy.assessor import Assessor
from model.policy.deferral import defer_s
from model.policy.deferral_curve import CurveShape, HeldOutScores
from model.policy.guardrails import GUARDRAIL_NAMES, PROTECTED, SILENCE
from model.policy.policy import Band, band_of
from model.scorecard.features import ACTING_STAGES, CALL, FEATURES
from model.scorecard.scorecard import likelihood

SHARE = st.floats(0.0, 1.0)
SHAPES = st.builds(CurveShape, SHARE, st.floats(0.01, 1.0), st.floats(0.01, 1.0), st.floats(0.05, 1.0))
OPENING_SILENCE = CALL.index("opening_silence_ratio")


@st.composite
def policies(draw, made):
    """A policy of any shape and caps, fitted to any calls."""
    caps = draw(st.lists(SHARE, min_size=len(GUARDRAIL_NAMES), max_size=len(GUARDRAIL_NAMES)))
    caps[SILENCE], caps[PROTECTED] = 1.0, 0.0
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    size = draw(st.integers(2, 200))
    genuine = rng.random(size) < draw(SHARE)
    score = np.round(np.where(genuine, rng.beta(1, 2, size), rng.beta(2, 1, size)), draw(st.integers(1, 6)))
    curve = HeldOutScores(score, genuine, rng.exponential(60.0, size)).curve(draw(SHAPES), rng.random(size))
    kappa = draw(st.floats(0.1, 10.0))
    stages = dict.fromkeys(made.policy.curves, curve)
    deferral = replace(made.policy.deferral, kappa=kappa)
    return replace(made.policy, curves=stages, unguarded=stages, caps=tuple(caps), deferral=deferral)


@given(data=st.data())
def test_whatever_was_fitted_the_protected_and_the_unscored_are_not_deferred_and_silence_never_raises_it(made, data):
    policy = data.draw(policies(made))
    table = made.past.table
    part = next(table.parts())
    row = data.draw(st.integers(0, len(part.rows) - 1))
    history, call = part.histories[row], part.calls[row].copy()
    wait_s, rule = data.draw(st.floats(0.0, 3_600.0)), policy.deferral
    for stage in ACTING_STAGES:
        assessor = Assessor(made.scorecards[stage], policy)
        call[OPENING_SILENCE] = data.draw(SHARE)
        found = assessor.assess(history, call)
        assert 0.0 <= found.factor <= 1.0
        assert found.guarded <= found.likelihood
        protected = assessor.assess(history, call, protected=True)
        assert protected.factor == 0.0
        assert band_of(protected.guarded, protected.factor, 0.0) is Band.NORMAL
        seconds = defer_s(found.factor, wait_s, False, rule.kappa, rule.base_s, rule.max_defer_s)
        assert 0.0 <= seconds <= rule.max_defer_s
        curve = policy.curves[stage]
        assert curve.factors([math.nan]).tolist() == [0.0]
        loud = [term for term, feature in zip(found.contributions, FEATURES, strict=False) if not feature.silence]
        neutral = likelihood(made.scorecards[stage].intercept + math.fsum(loud) + 1e-9)
        lowest, most = curve.factors([found.guarded, neutral])
        assert lowest <= most  # silence may lower a deferral, and never raises it
