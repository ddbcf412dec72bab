"""Compose the answer to a score, and bring an earlier one up to date: neither deferred longer nor marked higher."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from pydantic_core import from_json

from model.policy.deferral import ExpectedWait, queue_key_us
from model.policy.likeness import badge_of
from model.policy.policy import Band
from service.contract.requests import ScoreRequest
from service.store.records import Call, encode_json
from service.timestamps import microseconds, rfc3339

if TYPE_CHECKING:
    from service.queue.deferral_gate import Visibility
    from service.scoring.scorer import Scored

Warnings = list[dict[str, str]]
_BANDS = tuple(band.id for band in Band)
#: A mark that may not be made is shown as this.
_WITHOUT_MARK = {Band.LIKELY_PRANK.id: Band.UNSURE.id}


class ScoreReply(NamedTuple):
    """The answer to a score, and the same as JSON: encoded once, sent and stored."""

    answer: dict[str, Any]
    encoded: bytes

    @classmethod
    def encode(cls, answer: dict[str, Any]) -> Self:
        """Encode an answer."""
        return cls(answer, encode_json(answer))

    def with_call_id(self, call_id: str) -> "ScoreReply":
        """Return it with the call_id that the sender uses."""
        return self if self.answer["call_id"] == call_id else ScoreReply.encode(self.answer | {"call_id": call_id})

    @classmethod
    def decode(cls, written: bytes) -> Self:
        """Decode an earlier answer."""
        return cls(from_json(written), written)

    def as_of_now(self, call: Call) -> Self:
        """Return the answer as it holds now, the same bytes when nothing changed, given the `visible_call`."""
        answer = refresh_answer(self.answer, call)
        return self if answer is self.answer else self.encode(answer)


def visible_call(call: Call, allows: "Visibility", board_defer_s: float) -> Call:
    """Return a call as it may be shown now, whatever was decided when it was scored.

    Parameters
    ----------
    call : Call
        Given back as it is when nothing stands against it.
    allows : Visibility
    board_defer_s : float
        Its deferral on the board: what was taken back there does not come back.
    """
    band = call.shown_band if allows.marks else _WITHOUT_MARK.get(call.shown_band, call.shown_band)
    defer_s = min(call.defer_s, board_defer_s) if allows.deferral else 0.0
    if (band, defer_s) == (call.shown_band, call.defer_s):
        return call
    now = call.copy_for_change(call.changed_at_us)
    now.shown_band, now.defer_s = band, defer_s
    return now


def refresh_answer(answer: dict[str, Any], call: Call) -> dict[str, Any]:
    """Return an answer as it holds now: neither deferred longer nor in a higher band than its call is.

    Parameters
    ----------
    answer : dict
        What was answered at a stage; given back as it is when it holds.
    call : Call
        As it is `visible_call` now.
    """
    defer_s = min(answer["defer_s"], call.defer_s)
    band = min(answer["band"], call.shown_band, key=_BANDS.index)
    if (defer_s, band) == (answer["defer_s"], answer["band"]):
        return answer
    key_us = queue_key_us(call.arrived_at_us, defer_s)
    place = {"defer_s": defer_s, "queue_key": rfc3339(key_us), "queue_key_epoch": key_us / 1e6}
    badge = badge_of(band, answer.get("genuine_like"), held_out=answer["held_out"])
    return answer | place | {"band": band, "badge": badge}


def score_body(asked: bytes, reply: ScoreReply, **more: str | None) -> bytes:
    """Return the body of a score event: request and answer, both encoded already, and what more there is to tell."""
    named = b"".join(b'"%s":"%s",' % (name.encode(), value.encode()) for name, value in more.items() if value)
    return b'{%s"request":%s,"answer":%s}' % (named, asked, reply.encoded)


def without_score(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer without its score and what tells of it: of a call of the random share nobody sees it."""
    hidden = {"prank_likelihood": None, "genuine_like": None, "one_in": None}
    return answer | hidden | {"reasons": [], "guardrails": []}


def answer_document(
    call: Call,
    stage: str,
    scored: "Scored | None",
    expected: ExpectedWait,
    release: str | None,
    warnings: Warnings,
    now: datetime,
) -> dict[str, Any]:
    """Return the answer to a score; without a score, the one that puts nobody back."""
    key_us = call.queue_key_us
    band, genuine_like = (call.shown_band, scored.genuine_like) if scored else (Band.UNSCORED.id, None)
    return {
        "call_id": call.call_id,
        "stage": stage,
        "prank_likelihood": scored.likelihood if scored else None,
        "band": band,
        "defer_factor": scored.factor if scored and not call.held_out else 0.0,
        "defer_s": call.defer_s,
        "queue_key": rfc3339(key_us),
        "queue_key_epoch": key_us / 1e6,
        "arrived_at": rfc3339(call.arrived_at_us),
        "expected_wait_s": expected.wait_s,
        "expected_wait_source": expected.source,
        "reasons": scored.reasons if scored else [],
        "guardrails": scored.guardrails if scored else [],
        "held_out": call.held_out,
        "release": release,
        "scored_at": rfc3339(microseconds(now)),
        "durable": True,
        "degraded": False,
        "warnings": warnings,
        "genuine_like": genuine_like,
        "one_in": scored.one_in if scored else None,
        "badge": badge_of(band, genuine_like, held_out=call.held_out),
    }


def fallback_answer(
    request: ScoreRequest, arrived_at_us: int, release: str | None, warnings: Warnings, now: datetime
) -> dict[str, Any]:
    """Return the answer that puts nobody back: what is said when the store cannot be reached in time."""
    call = Call(request.call_id, microseconds(request.received_at), arrived_at_us=arrived_at_us)
    told_s = request.expected_wait_s
    expected = ExpectedWait(told_s, False, "unknown" if told_s is None else "request")
    answer = answer_document(call, request.resolved_stage(), None, expected, release, warnings, now)
    return answer | {"durable": False, "degraded": True}
