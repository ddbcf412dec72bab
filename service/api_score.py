"""The HTTP contract, version 1: the score of one call, and of a batch."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from pydantic_core import from_json, to_json
from starlette.responses import Response

from service.access import Role
from service.documents import BatchResponse, ScoreResponse
from service.guard import GuardedRoute, allow, direct
from service.problems import Invalid, Malformed, Problem
from service.schemas import ScoreRequest
from service.web import AS_RECORDED, body_of, json, moment, parsed, read, reception_of, refusals, settings_of, takes

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
    openapi_extra=takes(ScoreRequest, _ASKED, clocked=True),
    responses=refusals(409, 413, 422),
)
@allow(Role.INTAKE)
@direct
async def score(request: Request) -> Response:
    """Score one call, at any stage, as often as more becomes known of it."""
    asked, warnings = await read(request, ScoreRequest)
    return json(await reception_of(request).score(asked, warnings, moment(request, asked.received_at)))


@router.post(
    "/v1/score/batch",
    response_model=BatchResponse,
    openapi_extra={
        "parameters": [AS_RECORDED],
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
        },
    },
    responses=refusals(413, 422),
)
@allow(Role.INTAKE)
async def batch(request: Request) -> Response:
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
            return await reception.score(asked, warnings, moment(request, asked.received_at), among=len(items))
        except Problem as problem:
            return problem.document()

    return json({"results": await asyncio.gather(*map(one, items))})
