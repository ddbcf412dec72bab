"""Cuts in time: at each of them a release could have been made, and what came after it shows what it was worth.

A model of a cut learns what was labelled and known before it, and scores the calls that came next: such scores are out
of time. Calibration, policy and likeness are fitted on them; the last cut's model is the one that is served. What comes
after the last cut, if anything, is kept out of everything that is fitted, for the certificate.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from model.arrays import Booleans, Integers
from model.calls.call_events import UNLABELLED, Events
from model.certification.bootstrap import caller_index
from model.certification.bounds import callers_needed, mean_upper, split_delta
from model.certification.units import is_repeat, units_of
from model.scorecard.features import ACTING_STAGES

if TYPE_CHECKING:
    from model.params import Params

#: With fewer genuine calls for it, calibration takes what the models of `FEW_BLOCKS` cuts said, one after the other;
#: with more, those of `PLENTY_BLOCKS`, so that more than the certified calls can be measured out of time.
PLENTY = 200
FEW_BLOCKS, PLENTY_BLOCKS = 4, 2
#: What the mean defer_factor of all work is proven to be at an ordinary centre, at least: as soon as so many genuine
#: callers, all of them at 0, bring their own bound below it, a centre can prove that they gain.
ORDINARY_LOAD = 0.1


@dataclass(frozen=True)
class Origin:
    """A cut in time; arrays of one entry a call of the log.

    Parameters
    ----------
    fit : bool (n,)
        Calls that could be learnt from at the cut.
    outcome : int8 (n,)
        The label of each call as known at the cut, -1 without any.
    rows : bool (n,)
        The calls from the cut up to the next one; none after the last cut when nothing is kept for a certificate.
    block : bool (n,)
        Those of them with a label old enough to be counted on.
    """

    fit: Booleans
    outcome: NDArray[np.int8]
    rows: Booleans
    block: Booleans


@dataclass(frozen=True)
class ProofSize:
    """Whether a certificate is possible, by numbers that were known before any score was.

    Parameters
    ----------
    callers : int
        Genuine callers, an incident counted once, in the last part of the log, that would be kept for the certificate.
    needed : int
        The fewest with which anything can be proven.
    """

    callers: int
    needed: int

    @property
    def enough(self) -> bool:
        """Whether the part is kept out of fitting."""
        return self.callers >= self.needed


def fewest_callers(params: "Params") -> int:
    """Return the fewest genuine callers with which a stage can prove anything: its flag, or that they gain by deferral.

    Examples
    --------
    >>> from model.params import Params
    >>> fewest_callers(Params())
    49
    """
    shares = split_delta(params.certificate.delta, len(ACTING_STAGES))
    flag = callers_needed(params.certificate.alpha, shares.flag)
    gain = bisect_left(range(flag), True, key=lambda n: mean_upper(np.zeros(n), shares.genuine) < ORDINARY_LOAD)
    return min(flag, gain)


def plan_origins(
    events: Events,
    mine: Booleans,
    mature: Booleans,
    learnt: Booleans,
    until_us: int,
    params: "Params",
    most_blocks: int,
) -> tuple[tuple[Origin, ...], ProofSize]:
    """Cut time where the rarer kind of call has its shares, so that each part has some of it.

    Parameters
    ----------
    mine : bool (n,)
        The calls of the centre that the release is for: it is cut, calibrated and measured on these alone.
    mature : bool (n,)
        Labelled calls that are old enough for their label; at least three of `mine` of each kind.
    learnt : bool (n,)
        Labelled calls that count where scorecards are fitted.
    most_blocks : int
        From 1; more do not change what is served where there are plenty of genuine calls.

    Returns
    -------
    origins : tuple of Origin
        At least two, in order of time; the last one's model is served.
    size : ProofSize
    """
    outcome, received = events.outcome, events.received_us
    own = mature & mine
    rarer = received[own & (outcome == np.argmin(np.bincount(outcome[own], minlength=2)))]
    first, last = params.split.fit, params.split.fit + params.split.calibrate
    proof_us = _cut_times(rarer, [first, last])[-1]
    kept = own & (received >= proof_us) & (outcome == 0) & ~is_repeat(events)
    size = ProofSize(caller_index(units_of(events)[kept])[1], fewest_callers(params))
    if size.enough:
        before = int((own & (outcome == 0) & (received >= _cut_times(rarer, [first])[0]) & (received < proof_us)).sum())
        blocks = min(FEW_BLOCKS if before < PLENTY else PLENTY_BLOCKS, most_blocks)
        cuts = _cut_times(rarer, [*np.linspace(first, last, blocks, endpoint=False), last])
    else:
        blocks = min(FEW_BLOCKS, max(2, most_blocks), len(rarer) - 1)
        cuts = [*_cut_times(rarer, np.linspace(first, 1.0, blocks, endpoint=False)), until_us]
    end_us = int(received[own].max()) + 1
    origins = []
    for at_us, next_us in zip(cuts, [*cuts[1:], max(end_us, cuts[-1])], strict=True):
        known = outcome if at_us >= until_us else outcome_before(events, at_us)
        rows = mine & (received >= at_us) & (received < min(next_us, end_us))
        fit = learnt & (known != UNLABELLED) & (received < at_us)
        origins.append(Origin(fit & mature if at_us >= until_us else fit, known, rows, rows & own))
    return tuple(origins), size


def outcome_before(events: Events, at_us: int) -> NDArray[np.int8]:
    """Return the last label of each call that was known before a moment, int8 (n,); -1 without any."""
    known = events.label_us < at_us
    rows = events.label_row[known]
    counts = [
        np.bincount(rows, weights[known], minlength=len(events))
        for weights in (events.label_genuine, events.label_not_genuine)
    ]
    return np.where(counts[0] > 0.5, 0, np.where(counts[1] > 0.5, 1, UNLABELLED)).astype(np.int8)


def _cut_times(times: Integers, shares: Sequence[float] | NDArray[np.float64]) -> list[int]:
    """Return the time at which each share of `times` is past, with at least one before, between and after the cuts."""
    places: list[int] = []
    for place, share in enumerate(shares):
        least = places[-1] + 1 if places else 1
        places.append(min(max(round(share * len(times)), least), len(times) - len(shares) + place))
    return [int(times[place]) for place in places]
