"""Scores every call of a log at one stage, each with its history as known when it arrived."""

import json
from collections.abc import Collection

import pandas as pd

from model.calls.call_events import events_of, sort_calls
from model.calls.phone_numbers import normalise_number
from model.policy.guardrails import guardrail_names
from model.policy.likeness import badge_of
from model.policy.policy import band_of
from model.policy.stage_scores import stage_scores
from model.release.folder import Release
from model.scorecard.feature_table import FeatureTable
from model.scorecard.reasons import reasons
from model.scorecard.scorecard import Scorecard


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
    stage : {"ring", "opening", "ended"}
    protected : collection of str
        Numbers on the protected list.

    Returns
    -------
    pandas.DataFrame
        One row a call in order of time: call_id, stage, prank_likelihood, band, defer_factor, defer_factor_unguarded,
        deferral_on, guardrails (list), reasons (JSON), genuine_like, one_in (both missing where the release cannot say)
        and badge. No random share is held out.
    """
    calls = sort_calls(calls)
    events = events_of(calls, release.labels, release.numbering, corrections)
    table = FeatureTable(calls, events, release.time_zone)
    numbering = release.numbering
    numbers = {normalise_number(number, numbering) for number in protected} - {None}
    listed = calls["caller"].map(lambda number: normalise_number(number, numbering) in numbers, na_action="ignore")
    scorecard = release.scorecards[stage]
    scores = stage_scores(table, scorecard, release.policy, protected=(listed == True).to_numpy())  # noqa: E712
    proof = release.proof(stage)
    held = [guardrail_names(bits) for bits in scores.held.tolist()]
    threshold = proof.flag.threshold if proof else None
    pairs = zip(scores.guarded.tolist(), scores.factor.tolist(), strict=True)
    bands = [band_of(guarded, factor, threshold).id for guarded, factor in pairs]
    return pd.DataFrame(
        {
            "call_id": calls["call_id"],
            "stage": stage,
            "prank_likelihood": scores.likelihood,
            "band": bands,
            "defer_factor": scores.factor,
            "defer_factor_unguarded": scores.unguarded,
            "deferral_on": [bool(proof and proof.deferral.allows(names)) for names in held],
            "guardrails": held,
            "reasons": _reasons(table, scorecard),
            "genuine_like": scores.genuine_like,
            "one_in": pd.Series(scores.one_in).astype("Int64"),
            "badge": [badge_of(band, share) for band, share in zip(bands, scores.genuine_like.tolist(), strict=True)],
        }
    )


def _reasons(table: FeatureTable, scorecard: Scorecard) -> list[str]:
    texts = [""] * len(table.events)
    width, pairs = len(scorecard.features), [pair.places for pair in scorecard.pairs]
    for part in table.parts():
        features = part.features[:, :width]
        contributions = scorecard.contributions(features, scorecard.features)
        for row, values, terms in zip(part.rows.tolist(), features.tolist(), contributions.tolist(), strict=True):
            texts[row] = json.dumps(reasons(values, terms, pairs), allow_nan=False)
    return texts
