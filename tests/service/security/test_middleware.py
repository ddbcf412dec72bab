"""The middleware around a small application, asked over real connections of the service's own server."""

import asyncio
import json
import logging
import re
import socket
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from starlette.responses import Response
from starlette.types import ASGIApp

from model.errors import SaringError
from service.contract.problems import Problem
from service.http.problem_responses import problem_response
from service.security.api_keys import ApiKeys, Role
from service.security.key_store import create_key, read_key_rows, revoke_key
from service.security.middleware import SecurityMiddleware
from service.security.route_access import RoleRoute, public, require_role
from service.store.database import connect
from tests.support.small_service import running

NOW = datetime.now(UTC)
SITE = "https://board.example.org"
HOSTS = ["127.0.0.1", "saring.example.org", "[2001:db8::1]", "narrow.example.org:8443"]
API_POLICY = "default-src 'none'; frame-ancestors 'none'"


def small_app() -> FastAPI:
    """One route a role, one for everybody, one that names nobody, and some that go wrong."""
    router = APIRouter(route_class=RoleRoute)

    @router.get("/public")
    @public
    async def everybody(request: Request) -> dict:
        principal = request.state.principal
        return {
            "name": principal and principal.name,
            "role": principal and principal.role,
            "request_id": request.state.request_id,
            "authorization": request.headers.get("authorization"),
        }

    for role in Role:

        @router.get(f"/{role}", name=role)
        @require_role(role)
        async def one(request: Request) -> dict:
            return {"key_id": request.state.principal.key_id}

    @router.post("/body/{name:path}")
    @require_role(Role.INTAKE, Role.OPERATOR)
    async def body(request: Request, name: str) -> dict:
        return {"bytes": len(await request.body()), "name": name}

    @router.get("/nobody")
    async def nobody() -> dict:
        return {}

    @router.get("/page")
    @public
    async def page() -> Response:
        own = {"Content-Security-Policy": "default-src 'self'", "CACHE-CONTROL": "max-age=60"}
        return Response("<p>page", media_type="text/html", headers=own)

    @router.get("/broken")
    @public
    async def broken() -> dict:
        raise RuntimeError("broken")

    app = FastAPI(docs_url=None, redoc_url=None)
    app.include_router(router, prefix="/v1")
    for error in (Problem, Exception):
        app.add_exception_handler(error, problem_response)
    return app


def secured(keys: ApiKeys | None = None, app: ASGIApp | None = None, **options) -> SecurityMiddleware:
    chosen = {"insecure_local": False, "hosts": [], "origins": []} | options
    return SecurityMiddleware(app or small_app(), keys or ApiKeys(), **chosen)


class Service(NamedTuple):
    client: httpx.Client
    keys: dict[str, str]


@pytest.fixture(scope="module")
def service(tmp_path_factory) -> Iterator[Service]:
    engine = connect(f"sqlite:///{tmp_path_factory.mktemp('guard') / 'saring.db'}")
    made = {role.value: create_key(engine, role.value, role, NOW) for role in Role}
    made["revoked"] = create_key(engine, "revoked", "admin", NOW)
    revoke_key(engine, made["revoked"].split("_")[1], NOW)
    made["expired"] = create_key(engine, "expired", "admin", NOW - timedelta(hours=1), NOW - timedelta(seconds=1))
    made["unknown"] = "saring_0123456789_" + "a" * 43
    made["wrong"] = made["admin"][:18] + "a" * 43
    held = ApiKeys(read_key_rows(engine))
    engine.dispose()
    with running(secured(held, hosts=HOSTS, origins=[SITE])) as client:
        yield Service(client, made)


