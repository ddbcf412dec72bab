"""The console without a browser: who is signed in and for how long, what a page may load, and what a cookie opens."""

import re
import stat
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest

from service.security.api_keys import ApiKeys, Role
from service.security.key_store import create_key, read_key_rows, revoke_key
from service.security.pseudonyms import rotate_number_key
from service.security.sessions import SESSION_S, Sessions
from service.security.tokens import Tokens
from service.server.application import create_app, open_parts
from service.settings import Settings
from service.timestamps import microseconds
from tests.support.keyed_service import Keyed, inner
from tests.support.processes import until

NOW_US = 1_700_000_000_000_000
SETTINGS = {"origins": ["https://cad.example"], "hosts": ["saring.example"]}
CALL = {"call_id": "a", "received_at": "2026-01-31T08:15:00+07:00"}


@pytest.fixture(scope="module", autouse=True)
def a_call(service: Keyed) -> None:
    assert service.ask("intake", "POST", "/v1/score", json=CALL).status_code == 200


@pytest.fixture
def browser_like(service) -> Iterator[httpx.Client]:
    with service.signed_in() as client:
        yield client


def signed_in(service: Keyed, client: httpx.Client, role: str = "operator") -> str:
    """Sign in, and give the cookie."""
    answered = client.post("/console/sign-in", data={"key": service.keys[role]})
    assert answered.status_code == 303, answered.text
    return answered.cookies["saring"]


def test_a_key_signs_in_and_its_cookie_opens_what_the_key_opens(service, browser_like):
    assert browser_like.get("/console").headers["location"] == "/console/sign-in"
    answered = browser_like.post("/console/sign-in", data={"key": service.keys["operator"]})
    assert (answered.status_code, answered.headers["location"]) == (303, "/console")
    cookie = answered.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert f"Max-Age={int(SESSION_S)}" in cookie
    assert "Path=/" in cookie
    assert service.keys["operator"] not in cookie
    assert browser_like.get("/console").status_code == 200
    assert browser_like.get("/v1/queue").status_code == 200
    assert browser_like.post("/v1/calls/a/take", json={}).json()["operator"] == "operator"
    assert browser_like.post("/v1/calls/a/release", json={}).status_code == 200
    assert browser_like.post("/v1/callers/erase", json={}).status_code == 403  # it is an operator's


def test_the_bare_address_leads_to_the_sign_in(service):
    answered = service.client.get("/", follow_redirects=False)
    assert (answered.status_code, answered.headers["location"]) == (303, "/console/sign-in")


def test_a_page_holds_no_key(service, browser_like):
    answered = browser_like.post("/console/sign-in", data={"key": "saring_0123456789_" + "a" * 43})
    assert answered.status_code == 403
    assert "0123456789" not in answered.text
    signed_in(service, browser_like)
    assert service.keys["operator"].split("_", 2)[2] not in browser_like.get("/console").text


def test_a_key_of_an_intake_system_does_not_sign_in(service, browser_like):
    answered = browser_like.post("/console/sign-in", data={"key": service.keys["intake"]})
    assert answered.status_code == 403
    assert "set-cookie" not in answered.headers


def test_a_scientist_begins_at_the_supervisor_s_page_and_changes_nothing(service, browser_like):
    answered = browser_like.post("/console/sign-in", data={"key": service.keys["scientist"]})
    assert (answered.status_code, answered.headers["location"]) == (303, "/console/supervisor")
    page = browser_like.get("/console/supervisor")
    assert page.status_code == 200
    assert 'id="switch"' not in page.text
    assert browser_like.get("/console/sign-in").headers["location"] == "/console/supervisor"
    story = browser_like.get("/console/calls/a")
    assert (story.status_code, 'id="correct"' in story.text) == (200, False)
    board = browser_like.get("/console")
    assert (board.status_code, 'href="/console/supervisor"' in board.text) == (403, True)
    assert browser_like.put("/v1/operations", json={"switch": {"on": False, "reason": "a drill"}}).status_code == 403
    assert browser_like.post("/v1/calls/a/disposition", json={"disposition": "prank"}).status_code == 403


def test_whoever_signs_out_is_out_for_good(service, browser_like):
    cookie = signed_in(service, browser_like)
    assert browser_like.post("/console/sign-out").headers["location"] == "/console/sign-in"
    assert "saring" not in browser_like.cookies
    again = {"Cookie": f"saring={cookie}"}
    assert service.client.get("/v1/queue", headers=again).status_code == 401
    state = service.app.state
    out = {row["body"]["session"] for row in state.scorer.intake.store.read_decisions() if row["kind"] == "sign-out"}
    assert out
    in_another_process = Sessions(state.tokens, ApiKeys(read_key_rows(service.engine)), out.__contains__)
    assert in_another_process.from_cookie(f"saring={cookie}".encode(), microseconds(datetime.now(UTC))) is None


