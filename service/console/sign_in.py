"""Signing in and out, and the choice of a language."""

from datetime import UTC, datetime
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from starlette.responses import Response

from model.errors import StoreError
from service.console.catalogues.catalogue import COOKIE, LANGUAGES, words_of
from service.console.page import SIGN_IN, PageRoute, home_of, now_us, page, root_of, see_other
from service.contract.problems import Problem
from service.http.dependencies import read_body, scorer_of
from service.queue.operations import record_decision
from service.security.api_keys import Role
from service.security.middleware import is_same_origin
from service.security.route_access import public, require_role
from service.security.sessions import COOKIES, SESSION_S, Session, Sessions
from service.store.records import Source

#: A form of ours holds a key and an address.
FORM_LIMIT = 4_096
YEAR_S = 365 * 86_400
router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/")
@public
async def root(request: Request) -> Response:
    """Lead whoever opens the service's bare address to the console."""
    return see_other(request, SIGN_IN)


@router.get(SIGN_IN)
@public
async def sign_in_page(request: Request) -> Response:
    """Ask for an access key."""
    if request.scope["state"]["principal"] is not None:
        return see_other(request, home_of(request.scope["state"]["principal"]))
    return page(request, "sign_in.html", to=inside(request.query_params.get("to")), fault=None)


@router.post(SIGN_IN)
@public
async def sign_in(request: Request) -> Response:
    """Begin a session of whoever holds the key; only pages of this host may ask."""
    form = await form_of(request)
    to, sessions = inside(form.get("to")), sessions_of(request)
    begun = sessions.begin(form.get("key", "").strip(), now_us()) if is_same_origin(request.scope) else None
    if begun is None or begun[0].role is Role.INTAKE:
        return page(request, "sign_in.html", 403, to=to, fault=_fault(request, begun is not None))
    answer = see_other(request, home_of(begun[0]) if to == "/console" else to)
    # Behind a proxy that ends TLS, only the browser knows that there is any.
    secure = request.headers.get("origin", "").startswith("https://") or request.url.scheme == "https"
    root = root_of(request)
    name = COOKIES[1 if root else 0] if secure else COOKIES[2]
    answer.set_cookie(name, begun[1], int(SESSION_S), path=root or "/", httponly=True, samesite="strict", secure=secure)
    return answer


def _fault(request: Request, known: bool) -> str:
    """Return why nobody is signed in: of where the request came from, before anything is said of the key."""
    say, host = words_of(request), request.headers.get("host", "")
    if not is_same_origin(request.scope):
        origin = request.headers.get("origin")
        return say("sign_in.elsewhere", origin=origin, host=host) if origin else say("sign_in.nowhere")
    return say("sign_in.role" if known else "sign_in.unknown")


@router.post("/console/sign-out")
@require_role(Role.OPERATOR, Role.SCIENTIST)
async def sign_out(request: Request) -> Response:
    """End the session for good, in every process: a copy of its cookie opens nothing any more."""
    session: Session | None = request.scope["state"].get("session")
    if session is not None:
        await ended(request, session)
    answer = see_other(request, SIGN_IN)
    for name in COOKIES:
        path = "/" if name.startswith("__Host-") else root_of(request) or "/"
        answer.delete_cookie(name, path, httponly=True, samesite="strict", secure=name.startswith("__"))
    return answer


@router.post("/console/language")
@public
async def language(request: Request) -> Response:
    """Store the language that was chosen on a page, and go back there."""
    form = await form_of(request)
    answer = see_other(request, inside(form.get("to")))
    if form.get("language") in LANGUAGES:
        answer.set_cookie(COOKIE, form["language"], YEAR_S, path=root_of(request) or "/", httponly=True, samesite="lax")
    return answer


async def ended(request: Request, session: Session) -> None:
    """Note that a session is over: here at once, and among the decisions, from where other processes know it.

    What the operator has taken waits again.
    """
    intake, who = scorer_of(request).intake, session.principal.name
    intake.operations.signed_out.add(session.name)
    body = {"session": session.name}
    try:
        await intake.lifecycle.release_calls_of(who, "signed out", datetime.now(UTC), told_by=Source(who))
        await intake.store.in_thread(lambda connection: record_decision(connection, who, "sign-out", body, now_us()))
    except StoreError:
        return  # this process knows, the browser forgets it, and the lease of what was taken ends


async def form_of(request: Request) -> dict[str, str]:
    """Read a form; a field that comes twice or is not text counts as not given."""
    try:
        fields = parse_qs((await read_body(request, FORM_LIMIT)).decode(), max_num_fields=10)
    except (Problem, ValueError):
        return {}
    return {name: values[0] for name, values in fields.items() if len(values) == 1}


def inside(path: str | None) -> str:
    r"""Return a page of the console: the one that was named, else the board.

    Examples
    --------
    >>> inside("/console/shift"), inside("//elsewhere.example"), inside("/console\\@elsewhere"), inside(None)
    ('/console/shift', '/console', '/console', '/console')
    """
    plain = path is not None and path.startswith(("/console/", "/console?")) and path.isprintable()
    return path if path is not None and plain and "\\" not in path and "//" not in path else "/console"


def sessions_of(request: Request) -> Sessions:
    """Return the sessions of the application."""
    sessions: Sessions = request.app.state.sessions
    return sessions