@pytest.fixture(scope="module")
def local() -> Iterator[httpx.Client]:
    with running(secured(insecure_local=True)) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def raw(client: httpx.Client, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send these very bytes, read until the server closes; give status, headers and body of the first answer."""
    with socket.create_connection(("127.0.0.1", client.base_url.port), timeout=20) as connection:
        connection.sendall(request)
        answered = b""
        while more := connection.recv(65_536):
            answered += more
    head, _, body = answered.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers: dict[str, str] = {}
    for name, value in (line.split(": ", 1) for line in lines):
        assert name.lower() not in headers, f"{name} came twice"
        headers[name.lower()] = value
    return int(status.split()[1]), headers, body


def get(path: str, *lines: bytes, host: bytes = b"127.0.0.1") -> bytes:
    all_lines = [b"GET " + path.encode() + b" HTTP/1.1", b"Host: " + host, *lines, b"Connection: close", b"", b""]
    return b"\r\n".join(all_lines)


# Who may call


def test_each_role_opens_its_own_and_an_admin_everything(service):
    for holder in Role:
        for route in Role:
            answered = service.client.get(f"/v1/{route}", headers=bearer(service.keys[holder]))
            expected = 200 if holder in (route, Role.ADMIN) else 403
            assert answered.status_code == expected, (holder, route)
            if expected == 200:
                assert answered.json() == {"key_id": service.keys[holder].split("_")[1]}
            else:
                wanted = "admin" if route is Role.ADMIN else f"{route} or admin"
                assert answered.json()["detail"] == f"this key has the role {holder}, expected {wanted}"
    for holder, expected in (("intake", 200), ("operator", 200), ("scientist", 403), ("admin", 200)):
        answered = service.client.post("/v1/body/a/b", content=b"1234", headers=bearer(service.keys[holder]))
        assert answered.status_code == expected
    assert answered.json() == {"bytes": 4, "name": "a/b"}


def test_a_route_that_names_nobody_is_closed_to_everybody(service):
    for headers in ({}, *(bearer(key) for key in service.keys.values())):
        answered = service.client.get("/v1/nobody", headers=headers)
        assert answered.status_code == 403
        assert answered.headers["content-type"] == "application/problem+json"


def test_a_public_route_is_open_and_knows_who_calls(service):
    assert service.client.get("/v1/public").json()["name"] is None
    known = service.client.get("/v1/public", headers=bearer(service.keys["scientist"])).json()
    assert (known["name"], known["role"]) == ("scientist", "scientist")
    assert service.client.get("/v1/public", headers=bearer(service.keys["revoked"])).json()["name"] is None


def test_every_key_that_opens_nothing_is_answered_alike(service):
    answers = []
    for name in ("revoked", "expired", "unknown", "wrong", None):
        headers = {"X-Request-ID": "same"} | (bearer(service.keys[name]) if name else {})
        answered = service.client.get("/v1/admin", headers=headers)
        told = {key: value for key, value in answered.headers.items() if key != "date"}
        answers.append((answered.status_code, told, answered.content))
    assert answers[0][0] == 401
    assert answers[0][1]["www-authenticate"] == "Bearer"
    assert json.loads(answers[0][2])["status"] == 401
    assert all(answered == answers[0] for answered in answers)


def test_a_method_that_is_not_there_is_told_to_who_may_call(service):
    assert service.client.delete("/v1/intake").status_code == 401
    assert service.client.delete("/v1/intake", headers=bearer(service.keys["operator"])).status_code == 403
    assert service.client.delete("/v1/intake", headers=bearer(service.keys["intake"])).status_code == 405
    assert service.client.get("/v1/neverwhere").status_code == 404


def test_a_route_without_the_guard_around_it_is_closed():
    with running(small_app()) as client:
        assert client.get("/v1/admin", headers=bearer("saring_0123456789_" + "a" * 43)).status_code == 401
        assert client.get("/v1/nobody").status_code == 403


AUTHORIZATIONS = [
    (lambda key: [b"Authorization: Bearer " + key], 200),
    (lambda key: [b"AUTHORIZATION:\t BEARER " + key + b"  "], 200),  # blanks around a value are no part of it
    (lambda key: [b"Authorization: Bearer " + key] * 2, 401),
    (lambda key: [b"Authorization: Bearer " + key] * 500, 401),
    (lambda key: [b"Authorization: Bearer " + key, b"Authorization: Basic YTpi"], 401),
    (lambda key: [b"Authorization: ", b"Authorization: Bearer " + key], 401),
    (lambda key: [b"Authorization: Bearer \xff\xfe" + key], 401),
    (lambda key: [b"Authorization: Bearer " + key * 900], 401),
    (lambda key: [b"X-Authorization: Bearer " + key, b"X-Api-Key: " + key], 401),
    (lambda key: [b"Cookie: Authorization=Bearer " + key], 401),
]


@pytest.mark.parametrize(("lines", "expected"), AUTHORIZATIONS)
def test_only_one_header_with_exactly_a_key_opens(service, lines, expected):
    key = service.keys["admin"].encode()
    status, headers, body = raw(service.client, get("/v1/admin", *lines(key)))
    assert status == expected
    assert headers["x-content-type-options"] == "nosniff"
    assert key not in body


def test_a_key_in_the_address_opens_nothing(service):
    key = service.keys["admin"]
    for path in (
        f"/v1/admin?access_token={key}",
        f"/v1/admin?authorization=Bearer%20{key}&key={key}&token={key}",
        "/v1//admin",
        "//v1/admin",
    ):
        assert raw(service.client, get(path))[0] in (401, 404)


def test_a_key_goes_no_further_and_is_not_logged(service, caplog):
    caplog.set_level(logging.DEBUG)
    for name in ("admin", "unknown", "revoked"):
        answered = service.client.get("/v1/public", headers=bearer(service.keys[name]))
        assert answered.json()["authorization"] is None
        service.client.get("/v1/admin", headers=bearer(service.keys[name]))
        raw(service.client, get("/v1/broken", b"Authorization: Bearer " + service.keys[name].encode()))
    assert "RuntimeError: broken" in caplog.text
    assert not any(key.split("_", 2)[2] in caplog.text for key in service.keys.values())


# The host


def host_lines(*hosts: bytes) -> bytes:
    lines = [b"GET /v1/public HTTP/1.1", *(b"Host: " + host for host in hosts), b"Connection: close", b"", b""]
    return b"\r\n".join(lines)


TAKEN = [b"saring.example.org", b"saring.example.org\t", b"SARING.example.ORG:1", b"127.0.0.1:8112",
         b"[2001:db8::1]", b"[2001:DB8:0::1]:65535", b"narrow.example.org:8443"]  # fmt: skip
ELSEWHERE = [b"evil", b"evil.example.org", b"saring.example.org.evil.org", b"saring.example.org.", b"localhost", b"0",
             b"127.1", b"[::1]", b"narrow.example.org", b"narrow.example.org:8444", b"[2001:db8::2]"]  # fmt: skip
NO_HOST = [b"", b"*", b"a b", b"saring.example.org:", b"saring.example.org:65536", b"saring.example.org:x", b"[::1",
           b"saring.example.org:-1", b"[::1]x", b"[zz::1]", b"[fe80::1%25eth0]", b"2001:db8::1",
           b"user@saring.example.org", b"saring.example.org/path", b"saring.example.org#", b"saring.example.org, evil",
           b"s\xc3\xa4ring.example.org", b"http://saring.example.org", b".", b"-a", b"a" * 300,
           b"a" * 60_000, b"<script>"]  # fmt: skip


@pytest.mark.parametrize(
    ("host", "expected"), [(h, 200) for h in TAKEN] + [(h, 421) for h in ELSEWHERE] + [(h, 400) for h in NO_HOST]
)
def test_only_the_listed_hosts_are_answered_for(service, host, expected):
    status, headers, body = raw(service.client, host_lines(host))
    assert status == expected
    if status != 200:
        assert headers["content-type"] == "application/problem+json"
        assert headers["content-security-policy"] == API_POLICY
        assert json.loads(body)["status"] == expected
        assert b"evil" not in body
        assert len(body) < 300


def test_hosts_of_a_megabyte_are_not_kept():
    async def nowhere(*_: object) -> None: ...

    async def ask(guard: SecurityMiddleware, host: bytes) -> None:
        scope = {"type": "http", "method": "GET", "scheme": "http", "headers": [(b"host", host)]}
        await guard(scope, nowhere, nowhere)

    guard = secured(app=nowhere, hosts=["a"])
    asyncio.run(ask(guard, b"warm"))
    tracemalloc.start()
    try:
        for place in range(20):
            asyncio.run(ask(guard, b"%d" % place + b"a" * 1_000_000))
        assert tracemalloc.get_traced_memory()[0] < 2_000_000
    finally:
        tracemalloc.stop()


def test_no_host_and_two_hosts_are_none(service):
    assert raw(service.client, b"GET /v1/public HTTP/1.0\r\n\r\n")[0] == 400
    assert raw(service.client, host_lines())[0] == 400
    assert raw(service.client, host_lines(b"saring.example.org", b"saring.example.org"))[0] == 400
    assert raw(service.client, host_lines(b"saring.example.org", b"evil"))[0] == 400


def test_an_address_with_a_host_in_it_reaches_nothing(service):
    for target, host, expected in (
        (b"http://evil/v1/public", b"saring.example.org", 404),
        (b"http://saring.example.org/v1/public", b"evil", 421),
        (b"http://user:pass@evil/v1/admin", b"saring.example.org", 404),
    ):
        asked = b"GET " + target + b" HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n"
        status, headers, body = raw(service.client, asked)
        assert status == expected
        assert b"evil" not in body
        assert "evil" not in str(headers)


def test_a_host_without_a_port_has_that_of_its_scheme():
    over_tls = b"X-Forwarded-Proto: https"  # from a proxy on this machine
    with running(secured(hosts=["a:80", "b:443"]), proxy_headers=True) as client:
        for host, lines, expected in (
            (b"a", [], 200),
            (b"a", [over_tls], 421),
            (b"b", [], 421),
            (b"b", [over_tls], 200),
        ):
            assert raw(client, get("/v1/public", *lines, host=host))[0] == expected


def test_any_host_is_taken_only_when_the_settings_say_so():
    with running(secured(hosts=["*"])) as client:
        assert raw(client, host_lines(b"evil"))[0] == 200
        assert raw(client, host_lines(b"a b"))[0] == 400
    with running(secured(hosts=[])) as client:
        assert raw(client, host_lines(b"127.0.0.1"))[0] == 421


@pytest.mark.parametrize("host", ["", "a b", "http://a", "a/", "::1", "*.example.org", "ä", "a:99999"])
def test_a_listed_host_that_is_none_is_told(host):
    with pytest.raises(SaringError, match=r"^hosts: .*expected"):
        secured(hosts=["a", host])


@pytest.mark.parametrize("origin", ["", "*", "null", "a", "https://a/", "https://a b", "ftp://a", "https://a/b", "//a"])
def test_a_listed_origin_that_is_none_is_told(origin):
    with pytest.raises(SaringError, match=r"^origins: .*expected"):
        secured(hosts=["a"], origins=[origin])


# What every answer carries


def test_every_answer_carries_the_same_protection(service):
    expected = {
        "content-security-policy": API_POLICY,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
        "cross-origin-resource-policy": "same-origin",
    }
    asked = [get(f"/v1/{path}") for path in ("public", "admin", "nobody", "broken", "neverwhere", "body/a")]
    asked += [get("/openapi.json"), get("/v1/public", host=b"x")]
    asked += [
        get("/v1/admin", b"Origin: " + SITE.encode(), b"Access-Control-Request-Method: GET").replace(
            b"GET", b"OPTIONS", 1
        )
    ]
    answers = [raw(service.client, request)[:2] for request in asked]
    assert [status for status, _ in answers] == [200, 401, 403, 500, 404, 401, 200, 421, 204]
    for _, headers in answers:
        assert expected.items() <= headers.items()
        assert "strict-transport-security" not in headers
        assert re.fullmatch("[0-9a-f]{16}", headers["x-request-id"])


def test_an_answer_may_say_its_own_policy(service):
    answered = service.client.get("/v1/page")
    assert answered.headers.get_list("content-security-policy") == ["default-src 'self'"]
    assert answered.headers.get_list("cache-control") == ["max-age=60"]
    assert answered.headers["x-content-type-options"] == "nosniff"


def test_only_an_answer_over_tls_binds_to_tls():
    with running(secured(hosts=["a"]), proxy_headers=True) as client:
        over_tls = raw(client, get("/v1/admin", b"X-Forwarded-Proto: https", host=b"a"))  # from a proxy on this machine
    assert over_tls[1]["strict-transport-security"] == "max-age=31536000"


@pytest.mark.parametrize("given", [b"a", b"call-1_2.3", b"A" * 64])
def test_a_request_id_is_taken_and_given_back(service, given):
    status, headers, body = raw(service.client, get("/v1/public", b"X-Request-ID: " + given))
    assert (status, headers["x-request-id"], json.loads(body)["request_id"]) == (200, given.decode(), given.decode())


@pytest.mark.parametrize(
    "lines",
    [[b"X-Request-ID: " + given] for given in (b"", b"A" * 65, b"a b", b"a,b", b"a/b", b"<a>", b"\xff", b"1" * 60_000)]
    + [[b"X-Request-ID: a", b"X-Request-ID: b"], []],
)
def test_an_odd_request_id_is_replaced_by_one_of_its_own(service, lines):
    found = set()
    for _ in range(2):
        status, headers, body = raw(service.client, get("/v1/public", *lines))
        assert status == 200
        assert re.fullmatch(r"[0-9a-f]{16}", headers["x-request-id"])
        assert json.loads(body)["request_id"] == headers["x-request-id"]
        found.add(headers["x-request-id"])
    assert len(found) == 2


# Pages of other sites


def test_a_listed_site_may_read_and_needs_no_key_for_a_preflight(service):
    asked = {"Origin": SITE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    preflight = service.client.options("/v1/body/a", headers=asked)
    assert (preflight.status_code, preflight.content) == (204, b"")
    assert preflight.headers["access-control-allow-origin"] == SITE
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    assert "POST" in preflight.headers["access-control-allow-methods"]
    for path, expected in (("/v1/public", 200), ("/v1/admin", 401)):
        answered = service.client.get(path, headers={"Origin": SITE})
        assert answered.status_code == expected
        assert answered.headers["access-control-allow-origin"] == SITE
        assert answered.headers["vary"] == "origin"
        assert "access-control-allow-credentials" not in answered.headers
    assert "access-control-allow-credentials" not in preflight.headers


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", SITE + ".evil.org", "http://board.example.org", SITE + ":8443", SITE + "/"],
)
def test_a_site_that_is_not_listed_may_neither_read_nor_send(service, origin):
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    preflight = service.client.options("/v1/public", headers=asked)
    assert preflight.status_code == 403
    assert preflight.headers["content-type"] == "application/problem+json"
    answered = service.client.get("/v1/public", headers={"Origin": origin})
    for headers in (preflight.headers, answered.headers):
        assert not [name for name in headers if name.startswith("access-control")]
        assert headers["vary"] == "origin"


def test_two_origins_are_none(service):
    lines = [b"Origin: " + SITE.encode()] * 2
    assert "access-control-allow-origin" not in raw(service.client, get("/v1/public", *lines))[1]


def test_a_websocket_is_closed():
    async def told(scope: dict) -> list[dict]:
        sent: list[dict] = []

        async def app(scope, receive, send) -> None:
            sent.append({"reached": scope["type"]})

        async def send(message: dict) -> None:
            sent.append(message)

        guard = secured(app=app, hosts=["*"])
        await guard(scope, None, send)
        return sent

    socket_of = {"type": "websocket", "headers": [(b"host", b"a")], "scheme": "ws", "path": "/v1/public"}
    assert asyncio.run(told(socket_of)) == [{"type": "websocket.close", "code": 1008}]
    assert asyncio.run(told({"type": "lifespan"})) == [{"reached": "lifespan"}]


# Without keys, for this machine alone


def test_an_open_service_lets_this_machine_do_everything(local):
    for path in ("/v1/admin", "/v1/intake", "/v1/public"):
        assert local.get(path).status_code == 200
    assert local.get("/v1/admin").json() == {"key_id": "local"}
    assert local.get("/v1/nobody").status_code == 403
    for host in (b"localhost", b"LOCALHOST:1", b"127.0.0.1", b"127.8.8.8:80", b"[::1]:8112", b"[0:0:0:0:0:0:0:1]"):
        assert raw(local, get("/v1/admin", host=host))[0] == 200, host
    own = {
        "Origin": f"http://127.0.0.1:{local.base_url.port}",
        "Sec-Fetch-Site": "same-origin",
        "Sec-Fetch-Mode": "cors",
    }
    assert local.post("/v1/body/a", headers=own, content=b"1").status_code == 200


@pytest.mark.parametrize(
    "host", [b"evil.example", b"localhost.evil.example", b"a.localhost", b"0.0.0.0", b"[::]", b"192.168.0.1", b"0x7f.1",
             b"2130706433", b"127.1", b"[::ffff:10.0.0.1]", b"localhost."]
)  # fmt: skip
def test_a_rebound_name_reaches_nothing_of_an_open_service(local, host):
    status, headers, _ = raw(local, get("/v1/admin", host=host))
    assert status == 421
    assert headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://localhost"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Forwarded-For": "10.0.0.1"},
        {"X-Forwarded-Host": "localhost"},
        {"X-Real-IP": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"Via": "1.1 proxy"},
    ],
)
def test_an_open_service_refuses_other_sites_and_proxies(local, headers):
    headers = {name: value.format(port=local.base_url.port) for name, value in headers.items()}
    for path in ("/v1/admin", "/v1/public"):
        answered = local.get(path, headers=headers)
        assert answered.status_code == 403
        assert answered.headers["content-type"] == "application/problem+json"
        assert "access-control-allow-origin" not in answered.headers
    assert local.post("/v1/body/a", headers=headers | {"Sec-Fetch-Mode": "navigate"}).status_code == 403


def test_an_open_service_takes_links_and_listed_sites(local):
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert local.get("/v1/public", headers=link).status_code == 200
    with running(secured(insecure_local=True, origins=["http://localhost:5173"])) as client:
        listed = {"Origin": "http://localhost:5173", "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}
        answered = client.get("/v1/admin", headers=listed)
        assert (answered.status_code, answered.headers["access-control-allow-origin"]) == (200, listed["Origin"])


def test_an_open_service_refuses_another_machine():
    """A proxy that the server trusts says that the peer is another machine; nothing else says so in between."""

    async def seen_from(address: str | None, scope, receive, send) -> None:
        await guard(scope | {"client": address and (address, 1)}, receive, send)

    guard = secured(insecure_local=True)
    for address, expected in (("10.0.0.1", 403), ("::ffff:10.0.0.1", 403), ("2001:db8::1", 403), ("evil", 403),
                              (None, 403), ("::1", 200), ("::ffff:127.0.0.1", 200), ("127.0.0.9", 200)):  # fmt: skip
        with running(partial(seen_from, address), lifespan="off", interface="asgi3") as client:
            assert raw(client, get("/v1/admin"))[0] == expected, address


# What a route says of itself


def test_saying_twice_or_nothing_of_who_may_call_is_a_mistake():
    async def endpoint() -> None: ...

    with pytest.raises(ValueError, match="names nobody"):
        require_role()
    require_role(Role.INTAKE)(endpoint)
    with pytest.raises(ValueError, match="says twice"):
        public(endpoint)
