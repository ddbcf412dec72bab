"""What the console's pages have in common: who is let in, the frame around each, its words, and what it may load."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from model.calls.columns import CATEGORIES
from model.policy.likeness import badge_of
from service.console.assets import BASE
from service.console.catalogues.catalogue import LANGUAGES, words_of
from service.contract.problems import Problem, Unauthorized
from service.http.dependencies import principal_of, scorer_of, settings_of
from service.queue.badge import LOOKS, detail_text
from service.security.api_keys import Principal, Role
from service.security.route_access import RoleRoute, check_role
from service.timestamps import EPOCH

if TYPE_CHECKING:
    from model.language.catalogue import Catalogue

SIGN_IN = "/console/sign-in"
#: The pages in the order of the navigation: address, its name in the catalogues, and who sees it besides an admin.
NAVIGATION: tuple[tuple[str, str, Role], ...] = (
    ("/console", "nav.board", Role.OPERATOR),
    ("/console/shift", "nav.shift", Role.OPERATOR),
    ("/console/supervisor", "nav.supervisor", Role.SCIENTIST),
)
#: How an operator closes a call: one key each, the most frequent within reach of one hand.
DISPOSITIONS = (
    ("1", "genuine"),
    ("2", "prank"),
    ("3", "silent"),
    ("4", "accidental"),
    ("5", "wrong_number"),
    ("6", "information"),
    ("7", "abusive"),
    ("8", "duplicate"),
    ("9", "test"),
    ("0", "abandoned"),
)
CATEGORY_KEYS = tuple((str(place), name) for place, name in enumerate(CATEGORIES, 1))
#: Nothing but our own modules, style sheet and answers; forms lead here; nobody frames a page.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    # A form that is sent without a referrer is sent without its origin, too, and that is what proves that it is ours.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_templates = Environment(
    loader=PackageLoader("service.console"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


class PageRoute(RoleRoute):
    """A page: whoever has not signed in is led to where that is done, and a refusal is a page, too."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or lead to the sign-in, or refuse."""
        problem = check_role(self.endpoint, scope)
        if problem is None:
            await super().handle(scope, receive, send)
            return
        request = Request(scope, receive)
        answer = redirect_to_sign_in(request) if isinstance(problem, Unauthorized) else refused(request, problem)
        await answer(scope, receive, send)


def redirect_to_sign_in(request: Request) -> Response:
    """Lead to the sign-in, and from there back to the page that was asked for."""
    back = path_of(request) if request.method == "GET" and path_of(request) != "/console" else ""
    return see_other(request, f"{SIGN_IN}?to={quote(back)}" if back else SIGN_IN)


def refused(request: Request, problem: Problem) -> Response:
    """Return a page that says what cannot be shown."""
    return page(request, "refused.html", problem.status.value, status=problem.status.value)


def see_other(request: Request, path: str) -> RedirectResponse:
    """Lead to another page, by GET."""
    return RedirectResponse(root_of(request) + path, 303, HEADERS)


def root_of(request: Request) -> str:
    """Return the path under which a proxy has the service, `/saring` or none: what every address begins with."""
    root: str = request.scope.get("root_path", "")
    return root


def path_of(request: Request) -> str:
    """Return the path of a page, without what a proxy has before it."""
    return request.url.path.removeprefix(root_of(request))


def home_of(principal: Principal | None) -> str:
    """Return the page that whoever has signed in begins with: the first of the navigation."""
    return "/console/supervisor" if principal is not None and principal.role is Role.SCIENTIST else "/console"


def page(request: Request, template: str, status_code: int = 200, **values: Any) -> Response:
    """Render a page.

    Parameters
    ----------
    request : Request
    template : str
        Its file in `templates/`.
    status_code : int
    **values
        What the template names. Each has, besides, `t` (the words), `local` (a time in the centre's time zone),
        `badge_of` (the state of a call's badge), `detail` (what stands below its word), `root` (what addresses begin
        with), `static` (where the modules are), `path` and `home` (without `root`), `operator`, `navigation`,
        `local_only`.
    """
    words, principal = words_of(request), request.scope["state"].get("principal")
    shown = [(path, name) for path, name, role in NAVIGATION if principal and principal.role in (role, Role.ADMIN)]
    html = _templates.get_template(template).render(
        t=words,
        language=words.language,
        languages=LANGUAGES,
        root=root_of(request),
        static=root_of(request) + BASE,
        path=path_of(request),
        home=home_of(principal),
        operator=principal,
        navigation=shown,
        local_only=settings_of(request).insecure_local,
        local=lambda time_us, form="%H:%M:%S": local_time(request, time_us).strftime(form),
        badge_of=badge_of,
        detail=lambda one_in, held_out: detail_text(one_in, held_out, words.language),
        **values,
    )
    return Response(html, status_code, HEADERS | {"Content-Language": words.language}, "text/html; charset=utf-8")


def local_time(request: Request, time_us: int) -> datetime:
    """Return a time in the centre's time zone, which the release knows."""
    zone = ZoneInfo(scorer_of(request).intake.release.time_zone)
    return (EPOCH + timedelta(microseconds=time_us)).astimezone(zone)


def now_us() -> int:
    """Return now, in microseconds since 1970."""
    return (datetime.now(UTC) - EPOCH) // timedelta(microseconds=1)


def closing_data(request: Request) -> dict[str, Any]:
    """Return what a page needs in which calls are closed."""
    return {"operator": principal_of(request).name, "dispositions": DISPOSITIONS, "categories": CATEGORY_KEYS}


def looks(words: "Catalogue") -> dict[str, dict[str, str]]:
    """Return the shape and the word of each state of the badge."""
    return {name: {"shape": look.shape, "word": look.words[words.language]} for name, look in LOOKS.items()}


def data_for(words: "Catalogue", *beginnings: str, **values: Any) -> dict[str, Any]:
    """Return what a page hands to its modules, as the template writes it: values, language, and words by beginning."""
    return {"language": words.language, "words": words.under(*beginnings), **values}
