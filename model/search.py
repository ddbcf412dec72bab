"""A small search over the boosting's settings, forward in time, that says whether it found anything better.

Only the fit period is looked at, so what calibrates and certifies stays unseen. Its earlier three quarters are for the
search: each candidate is fitted on what was known at a cut and judged on the calls that came next, at three cuts. The
last quarter judges the best one against the settings there were: the best of many is always better where it was chosen.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from model.errors import TrainingError
from model.features import WIDTHS
from model.intervals import Interval, between, totals, units
from model.params import Boosting, Params
from model.training import Past, boosting_of, without_the_missing

Numbers = NDArray[np.float64]
Rows = NDArray[np.bool_]
#: The stage that orders the queue.
STAGE = "opening"
#: Shares of the rarer kind of call: the cuts of the search, and where the judging begins.
CUTS = (0.375, 0.5, 0.625)
JUDGED_FROM = 0.75
RESAMPLES = 1_000
#: A candidate is fitted on so many calls at most, the latest.
MOST_CALLS = 60_000
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Found:
    """What a search found.

    Parameters
    ----------
    boosting : Boosting
        The best settings of those tried, and maybe those there were.
    trials : int
    searched : tuple of float
        Mean loss at the cuts of the search: with the settings there were, with the best ones.
    judged : tuple of float
        The same on the last quarter.
    difference : Interval
        Of the latter, best less before, by call; by bootstrap over callers. Below 0 the best are better.
    calls, genuine : int
        How many judged it.
    """

    boosting: Boosting
    trials: int
    searched: tuple[float, float]
    judged: tuple[float, float]
    difference: Interval
    calls: int
    genuine: int

    @property
    def better(self) -> bool:
        """Whether the whole interval is on the better side."""
        return self.difference.high < 0.0

    def sentence(self) -> str:
        """Say it in words."""
        low, high = self.difference.low, self.difference.high
        span = f"{self.difference.value:+.5f} ({low:+.5f} to {high:+.5f})"
        on = f"on the {self.calls:,} later calls ({self.genuine:,} genuine), log-loss {span}"
        if self.better:
            return f"Better than the settings there were {on}."
        return f"Not shown to be better than the settings there were {on}: keep those."


class Ground:
    """The calls of the fit period, in order of time, on which candidates are tried.

    Parameters
    ----------
    past : Past

    Raises
    ------
    TrainingError
        When a part of it lacks one kind of call.
    """

    def __init__(self, past: Past) -> None:
        rows = past.fit
        self._table = without_the_missing(past.table.matrix(rows)[:, : WIDTHS[STAGE]])
        self._label, self.callers = past.events.outcome[rows], past.events.caller[rows]
        self._received_us, self._known_us = past.events.received_us[rows], past.events.outcome_us[rows]
        self._weights = past.weights[rows]
        rarer = self._received_us[self._label == np.argmin(np.bincount(self._label, minlength=2))]
        moments = [int(rarer[int(share * len(rarer))]) for share in (*CUTS, JUDGED_FROM)]
        self._search = [self._between(cut, until) for cut, until in pairwise(moments)]
        self._judge = self._between(moments[-1], int(self._received_us[-1]) + 1)
        for before, after in (*self._search, self._judge):
            for part in (before, after):
                if np.bincount(self._label[part], minlength=2).min() < 2:
                    raise TrainingError(
                        f"the fit period has {np.bincount(self._label, minlength=2).min()} calls of the rarer kind, "
                        "too few to search with"
                    )

    def loss(self, params: Params) -> float:
        """Give the mean loss of a candidate over the cuts of the search."""
        return float(np.mean([self._losses(params, before, after).mean() for before, after in self._search]))

    def judged(self, params: Params) -> Numbers:
        """Give the loss of each call of the last quarter."""
        return self._losses(params, *self._judge)

    @property
    def judges(self) -> Rows:
        """The calls of the last quarter, bool (n,)."""
        return self._judge[1]

    @property
    def genuine(self) -> Rows:
        """The genuine calls, bool (n,)."""
        return np.asarray(self._label == 0, dtype=np.bool_)

    def _between(self, cut: int, until: int) -> tuple[Rows, Rows]:
        before = np.flatnonzero((self._received_us < cut) & (self._known_us < cut))[-MOST_CALLS:]
        known = np.zeros(len(self._label), dtype=np.bool_)
        known[before] = True
        return known, (self._received_us >= cut) & (self._received_us < until)

    def _losses(self, params: Params, before: Rows, after: Rows) -> Numbers:
        with threadpool_limits(1, user_api="openmp"):
            fitted = boosting_of(STAGE, params).fit(self._table[before], self._label[before], self._weights[before])
            likelihood = np.clip(fitted.predict_proba(self._table[after])[:, 1], 1e-7, 1.0 - 1e-7)
        missed = np.where(self._label[after] == 1, likelihood, 1.0 - likelihood)
        return np.asarray(-np.log(missed), dtype=np.float64)


def search(past: Past, params: Params, trials: int, progress: Callable[[int], None] = lambda _: None) -> Found:
    """Search with Optuna's TPE (Akiba et al. 2019, Optuna, KDD).

    Parameters
    ----------
    past : Past
    params : Params
        The settings there are; its seed is that of the search.
    trials : int
        How many candidates, the settings there are among them; 2 or more.
    progress : callable
        Is told 1 after each.

    Raises
    ------
    TrainingError
        When the fit period has too few calls of a kind.
    """
    import optuna

    ground = Ground(past)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=params.seed))
    before = ground.loss(params)
    progress(1)

    def objective(trial: optuna.Trial) -> float:
        loss = ground.loss(_with(params, {name: suggest(trial, name) for name, suggest in SPACE.items()}))
        progress(1)
        return loss

    study.optimize(objective, n_trials=trials - 1)
    found = study.best_value < before
    best = _with(params, study.best_params) if found else params
    mine, others = ground.judged(best), ground.judged(params)
    unit, count = units(ground.callers[ground.judges])
    sums = totals(np.column_stack([mine - others, np.ones(len(mine))]), unit, count, RESAMPLES, params.seed)
    return Found(
        boosting=best.boosting,
        trials=trials,
        searched=(before, study.best_value if found else before),
        judged=(float(others.mean()), float(mine.mean())),
        difference=between(float((mine - others).mean()), sums[:, 0] / sums[:, 1], _CONFIDENCE),
        calls=len(mine),
        genuine=int(ground.genuine[ground.judges].sum()),
    )


#: What matters, and where it is looked for.
SPACE: Mapping[str, Callable[[Any, str], Any]] = {
    "learning_rate": lambda trial, name: trial.suggest_float(name, 0.01, 0.3, log=True),
    "max_iter": lambda trial, name: trial.suggest_int(name, 50, 400, step=10),
    "max_leaf_nodes": lambda trial, name: trial.suggest_int(name, 2, 32, log=True),
    "min_samples_leaf": lambda trial, name: trial.suggest_int(name, 5, 200, log=True),
    "l2_regularization": lambda trial, name: trial.suggest_float(name, 0.01, 100.0, log=True),
}


def _with(params: Params, chosen: Mapping[str, Any]) -> Params:
    tidy = {name: float(f"{value:.3g}") if isinstance(value, float) else value for name, value in chosen.items()}
    return params.model_copy(update={"boosting": params.boosting.model_copy(update=tidy)})
