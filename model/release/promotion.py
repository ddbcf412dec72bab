"""The gate: whether a challenger may take over from the champion, measured on the same later calls, and why not.

Nothing asks it to be better: with a hundred genuine callers no interval would exclude 0. It may not be worse by more
than a margin, for genuine callers as a whole and for each slice of them, and its own certificate must be valid.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np
import pandas as pd

from model.arrays import Booleans
from model.certification.bootstrap import Interval, bootstrap_sums, bootstrap_weights, caller_index, percentile_interval
from model.errors import PromotionError, TrainingError
from model.evaluation import slices
from model.evaluation.evaluation import Effort
from model.evaluation.ranking import auc_and_precision, rank_calls
from model.evaluation.window import EvaluationWindow
from model.language.catalogue import catalogue
from model.params import Params
from model.queueing.scenarios import Condition
from model.release.folder import Release
from model.release.promotion_margins import Margins, Measure
from model.scorecard.features import QUEUE_STAGE
from model.training.dataset import prepare_dataset

#: Nobody hangs up, and a centre that is nearly always busy: where the order of the queue matters.
CONDITION = Condition(0.95, hang_ups=False)


class Difference(NamedTuple):
    """How much worse the challenger is for some genuine callers; below 0 it is better.

    Parameters
    ----------
    slice_ : str
        "all", or a slice of `model.evaluation.slices`.
    measure : {"auc", "wait"}
        auc: the chance that a call closed as not genuine scores above one of theirs. wait: their mean wait in busy
        hours, as the release would act, as a share of that under first come, first served.
    worse : Interval
        By bootstrap over callers, the same resamples for both releases.
    """

    slice_: str
    measure: Measure
    callers: int
    champion: float
    challenger: float
    worse: Interval


@dataclass(frozen=True)
class Comparison:
    """The gate's outcome.

    Parameters
    ----------
    since, until : datetime or None
        The first and the last of the calls that were compared on; None when there was nothing to compare.
    reasons : tuple of str
        Why the challenger may not take over, in words; empty when it may.
    notes : tuple of str
        What else a person should know.
    """

    champion: str | None
    challenger: str
    since: datetime | None = None
    until: datetime | None = None
    calls: int = 0
    genuine_callers: int = 0
    differences: tuple[Difference, ...] = ()
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the challenger may take over."""
        return not self.reasons

    def sentence(self) -> str:
        """Return the outcome, and what it rests on."""
        if self.reasons:
            return f"{self.challenger} may not take over: " + "; ".join(self.reasons)
        if self.since is None:
            return "; ".join(self.notes) or f"{self.challenger} may take over"
        first = self.differences[0]
        return (
            f"{self.challenger} is not worse than {self.champion} by more than the margins on {self.calls:,} later "
            f"calls with {self.genuine_callers:,} genuine callers: AUC {first.challenger:.3f} instead of "
            f"{first.champion:.3f} (difference {-first.worse.value:+.3f}, {-first.worse.high:+.3f} to "
            f"{-first.worse.low:+.3f})"
        )


def compare(
    champion: Release | None,
    challenger: Release,
    calls: pd.DataFrame | None,
    corrections: pd.DataFrame | None = None,
    *,
    margins: Margins,
    now: datetime,
    effort: Effort | None = None,
) -> Comparison:
    """Compare a challenger with the champion (None when nothing serves yet) on the same later calls.

    Parameters
    ----------
    calls : pandas.DataFrame, optional
        As `read_calls` gives it, the earlier calls included: they are the callers' histories. Without it only an
        expired champion, or none, can be followed.
    now : datetime
        Aware.
    effort : Effort, optional
        `operators`, `resamples` and `most_judged` count.

    Raises
    ------
    PromotionError
        When there is nothing to compare on.
    """
    state = challenger.certificate.state(now, fingerprint=challenger.fingerprint)
    name = None if champion is None else champion.name
    if state.word != "valid":
        reason = f"its certificate is {state.word} ({state.reason.replace('_', ' ')}; it ends on {_day(challenger)})"
        return Comparison(name, challenger.name, reasons=(reason,))
    if champion is None:
        return Comparison(None, challenger.name, notes=("there is no champion yet",))
    if champion.labels != challenger.labels:
        reason = "it counts dispositions in another way than the champion, so the service's histories would not fit it"
        return Comparison(name, challenger.name, reasons=(reason,))
    if champion.certificate.state(now, fingerprint=champion.fingerprint).word == "expired":
        note = f"the certificate of {champion.name} ended on {_day(champion)}: it yields to any certified release"
        return Comparison(name, challenger.name, notes=(note,))
    if calls is None:
        raise PromotionError("--calls: a call log is needed to compare on, later than what both were trained on")
    windows = _windows((champion, challenger), calls, corrections)
    mine = windows[0]
    differences = _differences(windows, (champion, challenger), effort or Effort())
    judged = [one for one in differences if one.slice_ == "all" or one.callers >= margins.least_callers]
    few = sorted({f"{_slice(one.slice_)} ({one.callers})" for one in differences if one not in judged})
    reasons = [_reason(one, margins) for one in judged if one.worse.value > margins.of(one.slice_, one.measure)]
    ends = [pd.Timestamp(int(at), unit="us", tz="UTC").to_pydatetime() for at in mine.received_us[[0, -1]]]
    return Comparison(
        champion.name,
        challenger.name,
        since=ends[0],
        until=ends[1],
        calls=int(mine.closed.sum()),
        genuine_callers=caller_index(mine.callers[mine.genuine])[1],
        differences=tuple(differences),
        reasons=tuple(reasons),
        notes=tuple([f"too few callers to judge: {', '.join(few)}"] if few else []),
    )


