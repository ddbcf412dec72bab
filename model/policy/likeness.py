"""What a score says to a person: how much a call looks like the centre's genuine calls, and how rare those are here.

Two numbers, read from two small tables of each stage, which `model.training.centre_likeness` makes of held-out calls.
Both go by the guarded score, since it decides everything else that is done with a call, and since silence must not make
a call look like a prank.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Self

import numpy as np

from model.arrays import Floats

#: What a person is told of how rare genuine calls are: finer figures do not hold from one month to the next.
ONE_IN = (3, 10, 30, 100, 300, 1000)
#: A call that fewer than this share of genuine calls resemble is like a prank; one that more than half do is like them.
PRANK_LIKE, LIKE_GENUINE = 0.05, 0.5
#: The states of the badge.
BADGES = ("like_emergencies", "not_clear", "prank_like", "not_rated")


@dataclass(frozen=True)
class Likeness:
    """The two tables of a stage.

    Parameters
    ----------
    scores : tuple of float, 0 to 1, rising
        Guarded scores of genuine calls.
    shares : tuple of float, 0 to 1, falling; one more than scores
        `shares[i]` holds for scores above `scores[i - 1]` up to `scores[i]`.
    step_scores : tuple of float, 0 to 1, rising
        Where each step but the first begins.
    steps : tuple of int, of `ONE_IN`, rising; one more than step_scores
        `steps[i]` holds for scores from `step_scores[i - 1]` to below `step_scores[i]`.
    """

    scores: tuple[float, ...]
    shares: tuple[float, ...]
    step_scores: tuple[float, ...]
    steps: tuple[int, ...]

    def __post_init__(self) -> None:
        tables = ((self.scores, self.shares[::-1], "shares"), (self.step_scores, self.steps, "steps"))
        for scores, values, name in tables:
            if len(values) != len(scores) + 1:
                raise ValueError(f"{len(values)} {name} for {len(scores)} scores, expected one more")
            if not all(0.0 <= score <= 1.0 for score in scores):
                raise ValueError(f"a score of {name} lies outside 0 to 1")
            if not all(a < b for column in (scores, values) for a, b in pairwise(column)):
                raise ValueError(f"{name} or their scores are not in order")
        if not all(0.0 < share <= 1.0 for share in self.shares):
            raise ValueError("a share lies outside 0 to 1")
        if not set(self.steps) <= set(ONE_IN):
            raise ValueError(f"steps are {self.steps}, expected some of {ONE_IN}")

    def genuine_like(self, score: float) -> float:
        """Return the share of genuine calls that look at least as much like a prank as one of this guarded score.

        Examples
        --------
        >>> of_three = Likeness((0.2, 0.9), (1.0, 0.75, 0.25), (0.5,), (10, 300))
        >>> [of_three.genuine_like(score) for score in (0.2, 0.21, 0.9, 0.91)]
        [1.0, 0.75, 0.75, 0.25]
        """
        return self.shares[bisect_left(self.scores, score)]

    def one_in(self, score: float) -> int:
        """Return how many calls of about this guarded score hold one genuine call: one of `ONE_IN`.

        Examples
        --------
        >>> of_three = Likeness((0.2, 0.9), (1.0, 0.75, 0.25), (0.5,), (10, 300))
        >>> [of_three.one_in(score) for score in (0.49, 0.5)]
        [10, 300]
        """
        return self.steps[bisect_right(self.step_scores, score)]

    def of_rows(self, scores: Floats) -> tuple[Floats, Floats]:
        """Return both numbers of many calls, float64 (n,) each."""
        shares, steps = self._arrays
        return (
            shares[np.searchsorted(self.scores, scores, side="left")],
            steps[np.searchsorted(self.step_scores, scores, side="right")],
        )

    @cached_property
    def _arrays(self) -> tuple[Floats, Floats]:
        return np.array(self.shares), np.array(self.steps, dtype=np.float64)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "genuine_like": {"scores": list(self.scores), "shares": list(self.shares)},
            "one_in": {"scores": list(self.step_scores), "steps": list(self.steps)},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what `to_json` gave; a missing key is a KeyError."""
        like, rare = value["genuine_like"], value["one_in"]
        scores, shares, step_scores = (tuple(map(float, x)) for x in (like["scores"], like["shares"], rare["scores"]))
        return cls(scores, shares, step_scores, tuple(map(int, rare["steps"])))


def badge_of(band: str, genuine_like: float | None, *, held_out: bool = False) -> str:
    """Return the state of a call's badge: one of `BADGES`.

    Parameters
    ----------
    band : str
        As shown, after guardrails, certificate and switch: without the proof that makes it "likely_prank", or with a
        guardrail that keeps the call from being deferred, no call is shown as like a prank.
    genuine_like : float or None
        None or NaN where the centre has too few genuine calls to tell: then nothing is clear.
    held_out : bool
        Whether it is of the random share, of which nothing is shown.

    Examples
    --------
    >>> [badge_of("likely_prank", share) for share in (0.6, 0.3, 0.01, None)]
    ['like_emergencies', 'not_clear', 'prank_like', 'not_clear']
    >>> badge_of("normal", 0.01), badge_of("unscored", 0.9), badge_of("normal", 0.9, held_out=True)
    ('not_clear', 'not_rated', 'not_rated')
    """
    if held_out or band == "unscored":
        return "not_rated"
    if genuine_like is not None and genuine_like > LIKE_GENUINE:
        return "like_emergencies"
    prank_like = genuine_like is not None and genuine_like <= PRANK_LIKE and band == "likely_prank"
    return "prank_like" if prank_like else "not_clear"
