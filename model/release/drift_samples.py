"""The calls of a log as drift looks at them: features, scores and labels of a stretch of time."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from model.arrays import Booleans
from model.calls.call_events import Events, events_of, sort_calls
from model.certification.drift import select_recent_calls
from model.certification.profile import Sample, build_profile
from model.release.folder import Release
from model.scorecard.feature_table import FeatureTable
from model.scorecard.features import NAMES, STAGES, WIDTHS
from model.scorecard.scorecard import Scorecard

if TYPE_CHECKING:
    from model.training.rolling_origin import Trained

#: A fingerprint is taken of at most so many calls, the latest.
MAX_CALLS = 200_000


def build_sample(
    table: FeatureTable, events: Events, rows: Booleans, scorecards: Mapping[str, Scorecard], now_us: int
) -> Sample:
    """Return some calls of a log, as known at `now_us`.

    Parameters
    ----------
    events : Events
        Of the whole log, so that each call's history is known.
    rows : bool (n,)
    """
    features = table.matrix(rows)
    log_odds = {}
    for stage in STAGES:
        names = NAMES[: WIDTHS[stage]]
        log_odds[stage] = scorecards[stage].log_odds(
            scorecards[stage].contributions(features[:, : WIDTHS[stage]], names)
        )
    received, label = events.received_us[rows], events.outcome_us[rows]
    known = label < now_us
    outcome = np.where(known, events.outcome[rows], np.int8(-1)).astype(np.int8)
    return Sample(features, log_odds, events.caller[rows], received, label, outcome, now_us)


def training_profile(trained: "Trained") -> dict[str, Any]:
    """Return the profile of a training's calls out of time, the latest of them, as the served scorecards score them.

    The earlier cuts' models are others: at a small centre their scores lie elsewhere, and every later week would drift.
    """
    past = trained.past
    rows = np.logical_or.reduce([mine for mine, _ in trained.out_of_time()])
    rows &= np.cumsum(rows[::-1])[::-1] <= MAX_CALLS
    return build_profile(
        build_sample(past.table, past.events, rows, trained.scorecards, past.until_us), past.maturity_s
    )


def latest_calls(
    calls: pd.DataFrame,
    release: Release,
    corrections: pd.DataFrame | None = None,
    *,
    since: pd.Timestamp | None = None,
) -> Sample:
    """Return the calls of a log from `since` on, or its recent ones (`select_recent_calls`).

    Parameters
    ----------
    calls : pandas.DataFrame
        As `read_calls` gives it, the earlier calls included: they are the callers' histories.
    """
    calls = sort_calls(calls)
    events = events_of(calls, release.labels, release.numbering, corrections)
    received = events.received_us
    now_us = int(received.max(initial=0)) + 1
    rows = select_recent_calls(received, now_us) if since is None else received >= since.value // 1_000
    table = FeatureTable(calls, events, release.time_zone)
    return build_sample(table, events, rows, release.scorecards, now_us)
