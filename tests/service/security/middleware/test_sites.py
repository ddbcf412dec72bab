"""Pages of other sites: a listed one may read, any other may neither read nor send."""

import pytest

from model.errors import SaringError
from tests.support.guarded import SITE, get, raw, secured


@pytest.mark.parametrize("origin", ["", "*", "null", "a", "https://a/", "https://a b", "ftp://a", "https://a/b", "//a"])
def test_a_listed_origin_that_is_none_is_told(origin):
    with pytest.raises(SaringError, match=r"^origins: .*expected"):
        secured(hosts=["a"], origins=[origin])


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
