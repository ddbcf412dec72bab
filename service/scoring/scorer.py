"""From a call and its caller's history to what is said of it: no storage, no HTTP."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.calls.columns import ENDED_BY, LINES
from model.history.caller_history import RECEIVED, Caller, Event
from model.kernels import skip_optional_imports
from model.policy.assessor import Assessor
from model.policy.guardrails import guardrail_names
from model.release.folder import Release
from model.scorecard.features import STAGES, local_time
from model.scorecard.reasons import reasons
from service.store.records import Call

_LINE = {line: float(code) for code, line in enumerate(LINES)}
_ENDED_BY = {who: float(code) for code, who in enumerate(ENDED_BY)}
_UNKNOWN_LINE = _LINE["unknown"]


class Scored(NamedTuple):
    """What is said of a call at a stage, before the certificate has its say."""

    likelihood: float
    guarded: float
    factor: float
    guardrails: list[str]
    reasons: list[dict[str, Any]]
    genuine_like: float | None
    one_in: int | None


class Scorer:
    """Scores calls with one release.

    Parameters
    ----------
    release : Release
    """

    def __init__(self, release: Release) -> None:
        self._time_zone = release.time_zone
        self._pairs = {stage: [pair.places for pair in release.scorecards[stage].pairs] for stage in STAGES}
        self._assessors = {stage: Assessor(release.scorecards[stage], release.policy) for stage in STAGES}

    def score(self, call: Call, stage: str, *, protected: bool = False, in_words: bool = True) -> Scored:
        """Score what is known of a call at a stage, with reasons that a program or, in words, a person reads."""
        found = self._assessors[stage].assess(call.history, self.feature_vector(call), protected=protected)
        return Scored(
            found.likelihood,
            found.guarded,
            found.factor,
            guardrail_names(found.held) if found.held else [],
            reasons(found.features, found.contributions, self._pairs[stage], in_words=in_words),
            found.genuine_like,
            found.one_in,
        )

    def warm_up(self) -> None:
        """Score nobody once at every stage, so that no caller waits for the kernels to be loaded."""
        skip_optional_imports()
        caller = Caller()
        caller.add(Event(1, RECEIVED, 1, ""))
        nobody = Call("", 2, history=caller.read(2))
        for stage in STAGES:
            self.score(nobody, stage)

    def feature_vector(self, call: Call) -> NDArray[np.float64]:
        """Return the call in the order of `features.CALL`; what is not known becomes NaN."""
        return np.array(
            (
                call.received_at_us,
                _LINE[call.line] if call.line else _UNKNOWN_LINE,
                call.caller is not None,
                *local_time(call.received_at_us, self._time_zone),
                *call.surge,
                call.opening_duration_s,
                call.opening_silence_ratio,
                call.duration_s,
                call.silence_ratio,
                _ENDED_BY[call.ended_by] if call.ended_by else None,
            ),
            dtype=np.float64,
        )
