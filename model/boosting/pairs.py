"""Pairs of features that are worth a table: found by what the boosting leaves over, kept where later calls gain.

As an explainable boosting machine does: the features alone first, then tables of a few pairs on the residuals.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.pipeline import Pipeline

from model.arrays import Floats, Integers
from model.boosting.boosting import FREE_ROWS, Platt, fit_platt
from model.boosting.turns import EVIDENCE
from model.certification.bootstrap import caller_index
from model.scorecard.features import FEATURES, NAMES
from model.scorecard.pairs import Pair

#: Each feature of a pair has so many steps that each hold as many genuine calls, and one where it is not known.
PAIR_STEPS = 6
#: As if each cell of a pair held so much more evidence, in the boosting's own measure, that it changes nothing.
PAIR_L2 = 20.0
#: At most so many pairs of a stage are kept, of so many candidates.
MOST_PAIRS, CANDIDATES = 2, 5
#: By so many standard errors a pair has to lower the log loss of later calls.
SURELY = 3.0


class Paired(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A boosting and the pairs that were fitted on what it leaves over."""

    def __init__(self, boosting: Pipeline, pairs: Sequence[Pair] = ()) -> None:
        self.boosting, self.pairs = boosting, pairs

    def fit(self, rows: Floats, label: NDArray[np.int8]) -> "Paired":
        """Return itself: its parts are fitted."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    @property
    def classes_(self) -> NDArray[np.int8]:
        """0 and 1."""
        classes: NDArray[np.int8] = self.boosting.classes_
        return classes

    @property
    def n_features_in_(self) -> int:
        """How long a row is."""
        return int(self.boosting.n_features_in_)

    def decision_function(self, rows: Floats) -> Floats:
        """Return the log-odds of each row."""
        return sum((pair.terms(rows) for pair in self.pairs), start=self.boosting.decision_function(rows))

    def predict(self, rows: Floats) -> NDArray[np.bool_]:
        """Return whether each row is more likely not genuine."""
        return self.decision_function(rows) > 0.0


class Residuals(NamedTuple):
    """Calls that a boosting was fitted on, and what it says of them: rows (n, d), and labels, weights and log-odds."""

    rows: Floats
    label: NDArray[np.int8]
    weights: Floats
    said: Floats

    def plus(self, pair: Pair) -> "Residuals":
        """Return the same with a pair's terms added to what is said."""
        return self._replace(said=self.said + pair.terms(self.rows))


def residuals_of(fitted: Paired, rows: Floats, label: NDArray[np.int8], weights: Floats | None, seed: int) -> Residuals:
    """Return what a boosting leaves over of the calls that it was fitted on, of at most `FREE_ROWS` drawn at random."""
    some = np.arange(len(label))
    if len(some) > FREE_ROWS:
        some = np.sort(np.random.default_rng(seed).choice(some, FREE_ROWS, replace=False))
    mine = np.ones(len(some)) if weights is None else weights[some]
    return Residuals(rows[some], label[some], mine, fitted.decision_function(rows[some]))


def strongest_pairs(left: Residuals, most: int) -> list[tuple[str, str]]:
    """Return the pairs of features on which residuals lie most, the strongest first.

    Only features that may go either way, so that a label never moves a pair, and of which the order means something;
    not those of time, whose pairs follow the events of the past.
    """
    free = [
        place
        for place, feature in enumerate(FEATURES[: left.rows.shape[1]])
        if feature.direction == 0 and not feature.words and feature.group != "time"
    ]
    strength = {}
    for one, other in combinations(free, 2):
        pair = _no_pair(left, (NAMES[one], NAMES[other]))
        gradient, hessian = _by_cell(pair, pair.cells(left.rows), left)
        first, second = np.zeros(gradient.shape[0]), np.zeros(gradient.shape[1])
        for _ in range(4):  # what each feature adds alone is not a pair's
            first = (gradient - hessian * second).sum(axis=1) / (hessian.sum(axis=1) + 1e-9)
            second = (gradient - hessian * first[:, None]).sum(axis=0) / (hessian.sum(axis=0) + 1e-9)
        over = gradient - hessian * (first[:, None] + second)
        strength[pair.features] = float((over**2 / (hessian + PAIR_L2)).sum())
    return sorted(strength, key=strength.__getitem__, reverse=True)[:most]


