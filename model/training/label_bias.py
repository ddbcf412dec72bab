"""Label bias: whether the system's own doing shows in its labels.

A random share of the calls that would be deferred or marked is not (`held_out`). Whatever differs between the two,
beyond chance, the system did itself: callers who waited longer hang up and leave no label, and an operator who reads a
mark may close a call otherwise. A model that learns from such labels learns its own opinion.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from model.arrays import Booleans, Floats
from model.calls.call_events import UNLABELLED, Events
from model.certification.bootstrap import bootstrap_sums, caller_index, percentile_interval
from model.training.dataset import split_holdout

#: Fewer closed calls of the random share say nothing.
FEWEST = 30
RESAMPLES = 400
#: Four things are compared.
CONFIDENCE = 1.0 - 0.05 / 4
MEASURES = ("without_label", "hung_up", "not_genuine", "observed_less_predicted")
_HUNG_UP = ("abandoned", "unanswered")


def label_bias(calls: pd.DataFrame, events: Events, rows: Booleans, likelihood: Floats) -> dict[str, Any]:
    """Compare the random share with the calls that were deferred or marked.

    Parameters
    ----------
    calls, events
        Of the same calls, in the order of `sort_calls`.
    rows : bool (n,)
        The calls to look at.
    likelihood : float64 (m,)
        Of those, that they are closed as not genuine.

    Returns
    -------
    dict
        `says`: no_share (no call was held out), cannot_say (fewer than `FEWEST` of either kind were closed), no_sign,
        or biased; `held_out_calls`, `acted_on_calls`; and `measures`, each with `held_out`, `acted_on` and
        `difference` with its interval, by bootstrap over callers, wide enough for four comparisons. Null where there
        is nothing.
    """
    held_out, acted_on = (arm[rows] for arm in split_holdout(calls))
    outcome = events.outcome[rows]
    labelled = outcome != UNLABELLED
    closed = [int((arm & labelled).sum()) for arm in (held_out, acted_on)]
    found: dict[str, Any] = {
        "says": "no_share" if not held_out.any() else "cannot_say",
        "held_out_calls": int(held_out.sum()),
        "acted_on_calls": int(acted_on.sum()),
        "measures": None,
    }
    if min(closed) < FEWEST:
        return found
    hung_up = calls["disposition"][rows].isin(_HUNG_UP).to_numpy(np.float64)
    apart = np.where(labelled, (outcome == 1) - likelihood, 0.0)
    columns = []
    for arm in (held_out, acted_on):
        every, told = arm.astype(np.float64), (arm & labelled).astype(np.float64)
        for sums, of in ((every * ~labelled, every), (every * hung_up, every), (told * (outcome == 1), told),
                         (told * apart, told)):  # fmt: skip
            columns += [sums, of]
    table = np.column_stack(columns)
    unit, count = caller_index(events.caller[rows])
    shares = _shares(table.sum(axis=0, keepdims=True))[0]
    drawn = _shares(bootstrap_sums(table, unit, count, RESAMPLES, seed=0))
    found["measures"] = {}
    for place, name in enumerate(MEASURES):
        mine, others = shares[place], shares[place + len(MEASURES)]
        difference = percentile_interval(others - mine, drawn[:, place + len(MEASURES)] - drawn[:, place], CONFIDENCE)
        found["measures"][name] = {"held_out": mine, "acted_on": others, **difference.named("difference")}
    told_apart = any(one["difference_low"] > 0.0 or one["difference_high"] < 0.0 for one in found["measures"].values())
    found["says"] = "biased" if told_apart else "no_sign"
    return found


def _shares(sums: Floats) -> Floats:
    """Divide every first column by the second."""
    with np.errstate(invalid="ignore"):
        return np.asarray(sums[:, ::2] / sums[:, 1::2], dtype=np.float64)


def describe_label_bias(effect: Mapping[str, Any]) -> str:
    """Return the finding in words.

    Examples
    --------
    >>> describe_label_bias({"says": "no_share"})
    'No call was held out at random, so the effect of the system on its own labels cannot be seen.'
    """
    if effect["says"] == "no_share":
        return "No call was held out at random, so the effect of the system on its own labels cannot be seen."
    counts = f"{effect['held_out_calls']:,} calls held out at random, {effect['acted_on_calls']:,} deferred or marked"
    if effect["says"] == "cannot_say":
        return f"{counts}: too few closed ones to say whether the system shows in its own labels."
    if effect["says"] == "no_sign":
        return f"{counts}: no sign that the system shows in its own labels."
    names = [
        f"{name.replace('_', ' ')} {one['held_out']:.1%} and {one['acted_on']:.1%}"
        for name, one in effect["measures"].items()
        if one["difference_low"] > 0.0 or one["difference_high"] < 0.0
    ]
    return (
        f"{counts}: the system shows in its own labels ({'; '.join(names)}). Train with training.random_share: weight "
        "or only."
    )
