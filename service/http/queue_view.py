"""The queue as people see it: each call with its badge, its reasons in words and its caller's history at a glance."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from model.history.caller_history import FIELDS
from model.language.texts import Language
from model.scorecard.reasons import translate_reasons
from service.contract.extra_fields import LAST_DIGITS
from service.queue.badge import state_of
from service.security.pseudonyms import short_pseudonym
from service.store.records import Call
from service.timestamps import microseconds, rfc3339

if TYPE_CHECKING:
    from service.intake.intake import Intake

#: Stages by which a waiting call is judged, the latest first.
_STAGES = ("opening", "ring")
_CALLS, _GENUINE, _NOT_GENUINE, _LAST = (
    FIELDS.index(name) for name in ("calls_ever", "genuine_ever", "not_genuine_ever", "last_call_us")
)


class View(NamedTuple):
    """How calls are to be told: the language of their reasons, and how many of these, the largest first."""

    language: Language = "en"
    reasons: int | None = None


def queued_call(call: Call, view: View = View()) -> dict[str, Any]:  # noqa: B008 - it cannot be changed
    """Return a call as a board shows it; one of the random share without band, score and reasons."""
    told = {} if call.held_out else call.answer(*_STAGES) or {}
    reasons = told.get("reasons", [])[: view.reasons]
    return {
        "call_id": call.call_id,
        "received_at": rfc3339(call.received_at_us),
        "arrived_at": rfc3339(call.arrived_at_us),
        "queue_key": rfc3339(call.queue_key_us),
        "queue": call.queue,
        "centre": call.centre,
        "line": call.line,
        "caller": short_pseudonym(call.caller),
        "last_digits": call.extra.get(LAST_DIGITS),
        "state": call.state,
        "operator": call.operator,
        "band": None if call.held_out else call.shown_band,
        "prank_likelihood": told.get("prank_likelihood"),
        "genuine_like": None if call.held_out else call.genuine_like,
        "one_in": None if call.held_out else call.one_in,
        "badge": state_of(call),
        "defer_s": call.defer_s,
        "reasons": reasons if view.language == "en" else translate_reasons(reasons, view.language),
        "guardrails": told.get("guardrails", []),
        "earlier_calls": round(call.history[_CALLS]),
        "earlier_genuine": round(call.history[_GENUINE]),
        "earlier_not_genuine": round(call.history[_NOT_GENUINE]),
        "last_call_at": rfc3339(int(call.history[_LAST]) or None),
        "heard_at": rfc3339(max(call.changed_at_us, call.heard_at_us)),
    }


def queue_document(
    intake: "Intake",
    mode: str,
    queue: str | None,
    limit: int,
    view: View = View(),  # noqa: B008
) -> dict[str, Any]:
    """Return the queue (or all of them) in the order in which the calls are to be answered."""
    now = datetime.now(UTC)
    allows = intake.gate.visibility(now)
    waiting = intake.queued_calls(queue, allows)
    return {
        "at": rfc3339(microseconds(now)),
        "number": intake.board.number,
        "mode": mode,
        "deferral_on": allows.deferral,
        "off_because": intake.gate.off_reason(now),
        "waiting": len(waiting),
        "calls": [queued_call(call, view) for call in waiting[:limit]],
    }