def test_a_session_ends_with_its_key(service, browser_like):
    key = create_key(service.engine, "soon gone", Role.OPERATOR, datetime.now(UTC))
    until(lambda: browser_like.post("/console/sign-in", data={"key": key}).status_code == 303)
    assert browser_like.get("/v1/queue").status_code == 200
    revoke_key(service.engine, key.split("_")[1], datetime.now(UTC))
    until(lambda: browser_like.get("/v1/queue").status_code == 401)
    assert browser_like.get("/console").status_code == 303


def test_a_session_ends_after_a_shift(service):
    sessions = Sessions(Tokens([bytes(32)]), ApiKeys(read_key_rows(service.engine)))
    _, value = sessions.begin(service.keys["operator"], NOW_US)
    header = f"a=b; saring={value}".encode()
    ends_us = NOW_US + int(SESSION_S * 1e6)
    session = sessions.from_cookie(header, ends_us - 1)
    assert session.principal.name == "operator"
    assert sessions.from_cookie(header, ends_us) is None
    assert sessions.holder(session.grant, ends_us - 1) == session.principal
    assert sessions.holder(session.grant, ends_us) is None
    for bad in (b"", b"saring=", b"saring=" + value.encode()[:-1], header + b"; saring=" + value.encode(), b"\xff=;;"):
        assert sessions.from_cookie(bad, NOW_US) is None


def test_a_new_key_of_numbers_ends_no_session_and_a_new_secret_ends_all(tmp_path, release_folder):
    settings = Settings(release=release_folder, database=f"sqlite:///{tmp_path / 'saring.db'}", journal_mib=1,
                        key_file=tmp_path / "saring.key", journal=tmp_path / "journal")  # fmt: skip

    def sessions() -> Sessions:
        with open_parts(settings) as parts:
            return inner(create_app(parts, settings)).state.sessions

    with open_parts(settings) as parts:
        key = create_key(parts.intake.store.engine, "rina", Role.OPERATOR, datetime.now(UTC))
    _, value = sessions().begin(key, NOW_US)
    cookie = f"saring={value}".encode()
    assert sessions().from_cookie(cookie, NOW_US).principal.name == "rina"
    rotate_number_key(tmp_path / "saring.key")
    assert sessions().from_cookie(cookie, NOW_US).principal.name == "rina"
    secret = tmp_path / "saring.secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    secret.unlink()
    assert sessions().from_cookie(cookie, NOW_US) is None


def test_what_another_site_sends_along_with_the_cookie_changes_nothing(service, browser_like):
    cookie = {"Cookie": f"saring={signed_in(service, browser_like)}"}
    for origin in ("https://elsewhere.example", "http://127.0.0.1:1", "null", "https://cad.example", ""):
        for path in ("/v1/calls/a/take", "/v1/tokens"):
            answered = service.client.post(path, json={}, headers=cookie | {"Origin": origin})
            assert answered.status_code == 401, origin
        answered = service.client.post("/console/sign-in", data={"key": service.keys["operator"]},
                                       headers={"Origin": origin})  # fmt: skip
        assert answered.status_code == 403
    assert service.client.post("/v1/calls/a/take", json={}, headers=cookie).status_code == 401  # it does not say
    for site in ("cross-site", "same-site"):
        told = cookie | {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "cors"}
        assert service.client.get("/v1/queue", headers=told).status_code == 401
    assert service.client.get("/v1/queue", headers=cookie | {"Sec-Fetch-Site": "same-origin"}).status_code == 200


def test_a_key_in_the_header_counts_and_not_the_cookie_beside_it(service, browser_like):
    signed_in(service, browser_like)
    assert browser_like.get("/v1/queue", headers={"Authorization": "Bearer x"}).status_code == 401
    assert browser_like.get("/v1/queue", headers=service.by("scientist")).status_code == 403


