"""The reasons of a score: its terms, the largest first."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from model.features import FEATURES


def reasons(values: Sequence[float], contributions: Sequence[float], *, in_words: bool = False) -> list[dict[str, Any]]:
    """List what moved a score, the largest contribution first; those of 0 are left out.

    Parameters
    ----------
    values, contributions : sequences of float
        A stage's features, and what each of them added to the log-odds.
    in_words : bool
        Whether each reason also has a `text` that an operator reads.

    Returns
    -------
    list of dict
        With group, feature, value (None: not known), contribution and, if asked for, text. Together with the
        scorecard's intercept the contributions are the log-odds: nothing is estimated.

    Examples
    --------
    >>> reasons([3.0, float("nan")], [0.0, -0.5])
    [{'group': 'history', 'feature': 'calls_1d', 'value': None, 'contribution': -0.5}]
    """
    sizes = [abs(contribution) for contribution in contributions]
    found: list[dict[str, Any]] = []
    for place in sorted(range(len(sizes)), key=sizes.__getitem__, reverse=True):
        if sizes[place] == 0.0:
            break
        group, name, words, unknown = _TOLD[place]
        value = values[place]
        shown = None if value != value else words[int(value)] if words else value
        reason = {"group": group, "feature": name, "value": shown, "contribution": contributions[place]}
        if in_words:
            reason["text"] = unknown if shown is None else _text(place, value)
        found.append(reason)
    return found


@lru_cache(16_384)
def _text(place: int, value: float) -> str:
    """Say a value in words; most values of most calls are those of another call."""
    return FEATURES[place].text(value)


#: For every call: what can be looked up beforehand.
_TOLD = tuple((feature.group, feature.name, feature.words, feature.text(math.nan)) for feature in FEATURES)
