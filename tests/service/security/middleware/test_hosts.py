"""The host of a request: only the listed ones are answered for."""

import asyncio
import json
import tracemalloc

import pytest

from model.errors import SaringError
from service.security.middleware import SecurityMiddleware
from service.telemetry.logs import Formatter
from tests.support.guarded import API_POLICY, get, raw, secured
from tests.support.small_service import running


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
        scope = {"type": "http", "method": "GET", "scheme": "http", "path": "/", "headers": [(b"host", host)]}
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


def test_a_refused_host_is_logged_once_with_the_setting_that_mends_it(caplog):
    with running(secured(hosts=["a"])) as client:
        for host in (b"10.0.0.7", b"10.0.0.7", b"B:8112", b"b:8112", b"a"):
            raw(client, host_lines(host))
        for place in range(100):
            raw(client, host_lines(b"c%d" % place))
    said = [Formatter("text").format(one) for one in caplog.records if one.name == "service.security.middleware"]
    assert said[0].endswith("list it in SARING_HOSTS host=10.0.0.7")
    assert said[1].endswith("host=b:8112")
    assert len(said) == 50  # anybody can send any


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


def test_whoever_looks_whether_the_service_lives_needs_to_know_no_name(service, local):
    for client in (service.client, local):
        for method in ("GET", "HEAD"):
            for host in ("Host: elsewhere.example\r\n", "Host: a b\r\n", ""):
                asked = f"{method} /healthz HTTP/1.0\r\n{host}\r\n"
                assert raw(client, asked.encode())[0] == 200