def test_the_cookie_is_for_tls_alone_where_the_browser_has_it(service):
    told = {"Origin": f"https://127.0.0.1:{service.port}"}  # behind a proxy that ends TLS
    answered = service.client.post("/console/sign-in", data={"key": service.keys["operator"]}, headers=told)
    cookie = answered.headers["set-cookie"]
    assert cookie.startswith("__Host-saring=")
    assert "Secure" in cookie
    value = cookie.split(";")[0]
    service.client.cookies.clear()
    assert service.client.get("/v1/queue", headers={"Cookie": value}).status_code == 200


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://saring.example", "saring.example:443"),
        ("http://saring.example", "SARING.example:80"),
        ("http://saring.example:80", "saring.example"),
        ("https://saring.example:8443", "saring.example:8443"),
    ],
)
def test_a_port_that_goes_without_saying_may_be_said(service, origin, host):
    told, form = {"Origin": origin, "Host": host}, {"key": service.keys["operator"]}
    assert service.client.post("/console/sign-in", data=form, headers=told).status_code == 303
    service.client.cookies.clear()


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://saring.example:8443", "saring.example"),
        ("https://saring.example", "saring.example:80"),
        ("https://saring.example", "127.0.0.1:8112"),
        ("ftp://saring.example", "saring.example"),
    ],
)
def test_a_proxy_that_changes_the_host_is_named_and_not_the_key(service, origin, host):
    for key in (service.keys["operator"], "saring_of_nobody"):
        told = {"Origin": origin, "Host": host}
        answered = service.client.post("/console/sign-in", data={"key": key}, headers=told)
        assert answered.status_code == 403
        said = re.search(r'role="alert"[^>]*>(.*?)</p>', answered.text)[1]
        assert f"at {origin}, " in said
        assert f"for {host}. " in said
        assert "key" not in said
    assert "did not say which page" in service.client.post("/console/sign-in", data={"key": "a"}).text


def test_a_session_opens_the_stream_and_its_end_ends_it(service, browser_like):
    signed_in(service, browser_like)
    with browser_like.stream("GET", "/v1/queue/stream") as answered:
        lines = answered.iter_lines()
        assert next(line for line in lines if line.startswith("event:")) == "event: queue"
        assert browser_like.post("/console/sign-out").status_code == 303
        assert [line for line in lines if line.startswith("event:")][-1] == "event: bye"


@pytest.mark.parametrize("path", ["/console", "/console/supervisor", "/console/badge", "/console/sign-in"])
def test_a_page_may_load_nothing_but_our_own_and_runs_no_inline_script(service, browser_like, path):
    if path != "/console/sign-in":
        signed_in(service, browser_like, "admin")
    answered = browser_like.get(path)
    policy = answered.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answered.headers["cache-control"] == "no-store"
    assert answered.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<script(?![^>]*(src=|application/json))|\son\w+=|\sstyle=|<style", answered.text)
    for address in re.findall(r'(?:src|href)="([^"]+)"', answered.text):
        assert address.startswith(("/console", "#")), address


def test_what_never_changes_is_kept_and_what_a_page_of_another_version_asks_for_is_given(service, browser_like):
    page = browser_like.get("/console/sign-in").text
    address = re.search(r'href="(/console/static/[^"]+/console\.css)"', page)[1]
    answered = service.client.get(address)
    assert answered.headers["content-type"] == "text/css; charset=utf-8"
    assert "immutable" in answered.headers["cache-control"]
    other = service.client.get("/console/static/0000/console.css")
    assert (other.content, other.headers["cache-control"]) == (answered.content, "no-cache")
    looks = service.client.get(address.replace("console.css", "looks.css")).text
    assert "--prank_like-ink:#4a4238;" in looks
    for name in ("nothing.css", "..%2fboard.py", "../board.py", "__init__.py"):
        assert service.client.get(f"/console/static/0000/{name}").status_code == 404


def test_the_language_is_the_browser_s_until_another_is_chosen(service, browser_like):
    told = {"Accept-Language": "id-ID,id;q=0.9,en;q=0.8"}
    assert 'lang="id"' in browser_like.get("/console/sign-in", headers=told).text
    assert '<html lang="en">' in browser_like.get("/console/sign-in").text
    answered = browser_like.post("/console/language", data={"language": "id", "to": "/console/sign-in"})
    assert answered.headers["location"] == "/console/sign-in"
    assert '<html lang="id">' in browser_like.get("/console/sign-in").text
    answered = browser_like.post("/console/language", data={"language": "xx", "to": "//elsewhere.example"})
    assert answered.headers["location"] == "/console"
    assert '<html lang="id">' in browser_like.get("/console/sign-in").text


@pytest.mark.parametrize("to", ["https://elsewhere.example", "//elsewhere.example", "/console\\@x", "/v1/queue", ""])
def test_the_sign_in_leads_to_no_other_place(service, browser_like, to):
    answered = browser_like.post("/console/sign-in", data={"key": service.keys["operator"], "to": to})
    assert answered.headers["location"] == "/console"
