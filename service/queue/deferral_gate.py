"""The gate: whether calls may be deferred or flagged just now, and if not, why.

Both rest on a certificate that holds, on the proof of the stage, and on the switch. Everything else is told to
operators as it is, and the queue is first come, first served.
"""

from datetime import datetime
from typing import NamedTuple

from model.certification.certificate import State
from model.release.folder import Release
from service.queue.operations import Operations


class Acts(NamedTuple):
    """What a stage may do: whether it defers, the threshold above which it flags, and what it would flag silently."""

    defers: bool
    threshold: float | None
    silent_threshold: float | None


class Allows(NamedTuple):
    """Whether calls may be deferred just now, and whether they may be marked, at any stage."""

    deferral: bool
    marks: bool


class Gate:
    """What a release may do now.

    Parameters
    ----------
    release : Release
    operations : Operations
    """

    def __init__(self, release: Release, operations: Operations) -> None:
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

    def state(self, now: datetime) -> State:
        """Say whether the certificate holds."""
        certificate = self.release.certificate
        return certificate.state(
            now, fingerprint=certificate.fingerprint, base_rate=self.base_rate, drifted=self.drifted
        )

    def off_because(self, now: datetime) -> str | None:
        """Say in one word why nothing may be deferred or flagged at any stage; None when the stages' proofs decide."""
        if not self._operations.switch.on:
            return "monitor" if self._operations.switch.who == "monitor" else "switch"
        state = self.state(now)
        if state.word != "valid":
            return state.reason
        if not (self._may_defer or self._may_mark):
            return "not_proven"
        return None

    def acts(self, stage: str, now: datetime) -> Acts:
        """Say what a stage may do now."""
        proof = self._proofs.get(stage)
        if proof is None:
            return Acts(defers=False, threshold=None, silent_threshold=None)
        if self.off_because(now) is not None:
            return Acts(defers=False, threshold=None, silent_threshold=proof.flag.threshold)
        return Acts(proof.deferral.on, proof.flag.threshold, proof.flag.threshold)

    def allows(self, now: datetime) -> Allows:
        """Say what any stage may do now: to what was decided before, nothing else may be held."""
        on = self.off_because(now) is None
        return Allows(self._may_defer and on, self._may_mark and on)

    def defers(self, now: datetime) -> bool:
        """Say whether any stage may defer now."""
        return self.allows(now).deferral