def fit_pair(left: Residuals, features: tuple[str, str]) -> Pair:
    """Fit the table of two features on residuals; a cell of fewer than `EVIDENCE` genuine calls says nothing."""
    pair = _no_pair(left, features)
    cells = pair.cells(left.rows)
    genuine = np.zeros(pair.contributions.shape)
    np.add.at(genuine, cells, left.label == 0)
    table = pair.contributions
    for _ in range(6):
        gradient, hessian = _by_cell(pair, cells, left._replace(said=left.said + table[cells]))
        table = table + np.clip((gradient - PAIR_L2 * table) / (hessian + PAIR_L2), -1.0, 1.0)
    return Pair(features, pair.edges, np.where(genuine >= EVIDENCE, table, 0.0), pair.shares)


def _no_pair(left: Residuals, features: tuple[str, str]) -> Pair:
    """Return a table of zeros whose steps hold as many genuine calls each."""
    genuine = left.rows[left.label == 0]
    edges = []
    for name in features:
        known = genuine[:, NAMES.index(name)]
        known = known[~np.isnan(known)]
        edges.append(np.unique(np.quantile(known, np.arange(1, PAIR_STEPS) / PAIR_STEPS)) if len(known) else known)
    nothing = np.zeros((len(edges[0]) + 2, len(edges[1]) + 2))
    return Pair(features, (edges[0], edges[1]), nothing, nothing)


def _by_cell(pair: Pair, cells: tuple[Integers, Integers], left: Residuals) -> tuple[Floats, Floats]:
    """Sum the gradient and the curvature of the log-likelihood over each cell of a table."""
    gradient, hessian = np.zeros(pair.contributions.shape), np.zeros(pair.contributions.shape)
    likely = expit(left.said)
    np.add.at(gradient, cells, left.weights * (left.label - likely))
    np.add.at(hessian, cells, left.weights * likely * (1.0 - likely))
    return gradient, hessian


def fit_pairs(left: Residuals, names: Sequence[tuple[str, str]]) -> list[Pair]:
    """Fit pairs on residuals, one after the other."""
    pairs: list[Pair] = []
    for features in names:
        pairs.append(fit_pair(left, features))
        left = left.plus(pairs[-1])
    return pairs


class Judged(NamedTuple):
    """A cut in time: what its boosting leaves over, and the calls that came next.

    Parameters
    ----------
    left : Residuals
    ahead : float64 (m, at least d)
        The features of the calls that came next.
    said : float64 (m,)
        The log-odds that they were given.
    label, weights, callers : arrays (m,)
    """

    left: Residuals
    ahead: Floats
    said: Floats
    label: NDArray[np.int8]
    weights: Floats
    callers: Integers


def choose_pairs(cuts: Sequence[Judged]) -> list[tuple[str, str]]:
    """Choose the pairs that surely lower the log loss of what came after the cuts, the best first.

    Surely: by `SURELY` standard errors over callers, both sides calibrated as what was said without the pair.

    Parameters
    ----------
    cuts : sequence of Judged
        In order of time; candidates are those of the last.
    """
    label, weights = (np.concatenate([getattr(one, name) for one in cuts]) for name in ("label", "weights"))
    if len(np.unique(label)) < 2:
        return []
    caller, callers = caller_index(np.concatenate([one.callers for one in cuts]))

    def losses(mine: Sequence[Judged], platt: Platt) -> Floats:
        """Sum the log loss of each caller's calls."""
        said = platt.slope * np.concatenate([one.said for one in mine]) + platt.offset
        lost = np.zeros(callers)
        np.add.at(lost, caller, weights * np.logaddexp(0.0, np.where(label == 1, -said, said)))
        return lost

    def added(features: tuple[str, str]) -> list[Judged]:
        """Add a pair, fitted at each cut, to what is said."""
        pairs = [fit_pair(one.left, features) for one in cuts]
        return [
            one._replace(left=one.left.plus(pair), said=one.said + pair.terms(one.ahead))
            for one, pair in zip(cuts, pairs, strict=True)
        ]

    chosen: list[tuple[str, str]] = []
    while len(chosen) < MOST_PAIRS:
        platt = fit_platt(np.concatenate([one.said for one in cuts]), label, weights)
        now = losses(cuts, platt)
        tried = {features: added(features) for features in strongest_pairs(cuts[-1].left, CANDIDATES)}
        gains = {features: now - losses(mine, platt) for features, mine in tried.items()}
        best = max(gains, key=lambda features: float(gains[features].sum()))
        # A sum's standard error, when each caller is a witness, is the root of the sum of squares.
        if gains[best].sum() <= SURELY * np.sqrt((gains[best] ** 2).sum()):
            break
        chosen.append(best)
        cuts = tried[best]
    return chosen
