"""The HTTP contract, version 1: calls, from their first ring to their disposition."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from pydantic_core import from_json, to_json
from starlette.responses import Response

from model.errors import StoreError
from model.history import FIELDS
from service.access import Role
from service.documents import BatchResponse, CallDocument, Kept, ScoreResponse
from service.guard import GuardedRoute, allow
from service.problems import Invalid, Malformed, Problem, Unavailable
from service.pseudonyms import short
from service.records import Call, rfc3339
from service.schemas import Answered, Disposition, Ended, ScoreRequest
from service.web import (
    AsRecorded,
    CallIdInPath,
    body_of,
    json,
    moment,
    parsed,
    read,
    reception_of,
    refusals,
    settings_of,
    takes,
)

MOST_IN_BATCH = 1_000
router = APIRouter(route_class=GuardedRoute, tags=["calls"])
_ASKED = {
    "call_id": "112-20261101-0042",
    "received_at": "2026-11-01T20:15:00+07:00",
    "caller": "0812-3456-7890",
    "line": "mobile",
    "duration_s": 9.5,
    "silence_ratio": 0.8,
}


@router.post(
    "/v1/score",
    response_model=ScoreResponse,
    openapi_extra=takes(ScoreRequest, _ASKED),
    responses=refusals(409, 413, 422),
)
@allow(Role.INTAKE)
async def score(request: Request, clock: AsRecorded = None) -> Response:
    """Score one call, at any stage, as often as more becomes known of it."""
    asked, warnings = await read(request, ScoreRequest)
    return json(await reception_of(request).score(asked, warnings, moment(clock, asked.received_at)))


@router.post(
    "/v1/score/batch",
    response_model=BatchResponse,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["calls"],
                        "properties": {"calls": {"type": "array", "items": {}, "maxItems": MOST_IN_BATCH}},
                    },
                    "example": {"calls": [_ASKED]},
                }
            },
        }
    },
    responses=refusals(413, 422),
)
@allow(Role.INTAKE)
async def batch(request: Request, clock: AsRecorded = None) -> Response:
    """Score up to 1,000 calls; one that cannot be scored has a problem in its place."""
    settings = settings_of(request)
    try:
        document = from_json(await body_of(request, settings.batch_limit), allow_inf_nan=False)
    except ValueError as error:
        raise Malformed(f"Invalid JSON: {error}") from None
    items = document.get("calls") if isinstance(document, dict) else document
    if not isinstance(items, list) or len(items) > MOST_IN_BATCH:
        raise Invalid("calls: expected a list", [("calls", f"a list of at most {MOST_IN_BATCH:,} requests")])
    reception = reception_of(request)

    async def one(item: Any) -> dict[str, Any]:
        try:
            body = to_json(item)
            if len(body) > settings.body_limit:
                raise Invalid("the item is too large", [("(body)", f"at most {settings.body_limit:,} bytes")])
            asked, warnings = parsed(body, ScoreRequest, settings)
            return await reception.score(asked, warnings, moment(clock, asked.received_at), among=len(items))
        except Problem as problem:
            return problem.document()

    return json({"results": await asyncio.gather(*map(one, items))})


@router.post(
    "/v1/calls/{call_id:path}/answered",
    response_model=Kept,
    openapi_extra=takes(Answered, {"answered_at": "2026-11-01T20:15:20+07:00", "operator": "rina"}),
    responses=refusals(404, 409, 413, 422, 503),
)
@allow(Role.INTAKE, Role.OPERATOR)
async def answered(request: Request, call_id: CallIdInPath, clock: AsRecorded = None) -> Response:
    """Tell that an operator took up the call."""
    asked, warnings = await read(request, Answered)
    stored = await reception_of(request).answered(call_id, asked, moment(clock, asked.answered_at))
    return _kept(call_id, warnings, stored=stored)


@router.post(
    "/v1/calls/{call_id:path}/ended",
    response_model=ScoreResponse,
    openapi_extra=takes(Ended, {"ended_at": "2026-11-01T20:16:00+07:00", "ended_by": "caller", "duration_s": 31.0}),
    responses=refusals(404, 409, 413, 422, 503),
)
@allow(Role.INTAKE, Role.OPERATOR)
async def ended(request: Request, call_id: CallIdInPath, clock: AsRecorded = None) -> Response:
    """Tell that the call ended; the answer is the score of the whole call."""
    asked, warnings = await read(request, Ended)
    return json(await reception_of(request).ended(call_id, asked, warnings, moment(clock, asked.ended_at)))


@router.post(
    "/v1/calls/{call_id:path}/disposition",
    response_model=Kept,
    openapi_extra=takes(Disposition, {"disposition": "prank", "disposed_at": "2026-11-01T20:17:00+07:00"}),
    responses=refusals(404, 409, 413, 422, 503),
)
@allow(Role.INTAKE, Role.OPERATOR)
async def disposition(request: Request, call_id: CallIdInPath, clock: AsRecorded = None) -> Response:
    """Tell how the call was closed; told again, it is a correction."""
    asked, warnings = await read(request, Disposition)
    stored = await reception_of(request).disposed(call_id, asked, moment(clock, asked.disposed_at))
    return _kept(call_id, warnings, stored=stored)


@router.get("/v1/calls/{call_id:path}", response_model=CallDocument, responses=refusals(404, 422, 503))
@allow(Role.INTAKE, Role.OPERATOR, Role.SCIENTIST)
async def call(request: Request, call_id: CallIdInPath) -> Response:
    """Give what was known of a call, what was scored, shown and decided, and why."""
    intake = reception_of(request).intake
    try:
        found = await intake.find(call_id)
        said = await intake.store.said(found)
    except StoreError as error:
        raise Unavailable(str(error)) from error
    return json(
        {
            **found.extra,
            **_known(found),
            "said": [
                {
                    "kind": one["kind"],
                    "known_at": rfc3339(one["known_at_us"]),
                    "recorded_at": rfc3339(one["recorded_at_us"]),
                }
                for one in said
            ],
        }
    )


def _known(call: Call) -> dict[str, Any]:
    plain = ("call_id", "line", "centre", "queue", "state", "operator", "opening_duration_s", "opening_silence_ratio",
             "ended_by", "duration_s", "silence_ratio", "disposition", "category", "shown_band", "held_out", "defer_s",
             "release", "first_call")  # fmt: skip
    times = ("received_at", "answered_at", "ended_at", "disposed_at", "queue_key")
    return {
        **{name: getattr(call, name) for name in plain},
        **{name: rfc3339(getattr(call, f"{name}_us")) for name in times},
        "caller": short(call.caller),
        "history": dict(zip(FIELDS, call.history.tolist(), strict=True)),
        "surge": {"calls": call.surge[0], "new_numbers": call.surge[1]},
        "scores": call.answers,
    }


def _kept(call_id: str, warnings: list[dict[str, str]], *, stored: bool) -> Response:
    return json({"call_id": call_id, "durable": True, "degraded": not stored, "warnings": warnings})
