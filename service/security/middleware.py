"""Check every request before a route sees it, and add security headers to every answer.

`SecurityMiddleware` wraps the whole application: it checks the host, authenticates the caller and adds headers to every
answer, errors too. Which role may call which route is in `service.security.route_access`.

What it does not protect against: who can read the traffic (that takes TLS), a holder of a key who gives it away, and
too many requests. What the server answers by itself, such as to a request that is no HTTP, never comes here.
"""

import logging
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model.errors import SaringError
from service.contract.problems import Forbidden, Malformed, Misdirected, Problem
from service.security.api_keys import ApiKeys, Principal, Role
from service.security.sessions import Session, strip_session_cookie
from service.timestamps import now_us

Header = tuple[bytes, bytes]
#: The headers of a request that are read here.
RelevantHeaders = dict[bytes, bytes]
LOCAL_ADMIN = Principal("local", "local", Role.ADMIN)
HEADERS: tuple[Header, ...] = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_SECURE: tuple[Header, ...] = (*HEADERS, (b"strict-transport-security", b"max-age=31536000"))
_TO_PAGES = b"access-control-allow-origin"
_PREFLIGHT: tuple[Header, ...] = (
    (b"access-control-allow-methods", b"GET, POST, PUT"),
    (b"access-control-allow-headers", b"authorization, content-type, last-event-id, saring-clock, x-request-id"),
    (b"access-control-max-age", b"600"),
)
#: A proxy says so that it stands between: whoever is behind it is not on this machine.
_PROXY_HEADERS = frozenset(
    (b"forwarded", b"via", b"x-real-ip", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto")
)
_READ = _PROXY_HEADERS | {
    *(b"host", b"origin", b"authorization", b"cookie", b"x-request-id", b"access-control-request-method"),
    *(b"sec-fetch-site", b"sec-fetch-mode"),
}
#: Stands for a header that came more than once, and is like no value that is taken.
_DUPLICATE = b"\0"
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_HOST = re.compile(
    rb"([a-z0-9_](?:[a-z0-9._-]{0,252}))(?::([0-9]{1,5}))?|\[([0-9a-f:.]{2,45})\](?::([0-9]{1,5}))?", re.I
)
_ORIGIN = re.compile(r"(https?)://([^/]+)")
#: Whoever looks whether the service lives may not know its name; they tell nothing else.
_UNDER_ANY_HOST = frozenset(("/healthz", "/readyz"))
#: So many refused hosts are logged, each once: anybody can send any.
_MAX_LOGGED_HOSTS = 50
log = logging.getLogger(__name__)


class SecurityMiddleware:
    """Pure ASGI middleware; the outermost, given to the server in the place of the application.

    Parameters
    ----------
    app : ASGI application
    keys : ApiKeys
    insecure_local : bool
        Everybody is an admin, without a key; so only who is on this machine is let in, and no page of another site.
    hosts : sequence of str
        Under which names the service answers: `name`, `name:port`, `[::1]:port`; without a port under all. `*` is any.
        With `insecure_local` they are not asked for: only names of loopback are taken.
    origins : sequence of str
        Sites whose pages may call, such as `https://board.example.org`.
    sessions : callable
        Gives the session of a header Cookie at a moment, or None. It counts without another key only, and only when
        the request comes from a page of this very host.

    Raises
    ------
    SaringError
        When a host or an origin is not written so.
    """

    def __init__(
        self,
        app: ASGIApp,
        keys: ApiKeys,
        *,
        insecure_local: bool,
        hosts: Sequence[str],
        origins: Sequence[str],
        sessions: Callable[[bytes, int], Session | None] = lambda _cookie, _now_us: None,
    ) -> None:
        self._app, self._keys, self._open = app, keys, insecure_local
        self._hosts = frozenset(_listed_host(text) for text in hosts if text != "*")
        self._any_host = "*" in hosts
        self._origins = frozenset(_listed_origin(text) for text in origins)
        self._sessions = sessions
        self._logged_hosts: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Admit a request or refuse it, and add the headers of every answer."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})  # nothing here speaks anything else
        seen: RelevantHeaders = {}
        for name, value in scope["headers"]:
            if name in _READ:
                seen[name] = _DUPLICATE if name in seen else value.strip(b" \t")  # h11 leaves blanks at its end
        scope.setdefault("state", {}).update(request_id=_request_id(seen.get(b"x-request-id", b"")), principal=None)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": self._response_headers(message.get("headers", ()), scope, seen)}
            await send(message)

        try:
            if scope["path"].removeprefix(scope.get("root_path", "")) not in _UNDER_ANY_HOST:
                self._check_host(scope, seen)
            self._authenticate(scope, seen)
            if scope["method"] == "OPTIONS" and b"origin" in seen and b"access-control-request-method" in seen:
                return await self._preflight(seen[b"origin"], send_with_headers)
        except Problem as problem:
            return await problem.response()(scope, receive, send_with_headers)
        return await self._app(scope, receive, send_with_headers)

    def _check_host(self, scope: Scope, seen: RelevantHeaders) -> None:
        """Refuse what is meant for another host; of an open service all but what comes from this machine itself."""
        # The cache of hosts stays small: no name is longer than 253, and what is cut off is too long in any case.
        host = _host(seen.get(b"host", b"")[:300], scope["scheme"])
        if host is None:
            raise Malformed("the header Host is missing or no name of a host, expected one such as saring.example.org")
        name, port = host
        if not self._open:
            if not (self._any_host or (name, None) in self._hosts or (name, port) in self._hosts):
                self._log_refused(seen[b"host"], "if it is a name of this service, list it in SARING_HOSTS")
                raise Misdirected("this service does not answer for that Host, expected one that SARING_HOSTS lists")
            return
        if not (name == "localhost" or _loopback(name)):
            self._log_refused(seen[b"host"], "without --insecure-local, SARING_HOSTS lists the names of the service")
            raise Misdirected("this service is open to this machine alone, expected a Host such as localhost")
        if not (scope.get("client") and _loopback(scope["client"][0])):
            raise Forbidden("this service is open to this machine alone, and this request came from another one")
        if not _PROXY_HEADERS.isdisjoint(seen):
            raise Forbidden("this service is open to this machine alone, and this request came through a proxy")
        if self._is_cross_site(scope, seen):
            raise Forbidden("this service is open to this machine alone, and a page of another site sent this request")

    def _log_refused(self, host: bytes, advice: str) -> None:
        """Log a Host that is refused, the first time."""
        name = host.decode().lower()
        if name not in self._logged_hosts and len(self._logged_hosts) < _MAX_LOGGED_HOSTS:
            self._logged_hosts.add(name)
            log.warning("requests for this Host are refused; %s", advice, extra={"host": name})

    def _authenticate(self, scope: Scope, seen: RelevantHeaders) -> None:
        """Put the principal into the scope, and take the key out: nothing further in, such as a trace, sees one."""
        if b"authorization" in seen:
            scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"authorization"]
        if self._open:
            scope["state"]["principal"] = LOCAL_ADMIN
        elif b"cookie" in seen and b"authorization" not in seen:
            self._restore_session(scope, seen[b"cookie"])
        else:
            scope["state"]["principal"] = self._keys.authenticate(seen.get(b"authorization"), now_us())

    def _restore_session(self, scope: Scope, cookie: bytes) -> None:
        """Take the session of a cookie; a request from a page of another site has none, whatever the browser adds."""
        if is_same_origin(scope):
            session = self._sessions(cookie, now_us())
            if session is not None:
                scope["state"] |= {"session": session, "principal": session.principal}
        others = [pair for pair in scope["headers"] if pair[0] != b"cookie"]
        scope["headers"] = [*others, (b"cookie", strip_session_cookie(cookie))]

    def _response_headers(self, own: Iterable[Header], scope: Scope, seen: RelevantHeaders) -> list[Header]:
        """Return the headers of an answer: its own, and what every answer carries."""
        headers = list(own)
        names = {name for name, _ in headers}
        headers += [pair for pair in (_SECURE if scope["scheme"] == "https" else HEADERS) if pair[0] not in names]
        headers.append((b"x-request-id", scope["state"]["request_id"].encode()))
        if self._origins:
            headers.append((b"vary", b"origin"))
            origin = seen.get(b"origin")
            if origin in self._origins:
                headers.append((b"access-control-expose-headers", b"x-request-id"))
                # Twice, it would let in no page: what says by itself that any page may read it is left as it is.
                if _TO_PAGES not in names:
                    headers.append((_TO_PAGES, origin))
        return headers

    def _is_cross_site(self, scope: Scope, seen: RelevantHeaders) -> bool:
        """Whether a page of another site sent it; following a link from there is no harm."""
        origin = seen.get(b"origin")
        if origin is not None:
            own = origin.startswith(scope["scheme"].encode() + b"://") and _is_of_host(origin, seen[b"host"])
            return not own and origin not in self._origins
        follows = scope["method"] == "GET" and seen.get(b"sec-fetch-mode") == b"navigate"
        return seen.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin") and not follows

    async def _preflight(self, origin: bytes, send: Send) -> None:
        if origin not in self._origins:
            raise Forbidden("pages of that origin may not call, expected one that the settings list")
        await send({"type": "http.response.start", "status": 204, "headers": list(_PREFLIGHT)})
        await send({"type": "http.response.body", "body": b""})


