"""The HTTP contract, version 1: the queue that operators see, its stream, and tokens for what cannot send a header."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response, StreamingResponse

from model.errors import StoreError
from service.contract.answers import BadgeDocument, Queued, QueueDocument, TokenDocument, event
from service.contract.centre_requests import Take, TokenFor
from service.contract.problems import Conflict, Forbidden, Invalid, Problem, TooMany, Unauthorized
from service.http.dependencies import (
    CallIdInPath,
    json_response,
    principal_of,
    read_request,
    request_body,
    scorer_of,
    settings_of,
    shown_of,
    speaking_for,
)
from service.http.event_stream import Streams
from service.http.problem_responses import problem_response, problem_responses
from service.http.queue_view import View, queue_document, queued_call
from service.queue.badge import Theme, badge_svg
from service.security.api_keys import Role
from service.security.middleware import CROSS_ORIGIN_HEADERS
from service.security.route_access import RoleRoute, public, require_role
from service.security.sessions import Session, Sessions
from service.security.tokens import Grant, Tokens
from service.store.records import Call, Source
from service.timestamps import now_us, rfc3339

TOKEN_S = {"badge": 300.0, "stream": 60.0}
MAX_CALLS = 1_000
WATCHERS = (Role.OPERATOR, Role.INTAKE)
router = APIRouter(route_class=RoleRoute, tags=["queue"])
Queue = Annotated[str | None, Query(max_length=200, description="Only the calls of this queue.")]
Limit = Annotated[
    int, Query(ge=1, le=MAX_CALLS, description="So many calls at most, those first that are to be answered first.")
]
_EVENT = {
    "description": "Of each event.",
    "oneOf": [
        event("queue", "QueueDocument"),
        event("call", "Queued"),
        event("deferral", "DeferralChange"),
        event("beat", "Beat"),
        event("bye", None),
    ],
}
Language = Annotated[Literal["en", "id"], Query(description="English or Indonesian.")]
Reasons = Annotated[int, Query(ge=0, le=100, description="So many reasons of each call at most, the largest first.")]
#: In the OpenAPI document: these check a token by themselves, and take a key all the same.
_BY_TOKEN: dict[str, Any] = {"security": [{"bearer": []}, {"token": []}]}
#: What stands between is to pass each event on at once, and as it is.
_UNBUFFERED = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}
#: The token of a badge holds its call_id, which may have 200 characters of 4 bytes.
Token = Annotated[str | None, Query(max_length=1_500, description="A short-lived token from /v1/tokens.")]


@router.get("/v1/queue", summary="The waiting calls", response_model=QueueDocument, responses=problem_responses(422))
@require_role(*WATCHERS)
async def queue(
    request: Request, queue: Queue = None, limit: Limit = MAX_CALLS, lang: Language = "en", reasons: Reasons = 100
) -> Response:
    """Give the waiting calls in the order in which they are to be answered."""
    view = View(lang, reasons)
    scorer = scorer_of(request)
    named = None if queue is None else scorer.masks.mask_text(queue)
    return json_response(queue_document(scorer.intake, settings_of(request).mode, named, limit, view))


@router.get(
    "/v1/queue/stream",
    summary="Follow the queue",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/event-stream": {"schema": _EVENT}}},
        **problem_responses(401, 403, 422, 429),
    },
    openapi_extra=_BY_TOKEN,
)
@public
async def stream(
    request: Request,
    queue: Queue = None,
    token: Token = None,
    limit: Limit = MAX_CALLS,
    lang: Language = "en",
    reasons: Reasons = 100,
    last: Annotated[
        str | None, Header(alias="Last-Event-ID", max_length=100, description="The id of the last event that came.")
    ] = None,
) -> Response:
    """Follow the queue as server-sent events; with a token when no header can be sent.

    The events are `queue` (the whole of it, as GET /v1/queue gives it), `call` (one call as it is now; in another
    state than waiting or taken, or in another queue than the one followed, it has left), `deferral` and, at the end,
    `bye`. A `beat` at least every two seconds of silence says that the line is alive. Cut off, come back with
    Last-Event-ID.
    """
    streams: Streams = request.app.state.streams
    sessions: Sessions = request.app.state.sessions
    principal, open_to_all = request.scope["state"]["principal"], settings_of(request).insecure_local
    grant = _grant_of(request) if principal else _granted(request, token, "stream")
    principal = principal or (sessions.holder(grant, now_us()) if grant else None)
    if principal is None or grant is None:
        raise Unauthorized
    if principal.role not in (*WATCHERS, Role.ADMIN):
        raise Forbidden(f"this key has the role {principal.role}, expected operator or intake")
    if not streams.has_room(principal.key_id):
        raise TooMany("as many streams are open already as there is room for, in all or for this key")
    named = None if queue is None else scorer_of(request).masks.mask_text(queue)

    def may_listen() -> bool:
        return open_to_all or sessions.holder(grant, now_us()) is not None

    events = streams.events(principal, named, last, limit, View(lang, reasons), may_listen)
    return StreamingResponse(events, headers=_UNBUFFERED, media_type="text/event-stream")


@router.post(
    "/v1/calls/{call_id:path}/take",
    summary="Take a waiting call",
    response_model=Queued,
    openapi_extra=request_body(Take, {"operator": None}),
    responses=problem_responses(404, 409, 413, 422, 503),
)
@require_role(Role.OPERATOR)
async def take(request: Request, call_id: CallIdInPath) -> Response:
    """Lock a waiting call to an operator; two never get the same. Only in the mode `board` (409 otherwise).

    It is held as long as the operator has a stream of the queue open, and for half a minute (the setting
    taken_timeout_s) after that or after it was taken once more; then it waits again, at its old place.
    """
    _board_only(request)
    asked, _ = await read_request(request, Take)
    operator, who = _operator(request, asked), principal_of(request).name
    call = await scorer_of(request).intake.lifecycle.take(call_id, operator, datetime.now(UTC), told_by=Source(who))
    return json_response(queued_call(shown_of(request, call)))


@router.post(
    "/v1/calls/{call_id:path}/release",
    summary="Give a taken call back",
    response_model=Queued,
    openapi_extra=request_body(Take, {"operator": None}),
    responses=problem_responses(404, 409, 413, 422, 503),
)
@require_role(Role.OPERATOR)
async def release(request: Request, call_id: CallIdInPath) -> Response:
    """Give a taken call back to the queue, at its old place; an admin may do it for anybody. Only in `board`."""
    _board_only(request)
    asked, _ = await read_request(request, Take)
    intake, operator, who = scorer_of(request).intake, _operator(request, asked), principal_of(request)
    call = await intake.lifecycle.release_call(
        call_id, operator, datetime.now(UTC), any_operator=who.role is Role.ADMIN, told_by=Source(who.name)
    )
    return json_response(queued_call(shown_of(request, call)))


@router.get(
    "/v1/calls/{call_id:path}/badge.svg",
    summary="A call's badge as a picture",
    response_class=Response,
    responses={
        200: {"content": {"image/svg+xml": {"schema": {"type": "string"}}}},
        **problem_responses(401, 404, 422, 503),
    },
    openapi_extra=_BY_TOKEN,
)
@public
async def badge(
    request: Request,
    call_id: CallIdInPath,
    token: Token = None,
    lang: Language = "en",
    theme: Annotated[Theme, Query(description="Light or dark, as the screen is on which it is shown.")] = "light",
) -> Response:
    """Draw a call's badge; with a token of this call when no header can be sent.

    Word, shape, border and colour: colour is never the only sign. Of a call of the random share it says nothing.
    """
    call, _ = await _badged_call(request, call_id, token)
    told = queued_call(call, View(reasons=0))
    picture = badge_svg(told["badge"], told["one_in"], lang, theme, held_out=call.held_out)
    # A screen of another site shows it as a picture; that is what the token is for.
    headers = {"Cross-Origin-Resource-Policy": "cross-origin"}
    return Response(picture, media_type="image/svg+xml", headers=headers)


@router.get(
    "/v1/calls/{call_id:path}/badge",
    summary="What a call's badge says now",
    response_model=BadgeDocument,
    responses=problem_responses(401, 404, 422, 503),
    openapi_extra=_BY_TOKEN,
)
@public
async def badge_now(request: Request, call_id: CallIdInPath, token: Token = None) -> Response:
    """Give what the element `<saring-badge>` shows, on any page; with a token of this call.

    It tells nothing else of the call. The words, shapes and colours are in the element, at /badge.js.
    """
    try:
        call, grant = await _badged_call(request, call_id, token)
    except (Problem, StoreError) as error:  # a page of another site is to see why, too
        answer = await problem_response(request, error)
    else:
        told = queued_call(call, View(reasons=0))
        document = {
            "at": rfc3339(now_us()),
            "state": told["band"] or "none",
            **{name: told[name] for name in ("prank_likelihood", "genuine_like", "one_in", "badge")},
            "token_expires_at": rfc3339(grant.until_us) if grant and grant.call_id == call.call_id else None,
        }
        answer = json_response(document)
    answer.headers.update(CROSS_ORIGIN_HEADERS)
    return answer


@router.post(
    "/v1/tokens",
    summary="A short-lived token for a picture or a stream",
    response_model=TokenDocument,
    openapi_extra=request_body(TokenFor, {"scope": "badge", "call_id": "112-20261101-0042"}),
    responses=problem_responses(413, 422),
)
@require_role(*WATCHERS)
async def tokens(request: Request) -> Response:
    """Issue a short-lived token: for the badge of one call, or for the stream.

    Whoever holds it may use it until it ends, and for nothing else; an access key never stands in an address. It ends
    earlier with the key, and with the session at the console in which it was asked for, and a stream with it.
    """
    asked, _ = await read_request(request, TokenFor)
    issuer: Tokens = request.app.state.tokens
    if asked.scope == "badge" and asked.call_id is None:
        raise Invalid("call_id: a badge is of one call", [("call_id", "the call whose badge is to be shown")])
    until_us = now_us() + int(TOKEN_S[asked.scope] * 1e6)
    badge = asked.scope == "badge" and asked.call_id
    call_id = await scorer_of(request).stored_call_id(badge) if badge else None
    token = issuer.issue(asked.scope, _grant_of(request)._replace(until_us=until_us, call_id=call_id))
    return json_response({"token": token, "expires_at": rfc3339(until_us)})


async def _badged_call(request: Request, call_id: str, token: str | None) -> tuple[Call, Grant | None]:
    """Return the call of a badge and what a token grants; a key or a token of this very call is needed."""
    grant = _granted(request, token, "badge")
    if request.scope["state"]["principal"] is None and (grant is None or grant.call_id != call_id):
        raise Unauthorized
    return shown_of(request, await scorer_of(request).intake.find_call(call_id)), grant


def _grant_of(request: Request) -> Grant:
    """Return the grant of whoever asks: good as long as the key, and the session, is live."""
    session: Session | None = request.scope["state"].get("session")
    return session.grant if session is not None else Grant(principal_of(request).key_id, 0)


def _granted(request: Request, token: str | None, scope: str) -> Grant | None:
    """Return the grant of a good token; None when it is not, or its key or session is no longer live."""
    tokens: Tokens = request.app.state.tokens
    sessions: Sessions = request.app.state.sessions
    grant = None if token is None else tokens.check(token, scope, now_us())
    live = grant is not None and (settings_of(request).insecure_local or sessions.holder(grant, now_us()) is not None)
    return grant if live else None


def _board_only(request: Request) -> None:
    if settings_of(request).mode != "board":
        raise Conflict("the PBX delivers the calls here; operators take them from the board in the mode `board`")


def _operator(request: Request, asked: Take) -> str:
    """Return whose call it is to be: the holder of the key, or whom an admin names."""
    return speaking_for(request, asked.operator) or principal_of(request).name
