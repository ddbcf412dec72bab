"""Score a call at a stage and decide, again at each stage, its band and for how long it gives way to others."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from model.policy.deferral import ExpectedWait, defer_s
from model.policy.guardrails import UNATTESTED
from model.policy.policy import Band, band_of
from model.release.folder import Release
from service.queue.board import Board
from service.queue.deferral_gate import AllowedActions, DeferralGate
from service.queue.holdout import Holdout
from service.queue.operations import Operations
from service.queue.states import IN_QUEUE
from service.scoring.answer import ScoreReply, Warnings, answer_document, visible_call
from service.scoring.scorer import Scored, Scorer
from service.store.records import Call
from service.timestamps import microseconds


class Triage:
    """Decides a call's place in the queue.

    Parameters
    ----------
    release : Release
    operations : Operations
        For the callers that are protected.
    holdout : Holdout
    board : Board
        For the wait that a call would face.
    network_attests : bool
        Whether a past that the network did not attest puts nobody back.
    """

    def __init__(
        self, release: Release, operations: Operations, holdout: Holdout, board: Board, *, network_attests: bool = False
    ) -> None:
        self.release, self.holdout, self.network_attests = release, holdout, network_attests
        self.gate = DeferralGate(release, operations)
        self._operations, self._board, self._scorer = operations, board, Scorer(release)
        self._scorer.warm_up()

    def adopt(self, release: Release, scorer: Scorer) -> None:
        """Score with another release from now on; keys that were given stay.

        Parameters
        ----------
        release : Release
            With the label mapping of this one: the histories rest on it.
        scorer : Scorer
            Of that release, warmed up.
        """
        self.release, self._scorer = release, scorer
        self.gate.adopt(release)
        self._board.deferral = release.policy.deferral

    def decide(
        self,
        call: Call,
        stage: str,
        expected_wait_s: float | None,
        warnings: Warnings,
        now: datetime,
        *,
        other_hashes: Sequence[bytes] = (),
        attested: bool = False,
        given: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Decide a call's place and return the answer.

        Parameters
        ----------
        call : Call
            Changed in place.
        stage : {"ring", "opening", "ended"}
        expected_wait_s : float or None
            As the intake system states it.
        warnings : list
        now : datetime
        other_hashes : sequence of bytes
            Of the caller's number under other live keys.
        attested : bool
            Whether the network attested the number in each of its calls of the last months.
        given : dict, optional
            The answer that was given while the store could not be reached: it stands, and so do its band and deferral.
        """
        name = self.release.name
        hashes = () if call.caller is None else (call.caller, *other_hashes)
        scored = self._scorer.score(call, stage, protected=self._operations.is_protected(hashes, microseconds(now)))
        if stage == "ended":
            return answer_document(call, stage, scored, ExpectedWait(None, False, "unknown"), name, warnings, now)
        if self.network_attests and call.caller is not None and not (call.attestation == "A" and attested):
            scored = scored._replace(factor=0.0, guardrails=[*scored.guardrails, UNATTESTED.name])
        expected = self._board.expected_wait(call.queue, expected_wait_s)
        self.decide_deferral(call, scored, self.gate.allowed_actions(stage, now, scored.guardrails), expected)
        call.release = name
        if given is not None:
            call.shown_band, call.defer_s, call.held_out = given["band"], min(call.defer_s, given["defer_s"]), False
            call.genuine_like = call.one_in = None
            return given
        call.genuine_like, call.one_in = scored.genuine_like, scored.one_in
        return answer_document(call, stage, scored, expected, name, warnings, now)

    def previous_reply(self, call: Call, stage: str, now: datetime) -> ScoreReply:
        """Return the earlier answer, as it holds now."""
        board_defer_s = self._board.calls.get(call.call_id, call).defer_s
        now_visible = visible_call(call, self.gate.visibility(now), board_defer_s)
        return ScoreReply.decode(call.answers[stage]).as_of_now(now_visible)

    def decide_deferral(self, call: Call, scored: Scored, allowed: AllowedActions, expected: ExpectedWait) -> None:
        """Decide what a call is shown as and for how long it gives way to others; both are written on the call.

        Parameters
        ----------
        call : Call
            Changed in place. Its deferral may fall and never rises, and stays once the call has left the queue. In the
            holdout it is neither deferred nor flagged.
        scored : Scored
        allowed : AllowedActions
            What this stage may do now.
        expected : ExpectedWait
            That the call faces now; the deferral follows what is held of it.
        """
        rule, held_wait_s = self.release.policy.deferral, self._board.update_held_wait(call, expected)
        band = band_of(scored.guarded, scored.factor, allowed.threshold)
        call.silent_band = band_of(scored.guarded, scored.factor, allowed.silent_threshold).id
        would_act = scored.factor > 0.0 and (allowed.defers or band is Band.LIKELY_PRANK)
        call.held_out = call.held_out or (would_act and self.holdout.contains(call.call_id))
        call.shown_band = (Band.NORMAL if call.held_out else band).id
        if call.state not in IN_QUEUE:
            return
        new_s = 0.0
        if allowed.defers and not call.held_out:
            new_s = defer_s(
                scored.factor, held_wait_s, expected.operator_free, rule.kappa, rule.base_s, rule.max_defer_s
            )
        call.defer_s = min(call.defer_s, new_s) if call.answers else new_s
