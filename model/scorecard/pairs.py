"""What two features add to a score together, beside what each adds alone: a table of their steps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from model.arrays import Floats, Integers
from model.errors import ScorecardError
from model.scorecard.features import FEATURES, NAMES

#: Between the names, and the values, of two features that a reason is about.
BOTH = " x "


@dataclass(frozen=True, slots=True)
class Pair:
    """The table of two ordered features, none of them a kind of something.

    Parameters
    ----------
    features : tuple of str
        In the order of the features' table.
    edges : tuple of float64 (k,) and float64 (m,)
        Of the steps of each, as `Steps` has them.
    contributions : float64 (k + 2, m + 2)
        In log-odds; 0 is the mean training call. The last row and column are of values that are not known.
    shares : float64 (k + 2, m + 2)
        The share of training calls in each cell.
    """

    features: tuple[str, str]
    edges: tuple[Floats, Floats]
    contributions: Floats
    shares: Floats

    @property
    def places(self) -> tuple[int, int]:
        """The places of both features in a row."""
        return NAMES.index(self.features[0]), NAMES.index(self.features[1])

    @property
    def silence(self) -> bool:
        """Whether either tells of silence, which may never raise a deferral."""
        return any(FEATURES[place].silence for place in self.places)

    def cells(self, rows: Floats) -> tuple[Integers, Integers]:
        """Return the cell of each row, as row (n,) and column (n,) of the table."""
        first, second = (
            np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values).clip(max=len(edges)))
            for values, edges in zip((rows[:, place] for place in self.places), self.edges, strict=True)
        )
        return first, second

    def terms(self, rows: Floats) -> Floats:
        """Return the contribution to each row, float64 (n,)."""
        return self.contributions[self.cells(rows)]

    def to_json(self) -> dict[str, Any]:
        """Return strict JSON: the upper edges of both features' steps, and the table, each row a step of the first."""
        return {
            "names": list(self.features),
            "up_to": [edges.tolist() for edges in self.edges],
            "contributions": self.contributions.tolist(),
            "shares": self.shares.tolist(),
        }

    @classmethod
    def from_json(cls, stage: str, document: Mapping[str, Any]) -> "Pair":
        """Read what `to_json` wrote; a ScorecardError when it is not a table of two ordered features."""
        first, second = document["names"]
        one, other = (np.array(edges, dtype=np.float64) for edges in document["up_to"])
        contributions, shares = (np.array(document[name], dtype=np.float64) for name in ("contributions", "shares"))
        where = f"stage {stage}, pair {first}{BOTH}{second}"
        if not (first in NAMES and second in NAMES and NAMES.index(first) < NAMES.index(second)):
            raise ScorecardError(f"{where}: expected two features in the order of the table")
        if FEATURES[NAMES.index(first)].words or FEATURES[NAMES.index(second)].words:
            raise ScorecardError(f"{where}: a kind of something, expected two numbers")
        if not ((np.diff(one) > 0).all() and (np.diff(other) > 0).all()):
            raise ScorecardError(f"{where}: steps that are not in order")
        shape = (len(one) + 2, len(other) + 2)
        if contributions.shape != shape or shares.shape != shape:
            raise ScorecardError(f"{where}: a table of shape {contributions.shape}, expected {shape}")
        if not all(np.isfinite(numbers).all() for numbers in (one, other, contributions, shares)):
            raise ScorecardError(f"{where}: a number that is not finite")
        return cls((first, second), (one, other), contributions, shares)
