"""From a call log to a release: prepare, train, set the policy, certify, measure."""

import io
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from importlib.metadata import version
from typing import Any

import joblib
import numpy as np
import pandas as pd
from sklearn.calibration import CalibratedClassifierCV

from model.calls.call_events import Events
from model.certification.certificate import Certificate, certificate_hash
from model.certification.proof import StageCalls, certify
from model.errors import EvaluationError, TrainingError
from model.evaluation.evaluation import Effort, count_splits, evaluate
from model.evaluation.rehearsal import rehearse
from model.evaluation.window import EvaluationWindow, HeldOut
from model.history.caller_history import VERSION
from model.params import Params
from model.policy.policy import Policy
from model.release.drift_samples import training_profile
from model.release.folder import PROFILE, Release, to_bytes
from model.report.render import model_card, report
from model.scorecard.features import ACTING_STAGES, QUEUE_STAGE
from model.scorecard.scorecard import Scorecard
from model.training.centre_policy import set_policy
from model.training.dataset import Dataset, prepare_dataset
from model.training.label_bias import label_bias
from model.training.rolling_origin import Trained, train

PACKAGES = ("numpy", "numba", "pandas", "scikit-learn")


@dataclass(frozen=True)
class ReleaseContent:
    """All that a training decided, before it is written.

    Parameters
    ----------
    params : Params
        As given.
    trained : Trained
    metrics : mapping
        Measured out of time, as docs/metrics.md says.
    profile : mapping
        What calls looked like, as `model.certification.profile` has it.
    """

    params: Params
    trained: Trained
    policy: Policy
    certificate: Certificate
    metrics: Mapping[str, Any]
    profile: Mapping[str, Any]

    @property
    def past(self) -> Dataset:
        """The log that it was made of."""
        return self.trained.past

    @property
    def estimators(self) -> Mapping[str, CalibratedClassifierCV]:
        """The estimators that are served, by stage."""
        return self.trained.estimators

    @property
    def scorecards(self) -> Mapping[str, Scorecard]:
        """The scorecards that are served, by stage."""
        return self.trained.scorecards

    def files(self) -> dict[str, bytes]:
        """Return the files of the release folder, but for the manifest."""
        estimators = io.BytesIO()
        joblib.dump(dict(self.estimators), estimators)
        facts = self.facts(self.certificate.issued_at)
        page = report(self.metrics, self.certificate, self.scorecards, self.policy, facts)
        card = model_card(self.metrics, self.certificate, self.policy, facts)
        return {
            "scorecard.json": to_bytes(_cards(self.scorecards)),
            "policy.json": to_bytes(self.policy.to_json()),
            "certificate.json": self.certificate.to_json().encode(),
            "metrics.json": to_bytes(self.metrics),
            PROFILE: to_bytes(self.profile),
            "report.html": page.encode(),
            "model_card.md": card.encode(),
            "estimator.joblib": estimators.getvalue(),
        }

    def facts(self, created_at: datetime) -> dict[str, Any]:
        """Return what the manifest says of the release."""
        until = pd.Timestamp(self.past.until_us, unit="us", tz="UTC")
        return {
            "release": f"{until:%Y-%m-%d}-{self.certificate.fingerprint[:8]}",
            "created_at": created_at.isoformat(),
            "until": until.isoformat(),
            "time_zone": self.params.time_zone,
            "region": self.params.region,
            "centre": self.past.centre,
            "labels": self.params.labels,
            "history_version": VERSION,
            "data": {
                "calls": len(self.past.events),
                "genuine_calls": int((self.past.events.outcome[self.past.mature & self.past.mine] == 0).sum()),
                "fingerprint": data_hash(self.past.events),
                "first_call": pd.Timestamp(self.past.events.received_us[0], unit="us", tz="UTC").isoformat(),
                "last_call": pd.Timestamp(self.past.events.received_us[-1], unit="us", tz="UTC").isoformat(),
                "maturity_s": self.past.maturity_s,
                "too_young": self.past.too_young,
            },
            "params": self.params.model_dump(mode="json"),
            "python": platform.python_version(),
            "packages": {name: version(name) for name in PACKAGES},
        }


