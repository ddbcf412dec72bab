"""Who may do what: every route, asked by nobody and by a key of each role; and what a token opens instead."""

from datetime import UTC, datetime, timedelta

import pytest
from fastapi.routing import iter_route_contexts

from service.security.api_keys import Role
from service.security.key_store import create_key, revoke_key
from service.security.route_access import RoleRoute
from service.security.tokens import Grant, Tokens
from service.timestamps import microseconds
from tests.support.keyed_service import NOBODY, WHOEVER, Keyed
from tests.support.processes import until

CALL = {"call_id": "a", "received_at": "2026-01-31T08:15:00+07:00"}
EVERYBODY = {"intake", "operator", "scientist"}
#: Who may, besides an admin, who may everything; None: nobody is asked for a key.
MAY: dict[str, set[str] | None] = {
    "POST /v1/score": {"intake"},
    "POST /v1/score/batch": {"intake"},
    "POST /v1/calls/{call_id}/answered": {"intake", "operator"},
    "POST /v1/calls/{call_id}/ended": {"intake", "operator"},
    "POST /v1/calls/{call_id}/disposition": {"intake", "operator"},
    "POST /v1/calls/{call_id}/take": {"operator"},
    "POST /v1/calls/{call_id}/release": {"operator"},
    "POST /v1/calls/{call_id}/reopen": {"intake", "operator"},
    "GET /v1/calls/{call_id}": {"operator", "scientist"},
    "GET /v1/calls/{call_id}/badge.svg": EVERYBODY,
    "GET /v1/calls/{call_id}/badge": EVERYBODY,
    "GET /v1/queue": {"intake", "operator"},
    "GET /v1/queue/stream": {"intake", "operator"},
    "POST /v1/tokens": {"intake", "operator"},
    "POST /v1/callers/lookup": {"operator"},
    "POST /v1/callers/erase": set(),
    "GET /v1/operations": EVERYBODY,
    "PUT /v1/operations": {"intake", "operator"},
    "GET /v1/model": {"scientist"},
    "GET /metrics": {"scientist"},
    "GET /healthz": None,
    "GET /readyz": None,
    "GET /openapi.json": EVERYBODY,
    "GET /badge.js": None,
    "GET /console/static/{digest}/{name}": None,
    "GET /console/badge": None,
    "GET /": None,
    "GET /console/sign-in": None,
    "POST /console/sign-in": None,
    "POST /console/language": None,
    "GET /console/mine": {"operator"},
}
BADGES = ("/v1/calls/{call_id}/badge.svg", "/v1/calls/{call_id}/badge")
#: The same for pages: who has not signed in is led to where that is done, and a refusal is a page.
PAGES: dict[str, set[str]] = {
    "GET /console": {"operator"},
    "GET /console/shift": {"operator"},
    "GET /console/calls/{call_id}": {"operator", "scientist"},
    "GET /console/supervisor": {"scientist"},
    "POST /console/sign-out": {"operator", "scientist"},
}


@pytest.fixture(scope="module", autouse=True)
def _two_calls(service: Keyed) -> None:
    for call_id in ("a", "b"):
        service.ring(call_id)


def status(service: Keyed, who: str, route: str, **more) -> int:
    """Ask with a body that says nothing, and look no further than the status: a stream does not end."""
    method, path = route.replace("{call_id}", "a").split(" ")
    headers = service.by(who) | more.pop("headers", {})
    with service.client.stream(method, path, headers=headers, **more) as answered:
        if answered.status_code >= 400 and not path.startswith("/console/sign-in"):
            assert answered.headers["content-type"] == "application/problem+json"
            assert {"type", "title", "status", "detail"} <= set(answered.read() and answered.json())
        return answered.status_code


def test_every_route_names_who_may_call_it_and_stands_in_the_table(service):
    routes = list(iter_route_contexts(service.app.routes))
    assert all(route.methods and isinstance(route.original_route, RoleRoute) for route in routes)
    named = {f"{method} {route.path_format}" for route in routes for method in route.methods - {"HEAD"}}
    assert named == {*MAY, *PAGES}


@pytest.mark.parametrize("who", WHOEVER)
@pytest.mark.parametrize("route", MAY)
def test_nobody_but_whom_the_table_names_is_let_in(service, route, who):
    allowed = MAY[route]
    answered = status(service, who, route)
    if allowed is None or who == Role.ADMIN or who in allowed:
        assert answered != 401
        assert answered != 403 or route == "POST /console/sign-in"  # without a key in the form nobody is signed in
        assert answered < 500
    else:
        assert answered == (401 if who == NOBODY else 403)


