"""What calls looked like when a release was made: the shares by which drift is measured later.

Only numpy: the service measures its own calls in the same way.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.arrays import Booleans, Floats, Integers
from model.scorecard.features import FEATURES, NAMES, STAGES

#: A mean, its variance, and how many calls it weighs.
Share = tuple[float, float, float]
FORMAT = 1
DAY_US, HOUR_US = 86_400_000_000, 3_600_000_000
BINS = 10
#: A kind of line or of ending that fewer calls have than this share is counted with the other rare ones.
RARE = 0.005
#: A caller counts for so many calls of a week at most.
MAX_PER_WEEK = 3.0
#: A number that was not heard of for so long is as good as new.
HEARD_OF_H = 720.0
SCORES = tuple(f"score_{stage}" for stage in STAGES)
#: What is put into bins: the features, then the log-odds of each stage.
BINNED = NAMES + SCORES
_SINCE_LAST, _PREDICTED = NAMES.index("since_last_h"), "opening"


@dataclass(frozen=True)
class Sample:
    """The calls of a stretch of time, as drift looks at them.

    Parameters
    ----------
    features : float64 (n, len(FEATURES))
    log_odds : mapping of str to float64 (n,)
        By stage.
    callers : int64 (n,)
        -1 without a number.
    received_us, label_us : int64 (n,)
        Arrival, and when the call's label became known (past every time when it has none).
    outcome : int8 (n,)
        0 genuine, 1 not genuine, -1 no label.
    now_us : int
        What was known at this moment is in the sample.
    """

    features: Floats
    log_odds: Mapping[str, Floats]
    callers: Integers
    received_us: Integers
    label_us: Integers
    outcome: NDArray[np.int8]
    now_us: int

    def __len__(self) -> int:
        return len(self.received_us)

    @property
    def days(self) -> float:
        """Days from the first call to the last."""
        return float(np.ptp(self.received_us)) / DAY_US if len(self) else 0.0

    def values(self, name: str) -> Floats:
        """Return one of `BINNED`."""
        if name in SCORES:
            return self.log_odds[STAGES[SCORES.index(name)]]
        values = self.features[:, NAMES.index(name)]
        if name == "since_last_h":  # never is no longer ago than long ago, or a log would drift as it grows old
            return np.minimum(np.where(np.isnan(values), HEARD_OF_H, values), HEARD_OF_H)
        return values

    def clusters(self) -> "Clusters":
        """Return which calls are alike, to tell how sure a share is."""
        return Clusters(self.callers, self.received_us // HOUR_US)


class Clusters:
    """Calls of one caller are alike, and so are those of one day, so that shares vary more than their number says.

    A caller counts for at most `MAX_PER_WEEK` calls of a week: what one telephone does is that caller's history, and no
    drift. Calls without a number (-1) of one hour count as one caller's. The variance of a share is that of Cameron,
    Gelbach and Miller (2011), Robust inference with multiway clustering, Journal of Business and Economic Statistics
    29: by caller, plus by day, less by both.
    """

    def __init__(self, callers: Integers, hours: Integers) -> None:
        days = hours // 24
        nobody = callers.max(initial=-1) + 1 + hours - hours.min(initial=np.iinfo(np.int64).max)
        by_caller = _dense_codes(np.where(callers < 0, nobody, callers))
        in_week = np.bincount(by_week := _pair_codes(by_caller, _dense_codes(days // 7)))[by_week]
        self.weights = np.minimum(1.0, MAX_PER_WEEK / in_week)
        self._by: tuple[Integers, ...] = (by_caller, by_day := _dense_codes(days), _pair_codes(by_caller, by_day))

    def subset(self, rows: Booleans) -> "Clusters":
        """Return the clusters of some of the calls."""
        chosen = object.__new__(Clusters)
        chosen.weights, chosen._by = self.weights[rows], tuple(by[rows] for by in self._by)
        return chosen

    def mean(self, values: Floats, apart: Floats | None = None) -> tuple[float, float]:
        """Return the weighted mean of values, one a call, and its variance (or that of the mean of `apart`)."""
        mean, total = float(np.average(values, weights=self.weights)), self.weights.sum()
        apart = values if apart is None else apart
        left = self.weights * (apart - np.average(apart, weights=self.weights))
        return mean, self._two_way(*(float((np.bincount(by, left) ** 2).sum()) for by in self._by)) / float(total) ** 2

    def shares(self, codes: Integers, size: int) -> Floats:
        """Return the share of each code, with half a call in each beforehand, so that none is empty."""
        counts = np.bincount(codes, self.weights, minlength=size) + 0.5
        return np.asarray(counts / counts.sum(), dtype=np.float64)

    def shares_variance(self, codes: Integers, shares: Floats) -> Floats:
        """Return the variance of each of those shares."""
        squares = (self._squares(by, codes, shares) for by in self._by)
        return np.asarray(self._two_way(*squares) / self.weights.sum() ** 2, dtype=np.float64)

    @staticmethod
    def _two_way(by_caller: Any, by_day: Any, by_both: Any) -> Any:
        return np.maximum(np.maximum(by_caller, by_day), by_caller + by_day - by_both)

    def _squares(self, by: Integers, codes: Integers, shares: Floats) -> Floats:
        """Sum, over clusters, the squares of what calls of each code weigh more than the share says."""
        size, weigh = len(shares), np.bincount(by, self.weights)
        pairs, place = np.unique(by * size + codes, return_inverse=True)
        of_pair = np.bincount(place, self.weights)
        own = np.bincount(pairs % size, of_pair**2, minlength=size)
        crossed = np.bincount(pairs % size, of_pair * weigh[pairs // size], minlength=size)
        return np.asarray(own - 2.0 * shares * crossed + shares**2 * (weigh**2).sum(), dtype=np.float64)


def _dense_codes(names: Integers) -> Integers:
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def _pair_codes(one: Integers, other: Integers) -> Integers:
    return _dense_codes(one * (int(other.max(initial=0)) + 1) + other)


def build_profile(sample: Sample, late_s: float) -> dict[str, Any]:
    """Return the profile of the calls that a release was calibrated and certified on: strict JSON.

    Parameters
    ----------
    sample : Sample
        None of its calls were fitted on, so that its scores are those of later calls.
    late_s : float
        A label that comes later than this is late.

    Returns
    -------
    dict
        `calls`, `days`, `late_s`; `binned` with edges, shares and their variances by name (the last share: not known);
        `shares` as `measure_shares` gives them, None where there is none.
    """
    clusters = sample.clusters()
    shares = measure_shares(sample, clusters, late_s)
    return {
        "format": FORMAT,
        "calls": len(sample),
        "days": round(sample.days, 1),
        "late_s": late_s,
        "binned": {name: _binned(name, sample.values(name), clusters) for name in BINNED},
        "shares": {name: _six_digits(np.array(share)) if share else None for name, share in shares.items()},
    }


def check_profile(document: Any) -> Mapping[str, Any]:
    """Return a profile that this version can compare with; a ValueError when its format or features are others."""
    if document["format"] != FORMAT or tuple(document["binned"]) != BINNED:
        raise ValueError("the fingerprint is of other features than this version has")
    for name, bins in document["binned"].items():
        if not len(bins["edges"]) + 2 == len(bins["shares"]) == len(bins["variances"]):
            raise ValueError(f"fingerprint of {name}: edges, shares and variances do not belong together")
    found: Mapping[str, Any] = document
    return found


def measure_shares(sample: Sample, clusters: Clusters, late_s: float) -> dict[str, Share | None]:
    """Return the shares that are watched beside the bins: value, variance, calls; None without any call.

    - new_numbers: of the calls, those of a number that was not heard of for 30 days, or that has none
    - not_genuine: of the closed calls that are old enough for their label
    - predicted: the mean of the probability of the same calls, and its variance that of observed less predicted
    - labelled_in_time: of the calls that are old enough, those with a label within `late_s`
    - calls_a_week: the mean of the whole weeks before `now_us`, the variance of one week, and how many weeks
    """
    old = sample.received_us <= sample.now_us - late_s * 1e6
    closed = old & (sample.outcome >= 0)
    observed = (sample.outcome[closed] == 1).astype(np.float64)
    predicted = 1.0 / (1.0 + np.exp(-sample.log_odds[_PREDICTED][closed]))
    in_time = (sample.outcome >= 0) & (sample.label_us - sample.received_us <= late_s * 1e6)
    new = ~(sample.features[:, _SINCE_LAST] <= HEARD_OF_H)

    def share(values: Floats, rows: Booleans, apart: Floats | None = None) -> Share | None:
        mine = clusters.subset(rows)
        return (*mine.mean(values, apart), float(mine.weights.sum())) if len(values) else None

    return {
        "new_numbers": share(new.astype(np.float64), np.ones(len(sample), dtype=np.bool_)),
        "not_genuine": share(observed, closed),
        "predicted": share(predicted, closed, observed - predicted),
        "labelled_in_time": share(in_time[old].astype(np.float64), old),
        "calls_a_week": _weekly(sample, clusters),
    }


def _weekly(sample: Sample, clusters: Clusters) -> Share | None:
    ago = (sample.now_us - 1 - sample.received_us) // (7 * DAY_US)
    weeks = round(int(sample.now_us - sample.received_us.min(initial=sample.now_us)) / (7 * DAY_US) - 0.4)
    if not weeks:
        return None
    counts = np.bincount(ago, clusters.weights, minlength=weeks)[:weeks]
    return float(counts.mean()), float(counts.var(ddof=1)) if weeks > 1 else 0.0, float(weeks)


def bin_codes(values: Floats, edges: Floats, *, words: bool) -> Integers:
    """Return the bin of each value: up to and including the first edge, and so on; the last is for what is not known.

    Of words, each edge is a code and has a bin of its own; the bin behind them is for every other word.

    Examples
    --------
    >>> bin_codes(np.array([0.0, 0.5, 9.0, np.nan]), np.array([0.0, 1.0]), words=False).tolist()
    [0, 1, 2, 3]
    >>> bin_codes(np.array([0.0, 7.0, np.nan]), np.array([0.0, 3.0]), words=True).tolist()
    [0, 2, 3]
    """
    codes = np.searchsorted(edges, values, side="left")
    if words:
        there = edges[np.minimum(codes, len(edges) - 1)] == values if len(edges) else np.zeros(len(values), np.bool_)
        codes = np.where(there, codes, len(edges))
    return np.where(np.isnan(values), len(edges) + 1, codes).astype(np.int64)


def is_categorical(name: str) -> bool:
    """Return whether the values of a feature are codes of words."""
    return name in NAMES and bool(FEATURES[NAMES.index(name)].words)


def _binned(name: str, values: Floats, clusters: Clusters) -> dict[str, Any]:
    known = values[~np.isnan(values)]
    if is_categorical(name):
        words, counts = np.unique(known, return_counts=True)
        edges = words[counts >= RARE * max(1, len(values))]
    else:
        edges = np.unique(np.quantile(known, np.arange(1, BINS) / BINS)) if len(known) else np.zeros(0)
    edges = np.asarray([float(f"{edge:.6g}") for edge in edges])  # as they are written
    codes = bin_codes(values, edges, words=is_categorical(name))
    shares = clusters.shares(codes, len(edges) + 2)
    variances = clusters.shares_variance(codes, shares)
    return {"edges": edges.tolist(), "shares": _six_digits(shares), "variances": _six_digits(variances)}


def _six_digits(numbers: Floats) -> list[float]:
    return [float(f"{number:.6g}") for number in numbers]
