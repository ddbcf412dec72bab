"""What every answer carries: its protection, and the id of its request."""

import asyncio
import json
import re

import pytest

from tests.support.guarded import API_POLICY, SITE, get, raw, secured
from tests.support.small_service import running


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
