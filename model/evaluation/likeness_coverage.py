"""Whether what a person is told of a call holds on later calls: `genuine_like`, `one_in`, the states of the badge."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from model.arrays import Booleans, Floats, Integers
from model.certification.bootstrap import caller_index
from model.certification.bounds import exact_interval
from model.policy.likeness import LIKE_GENUINE, PRANK_LIKE

if TYPE_CHECKING:
    from model.evaluation.window import EvaluationWindow

#: The shares at which `genuine_like` is held against what came.
SHARES = (0.05, 0.1, 0.25, 0.5)


def measure_likeness(window: "EvaluationWindow", stage: str, threshold: float | None) -> dict[str, Any] | None:
    """Measure what was said of the closed calls of a window at a stage.

    Parameters
    ----------
    threshold : float or None
        Of the certificate, above which a call that may be deferred is marked.

    Returns
    -------
    dict or None
        As docs/metrics.md names it; None where nothing was said.
    """
    scores = window.scores[stage]
    said = window.closed & ~np.isnan(scores.genuine_like)
    if not said.any():
        return None
    like, genuine = scores.genuine_like, window.genuine
    marked = (scores.factor > 0.0) & (scores.guarded > (np.inf if threshold is None else threshold))
    emergencies, pranks = like > LIKE_GENUINE, marked & (like <= PRANK_LIKE)
    badges = {
        "like_emergencies": emergencies,
        "not_clear": ~emergencies & ~pranks,
        "prank_like": ~emergencies & pranks,
    }
    mine = np.flatnonzero(genuine & said)
    drawn = mine[one_call_a_caller(window.callers[mine])]
    found = coverage(like[drawn])
    within = np.zeros_like(said)
    slices = {}
    for name, members in window.genuine_slices().items():
        if name == "all":
            continue
        within[np.flatnonzero(genuine)] = members
        if within[drawn].any():
            slices[name] = coverage(like[drawn[within[drawn]]])
    return {
        "badges": {name: _counted(mask & said, genuine) for name, mask in badges.items()},
        "genuine_like": {"callers": len(drawn), "shares": found, "slices": slices, "note": _note(found, len(drawn))},
        "one_in": [
            {"one_in": int(step), **_one_in(said & (scores.one_in == step), genuine)}
            for step in np.unique(scores.one_in[said])
        ],
    }


def one_call_a_caller(callers: Integers) -> NDArray[np.intp]:
    """Return the positions, rising, of one call of each caller, drawn at random, and the same ones each time.

    Examples
    --------
    >>> len(one_call_a_caller(np.array([4, 4, 4, -1, -1])))
    3
    """
    order = np.random.default_rng(0).permutation(len(callers))
    _, first = np.unique(caller_index(callers)[0][order], return_index=True)
    return np.sort(order[first])


def coverage(genuine_like: Floats) -> list[dict[str, float | int]]:
    """Return for each of `SHARES` how many genuine callers were told at most that; exact binomial intervals.

    Examples
    --------
    >>> coverage(np.array([0.04, 0.2, 0.6, 0.9]))[0]["observed"]
    0.25
    """
    rows = []
    for limit in SHARES:
        below = int((genuine_like <= limit).sum())
        low, high = exact_interval(below, len(genuine_like))
        observed = below / len(genuine_like) if len(genuine_like) else np.nan
        rows.append({"at_most": limit, "observed": observed, "observed_low": low, "observed_high": high})
    return rows


def _counted(mask: Booleans, genuine: Booleans) -> dict[str, int]:
    return {"calls": int(mask.sum()), "genuine_calls": int((mask & genuine).sum())}


def _one_in(mask: Booleans, genuine: Booleans) -> dict[str, float | int]:
    """Count the calls of which a step was said, and one in how many was genuine; infinite where none was."""
    counts = _counted(mask, genuine)
    low, high = exact_interval(counts["genuine_calls"], counts["calls"])
    share = counts["genuine_calls"] / counts["calls"]
    with np.errstate(divide="ignore"):
        observed, fewest, most = (float(1.0 / np.float64(part)) for part in (share, high, low))
    return counts | {"observed": observed, "observed_low": fewest, "observed_high": most}


def _note(found: list[dict[str, float | int]], callers: int) -> str | None:
    """Say where later genuine callers are not as those that `genuine_like` rests on had it; None where they may be."""
    off = [row for row in found if not row["observed_low"] <= row["at_most"] <= row["observed_high"]]
    if not callers or not off:
        return None
    parts = [
        f"at most {row['at_most']:g} of {row['observed']:.2g} of them "
        f"({row['observed_low']:.2g} to {row['observed_high']:.2g})"
        for row in off
    ]
    return (
        f"Of the {callers} genuine callers of these calls genuine_like said {', '.join(parts)}. Either they are not "
        "like the earlier ones on which it rests, or those were few."
    )
