"""A call log as it was known at one moment, and what each call of it is used for."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from model.arrays import Booleans, Floats
from model.calls.call_events import NEVER, UNLABELLED, Events, events_of, known_at, microseconds, sort_calls
from model.errors import TrainingError
from model.params import Params
from model.policy.policy import Band
from model.scorecard.feature_table import FeatureTable
from model.training.origins import FEW_BLOCKS, Origin, ProofSize, plan_origins

MATURE = 0.95
#: Models that are not served are fitted on at most so many calls of a label.
MOST_OF_A_LABEL = 100_000
_ACTED_ON = (Band.UNSURE.id, Band.LIKELY_PRANK.id)
_DONE = ("held_out", "shown_band", "defer_s", "release")


@dataclass(frozen=True)
class Dataset:
    """A call log as known at one moment, and what each call of it is used for.

    Parameters
    ----------
    calls : pandas.DataFrame
        In the order of `sort_calls`.
    until_us : int
        The moment at which the log was known.
    maturity_s : float
        The 95th percentile of the time from a call to its first label.
    centre : str, optional
        The centre that the release is for.
    mine : bool (n,)
        Its calls; all, unless one is named.
    mature : bool (n,)
        Labelled calls that are `maturity_s` old.
    origins : tuple of Origin
        The cuts in time, the last one's model being served.
    proof_size : ProofSize
        Whether calls are kept for a certificate.
    weights : float64 (n,)
        How much each call counts where scorecards are fitted and calibrated; above 0 there.
    """

    calls: pd.DataFrame
    events: Events
    table: FeatureTable
    until_us: int
    maturity_s: float
    centre: str | None
    mine: Booleans
    mature: Booleans
    origins: tuple[Origin, ...]
    proof_size: ProofSize
    weights: Floats

    @property
    def fit(self) -> Booleans:
        """The calls that the served scorecards are fitted on, bool (n,)."""
        return self.origins[-1].fit

    @cached_property
    def calibrate(self) -> Booleans:
        """The calls that calibration and policy are fitted on, scored by models that had not seen them; bool (n,)."""
        blocks: Booleans = np.logical_or.reduce([origin.block for origin in self.origins[:-1]])
        return blocks & (self.weights > 0.0)

    @property
    def certify(self) -> Booleans:
        """The calls kept for the certificate, later than all others of these three; none where it proves nothing."""
        return self.origins[-1].block

    @property
    def too_young(self) -> int:
        """How many calls arrived too late before `until_us` for their label to be counted on."""
        return int((self.events.received_us > self.until_us - self.maturity_s * 1e6).sum())


def prepare_dataset(
    calls: pd.DataFrame,
    params: Params,
    until: pd.Timestamp | None = None,
    corrections: pd.DataFrame | None = None,
    *,
    centre: str | None = None,
    most_blocks: int = FEW_BLOCKS,
) -> Dataset:
    """Prepare a call log for training.

    Parameters
    ----------
    calls : pandas.DataFrame
        As `read_calls` gives it.
    until : Timestamp, optional
        What became known at or after it is left out; by default the moment after the last thing known.
    centre : str, optional
        Calibrate, certify and measure on the calls of this centre alone; scorecards are fitted on all.
    most_blocks : int
        As `plan_origins` takes it.

    Raises
    ------
    TrainingError
        When no call is of the centre, or when fewer than three genuine calls, or fewer than three others, are old
        enough for their label.
    """
    calls = sort_calls(calls)
    if until is not None:
        calls = known_at(calls, until).reset_index(drop=True)
        corrections = corrections[corrections["disposed_at"] < until] if corrections is not None else None
    events = events_of(calls, params.labels, params.numbering, corrections)
    mine = _calls_of(calls, centre)
    labelled = events.outcome != UNLABELLED
    until_us = until.value // 1_000 if until is not None else _last_known(calls, events)
    delays = (events.outcome_us - events.received_us)[labelled]
    maturity_s = float(np.quantile(delays, MATURE)) / 1e6 if len(delays) else 0.0
    mature = labelled & (events.received_us <= until_us - maturity_s * 1e6)
    counts = np.bincount(events.outcome[mature & mine], minlength=2)
    if counts.min() < 3:
        raise TrainingError(
            f"disposition: {counts[0]} calls closed as genuine and {counts[1]} as not genuine, "
            "expected at least 3 of each that are old enough for their label"
        )
    weights = training_weights(calls, params.training.random_share)
    learnt = labelled & (weights > 0.0)
    origins, size = plan_origins(events, mine, mature, learnt, until_us, params, most_blocks)
    return Dataset(
        calls=calls,
        events=events,
        table=FeatureTable(calls, events, params.time_zone),
        until_us=until_us,
        maturity_s=maturity_s,
        centre=centre,
        mine=mine,
        mature=mature,
        origins=origins,
        proof_size=size,
        weights=weights,
    )


def subsample(fit: Booleans, outcome: NDArray[np.int8], most: int, seed: int) -> Booleans:
    """Return the calls to fit on, bool (n,): of each kind a random sample of at most `most` of those in `fit`."""
    rng = np.random.default_rng(seed)
    fit = fit.copy()
    for kind in (0, 1):
        rows = np.flatnonzero(fit & (outcome == kind))
        if len(rows) > most:
            fit[rng.permutation(rows)[most:]] = False
    return fit


def split_holdout(calls: pd.DataFrame) -> tuple[Booleans, Booleans]:
    """Return the calls of the random share, and those that were deferred or marked though they could have been in it.

    Parameters
    ----------
    calls : pandas.DataFrame
        With `held_out`, `shown_band`, `defer_s`, `release` and `received_at` of an export; without them, no call
        belongs to either.

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


def training_weights(calls: pd.DataFrame, share: Literal["ignore", "weight", "only"]) -> Floats:
    """Return how much each call counts in training, float64 (n,).

    Parameters
    ----------
    share : {"ignore", "weight", "only"}
        ignore: all count alike. only: what was deferred or marked counts nothing, and the random share stands for it.
        weight: half of that; both together count for as much as there are of them, each for a half.
    """
    weights = np.ones(len(calls))
    held_out, acted_on = split_holdout(calls)
    if share == "ignore" or not held_out.any() or not acted_on.any():
        return weights
    every, kept = held_out.sum() + acted_on.sum(), 0.0 if share == "only" else 0.5
    weights[acted_on] = kept * every / acted_on.sum()
    weights[held_out] = (1.0 - kept) * every / held_out.sum()
    return weights


def _calls_of(calls: pd.DataFrame, centre: str | None) -> Booleans:
    if centre is None:
        return np.ones(len(calls), dtype=np.bool_)
    mine = (calls["centre"] == centre).fillna(False).to_numpy(np.bool_)
    if not mine.any():
        known = ", ".join(sorted(calls["centre"].dropna().unique().tolist())) or "none is named"
        raise TrainingError(f"centre: no call is of {centre!r}, expected one of the log's: {known}")
    return mine


def _last_known(calls: pd.DataFrame, events: Events) -> int:
    times = [events.received_us, events.ended_us, events.label_us, microseconds(calls["answered_at"])]
    return max(int(part[part != NEVER].max(initial=0)) for part in times) + 1
