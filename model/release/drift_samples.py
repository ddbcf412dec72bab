"""The calls of a log as drift looks at them: features, scores and labels of a stretch of time."""

from collections.abc import Mapping, Sequence
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
    table: FeatureTable,
    events: Events,
    parts: Sequence[tuple[Booleans, Mapping[str, Scorecard]]],
    now_us: int,
) -> Sample:
    """Return some calls of a log, as known at `now_us`.

    Parameters
    ----------
    events : Events
        Of the whole log, so that each call's history is known.
    parts : sequence of tuple
        Stretches of calls, bool (n,), in order of time, each with the scorecards that score it.
    """
    rows = np.logical_or.reduce([mine for mine, _ in parts])
    features = table.matrix(rows)
    log_odds = {}
    for stage in STAGES:
        names, mine = NAMES[: WIDTHS[stage]], []
        for part, scorecards in parts:
            of_part = features[part[rows], : WIDTHS[stage]]
            mine.append(scorecards[stage].log_odds(scorecards[stage].contributions(of_part, names)))
        log_odds[stage] = np.concatenate(mine)
    received, label = events.received_us[rows], events.outcome_us[rows]
    known = label < now_us
    outcome = np.where(known, events.outcome[rows], np.int8(-1)).astype(np.int8)
    return Sample(features, log_odds, events.caller[rows], received, label, outcome, now_us)


def training_profile(trained: "Trained") -> dict[str, Any]:
    """Return the profile of a training's calls out of time, the latest of them."""
    past, parts = trained.past, trained.out_of_time()
    latest = np.cumsum(np.logical_or.reduce([rows for rows, _ in parts])[::-1])[::-1] <= MAX_CALLS
    parts = [(rows & latest, scorecards) for rows, scorecards in parts]
    return build_profile(build_sample(past.table, past.events, parts, past.until_us), past.maturity_s)


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
    return build_sample(table, events, [(rows, release.scorecards)], now_us)
