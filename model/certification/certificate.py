"""The certificate: what has been proven about genuine callers, for how long, and in plain words."""

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import numpy as np
from pydantic import AwareDatetime, ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from model.arrays import Booleans, Integers
from model.errors import list_problems
from model.language.catalogue import catalogue
from model.language.texts import Language

LIFE = timedelta(days=180)
# The promise was made for a centre with about this share of calls not closed as genuine.
LARGEST_FALL = 1.0 / 3.0
FORMAT = 1
_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, config=_STRICT)
class FlagProof:
    """At most `alpha` of genuine callers are in likely_prank, except with chance `delta`.

    Parameters
    ----------
    alpha, delta
        In (0, 1); delta is this proof's part of the certificate's.
    genuine_callers
        Genuine callers it rests on, one call each.
    rank, threshold
        Rank (from 1, upwards) among their scores and the score there: flagged iff strictly above. None when nothing
        can be proven: then no call is flagged.
    missing
        Genuine callers still needed before any threshold can be proven; 0 when there is one.
    observed_share
        Share of these genuine callers above the threshold; None without threshold or callers.
    best_alpha
        The tightest share that so many callers could ever certify.
    """

    alpha: float
    delta: float
    genuine_callers: int
    rank: int | None
    threshold: float | None
    missing: int
    observed_share: float | None
    best_alpha: float

    def __post_init__(self) -> None:
        if (self.threshold is None) != (self.rank is None) or (self.threshold is None) != (self.missing > 0):
            raise ValueError("threshold, rank and missing must agree on whether there is a proof")


@dataclass(frozen=True, config=_STRICT)
class GroupProof:
    """Genuine callers of one group are deferred less than the work they queue with, or their calls are not deferred.

    Parameters
    ----------
    group
        The name of the guardrail that holds their calls.
    genuine_callers, genuine_mean, genuine_upper
        As in `DeferralProof`.
    deferred
        Whether calls of the group may be deferred; if not, the mean is what it would have been, None without a call.
    """

    group: str
    genuine_callers: int
    genuine_mean: float | None
    genuine_upper: float
    deferred: bool


@dataclass(frozen=True, config=_STRICT)
class DeferralProof:
    """Genuine callers are deferred less than the work they queue with: on average they gain.

    Parameters
    ----------
    delta_genuine, delta_load
        The chances that any of the upper bounds, and that the lower bound is wrong.
    genuine_callers, genuine_mean, genuine_upper
        Mean defer_factor of genuine callers, one call each, and its upper bound; None and 1 without callers.
    load_callers, load_mean, load_lower
        Mean defer_factor weighted by handling time, by caller, and its lower bound.
    caller_cap_s
        A caller's handling time counts up to here.
    on
        Whether calls may be deferred: genuine_upper < load_lower, and so for each group that is deferred.
    reason
        "proven", "not_proven" or "no_genuine_callers".
    groups
        The guarded groups that had to be proven; none in certificates of before.
    """

    delta_genuine: float
    delta_load: float
    genuine_callers: int
    genuine_mean: float | None
    genuine_upper: float
    load_callers: int
    load_mean: float | None
    load_lower: float
    caller_cap_s: float
    on: bool
    reason: str
    groups: tuple[GroupProof, ...] = ()

    def __post_init__(self) -> None:
        uppers = [self.genuine_upper, *(group.genuine_upper for group in self.groups if group.deferred)]
        if self.on != (max(uppers) < self.load_lower) or self.on != (self.reason == "proven"):
            raise ValueError("on must say whether genuine_upper lies below load_lower, and reason must agree")

    @property
    def walled(self) -> tuple[str, ...]:
        """The guardrails whose calls are not deferred although others are."""
        return tuple(group.group for group in self.groups if self.on and not group.deferred)

    def allows(self, guardrails: Collection[str]) -> bool:
        """Return whether a call that these guardrails hold may be deferred."""
        return self.on and not any(name in guardrails for name in self.walled)

    def allows_rows(self, held: Integers) -> Booleans:
        """Return which calls may be deferred; bit i of `held` is set where guardrail i holds."""
        from model.policy.guardrails import GUARDRAIL_NAMES  # numba comes with it, which a monitor can do without

        walls = sum(1 << GUARDRAIL_NAMES.index(name) for name in self.walled)
        allowed: Booleans = np.equal(held & walls, 0) if self.on else np.zeros(len(held), dtype=np.bool_)
        return allowed


@dataclass(frozen=True, config=_STRICT)
class StageProof:
    """What is proven at one stage that acts on the queue (ring or opening)."""

    stage: str
    flag: FlagProof
    deferral: DeferralProof


class State(NamedTuple):
    """Whether a certificate holds: `word` is valid, expired or void; `reason` is empty when it is valid."""

    word: Literal["valid", "expired", "void"]
    reason: str


