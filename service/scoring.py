"""From a call and its caller's history to a score with its reasons: no storage, no HTTP."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from model.calls import ENDED_BY, LINES
from model.features import WIDTHS, fill, local_time
from model.policy import Decision
from model.reasons import reasons
from model.release import Release
from model.scorecard import likelihood
from service.records import Call

_LINE = {line: float(code) for code, line in enumerate(LINES)}
_ENDED_BY = {who: float(code) for code, who in enumerate(ENDED_BY)}
_UNKNOWN_LINE = _LINE["unknown"]


class Scored(NamedTuple):
    """The score of a call at a stage: its probability, exact reasons and what the policy says of it."""

    likelihood: float
    reasons: list[dict[str, Any]]
    decision: Decision


@dataclass(frozen=True)
class Scorer:
    """Scores calls with one release.

    Parameters
    ----------
    release : Release
    """

    release: Release

    def score(self, call: Call, stage: str, *, protected: bool = False) -> Scored:
        """Score what is known of a call at a stage."""
        vector = self.vector(call)
        row = np.empty(WIDTHS[stage])
        fill(call.history, vector, row)
        log_odds, contributions = self.release.scorecards[stage].score(row)
        decision = self.release.policy.decide(stage, log_odds, contributions, call.history, vector, protected=protected)
        return Scored(likelihood(log_odds), reasons(row.tolist(), contributions.tolist(), in_words=True), decision)

    def vector(self, call: Call) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Give the call in the order of `features.CALL`."""
        hour, weekday = local_time(call.received_at_us, self.release.time_zone)
        return np.array(
            (
                call.received_at_us,
                _LINE[call.line] if call.line else _UNKNOWN_LINE,
                call.caller is not None,
                hour,
                weekday,
                *call.surge,
                _nan(call.opening_duration_s),
                _nan(call.opening_silence_ratio),
                _nan(call.duration_s),
                _nan(call.silence_ratio),
                _ENDED_BY[call.ended_by] if call.ended_by else math.nan,
            ),
            dtype=np.float64,
        )


def _nan(value: float | None) -> float:
    return math.nan if value is None else value
