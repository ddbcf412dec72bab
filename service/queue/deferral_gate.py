"""The gate: whether calls may be deferred or flagged just now, and if not, why.

Both rest on a certificate that holds, on the proof of the stage, and on the switch. Everything else is told to
operators as it is, and the queue is first come, first served.
"""

from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from model.certification.certificate import State
from model.release.folder import Release

if TYPE_CHECKING:
    from service.queue.operations import Operations


class AllowedActions(NamedTuple):
    """What a stage may do: whether it defers, the threshold above which it flags, and what it would flag silently."""

    defers: bool
    threshold: float | None
    silent_threshold: float | None


class Visibility(NamedTuple):
    """Whether calls may be deferred just now, and whether they may be marked, at any stage."""

    deferral: bool
    marks: bool


class DeferralGate:
    """What a release may do now."""

    def __init__(self, release: Release, operations: "Operations") -> None:
        self._operations = operations
        #: Share of recently closed calls that were not genuine; None when too few were closed.
        self.base_rate: float | None = None
        #: Whether scores have drifted beyond what the release was made from.
        self.drifted = False
        self.adopt(release)

    def adopt(self, release: Release) -> None:
        """Let another release decide from now on."""
        proofs = release.certificate.stages
        self.release, self.drifted = release, False
        self._proofs = {proof.stage: proof for proof in proofs}
        self._may_defer = any(proof.deferral.on for proof in proofs)
        self._may_mark = any(proof.flag.threshold is not None for proof in proofs)

    def certificate_state(self, now: datetime) -> State:
        """Return whether the certificate holds."""
        release = self.release
        return release.certificate.state(
            now, fingerprint=release.fingerprint, base_rate=self.base_rate, drifted=self.drifted
        )

    def off_reason(self, now: datetime) -> str | None:
        """Return in a word why nothing may be deferred or flagged at any stage; None when the stages' proofs decide."""
        if not self._operations.switch.on:
            return "monitor" if self._operations.switch.who == "monitor" else "switch"
        state = self.certificate_state(now)
        if state.word != "valid":
            return state.reason
        if not (self._may_defer or self._may_mark):
            return "not_proven"
        return None

    def allowed_actions(self, stage: str, now: datetime, guardrails: Collection[str] = ()) -> AllowedActions:
        """Return what a stage may do now with a call that these guardrails hold."""
        proof = self._proofs.get(stage)
        if proof is None:
            return AllowedActions(defers=False, threshold=None, silent_threshold=None)
        if self.off_reason(now) is not None:
            return AllowedActions(defers=False, threshold=None, silent_threshold=proof.flag.threshold)
        return AllowedActions(proof.deferral.allows(guardrails), proof.flag.threshold, proof.flag.threshold)

    def visibility(self, now: datetime) -> Visibility:
        """Return whether earlier decisions may still be applied: what any stage may do now."""
        on = self.off_reason(now) is None
        return Visibility(self._may_defer and on, self._may_mark and on)

    def is_on(self, now: datetime) -> bool:
        """Return whether any stage may defer now."""
        return self.visibility(now).deferral
