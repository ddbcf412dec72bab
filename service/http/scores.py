"""The HTTP contract, version 1: the score of one call, and of a batch."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from pydantic_core import from_json, to_json
from starlette.responses import Response

from service.contract.answers import BatchResponse, ScoreResponse
from service.contract.problems import Invalid, Problem
from service.contract.requests import MAX_BATCH_CALLS, Batch, ScoreRequest
from service.http.dependencies import (
    AGE,
    json_response,
    parse_request,
    read_body,
    read_request,
    request_body,
    resolve_score_source,
    scorer_of,
    settings_of,
)
from service.http.problem_responses import invalid_json, problem_responses
from service.security.api_keys import Role
from service.security.route_access import RoleRoute, require_role

router = APIRouter(route_class=RoleRoute, tags=["calls"])
#: So many of a batch are scored at once: a call that comes by itself does not wait for all of them.
AT_ONCE = 4
#: From the call_id of the answer to what is said next of the call.
_LINKS: dict[int | str, dict[str, Any]] = {
    200: {
        "links": {
            name: {"operationId": name, "parameters": {"call_id": "$response.body#/call_id"}}
            for name in ("answered", "ended", "disposition", "call")
        }
    }
}
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
    summary="Score one call",
    response_model=ScoreResponse,
    openapi_extra=request_body(ScoreRequest, _ASKED, AGE, clocked=True),
    responses=problem_responses(409, 413, 422) | _LINKS,
)
@require_role(Role.INTAKE)
async def score(request: Request) -> Response:
    """Score one call, at any stage, as often as more becomes known of it.

    Serve the smallest `queue_key` first. The same request again gives the same answer and counts once; a changed one
    is an update, but caller and received_at cannot change (409). When the store cannot be reached the answer comes in
    time all the same: `unscored`, defer_s 0, `degraded` true; it is kept when `durable` is true.
    """
    asked, warnings = await read_request(request, ScoreRequest)
    now, told_by = resolve_score_source(request, asked.received_at, warnings)
    return json_response((await scorer_of(request).score(asked, warnings, now, told_by=told_by)).encoded)


@router.post(
    "/v1/score/batch",
    summary="Score up to 1,000 calls",
    response_model=BatchResponse,
    openapi_extra=request_body(Batch, {"calls": [_ASKED]}, AGE, clocked=True),
    responses=problem_responses(413, 422),
)
@require_role(Role.INTAKE)
async def batch(request: Request) -> Response:
    """Score up to 1,000 calls; one that cannot be scored has a problem in its place.

    Each item is what `POST /v1/score` takes, with the same limit, and its result is what that answers.
    """
    settings = settings_of(request)
    try:
        document = from_json(await read_body(request, settings.batch_limit))
    except ValueError as error:
        raise invalid_json(f"Invalid JSON: {error}") from None
    items = document.get("calls") if isinstance(document, dict) else None
    if not isinstance(items, list) or len(items) > MAX_BATCH_CALLS:
        raise Invalid("calls: expected a list", [("calls", f"a list of at most {MAX_BATCH_CALLS:,} requests")])
    scorer = scorer_of(request)
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(item: Any) -> dict[str, Any]:
        async with turns:
            try:
                body = to_json(item)
                if len(body) > settings.body_limit:
                    raise Invalid("the item is too large", [("(body)", f"at most {settings.body_limit:,} bytes")])
                asked, warnings = parse_request(request, body, ScoreRequest)
                now, told_by = resolve_score_source(request, asked.received_at, warnings)
                return (await scorer.score(asked, warnings, now, told_by=told_by, among=len(items))).answer
            except Problem as problem:
                return problem.document()

    return json_response({"results": await asyncio.gather(*map(one, items))})
