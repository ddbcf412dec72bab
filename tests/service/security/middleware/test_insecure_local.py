"""A service without keys, for this machine alone."""

from functools import partial

import pytest

from tests.support.guarded import get, raw, secured
from tests.support.small_service import running


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