@pytest.mark.parametrize("who", WHOEVER)
@pytest.mark.parametrize("route", PAGES)
def test_a_page_leads_to_the_sign_in_or_refuses_the_role(service, route, who):
    method, path = route.replace("{call_id}", "a").split(" ")
    answered = service.ask(who, method, path)
    if who == NOBODY:
        assert answered.status_code == 303
        assert answered.headers["location"].startswith("/console/sign-in")
    elif who == Role.ADMIN or who in PAGES[route]:
        assert answered.status_code in (200, 303)
        assert not answered.headers.get("location", "/console/sign-in").startswith("/console?")
    else:
        assert answered.status_code == 403
        assert answered.headers["content-type"] == "text/html; charset=utf-8"


def test_the_document_names_the_roles_of_the_table(service):
    paths = service.ask("admin", "GET", "/openapi.json").json()["paths"]
    for route, allowed in MAY.items():
        method, path = route.lower().split(" ")
        if allowed is None:
            assert path not in paths or paths[path][method]["security"] == []
        elif path not in ("/v1/queue/stream", *BADGES, "/console/mine", "/openapi.json"):
            roles = " or ".join(role for role in Role if role in {*allowed, "admin"})
            responses = paths[path][method]["responses"]
            assert responses["403"]["description"] == f"Not with this role; expected {roles}", route
            assert set(responses["401"]["headers"]) == {"WWW-Authenticate"}


def test_anybody_on_duty_stops_deferral_and_an_admin_starts_it(service):
    for who, on, expected in (
        ("operator", False, 200),
        ("intake", True, 403),
        ("operator", True, 403),
        ("admin", True, 200),
    ):
        body = {"switch": {"on": on, "reason": "a drill"}}
        answered = service.ask(who, "PUT", "/v1/operations", json=body)
        assert answered.status_code == expected, (who, on)
        if expected == 200:
            assert answered.json()["switch"] | {"at": None} == {"on": on, "who": who, "reason": "a drill", "at": None}
        else:
            assert "admin" in answered.json()["detail"]


def test_nobody_but_an_admin_acts_in_the_name_of_somebody_else(service):
    assert service.ask("operator", "POST", "/v1/calls/a/take", json={"operator": "rina"}).status_code == 403
    taken = service.ask("operator", "POST", "/v1/calls/a/take", json={})
    assert taken.json()["operator"] == "operator"
    assert service.ask("admin", "POST", "/v1/calls/a/take", json={"operator": "rina"}).status_code == 409
    assert service.ask("admin", "POST", "/v1/calls/a/release", json={}).json()["operator"] is None
    assert service.ask("admin", "POST", "/v1/calls/a/take", json={"operator": "rina"}).json()["operator"] == "rina"
    assert service.ask("operator", "POST", "/v1/calls/a/release", json={}).status_code == 409
    assert service.ask("admin", "POST", "/v1/calls/a/release", json={}).status_code == 200


def test_a_key_that_is_revoked_opens_nothing_from_within_a_second_on(service):
    key = create_key(service.engine, "soon gone", Role.ADMIN, datetime.now(UTC))
    headers = {"Authorization": f"Bearer {key}"}
    assert until(lambda: status(service, NOBODY, "GET /v1/model", headers=headers) == 200)
    revoke_key(service.engine, key.split("_")[1], datetime.now(UTC))
    assert until(lambda: status(service, NOBODY, "GET /v1/model", headers=headers) == 401)


# Tokens


def issued(service: Keyed, who: str = "operator", **asked) -> str:
    return service.ask(who, "POST", "/v1/tokens", json=asked).json()["token"]


def test_a_token_of_a_badge_opens_the_badge_of_that_call(service):
    token = issued(service, scope="badge", call_id="a")
    answered = service.client.get("/v1/calls/a/badge.svg", params={"token": token})
    assert answered.status_code == 200
    assert answered.headers["content-type"] == "image/svg+xml"
    assert answered.headers["cross-origin-resource-policy"] == "cross-origin"
    assert answered.text.startswith("<svg")
    dark = service.client.get("/v1/calls/a/badge.svg", params={"token": token, "theme": "dark"})
    assert dark.text != answered.text
    answered = service.client.get("/v1/calls/a/badge", params={"token": token})
    assert answered.status_code == 200
    assert answered.headers["access-control-allow-origin"] == "*"
    told = answered.json()
    names = ("prank_likelihood", "genuine_like", "one_in", "badge")
    assert set(told) == {"at", "state", *names, "token_expires_at"}
    left = datetime.fromisoformat(told["token_expires_at"]) - datetime.fromisoformat(told["at"])
    assert timedelta(seconds=290) < left <= timedelta(seconds=300)
    known = service.ask("operator", "GET", "/v1/calls/a/badge").json()
    assert known["token_expires_at"] is None
    assert [known[name] for name in names] == [told[name] for name in names]


