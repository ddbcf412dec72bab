"""The HTTP contract, version 1: what is said of a call after its score, up to its disposition."""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from pydantic_core import from_json
from starlette.responses import Response

from model.history.caller_history import FIELDS
from service.contract.answers import CallDocument, EventReceipt, ScoreResponse
from service.contract.requests import Answered, Disposition, Ended, Reopen
from service.http.dependencies import (
    CallIdInPath,
    json_response,
    principal_of,
    read_request,
    request_body,
    resolve_source,
    scorer_of,
    shown_of,
    speaking_for,
)
from service.http.problem_responses import problem_responses
from service.queue.badge import state_of
from service.queue.states import CLOSED, OVER
from service.scoring.answer import refresh_answer, without_score
from service.security.api_keys import Role
from service.security.pseudonyms import short_pseudonym
from service.security.route_access import RoleRoute, require_role
from service.store.records import Call, Source
from service.timestamps import rfc3339

#: Of what was said of a call, as it was said.
_TOLD = ("operator", "disposition", "category", "incident_id", "why", "was")

router = APIRouter(route_class=RoleRoute, tags=["calls"])


@router.post(
    "/v1/calls/{call_id:path}/answered",
    summary="An operator took up the call",
    response_model=EventReceipt,
    openapi_extra=request_body(
        Answered, {"answered_at": "2026-11-01T20:15:20+07:00", "operator": "rina"}, clocked=True
    ),
    responses=problem_responses(404, 409, 413, 422, 503),
)
@require_role(Role.INTAKE, Role.OPERATOR)
async def answered(request: Request, call_id: CallIdInPath) -> Response:
    """Tell that an operator took up the call.

    Of several times the first one stays. Told of after the end, the call was not abandoned.
    """
    asked, warnings = await read_request(request, Answered)
    asked = asked.model_copy(update={"operator": speaking_for(request, asked.operator)})
    now, told_by = resolve_source(request, asked.answered_at)
    recorded = await scorer_of(request).record(call_id, asked, now, told_by=told_by)
    return _receipt(request, warnings, recorded.stored)


@router.post(
    "/v1/calls/{call_id:path}/ended",
    summary="The call ended",
    response_model=ScoreResponse,
    openapi_extra=request_body(
        Ended, {"ended_at": "2026-11-01T20:16:00+07:00", "ended_by": "caller", "duration_s": 31.0}, clocked=True
    ),
    responses=problem_responses(404, 409, 413, 422, 503),
)
@require_role(Role.INTAKE, Role.OPERATOR)
async def ended(request: Request, call_id: CallIdInPath) -> Response:
    """Tell that the call ended; the answer is the score of the whole call.

    Told once more in the same way it gives the same answer; in another way it is refused (409).
    """
    asked, warnings = await read_request(request, Ended)
    now, told_by = resolve_source(request, asked.ended_at)
    score = (await scorer_of(request).record(call_id, asked, now, told_by=told_by, warnings=warnings)).score
    assert score is not None  # whatever ends is scored once more
    return json_response(score.with_call_id(request.path_params["call_id"]).encoded)


@router.post(
    "/v1/calls/{call_id:path}/disposition",
    summary="How the call was closed",
    response_model=EventReceipt,
    openapi_extra=request_body(
        Disposition, {"disposition": "prank", "disposed_at": "2026-11-01T20:17:00+07:00"}, clocked=True
    ),
    responses=problem_responses(404, 409, 413, 422, 503),
)
@require_role(Role.INTAKE, Role.OPERATOR)
async def disposition(request: Request, call_id: CallIdInPath) -> Response:
    """Tell how the call was closed; told again, it is a correction.

    Whoever closes a call at a board (with an operator's key, or signed in at the console) that still waits, and that
    this operator has not taken, has to `confirm` it (409). Closed by mistake, it is brought back by `reopen`.

    It becomes known, and counts for later calls of this caller, from when it was told of and not before.
    """
    asked, warnings = await read_request(request, Disposition)
    # A system such as the PBX knows whose call has come to its end; a person at a board may have picked the wrong one.
    at_a_board = principal_of(request).role is Role.OPERATOR or "session" in request.scope["state"]
    confirmed = asked.confirm or not at_a_board
    asked = asked.model_copy(update={"operator": speaking_for(request, asked.operator), "confirm": confirmed})
    now, told_by = resolve_source(request, asked.disposed_at)
    recorded = await scorer_of(request).record(call_id, asked, now, told_by=told_by)
    return _receipt(request, warnings, recorded.stored)