@dataclass(frozen=True, config=_STRICT)
class Certificate:
    """What a release may do, and the proof. Without a valid one: no flag, no deferral.

    Parameters
    ----------
    fingerprint
        `certificate_hash` of the scorecard and everything fixed with it (policy, guardrails, mapping, numbering).
    issued_at, expires_at
        It holds from issued_at up to, not including, expires_at.
    base_rate
        Share of closed calls that were not genuine, in the calls that the proof rests on.
    delta
        The chance that any of the stages' proofs fails; their parts add up to it.
    subject
        "model": it certifies this very model. "procedure": it certifies how the model was made.
    stages
        One proof for each stage that acts.
    """

    fingerprint: str
    issued_at: AwareDatetime
    expires_at: AwareDatetime
    base_rate: float
    delta: float
    subject: Literal["model", "procedure"]
    stages: tuple[StageProof, ...]

    def __post_init__(self) -> None:
        parts = sum(s.flag.delta + s.deferral.delta_genuine + s.deferral.delta_load for s in self.stages)
        if parts > self.delta * (1.0 + 1e-9):
            raise ValueError(f"the stages' deltas add up to {parts}, more than delta = {self.delta}")

    def stage(self, name: str) -> StageProof:
        """Return the proof for the stage `name`; KeyError when that stage was not certified."""
        proofs = {proof.stage: proof for proof in self.stages}
        if name not in proofs:
            raise KeyError(f"stage {name!r} is not certified; certified: {list(proofs)}")
        return proofs[name]

    def state(
        self,
        now: datetime,
        *,
        fingerprint: str,
        base_rate: float | None = None,
        drifted: bool = False,
    ) -> State:
        """Return whether this certificate holds at `now` (aware) for the release with this fingerprint.

        Parameters
        ----------
        base_rate
            Share of recently closed calls that were not genuine; None (not known) changes nothing.
        drifted
            Whether scores have drifted beyond the release's profile.

        Returns
        -------
        The first that applies of release_changed, base_rate_fell (below two thirds of what it was), drift,
        not_yet_issued (all void) and expired; else valid.
        """
        if fingerprint != self.fingerprint:
            return State("void", "release_changed")
        if base_rate is not None and base_rate < (1.0 - LARGEST_FALL) * self.base_rate:
            return State("void", "base_rate_fell")
        if drifted:
            return State("void", "drift")
        if now < self.issued_at:
            return State("void", "not_yet_issued")
        return State("expired", "expired") if now >= self.expires_at else State("valid", "")

    def sentence(self, language: Language, state: State | None = None) -> str:
        """Return what is promised, for a supervisor; a `state` that is not valid comes first."""
        say = catalogue(language)
        parts = []
        if state is not None and state.word != "valid":
            parts.append(say("certificate.lost", reason=say(f"certificate.reason.{state.reason}")))
        for proof in self.stages:
            flag = proof.flag
            promised = (
                "promise" if flag.threshold is not None else "no_promise" if flag.genuine_callers else "none_kept"
            )
            parts += [
                say(
                    f"certificate.{promised}",
                    stage=say(f"certificate.stage.{proof.stage}"),
                    callers=flag.genuine_callers,
                    confidence=1.0 - self.delta,
                    share=flag.alpha,
                    missing=flag.missing,
                ),
                say(f"certificate.{'on' if proof.deferral.on else 'off'}"),
            ]
            if walled := [say(f"guardrail.{name}") for name in proof.deferral.walled]:
                parts.append(say("certificate.walled", groups="; ".join(walled)))
        if self.subject == "procedure":
            parts.append(say("certificate.procedure"))
        return " ".join(parts)

    def to_json(self) -> str:
        """Return strict JSON that a person can read."""
        document = {"format": FORMAT, **asdict(self)}
        document["issued_at"] = self.issued_at.isoformat()
        document["expires_at"] = self.expires_at.isoformat()
        return json.dumps(document, indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Certificate":
        """Read what `to_json` wrote; a missing, unknown or mistyped field is a ValueError that names it."""
        document = json.loads(text)
        if not isinstance(document, dict) or document.pop("format", None) != FORMAT:
            raise ValueError(f"not a certificate of format {FORMAT}")
        try:
            return TypeAdapter(cls).validate_json(json.dumps(document))
        except ValidationError as error:
            raise ValueError(list_problems(error.errors())) from None


def certificate_hash(*documents: str) -> str:
    """SHA-256 of documents, each preceded by its length so that nothing can move from one to the next.

    Examples
    --------
    >>> certificate_hash("ab", "c") == certificate_hash("a", "bc")
    False
    """
    digest = hashlib.sha256()
    for document in documents:
        encoded = document.encode()
        digest.update(len(encoded).to_bytes(8, "big"))
        digest.update(encoded)
    return digest.hexdigest()