def test_a_token_of_a_badge_opens_nothing_else(service):
    token = issued(service, scope="badge", call_id="a")
    for badge in ("badge.svg", "badge"):
        assert status(service, NOBODY, f"GET /v1/calls/b/{badge}", params={"token": token}) == 401
        for call_id in ("A", "a%20", "%61/", "a%00", "a%2Fbadge.svg", "../a", "a%2F..%2Fb", "nobody"):
            answered = status(service, NOBODY, f"GET /v1/calls/{call_id}/{badge}", params={"token": token})
            assert answered in (401, 404, 422)
    for route, allowed in MAY.items():
        if allowed is not None and not route.endswith(BADGES):
            assert status(service, NOBODY, route, params={"token": token}) == 401, route
            assert status(service, NOBODY, route, headers={"Authorization": f"Bearer {token}"}) == 401, route


def test_a_token_of_the_stream_opens_the_stream_alone(service):
    token = issued(service, scope="stream")
    assert status(service, NOBODY, "GET /v1/queue/stream", params={"token": token}) == 200
    for route, allowed in MAY.items():
        if allowed is not None and not route.endswith("/stream"):
            assert status(service, NOBODY, route, params={"token": token}) == 401, route


def test_a_changed_ended_or_foreign_token_opens_nothing(service):
    tokens, now_us = service.app.state.tokens, microseconds(datetime.now(UTC))
    good, key_id = issued(service, scope="badge", call_id="a"), service.keys["operator"].split("_")[1]
    ended = tokens.issue("badge", Grant(key_id, now_us - 1, call_id="a"))
    others = Tokens([bytes(32)]).issue("badge", Grant(key_id, now_us + 300_000_000, call_id="a"))
    for token in (ended, others, good[:-1], good + "A", good + "=", "", "a" * 32, good.swapcase()):
        for route in BADGES:
            assert status(service, NOBODY, f"GET {route}", params={"token": token}) == 401, token
    assert status(service, NOBODY, "GET /v1/calls/a/badge.svg", params={"token": "a" * 1_501}) == 422


def test_a_token_of_the_longest_call_id_is_taken(service):
    call_id = "\N{FIRE ENGINE}" * 200
    assert service.ask("intake", "POST", "/v1/score", json=CALL | {"call_id": call_id}).status_code == 200
    token = issued(service, scope="badge", call_id=call_id)
    assert service.client.get(f"/v1/calls/{call_id}/badge.svg", params={"token": token}).status_code == 200


def test_a_token_of_a_badge_ends_with_the_key_that_asked_for_it(service):
    key = create_key(service.engine, "soon gone", Role.OPERATOR, datetime.now(UTC))
    headers = {"Authorization": f"Bearer {key}"}
    assert until(lambda: service.client.get("/v1/queue", headers=headers).status_code == 200)
    body = {"scope": "badge", "call_id": "a"}
    token = service.client.post("/v1/tokens", headers=headers, json=body).json()["token"]
    assert status(service, NOBODY, "GET /v1/calls/a/badge", params={"token": token}) == 200
    revoke_key(service.engine, key.split("_")[1], datetime.now(UTC))
    assert until(lambda: status(service, NOBODY, "GET /v1/calls/a/badge", params={"token": token}) == 401)


def test_tokens_and_their_streams_end_with_the_session_that_asked_for_them(service):
    routes = {"stream": "GET /v1/queue/stream", "badge": "GET /v1/calls/a/badge"}
    with service.signed_in("operator") as signed_in:
        asked = {"stream": {"scope": "stream"}, "badge": {"scope": "badge", "call_id": "a"}}
        tokens = {scope: signed_in.post("/v1/tokens", json=body).json()["token"] for scope, body in asked.items()}
        for scope, route in routes.items():
            assert status(service, NOBODY, route, params={"token": tokens[scope]}) == 200
        with service.client.stream("GET", "/v1/queue/stream", params={"token": tokens["stream"]}) as answered:
            lines = answered.iter_lines()
            assert next(lines) == "event: queue"
            signed_in.post("/console/sign-out")
            assert "event: bye" in lines  # and then the end
    for scope, route in routes.items():
        assert status(service, NOBODY, route, params={"token": tokens[scope]}) == 401


def test_a_scientist_gets_no_token(service):
    assert service.ask("scientist", "POST", "/v1/tokens", json={"scope": "stream"}).status_code == 403
