"""What a scorecard and a policy say of the calls of a log, at one stage."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from model.arrays import Booleans, Floats, Integers
from model.policy.guardrails import apply_guardrails_to_rows
from model.policy.policy import Policy
from model.scorecard.feature_table import FeatureTable
from model.scorecard.features import NAMES, WIDTHS
from model.scorecard.scorecard import Scorecard, likelihoods


@dataclass(frozen=True)
class StageScores:
    """What a scorecard and a policy say of some calls; arrays of one length, rows as asked for.

    Parameters
    ----------
    likelihood, guarded : float64 (n,)
        The probability of being closed as not genuine, before and after the guardrail on silence.
    cap : float64 (n,)
        The lowest cap among the guardrails that hold.
    held : int64 (n,)
        Bit i is set where guardrail i holds.
    factor, unguarded : float64 (n,)
        The defer_factor with and without guardrails.
    genuine_like, one_in : float64 (n,)
        What a person is told (`model.policy.likeness`); NaN where the policy cannot say.
    """

    log_odds: Floats
    likelihood: Floats
    guarded: Floats
    cap: Floats
    held: Integers
    factor: Floats
    unguarded: Floats
    genuine_like: Floats
    one_in: Floats


def stage_scores(
    table: FeatureTable,
    scorecard: Scorecard,
    policy: Policy,
    wanted: Booleans | None = None,
    protected: Booleans | None = None,
) -> StageScores:
    """Score the calls of a log at the scorecard's stage, in order of time.

    Parameters
    ----------
    wanted : bool (n,), optional
        The calls to score; all by default.
    protected : bool (n,), optional
        The calls whose number is on the protected list; none by default.
    """
    place, size = table.places(wanted)
    listed = np.zeros(len(table.events), dtype=np.bool_) if protected is None else protected
    log_odds, guarded, cap = np.empty(size), np.empty(size), np.empty(size)
    held = np.empty(size, dtype=np.int64)
    width, names = WIDTHS[scorecard.stage], NAMES[: WIDTHS[scorecard.stage]]
    for part in table.parts(wanted):
        at = place[part.rows]
        contributions = scorecard.contributions(part.features[:, :width], names)
        log_odds[at] = scorecard.log_odds(contributions)
        relief, caps, bits = np.empty(len(at)), np.empty(len(at)), np.empty(len(at), dtype=np.int64)
        apply_guardrails_to_rows(
            part.histories, part.calls, contributions, scorecard.silent, listed[part.rows],
            *policy.settings, relief, caps, bits,
        )  # fmt: skip
        guarded[at], cap[at], held[at] = likelihoods(log_odds[at] - relief), caps, bits
    raw, nothing = likelihoods(log_odds), np.full(size, np.nan)
    likeness = policy.likeness.get(scorecard.stage)
    genuine_like, one_in = (nothing, nothing) if likeness is None else likeness.of_rows(guarded)
    return StageScores(
        log_odds=log_odds,
        likelihood=raw,
        guarded=guarded,
        cap=cap,
        held=held,
        factor=policy.curves[scorecard.stage].factors(guarded, cap),
        unguarded=policy.unguarded[scorecard.stage].factors(raw),
        genuine_like=genuine_like,
        one_in=one_in,
    )


def join_scores(parts: Sequence[StageScores]) -> StageScores:
    """Return the scores of several stretches of calls, one after the other."""
    return StageScores(*(np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(StageScores)))