def is_same_origin(scope: Scope) -> bool:
    """Whether a request that a browser sends comes from a page of the host that it is sent to, or from no page.

    Behind a proxy that ends TLS the scheme of the two may differ; a port that is the origin's own by its scheme may be
    named or not. What changes something must say where it is from.
    """
    told = {name: value for name, value in scope["headers"] if name in _READ}
    origin, site = told.get(b"origin"), told.get(b"sec-fetch-site")
    if origin is not None:
        return _is_of_host(origin, told.get(b"host", b""))
    if scope["method"] not in ("GET", "HEAD"):
        return site == b"same-origin"
    return site in (None, b"none", b"same-origin") or told.get(b"sec-fetch-mode") == b"navigate"


def _is_of_host(origin: bytes, host: bytes) -> bool:
    """Whether an origin is that of a header Host."""
    scheme, _, place = origin.partition(b"://")
    if scheme not in (b"http", b"https"):
        return False
    own = _host(place[:300], scheme.decode())
    return own is not None and own == _host(host[:300], scheme.decode())


def _request_id(given: bytes) -> str:
    return given.decode() if given and _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


@lru_cache(1_024)
def _host(value: bytes, scheme: str) -> tuple[str, int] | None:
    """Split a Host into name and port; the name in small letters, an address of IPv6 in its short form."""
    match = _HOST.fullmatch(value)
    if match is None:
        return None
    name, port, address, its_port = match.groups()
    given = port or its_port
    number = int(given) if given else 443 if scheme == "https" else 80
    if number > 65_535:
        return None
    if name is not None:
        return name.decode().lower(), number
    try:
        return str(IPv6Address(address.decode())), number
    except ValueError:
        return None


@lru_cache(1_024)
def _loopback(text: str) -> bool:
    """Whether an address is of this machine; an address of IPv4 may be written as one of IPv6."""
    try:
        address: IPv4Address | IPv6Address = ip_address(text)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _listed_host(text: str) -> tuple[str, int | None]:
    host = _host(text.encode(), "http")
    if host is None:
        raise SaringError(f"hosts: {text!r}, expected a name or an address like saring.example.org, [::1] or name:8112")
    return host if re.search(r":\d+$", text) else (host[0], None)


def _listed_origin(text: str) -> bytes:
    match = _ORIGIN.fullmatch(text)
    if match is None or _host(match[2].encode(), match[1]) is None:
        raise SaringError(f"origins: {text!r}, expected a scheme and a host, like https://board.example.org")
    port = ":443" if match[1] == "https" else ":80"
    return text.lower().removesuffix(port).encode()  # no browser names it


#: Anybody's page may load what anybody may read; nothing is sent along with it.
CROSS_ORIGIN_HEADERS = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