def make_release(
    calls: pd.DataFrame,
    params: Params,
    now: datetime,
    until: pd.Timestamp | None = None,
    corrections: pd.DataFrame | None = None,
    effort: Effort | None = None,
    centre: str | None = None,
) -> ReleaseContent:
    """Make a release from a call log; a TrainingError when no model can be made of it.

    Parameters
    ----------
    calls : pandas.DataFrame
        As `read_calls` gives it.
    now : datetime
        Aware; the certificate counts its days from here.
    until : Timestamp, optional
        Train on what was known at this moment.
    effort : Effort, optional
        How thorough the evaluation is.
    centre : str, optional
        The centre that the release is for: scorecards learn from all calls of the log, all else is of its calls alone.
    """
    effort = effort or Effort()
    past = prepare_dataset(calls, params, until, corrections, centre=centre, most_blocks=effort.origins)
    trained = train(past, params)
    operators, draws = effort.operators, effort.policy_draws
    policy = set_policy(past, *trained.held_out(), params, operators=operators, draws=draws)
    window = EvaluationWindow(
        past.events,
        past.table,
        past.mature,
        rehearse(trained, policy, effort.origins, operators=operators, draws=draws),
    )
    documents = (to_bytes(_cards(trained.scorecards)), to_bytes(policy.to_json()), params.model_dump_json().encode())
    proven_on = past.certify if past.certify.any() else past.calibrate
    certificate = certify(
        {stage: _certified(past, window, stage) for stage in ACTING_STAGES},
        alpha=params.certificate.alpha,
        delta=params.certificate.delta,
        key=b"saring-one-call-per-caller",
        issued_at=now,
        fingerprint=certificate_hash(*(document.decode() for document in documents)),
        base_rate=float((past.events.outcome[proven_on] == 1).mean()),
        caps=policy.caps,
    )
    effect = label_bias(past.calls, past.events, window.rows, window.scores[QUEUE_STAGE].likelihood)
    about = count_splits(past, window) | {"evaluated_on": "out of time", "choice": trained.choice, "own_effect": effect}
    metrics = evaluate(window, policy, certificate, about=about, effort=effort)
    return ReleaseContent(params, trained, policy, certificate, metrics, training_profile(trained))


def data_hash(events: Events) -> str:
    """Return the sha-256 of what training saw of a log: arrivals, callers, ends and labels."""
    digest = sha256()
    for part in (events.received_us, events.caller, events.ended_us, events.label_row, events.label_us, events.outcome):
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def _certified(past: Dataset, window: EvaluationWindow, stage: str) -> StageCalls:
    closed, scores = past.certify[window.rows], window.scores[stage]
    factor = scores.factor[closed]
    return StageCalls(
        # A call that is not deferred is not flagged, whatever its score.
        score=np.where(factor > 0.0, scores.guarded[closed], 0.0),
        defer_factor=factor,
        held=scores.held[closed],
        genuine=(window.genuine & ~window.repeats)[closed],
        handling_s=window.handling_s[closed],
        callers=window.callers[closed],
        units=window.units[closed],
        call_ids=past.calls["call_id"][past.certify].tolist(),
    )


def _cards(scorecards: Mapping[str, Scorecard]) -> dict[str, Any]:
    return {"format": 1, "stages": {stage: card.to_json() for stage, card in scorecards.items()}}


def evaluate_release(
    release: Release,
    calls: pd.DataFrame,
    corrections: pd.DataFrame | None = None,
    *,
    since: pd.Timestamp | None = None,
    effort: Effort | None = None,
) -> dict[str, Any]:
    """Measure a release on calls later than everything that it was made from.

    Parameters
    ----------
    calls : pandas.DataFrame
        As `read_calls` gives it, the earlier calls included: they are the callers' histories, and the baselines are
        fitted on what of them was known when the release was made.
    since : Timestamp, optional
        Evaluate calls received at or after this moment; by default at or after the release's `until`.

    Raises
    ------
    EvaluationError
        When `since` lies before the release's `until`, or no closed call, or no genuine one, came after it.
    """
    until = pd.Timestamp(release.manifest["until"])
    since = until if since is None else since
    if since < until:
        raise EvaluationError(f"calls from {since} on were part of the release's training, expected {until} or later")
    params, centre = Params.model_validate(release.manifest["params"]), release.manifest.get("centre")
    try:
        past = prepare_dataset(calls, params, None, corrections, centre=centre)
    except TrainingError as error:
        raise EvaluationError(str(error)) from error
    maturity_s = float(release.manifest["data"]["maturity_s"])
    made_of = _made_of(calls, params, until, corrections, centre)
    window = EvaluationWindow.of_later_calls(past, since, maturity_s, release.scorecards, release.policy, made_of)
    if not window.genuine.any():
        raise EvaluationError(
            f"{int(window.closed.sum())} closed calls from {since} on, none of them genuine, expected at least one; "
            "the release was made from all calls before (`saring train --until` leaves later ones)"
        )
    splits = {"calls": None, "genuine_calls": None, "proof": None, "choice": None}
    effect = label_bias(past.calls, past.events, window.rows, window.scores[QUEUE_STAGE].likelihood)
    return evaluate(
        window,
        release.policy,
        release.certificate,
        about=count_splits(past) | splits | {"evaluated_on": "later calls", "own_effect": effect},
        effort=effort,
    )


def _made_of(
    calls: pd.DataFrame, params: Params, until: pd.Timestamp, corrections: pd.DataFrame | None, centre: str | None
) -> HeldOut | None:
    """Return what a release was made of, by training anew as it was; None when the log does not go back so far."""
    try:
        earlier = prepare_dataset(calls, params, until, corrections, centre=centre)
        trained = train(earlier, params, (QUEUE_STAGE,))
    except TrainingError:
        return None
    rows, scores = trained.held_out()
    return HeldOut(earlier, trained.params, earlier.origins[-1], rows, scores[QUEUE_STAGE])
