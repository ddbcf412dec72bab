"""First come, first served, when the service does not help; and which of its answers are followed."""

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from service.client.score_request import DAY_S, STAGES, ScoreRequest, moment, rfc3339, within

BANDS = ("unscored", "normal", "unsure", "likely_prank")
#: Queue keys are rounded to a millisecond.
ROUNDING_S = 0.001


def first_come_answer(asked: ScoreRequest, why: str, now: datetime) -> dict[str, Any]:
    """Return the answer that puts nobody back.

    Parameters
    ----------
    asked : ScoreRequest
    why : str
        What follows "the service", for the warnings.
    now : datetime
    """
    return {
        "call_id": asked.call_id,
        "stage": asked.stage,
        "prank_likelihood": None,
        "band": "unscored",
        "defer_factor": 0.0,
        "defer_s": 0.0,
        "queue_key": rfc3339(asked.arrived_at),
        "queue_key_epoch": asked.arrived_at.timestamp(),
        "arrived_at": rfc3339(asked.arrived_at),
        "expected_wait_s": asked.expected_wait_s,
        "expected_wait_source": "unknown" if asked.expected_wait_s is None else "request",
        "reasons": [],
        "guardrails": [],
        "held_out": False,
        "release": None,
        "scored_at": rfc3339(now),
        "durable": False,
        "degraded": True,
        "warnings": [{"field": "service", "detail": f"the service {why}"}, *asked.warnings],
        "genuine_like": None,
        "one_in": None,
        "badge": "not_rated",
    }


def _numeric(low: float, high: float) -> Callable[[object], bool]:
    return lambda value: within(value, low, high)


def _maybe(check: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or check(value)


def _a(*kinds: type) -> Callable[[object], bool]:
    return lambda value: isinstance(value, kinds)


def _time(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(moment("", value))
    except ValueError:
        return False


#: What every answer to a score has, and what it may be there. Fields that a later version adds are carried along.
_FIELDS: dict[str, Callable[[object], bool]] = {
    "call_id": _a(str),
    "stage": lambda value: value in STAGES,
    "prank_likelihood": _maybe(_numeric(0.0, 1.0)),
    "band": lambda value: value in BANDS,
    "defer_factor": _numeric(0.0, 1.0),
    "defer_s": _numeric(0.0, DAY_S),
    "queue_key": _time,
    "queue_key_epoch": _numeric(-math.inf, math.inf),
    "expected_wait_s": _maybe(_numeric(0.0, math.inf)),
    "expected_wait_source": _a(str),
    "reasons": _a(list),
    "guardrails": _a(list),
    "held_out": _a(bool),
    "release": _maybe(_a(str)),
    "scored_at": _time,
    "durable": _a(bool),
    "degraded": _a(bool),
    "warnings": _a(list),
}
#: What an answer of a service of before lacks.
_LATER: dict[str, Callable[[object], bool]] = {
    "genuine_like": _maybe(_numeric(0.0, 1.0)),
    "one_in": _maybe(_numeric(1.0, math.inf)),
    "badge": _a(str),
}


def malformed_answer(answer: Mapping[str, Any], call_id: str) -> str | None:
    """Return what is wrong with a document as a score of this call; None when nothing is."""
    wrong = next((name for name, check in _FIELDS.items() if name not in answer or not check(answer[name])), None)
    wrong = wrong or next((name for name, check in _LATER.items() if name in answer and not check(answer[name])), None)
    if wrong is not None:
        return f"answered without a {wrong} that makes sense"
    return None if answer["call_id"] == call_id else "answered about another call"


def implausible_answer(answer: Mapping[str, Any], asked: ScoreRequest, max_defer_s: float) -> str | None:
    """Return why an answer is not followed; None when it is.

    It has to be a whole one, about this call, and may put it back by no more than it says and no more than
    `max_defer_s`.
    """
    wrong = malformed_answer(answer, asked.call_id)
    if wrong is not None:
        return wrong
    if answer["defer_s"] > max_defer_s:
        return f"answered with a defer_s above {max_defer_s:g}"
    arrived_at = answer.get("arrived_at")  # a service of before goes by received_at
    if arrived_at is not None and not _time(arrived_at):
        return "answered without an arrived_at that makes sense"
    arrived = asked.received_at if arrived_at is None else moment("arrived_at", arrived_at)
    if arrived != asked.received_at and arrived > moment("scored_at", answer["scored_at"]):
        return "answered with an arrived_at that is neither received_at nor past"
    key_s, arrived_s = answer["queue_key_epoch"], arrived.timestamp()
    if not arrived_s - ROUNDING_S <= key_s <= arrived_s + answer["defer_s"] + ROUNDING_S:
        return "answered with a queue_key_epoch that defer_s does not explain"
    if abs(moment("queue_key", answer["queue_key"]).timestamp() - key_s) > ROUNDING_S:
        return "answered with a queue_key that is not its queue_key_epoch"
    return None
