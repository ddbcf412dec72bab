"""Who may call: each route names its roles, and only one header with exactly a key opens it."""

import json
import logging

import pytest

from service.security.api_keys import Role
from service.security.route_access import public, require_role
from tests.support.guarded import bearer, get, raw, small_app
from tests.support.small_service import running


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


def test_saying_twice_or_nothing_of_who_may_call_is_a_mistake():
    async def endpoint() -> None: ...

    with pytest.raises(ValueError, match="names nobody"):
        require_role()
    require_role(Role.INTAKE)(endpoint)
    with pytest.raises(ValueError, match="says twice"):
        public(endpoint)
