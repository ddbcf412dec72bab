"""The calls of a stretch of time, scored at every stage: what is evaluated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from model.arrays import Booleans, Floats
from model.calls.call_events import UNLABELLED, Events
from model.certification.bootstrap import caller_index
from model.certification.bounds import exact_interval
from model.certification.certificate import Certificate
from model.certification.units import is_repeat, units_of
from model.policy.policy import Band, Policy, band_of
from model.policy.stage_scores import StageScores, join_scores, stage_scores
from model.queueing.caller_groups import slice_masks
from model.queueing.scenarios import QueuedCalls, handling_times
from model.scorecard.feature_table import FeatureTable
from model.scorecard.features import QUEUE_STAGE, STAGES
from model.scorecard.scorecard import Scorecard

if TYPE_CHECKING:
    from model.params import Params
    from model.training.dataset import Dataset
    from model.training.origins import Origin


@dataclass(frozen=True)
class HeldOut:
    """What a release was made of: the log, what its models learnt, and what its policy was fitted on.

    Parameters
    ----------
    past : Dataset
    params : Params
        With the settings of the boosting that were chosen.
    origin : Origin
        The cut at which its models were fitted.
    rows : bool (n,)
        The calls of the log that its policy was fitted on.
    scores : StageScores
        Of those at the stage that orders the queue, with every guardrail on.
    """

    past: "Dataset"
    params: "Params"
    origin: "Origin"
    rows: Booleans
    scores: StageScores

    @property
    def curve_calls(self) -> tuple[StageScores, Booleans, Floats]:
        """Scores, genuine and handling_s of the calls that the policy was fitted on."""
        return self.scores, self.past.events.outcome[self.rows] == 0, handling_times(self.past.events)[self.rows]


@dataclass(frozen=True)
class Rehearsal:
    """A stretch of calls, and the release that scores them: one that was made before they came.

    Parameters
    ----------
    rows : bool (n,)
        Of the log.
    made_of : HeldOut, optional
        None when the log does not go back so far.
    """

    rows: Booleans
    scorecards: Mapping[str, Scorecard]
    policy: Policy
    made_of: HeldOut | None


class EvaluationWindow:
    """The calls of a stretch of time, scored at every stage: what is evaluated.

    Parameters
    ----------
    table : FeatureTable
        Of the whole log, so that each call's history is known.
    closed : bool (n,)
        The calls of the log with a label old enough to be counted on; the others take time and are not judged.
    rehearsals : sequence of Rehearsal
        Stretches of calls, all of which are replayed, in order of time, each with the release that scores it.
    """

    def __init__(self, events: Events, table: FeatureTable, closed: Booleans, rehearsals: Sequence[Rehearsal]) -> None:
        self.table, self.rehearsals = table, tuple(rehearsals)
        self.rows = rows = np.logical_or.reduce([np.zeros_like(closed), *(one.rows for one in rehearsals)])
        scores = [
            {stage: stage_scores(table, one.scorecards[stage], one.policy, one.rows) for stage in STAGES}
            for one in rehearsals
        ]
        self.scores = {stage: join_scores([part[stage] for part in scores]) for stage in STAGES}
        self.closed = closed[rows]
        self.received_us = events.received_us[rows]
        self.callers, self.units, self.repeats = events.caller[rows], units_of(events)[rows], is_repeat(events)[rows]
        self.genuine = (events.outcome[rows] == 0) & self.closed
        self.handling_s = handling_times(events)[rows]
        known = events.caller[(events.outcome == 1) & (events.caller >= 0)]
        doubtful = np.bincount(known, minlength=events.callers + 1) > 0
        self.number_not_genuine = doubtful[self.callers]
        self.features = table.matrix(rows)

    @classmethod
    def of_later_calls(
        cls,
        past: "Dataset",
        since: pd.Timestamp,
        maturity_s: float,
        scorecards: Mapping[str, Scorecard],
        policy: Policy,
        made_of: HeldOut | None = None,
    ) -> "EvaluationWindow":
        """Return the calls received at or after `since`; judged are the closed ones that are `maturity_s` old."""
        received = past.events.received_us
        rows = past.mine & (received >= since.value // 1_000)
        closed = rows & (received <= past.until_us - maturity_s * 1e6) & (past.events.outcome != UNLABELLED)
        return cls(past.events, past.table, closed, [Rehearsal(rows, scorecards, policy, made_of)])

    def judged(self, most: int) -> NDArray[np.intp]:
        """Return the positions of its closed calls, `most` of them at random when there are more."""
        closed = np.flatnonzero(self.closed)
        if len(closed) > most:
            closed = np.sort(np.random.default_rng(0).choice(closed, most, replace=False))
        return closed

    def genuine_slices(self) -> dict[str, Booleans]:
        """Return which of its genuine calls belong to each slice."""
        mine = self.genuine
        return slice_masks(self.features[mine], self.callers[mine], self.number_not_genuine[mine])

    def queued_calls(self, factors: Mapping[str, Floats]) -> QueuedCalls:
        """Return the calls for a replay."""
        score = self.scores[QUEUE_STAGE].likelihood
        return QueuedCalls(self.received_us, self.handling_s, self.genuine, score, factors)

    def describe(self) -> dict[str, Any]:
        """Return its period and its counts."""
        closed = self.closed
        ends = (
            [pd.Timestamp(int(at), unit="us", tz="UTC").isoformat() for at in self.received_us[[0, -1]]]
            if len(closed)
            else [None, None]
        )
        mine = self.callers[self.genuine]
        return {
            "from": ends[0],
            "until": ends[1],
            "calls": len(closed),
            "closed": int(closed.sum()),
            "genuine": int(self.genuine.sum()),
            "genuine_callers": caller_index(mine)[1],
            "genuine_share": float(self.genuine[closed].mean()) if closed.any() else None,
            "mean_handling_s": float(self.handling_s.mean()) if len(closed) else None,
        }

    def count_bands(self, certificate: Certificate, stage: str) -> dict[str, Any]:
        """Count its closed calls, and the genuine ones, in each band; exact binomial intervals."""
        threshold, scores, closed = certificate.stage(stage).flag.threshold, self.scores[stage], self.closed
        pairs = zip(scores.guarded[closed].tolist(), scores.factor[closed].tolist(), strict=True)
        bands = np.array([band_of(guarded, factor, threshold) for guarded, factor in pairs], dtype=np.int64)
        genuine = self.genuine[closed]
        table = {}
        for band in (Band.NORMAL, Band.UNSURE, Band.LIKELY_PRANK):
            mine, every = int(genuine[bands == band].sum()), int(genuine.sum())
            low, high = exact_interval(mine, every)
            table[band.id] = {
                "calls": int((bands == band).sum()),
                "genuine_calls": mine,
                "share_of_genuine": mine / every if every else None,
                "share_of_genuine_low": low,
                "share_of_genuine_high": high,
            }
        return table
