"""The calls of a stretch of time, scored at every stage: what is evaluated."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from model.arrays import Booleans, Floats
from model.calls.call_events import UNLABELLED, Events
from model.certification.bootstrap import caller_index
from model.certification.bounds import exact_interval
from model.certification.certificate import Certificate
from model.policy.policy import Band, Policy, band_of
from model.policy.stage_scores import stage_scores
from model.queueing.caller_groups import slice_masks
from model.queueing.scenarios import QueuedCalls, handling_times
from model.scorecard.feature_table import FeatureTable
from model.scorecard.features import QUEUE_STAGE, STAGES
from model.scorecard.scorecard import Scorecard
from model.training.dataset import Dataset


class EvaluationWindow:
    """The calls of a stretch of time, scored at every stage: what is evaluated.

    Parameters
    ----------
    table : FeatureTable
        Of the whole log, so that each call's history is known.
    rows : bool (n,)
        The calls of the log that lie in the window, all of which are replayed.
    closed : bool (n,)
        Those with a label old enough to be counted on; the others take time and are not judged.
    """

    def __init__(
        self,
        events: Events,
        table: FeatureTable,
        rows: Booleans,
        closed: Booleans,
        scorecards: Mapping[str, Scorecard],
        policy: Policy,
    ) -> None:
        self.table, self.rows, self.scorecards = table, rows, scorecards
        self.closed = closed[rows]
        self.received_us = events.received_us[rows]
        self.callers = events.caller[rows]
        self.genuine = (events.outcome[rows] == 0) & self.closed
        self.handling_s = handling_times(events)[rows]
        known = events.caller[(events.outcome == 1) & (events.caller >= 0)]
        doubtful = np.bincount(known, minlength=events.callers + 1) > 0
        self.number_not_genuine = doubtful[self.callers]
        self.features = table.matrix(rows)
        self.scores = {stage: stage_scores(table, scorecards[stage], policy, rows) for stage in STAGES}

    @classmethod
    def of_later_calls(
        cls, past: Dataset, since: pd.Timestamp, maturity_s: float, scorecards: Mapping[str, Scorecard], policy: Policy
    ) -> "EvaluationWindow":
        """Return the calls received at or after `since`; judged are the closed ones that are `maturity_s` old."""
        received = past.events.received_us
        rows = received >= since.value // 1_000
        closed = rows & (received <= past.until_us - maturity_s * 1e6) & (past.events.outcome != UNLABELLED)
        return cls(past.events, past.table, rows, closed, scorecards, policy)

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
