"""The HTTP contract, version 1: what is known of a caller, and how a caller is forgotten."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from model.history.caller_history import FIELDS
from service.contract.centre_answers import CallerDocument, Erased
from service.contract.centre_requests import Erase, Number
from service.contract.problems import Invalid, Unavailable
from service.http.dependencies import json_response, principal_of, read_request, request_body, scorer_of
from service.http.problem_responses import problem_responses
from service.maintenance.erasure import check_reason, erase
from service.security.api_keys import Role
from service.security.pseudonyms import short_pseudonym
from service.security.route_access import RoleRoute, require_role
from service.telemetry.logs import mask_numbers
from service.timestamps import now_us

router = APIRouter(route_class=RoleRoute, tags=["centre"])


@router.post(
    "/v1/callers/lookup",
    summary="What is known of a caller",
    response_model=CallerDocument,
    openapi_extra=request_body(Number, {"caller": "0812-3456-7890"}),
    responses=problem_responses(413, 422, 503),
)
@require_role(Role.OPERATOR)
async def lookup(request: Request) -> Response:
    """Give what is known of a caller, under a short pseudonym: the number is in the request and never in an answer.

    A number that never rang is answered too, with `known` false.
    """
    asked, _ = await read_request(request, Number)
    scorer = scorer_of(request)
    at_us = now_us()
    hashes, history = await scorer.history_of(asked.caller, at_us)
    document = dict(zip(FIELDS, history.tolist(), strict=True))
    return json_response(
        {
            "caller": short_pseudonym(hashes[0]) if hashes else None,
            "known": document["calls_ever"] > 0.0,
            "history": document,
            "protected": scorer.intake.operations.is_protected(hashes, at_us),
        }
    )


@router.post(
    "/v1/callers/erase",
    summary="Forget a caller",
    response_model=Erased,
    openapi_extra=request_body(Erase, {"caller": "0812-3456-7890", "reason": "asked for by the caller"}),
    responses=problem_responses(409, 413, 422, 503),
)
@require_role(Role.ADMIN)
async def erase_caller(request: Request) -> Response:
    """Forget a caller: history, hash and every observation. What is left is a note that it was done."""
    asked, _ = await read_request(request, Erase)
    scorer, who = scorer_of(request), principal_of(request)
    hashes = scorer.hashes_of(asked.caller)
    if not hashes:
        raise Invalid("caller: shows no number", [("caller", "a telephone number")])
    check_reason(asked.reason, asked.caller)
    if not scorer.redelivery.is_drained():  # the journal may hold a call of this caller, which would come back
        raise Unavailable("the store has not been told everything yet; erase when /readyz has `journal` at 0")
    removed = await erase(scorer.intake, hashes, who.name, mask_numbers(asked.reason))
    await scorer.redelivery.wipe()
    return json_response({"caller": short_pseudonym(hashes[0]), "calls": removed.calls, "events": removed.events})