def _windows(
    releases: tuple[Release, Release], calls: pd.DataFrame, corrections: pd.DataFrame | None
) -> list[EvaluationWindow]:
    """Return the calls that are later than what either was trained on, as each of the two sees them."""
    since = max(pd.Timestamp(release.manifest["until"]) for release in releases)
    maturity_s = max(float(release.manifest["data"]["maturity_s"]) for release in releases)
    windows = []
    for release in releases:
        try:
            params, centre = Params.model_validate(release.manifest["params"]), release.manifest.get("centre")
            past = prepare_dataset(calls, params, None, corrections, centre=centre)
        except TrainingError as error:
            raise PromotionError(f"--calls: {error}") from error
        windows.append(EvaluationWindow.of_later_calls(past, since, maturity_s, release.scorecards, release.policy))
    mine = windows[0]
    genuine, others = int(mine.genuine.sum()), int((mine.closed & ~mine.genuine).sum())
    if not genuine or not others:
        raise PromotionError(
            f"--calls: {genuine} calls closed as genuine and {others} as not genuine since {since:%Y-%m-%d %H:%M}, "
            "up to which both were trained; expected some of each: wait for later calls, or train with --until"
        )
    return windows


def _differences(
    windows: list[EvaluationWindow], releases: tuple[Release, Release], effort: Effort
) -> list[Difference]:
    mine = windows[0]
    inside = {name: mask for name, mask in mine.genuine_slices().items() if mask.any()}
    unit, _ = caller_index(mine.units[mine.genuine])
    callers = {name: len(np.unique(unit[mask])) for name, mask in inside.items()}
    found = {(name, "auc"): row for name, row in _ranking(windows, inside, effort).items()}
    found |= {(name, "wait"): row for name, row in _waits(windows, releases, inside, effort).items()}
    return [
        Difference(name, measure, callers[name], *found[name, measure])
        for name in inside
        for measure in ("auc", "wait")
        if (name, measure) in found
    ]


def _ranking(
    windows: list[EvaluationWindow], inside: Mapping[str, Booleans], effort: Effort
) -> dict[str, tuple[float, float, Interval]]:
    closed = windows[0].judged(effort.most_judged)
    genuine, (unit, count) = windows[0].genuine[closed], caller_index(windows[0].units[closed])
    place = np.cumsum(windows[0].genuine) - 1
    scores = [window.scores[QUEUE_STAGE].guarded[closed] for window in windows]
    drawn = [weights[unit] for weights in bootstrap_weights(count, effort.resamples_for(len(closed)), seed=0)]
    found = {}
    for name, mask in inside.items():
        kept = ~genuine | mask[place[closed]]
        if not genuine[kept].any():
            continue  # none of it was drawn
        sorted_ = [rank_calls(genuine[kept], score[kept]) for score in scores]
        champion, challenger = (auc_and_precision(one)[0] for one in sorted_)
        again = [[auc_and_precision(one, weights[kept])[0] for one in sorted_] for weights in drawn]
        found[name] = (
            champion,
            challenger,
            percentile_interval(champion - challenger, [was - now for was, now in again]),
        )
    return found


def _waits(
    windows: list[EvaluationWindow], releases: tuple[Release, Release], inside: Mapping[str, Booleans], effort: Effort
) -> dict[str, tuple[float, float, Interval]]:
    lived = []
    for window, release in zip(windows, releases, strict=True):
        # As it would act: a release that has not proven that genuine callers gain leaves the queue as it is.
        scores, proof = window.scores[QUEUE_STAGE], release.certificate.stage(QUEUE_STAGE).deferral
        factor = scores.factor * proof.allows_rows(scores.held)
        queued = window.queued_calls({"rule": factor})
        lived.append(slices.replay_outcomes(queued, CONDITION, release.policy.deferral, effort.operators, 1))
    unit, count = caller_index(windows[0].units[windows[0].genuine])
    columns = np.column_stack([lived[0].first_come_s, *(one.rule_s for one in lived)])
    resamples = effort.resamples_for(len(unit))
    found = {}
    for name, mask in inside.items():
        first_s, champion_s, challenger_s = columns[mask].sum(axis=0)
        if first_s <= 0.0:
            continue  # none of them waits at all
        drawn = bootstrap_sums(columns * mask[:, None], unit, count, resamples, seed=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            worse = percentile_interval(
                (challenger_s - champion_s) / first_s, (drawn[:, 2] - drawn[:, 1]) / drawn[:, 0]
            )
        found[name] = (float(champion_s / first_s), float(challenger_s / first_s), worse)
    return found


def _reason(one: Difference, margins: Margins) -> str:
    who = _slice(one.slice_) if one.slice_ == "all" else f"genuine {_slice(one.slice_)}"
    margin = margins.of(one.slice_, one.measure)
    how = f"{one.worse.value:.3f} worse ({one.worse.low:.3f} to {one.worse.high:.3f}), the margin is {margin:g}"
    if one.measure == "auc":
        return (
            f"{who} ({one.callers} callers) would be told less well from others: of 100 calls closed as not genuine "
            f"{100 * one.challenger:.1f} score above one of theirs, with the champion {100 * one.champion:.1f}; {how}"
        )
    return (
        f"{who} ({one.callers} callers) would wait longer in busy hours: {one.challenger:.2f} times as long as first "
        f"come, first served, with the champion {one.champion:.2f} times; {how}"
    )


def _slice(name: str) -> str:
    return catalogue("en")(f"slice.{name}")


def _day(release: Release) -> str:
    return f"{release.certificate.expires_at:%Y-%m-%d}"
