"""One call assessed in one compiled step: features, score, guardrails, share of a full deferral.

The same kernels as for a log (`model.release.scored_log`), so that a call is told the same online and offline.
"""

from typing import NamedTuple

import numpy as np

from model.arrays import Booleans, Floats, Integers
from model.kernels import kernel
from model.policy.deferral_curve import defer_factor
from model.policy.guardrails import apply_guardrails
from model.policy.policy import Policy
from model.scorecard.features import WIDTHS, fill_features
from model.scorecard.scorecard import Scorecard, explain, likelihood


@kernel
def _assess(
    history: Floats,
    call: Floats,
    protected: bool,
    intercept: float,
    edges: Floats,
    starts: Integers,
    values: Floats,
    pairs: Integers,
    silent: Booleans,
    caps: Floats,
    limits: Floats,
    curve: tuple[Floats, Floats, float],
    plain: tuple[Floats, Floats, float],
    row: Floats,
    contributions: Floats,
) -> tuple[float, float, float, float, int]:
    fill_features(history, call, row)
    log_odds = intercept + explain(row, edges, starts, values, pairs, contributions)
    relief, cap, held = apply_guardrails(history, call, contributions, silent, protected, caps, limits)
    raw, guarded = likelihood(log_odds), likelihood(log_odds - relief)
    return raw, guarded, defer_factor(guarded, cap, *curve), defer_factor(raw, 1.0, *plain), held


class Assessment(NamedTuple):
    """What a release says of one call at a stage, before the certificate has its say.

    Parameters
    ----------
    likelihood, guarded : float
        The probability of being closed as not genuine, before and after the guardrail on silence.
    factor, unguarded : float
        The defer_factor with and without guardrails, 0 to 1.
    held : int
        Bit i is set when guardrail i holds (`guardrail_names`).
    features, contributions : list of float
        What was known, and what each of it, and then each pair of it, added to the log-odds.
    genuine_like, one_in : float and int, or None
        How much it looks like a genuine call, and how rare those are here (`model.policy.likeness`); None where the
        release cannot say.
    """

    likelihood: float
    guarded: float
    factor: float
    unguarded: float
    held: int
    features: list[float]
    contributions: list[float]
    genuine_like: float | None = None
    one_in: int | None = None


class Assessor:
    """Assesses calls at the stage of a scorecard."""

    __slots__ = ("_likeness", "_settings", "_terms", "_width")

    def __init__(self, scorecard: Scorecard, policy: Policy) -> None:
        stage = scorecard.stage
        tables = (policy.curves[stage].table(), policy.unguarded[stage].table())
        self._settings = (scorecard.intercept, *scorecard.arrays, scorecard.silent, *policy.settings, *tables)
        self._width, self._terms = WIDTHS[stage], len(scorecard.silent)
        self._likeness = policy.likeness.get(stage)

    def assess(self, history: Floats, call: Floats, *, protected: bool = False) -> Assessment:
        """Assess one call; history and call as `fill_features` takes them, `protected` by the list of numbers."""
        row, terms = np.empty(self._width), np.empty(self._terms)
        found = _assess(history, call, protected, *self._settings, row, terms)
        features, contributions = row.tolist(), terms.tolist()
        if (likeness := self._likeness) is None:
            return Assessment(*found, features, contributions)
        guarded = found[1]
        return Assessment(*found, features, contributions, likeness.genuine_like(guarded), likeness.one_in(guarded))
