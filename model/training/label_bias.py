"""Whether the system's own doing shows in its labels: calls that it deferred or marked beside those that it could have.

A random share of the calls that would be deferred or marked is not (`held_out`). Whatever differs between the two,
beyond chance, the system did itself: callers who waited longer hang up and leave no label, and an operator who reads
a mark may close a call otherwise. A model that learns from such labels learns its own opinion.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from model.calls.call_events import UNLABELLED, Events
from model.certification.bootstrap import between, totals, units
from model.policy.policy import Band

Numbers = NDArray[np.float64]
Rows = NDArray[np.bool_]
Share = Literal["ignore", "weight", "only"]
#: Fewer closed calls of the random share say nothing.
FEWEST = 30
RESAMPLES = 400
#: Four things are compared.
CONFIDENCE = 1.0 - 0.05 / 4
MEASURES = ("without_label", "hung_up", "not_genuine", "observed_less_predicted")
_ACTED_ON = (Band.UNSURE.id, Band.LIKELY_PRANK.id)
_DONE = ("held_out", "shown_band", "defer_s", "release")
_HUNG_UP = ("abandoned", "unanswered")


def split_holdout(calls: pd.DataFrame) -> tuple[Rows, Rows]:
    """Say which calls belong to the random share, and which were deferred or marked though they could have.

    Parameters
    ----------
    calls : pandas.DataFrame
        With the columns `held_out`, `shown_band`, `defer_s`, `release` and `received_at` of an export; without them,
        no call belongs to either.

    Returns
    -------
    held_out, acted_on : bool (n,)
        The latter only of releases and times in which there was a random share.
    """
    nobody = np.zeros(len(calls), dtype=np.bool_)
    if not set(_DONE) <= set(calls):
        return nobody, nobody
    held_out = (calls["held_out"] == True).fillna(False).to_numpy(np.bool_)  # noqa: E712 - missing is not held out
    if not held_out.any():
        return held_out, nobody
    acted_on = (calls["shown_band"].isin(_ACTED_ON) | (calls["defer_s"] > 0.0)).to_numpy(np.bool_) & ~held_out
    of_share = calls.loc[held_out].groupby("release")["received_at"].agg(["min", "max"])
    first, last = (calls["release"].map(of_share[end]) for end in ("min", "max"))
    return held_out, acted_on & (calls["received_at"].between(first, last)).to_numpy(np.bool_)


def training_weights(calls: pd.DataFrame, share: Share) -> Numbers:
    """Say how much each call counts in training.

    Parameters
    ----------
    calls : pandas.DataFrame
    share : {"ignore", "weight", "only"}
        ignore: all count alike. only: what was deferred or marked counts nothing, and the random share stands for it.
        weight: half of that; both together count for as much as there are of them, each for a half.

    Returns
    -------
    float64 (n,)
    """
    weights = np.ones(len(calls))
    held_out, acted_on = split_holdout(calls)
    if share == "ignore" or not held_out.any() or not acted_on.any():
        return weights
    every, kept = held_out.sum() + acted_on.sum(), 0.0 if share == "only" else 0.5
    weights[acted_on] = kept * every / acted_on.sum()
    weights[held_out] = (1.0 - kept) * every / held_out.sum()
    return weights


def label_bias(calls: pd.DataFrame, events: Events, rows: Rows, likelihood: Numbers) -> dict[str, Any]:
    """Compare the random share with the calls that were deferred or marked.

    Parameters
    ----------
    calls : pandas.DataFrame
        As `events.ordered` gives it.
    events : Events
        Of the same calls.
    rows : bool (n,)
        The calls to look at.
    likelihood : float64 (m,)
        Of those, that they are closed as not genuine.

    Returns
    -------
    dict
        `says`: no_share (no call was held out), cannot_say (fewer than `FEWEST` of either kind were closed), no_sign,
        or biased; `held_out_calls`, `acted_on_calls`; and `measures`, each with `held_out`, `acted_on` and `difference`
        with its interval, by bootstrap over callers, wide enough for four comparisons. Null where there is nothing.
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
    unit, count = units(events.caller[rows])
    shares = _shares(table.sum(axis=0, keepdims=True))[0]
    drawn = _shares(totals(table, unit, count, RESAMPLES, seed=0))
    found["measures"] = {}
    for place, name in enumerate(MEASURES):
        mine, others = shares[place], shares[place + len(MEASURES)]
        difference = between(others - mine, drawn[:, place + len(MEASURES)] - drawn[:, place], CONFIDENCE)
        found["measures"][name] = {
            "held_out": mine,
            "acted_on": others,
            "difference": difference.value,
            "difference_low": difference.low,
            "difference_high": difference.high,
        }
    told_apart = any(one["difference_low"] > 0.0 or one["difference_high"] < 0.0 for one in found["measures"].values())
    found["says"] = "biased" if told_apart else "no_sign"
    return found


def _shares(sums: Numbers) -> Numbers:
    """Divide every first column by the second."""
    with np.errstate(invalid="ignore"):
        return np.asarray(sums[:, ::2] / sums[:, 1::2], dtype=np.float64)


def sentence(effect: Mapping[str, Any]) -> str:
    """Say it in words.

    Examples
    --------
    >>> sentence({"says": "no_share"})
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
