"""Additive step functions: a score is a sum of look-ups, and its terms are its reasons.

The log-odds of a call are an intercept (those of the mean training call), one contribution for each feature, found by
the step its value falls in (a step reaches up to and with its upper edge), and one for each of a few pairs of features.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from model.arrays import Floats, Integers
from model.errors import ScorecardError
from model.kernels import kernel, log_kernel
from model.language.catalogue import catalogue
from model.scorecard.features import FEATURES, NAMES, WIDTHS
from model.scorecard.pairs import Pair


@dataclass(frozen=True, slots=True)
class Steps:
    """The step function of one feature.

    Parameters
    ----------
    edges : float64 (k,)
        Upper edges of all steps but the last, increasing; each belongs to the step below it.
    contributions : float64 (k + 1,)
        In log-odds; 0 is the mean training call.
    missing : float
        The contribution of a value that is not known.
    shares : float64 (k + 2,)
        The share of training calls in each step, and last of those without a value.
    """

    feature: str
    edges: Floats
    contributions: Floats
    missing: float
    shares: Floats


@kernel
def likelihood(log_odds: float) -> float:
    """Return the probability of log-odds, which is never lower for higher log-odds.

    Examples
    --------
    >>> likelihood(0.0), likelihood(-1000.0), likelihood(1000.0)
    (0.5, 0.0, 1.0)
    """
    return 1.0 / (1.0 + math.exp(-log_odds))  # once compiled, exp gives infinity where it overflows


@log_kernel
def likelihoods(log_odds: Floats) -> Floats:
    """Return the probabilities of many log-odds, each as `likelihood` does."""
    found = np.empty(len(log_odds))
    for row in range(len(log_odds)):
        found[row] = likelihood(log_odds[row])
    return found


@kernel
def _step(value: float, edges: Floats, low: int, high: int) -> int:
    """Find the step of a value among the edges from `low` up to `high`; the one after the last when it is not known."""
    if math.isnan(value):
        return high - low + 1
    first = low
    while low < high:
        middle = (low + high) // 2
        if edges[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low - first


@kernel
def explain(row: Floats, edges: Floats, starts: Integers, values: Floats, pairs: Integers, out: Floats) -> float:
    """Write the contribution of each feature, and then of each pair, into `out` and return their sum.

    The edges of feature f are `edges[starts[f]:starts[f + 1]]`; its contributions stand in `values` from `starts[f] +
    2 * f`, one more than edges and then that of a missing value. The edges of both features of the first of `pairs`,
    int64 (p, 2), follow those of the last feature, and its table, row by row, their contributions; and so on.
    """
    total = 0.0
    for feature in range(len(row)):
        low, high = starts[feature], starts[feature + 1]
        out[feature] = values[low + 2 * feature + _step(row[feature], edges, low, high)]
        total += out[feature]
    axis = len(row)
    table = starts[axis] + 2 * axis
    for pair in range(len(pairs)):
        low, middle, high = starts[axis], starts[axis + 1], starts[axis + 2]
        width = high - middle + 2
        line = _step(row[pairs[pair, 0]], edges, low, middle)
        out[len(row) + pair] = values[table + line * width + _step(row[pairs[pair, 1]], edges, middle, high)]
        total += out[len(row) + pair]
        table += (middle - low + 2) * width
        axis += 2
    return total


@log_kernel
def _explain_rows(rows: Floats, edges: Floats, starts: Integers, values: Floats, pairs: Integers, out: Floats) -> None:
    for row in range(len(rows)):
        explain(rows[row], edges, starts, values, pairs, out[row])


class Scorecard:
    """The scorecard of one stage.

    Parameters
    ----------
    stage : {"ring", "opening", "ended"}
    intercept : float
        Log-odds of a call whose contributions are all 0.
    steps : sequence of Steps
        One for each feature, in the order of the features' table; a ScorecardError when they are others.
    pairs : sequence of Pair
        Of these features; a ScorecardError when one is of others.
    """

    def __init__(self, stage: str, intercept: float, steps: Sequence[Steps], pairs: Sequence[Pair] = ()) -> None:
        self.stage, self.intercept, self.steps, self.pairs = stage, intercept, tuple(steps), tuple(pairs)
        self.features = tuple(step.feature for step in steps)
        if self.features != NAMES[: WIDTHS[stage]]:
            raise ScorecardError(f"stage {stage}: features {self.features}, expected {NAMES[: WIDTHS[stage]]}")
        if strange := {name for pair in pairs for name in pair.features} - set(self.features):
            raise ScorecardError(f"stage {stage}: a pair of {sorted(strange)}, expected some of {self.features}")
        edges = [*(step.edges for step in steps), *(axis for pair in pairs for axis in pair.edges)]
        #: Edges, starts, values and pairs, as `explain` takes them.
        self.arrays = (
            np.concatenate([np.empty(0), *edges]),
            np.cumsum([0, *(len(axis) for axis in edges)]),
            np.concatenate(
                [
                    *(np.append(step.contributions, step.missing) for step in steps),
                    *(pair.contributions.ravel() for pair in pairs),
                ]
            ),
            np.array([pair.places for pair in pairs], dtype=np.int64).reshape(-1, 2),
        )
        #: Which contributions tell of silence, bool (d + p,).
        self.silent = np.array(
            [*(FEATURES[place].silence for place in range(len(steps))), *(pair.silence for pair in pairs)]
        )

    def contributions(self, rows: Floats, features: Sequence[str]) -> Floats:
        """Return the contribution of every feature, then every pair, in every row, float64 (n, d + p), in log-odds.

        `features` names the columns of `rows`; a ScorecardError when they are not those of this scorecard, in its
        order.
        """
        if tuple(features) != self.features or rows.shape[1:] != (len(self.features),):
            raise ScorecardError(
                f"stage {self.stage}: got features {tuple(features)} in an array of shape {rows.shape}, "
                f"expected {self.features}"
            )
        out = np.empty((len(rows), len(self.silent)))
        _explain_rows(rows, *self.arrays, out)
        return out

    def log_odds(self, contributions: Floats) -> Floats:
        """Add up contributions (n, d + p) into log-odds (n,), term after term as `score` does for one call."""
        return self.intercept + np.cumsum(contributions, axis=1)[:, -1]

    def recalibrated(self, slope: float, offset: float) -> "Scorecard":
        """Return the scorecard whose log-odds are `slope` times these plus `offset`."""
        steps = [
            replace(step, contributions=slope * step.contributions, missing=slope * step.missing) for step in self.steps
        ]
        pairs = [replace(pair, contributions=slope * pair.contributions) for pair in self.pairs]
        return Scorecard(self.stage, slope * self.intercept + offset, steps, pairs)

    def score(self, row: Floats) -> tuple[float, Floats]:
        """Return log-odds and contributions (d + p,) of one call; a ScorecardError for a row of another length."""
        if row.shape != (len(self.features),):
            raise ScorecardError(f"stage {self.stage}: a row of shape {row.shape}, expected {len(self.features)}")
        out = np.empty(len(self.silent))
        return self.intercept + explain(row, *self.arrays, out), out

    def to_json(self) -> dict[str, Any]:
        """Return strict JSON: for each feature its steps, each with its upper edge (null: no end), and the pairs."""
        table = dict(zip(NAMES, FEATURES, strict=True))
        return {
            "intercept": self.intercept,
            "features": [
                {
                    "name": step.feature,
                    "meaning": catalogue("en")(f"feature.{step.feature}.meaning"),
                    "unit": table[step.feature].unit,
                    "direction": table[step.feature].direction,
                    "missing": {"contribution": step.missing, "share": step.shares[-1]},
                    "steps": [
                        {"up_to": edge, "contribution": contribution, "share": share}
                        for edge, contribution, share in zip(
                            [*step.edges.tolist(), None],
                            step.contributions.tolist(),
                            step.shares[:-1].tolist(),
                            strict=True,
                        )
                    ],
                }
                for step in self.steps
            ],
            "pairs": [pair.to_json() for pair in self.pairs],
        }

    @classmethod
    def from_json(cls, stage: str, document: Mapping[str, Any]) -> "Scorecard":
        """Read what `to_json` wrote.

        Raises
        ------
        ScorecardError
            When its features are not those of its stage in this version, its steps are not in order, or a number is not
            finite.
        """
        steps = []
        if not math.isfinite(document["intercept"]):
            raise ScorecardError(f"stage {stage}: an intercept of {document['intercept']}, expected a finite number")
        for feature in document["features"]:
            edges = np.array([step["up_to"] for step in feature["steps"][:-1]], dtype=np.float64)
            contributions = np.array([step["contribution"] for step in feature["steps"]], dtype=np.float64)
            shares = np.array([*(step["share"] for step in feature["steps"]), feature["missing"]["share"]])
            missing = float(feature["missing"]["contribution"])
            if not (np.diff(edges) > 0).all() or feature["steps"][-1]["up_to"] is not None:
                raise ScorecardError(f"stage {stage}, feature {feature['name']}: steps that are not in order")
            if not np.isfinite([*edges, *contributions, missing, *shares]).all():
                raise ScorecardError(f"stage {stage}, feature {feature['name']}: a number that is not finite")
            steps.append(Steps(feature["name"], edges, contributions, missing, shares))
        pairs = [Pair.from_json(stage, pair) for pair in document.get("pairs", [])]  # older releases have none
        return cls(stage, float(document["intercept"]), steps, pairs)
