"""Scores every call of a log at one stage, each with its history as known when it arrived."""

import json
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from model.calls import normal_number
from model.events import events_of, ordered
from model.feature_table import FeatureTable
from model.features import NAMES, WIDTHS
from model.guardrails import guard_rows, names
from model.policy import Policy, band_of
from model.reasons import reasons
from model.release import Release
from model.scorecard import Scorecard, likelihoods

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class StageScores:
    """What a scorecard and a policy say of some calls; arrays of one length, rows as asked for.

    Parameters
    ----------
    log_odds : float64 (n,)
    likelihood, guarded : float64 (n,)
        The probability of being closed as not genuine, before and after the guardrail on silence.
    cap : float64 (n,)
        The lowest cap among the guardrails that hold.
    held : int64 (n,)
        Bit i is set where guardrail i holds.
    factor, unguarded : float64 (n,)
        The defer_factor with and without guardrails.
    """

    log_odds: Numbers
    likelihood: Numbers
    guarded: Numbers
    cap: Numbers
    held: NDArray[np.int64]
    factor: Numbers
    unguarded: Numbers


def stage_scores(
    table: FeatureTable,
    scorecard: Scorecard,
    policy: Policy,
    wanted: NDArray[np.bool_] | None = None,
    protected: NDArray[np.bool_] | None = None,
) -> StageScores:
    """Score the wanted calls of a log at the scorecard's stage, in order of time.

    Parameters
    ----------
    table : FeatureTable
    scorecard : Scorecard
    policy : Policy
    wanted : bool (n,), optional
        The calls to score; all by default.
    protected : bool (n,), optional
        The calls whose number is on the protected list; none by default.
    """
    every = len(table.events)
    place = np.arange(every) if wanted is None else np.cumsum(wanted) - 1
    size = every if wanted is None else int(wanted.sum())
    listed = np.zeros(every, dtype=np.bool_) if protected is None else protected
    log_odds, guarded, cap = np.empty(size), np.empty(size), np.empty(size)
    held = np.empty(size, dtype=np.int64)
    width, names = WIDTHS[scorecard.stage], NAMES[: WIDTHS[scorecard.stage]]
    for part in table.parts(wanted):
        at = place[part.rows]
        contributions = scorecard.contributions(part.features[:, :width], names)
        log_odds[at] = scorecard.log_odds(contributions)
        relief, caps, bits = np.empty(len(at)), np.empty(len(at)), np.empty(len(at), dtype=np.int64)
        guard_rows(part.histories, part.calls, contributions, listed[part.rows], *policy.settings, relief, caps, bits)
        guarded[at], cap[at], held[at] = likelihoods(log_odds[at] - relief), caps, bits
    raw = likelihoods(log_odds)
    return StageScores(
        log_odds=log_odds,
        likelihood=raw,
        guarded=guarded,
        cap=cap,
        held=held,
        factor=policy.curves[scorecard.stage].factors(guarded, cap),
        unguarded=policy.unguarded[scorecard.stage].factors(raw),
    )


def score_log(
    calls: pd.DataFrame,
    release: Release,
    stage: str,
    corrections: pd.DataFrame | None = None,
    protected: Collection[str] = (),
) -> pd.DataFrame:
    """Score a call log with a release.

    Parameters
    ----------
    calls : pandas.DataFrame
        As `read_calls` gives it.
    release : Release
    stage : {"ring", "opening", "ended"}
    corrections : pandas.DataFrame, optional
    protected : collection of str
        Numbers on the protected list.

    Returns
    -------
    pandas.DataFrame
        One row a call in order of time: call_id, stage, prank_likelihood, band, defer_factor,
        defer_factor_unguarded, deferral_on, guardrails (list), reasons (JSON). No random share is held out.
    """
    calls = ordered(calls)
    events = events_of(calls, release.labels, release.region, corrections)
    table = FeatureTable(calls, events, release.time_zone)
    numbers = {normal_number(number, release.region) for number in protected} - {None}
    listed = calls["caller"].map(lambda number: normal_number(number, release.region) in numbers, na_action="ignore")
    scorecard = release.scorecards[stage]
    scores = stage_scores(table, scorecard, release.policy, protected=(listed == True).to_numpy())  # noqa: E712
    proof = release.proof(stage)
    threshold = proof.flag.threshold if proof else None
    pairs = zip(scores.guarded.tolist(), scores.factor.tolist(), strict=True)
    return pd.DataFrame(
        {
            "call_id": calls["call_id"],
            "stage": stage,
            "prank_likelihood": scores.likelihood,
            "band": [band_of(guarded, factor, threshold).id for guarded, factor in pairs],
            "defer_factor": scores.factor,
            "defer_factor_unguarded": scores.unguarded,
            "deferral_on": bool(proof and proof.deferral.on),
            "guardrails": [names(bits) for bits in scores.held.tolist()],
            "reasons": _reasons(table, scorecard),
        }
    )


def _reasons(table: FeatureTable, scorecard: Scorecard) -> list[str]:
    texts = [""] * len(table.events)
    width = len(scorecard.features)
    for part in table.parts():
        features = part.features[:, :width]
        contributions = scorecard.contributions(features, scorecard.features)
        for row, values, terms in zip(part.rows.tolist(), features.tolist(), contributions.tolist(), strict=True):
            texts[row] = json.dumps(reasons(values, terms), allow_nan=False)
    return texts