@router.post(
    "/v1/calls/{call_id:path}/reopen",
    summary="Bring back a call that was closed by mistake",
    response_model=EventReceipt,
    openapi_extra=request_body(Reopen, {"operator": None}),
    responses=problem_responses(404, 409, 413, 422, 503),
)
@require_role(Role.INTAKE, Role.OPERATOR)
async def reopen(request: Request, call_id: CallIdInPath) -> Response:
    """Bring back a call that was closed while it still waited, within a minute: it waits again, at its old place.

    Its dispositions are taken back; what was said stays in its story.
    """
    asked, warnings = await read_request(request, Reopen)
    asked = asked.model_copy(update={"operator": speaking_for(request, asked.operator)})
    told_by = Source(principal_of(request).name)
    recorded = await scorer_of(request).record(call_id, asked, datetime.now(UTC), told_by=told_by)
    return _receipt(request, warnings, recorded.stored)


@router.get(
    "/v1/calls/{call_id:path}",
    summary="All that is known of a call",
    response_model=CallDocument,
    responses=problem_responses(404, 422, 503),
)
@require_role(Role.OPERATOR, Role.SCIENTIST)
async def call(request: Request, call_id: CallIdInPath) -> Response:
    """Give what was known of a call, what was scored, shown and decided, and why.

    Until it is over, its band and deferral are as they hold now. Until it is closed, the scores of a call of the random
    share have neither likelihood nor reasons: whoever closes it is not to know.

    A call whose name ends in `/badge` or `/badge.svg` cannot be asked for here.
    """
    intake = scorer_of(request).intake
    found = shown_of(request, await intake.find_call(call_id))
    said = await intake.store.read_events(found)
    return json_response(
        {
            **found.extra,
            **_known(found),
            "said": [
                {
                    "kind": one["kind"],
                    "known_at": rfc3339(one["known_at_us"]),
                    "recorded_at": rfc3339(one["recorded_at_us"]),
                    "told_by": one["told_by"],
                    **{name: one["body"].get(name) for name in _TOLD},
                }
                for one in said
            ],
        }
    )


def _known(call: Call) -> dict[str, Any]:
    plain = ("call_id", "line", "attestation", "centre", "queue", "state", "operator", "opening_duration_s",
             "opening_silence_ratio", "ended_by", "duration_s", "silence_ratio", "disposition", "category",
             "incident_id", "shown_band", "held_out", "defer_s", "release", "first_call")  # fmt: skip
    times = ("received_at", "arrived_at", "answered_at", "ended_at", "disposed_at", "queue_key")
    return {
        **{name: getattr(call, name) for name in plain},
        **{name: rfc3339(getattr(call, f"{name}_us")) for name in times},
        "caller": short_pseudonym(call.caller),
        "history": dict(zip(FIELDS, call.history.tolist(), strict=True)),
        "surge": {"calls": call.surge[0], "new_numbers": call.surge[1]},
        **_likeness(call),
        "scores": {stage: _score(call, stage) for stage in call.answers},
    }


def _likeness(call: Call) -> dict[str, Any]:
    """Give the two numbers that stand on its badge; of the random share not until it is closed."""
    hidden = call.held_out and call.state != CLOSED
    numbers = {"genuine_like": call.genuine_like, "one_in": call.one_in}
    return (dict.fromkeys(numbers) if hidden else numbers) | {"badge": state_of(call)}


def _score(call: Call, stage: str) -> dict[str, Any]:
    """Give what was answered at a stage: as it holds now, and of the random share as a board shows it until closed."""
    answer = from_json(call.answers[stage])
    if call.state not in OVER:
        answer = refresh_answer(answer, call)
    return without_score(answer) if call.held_out and call.state != CLOSED else answer


def _receipt(request: Request, warnings: list[dict[str, str]], stored: bool) -> Response:
    call_id = request.path_params["call_id"]  # as it was asked: by it whoever asks knows the answer
    return json_response({"call_id": call_id, "durable": True, "degraded": not stored, "warnings": warnings})
