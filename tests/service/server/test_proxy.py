"""Debian's nginx in front, with TLS and under a path, as docs/proxy.md has it: console, stream and badge."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from playwright.sync_api import Browser, expect

from benchmarks.browsing import install
from service.security.api_keys import Role
from service.security.key_store import create_key
from service.store.database import connect
from tests.support.console_pages import opened, sign_in
from tests.support.processes import CHECKOUT, Process, free_port, until

NAME, PREFIX = "dispatch.example.org", "/saring"
LACKING = "the tests of the proxy need nginx: install it, such as with `apt-get install nginx`"
#: What stands around the lines of the docs: files in a folder of the test's own, and no daemon.
AROUND = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {server}
}}
"""


class Proxied(NamedTuple):
    """The service as it is asked through nginx, and a key of each role."""

    url: str
    keys: dict[str, str]

    def ask(self, who: str, method: str, path: str, **more) -> httpx.Response:
        """Ask with the key of a role, under the name that the service has for everybody."""
        headers = {"Authorization": f"Bearer {self.keys[who]}", "Host": NAME} | more.pop("headers", {})
        return httpx.request(method, self.url + path, headers=headers, verify=False, timeout=30.0, **more)

    def ring(self, call_id: str) -> dict:
        """Let a call come in, and give the answer."""
        call = {"call_id": call_id, "received_at": datetime.now(UTC).isoformat(), "line": "mobile"}
        return self.ask("intake", "POST", "/v1/score", json=call).json()


def nginx() -> str:
    """Give the path of nginx; Debian's is installed where that may be done."""
    places = f"{os.environ['PATH']}:/usr/sbin"
    if shutil.which("nginx", path=places) is None:
        install("nginx")
    return shutil.which("nginx", path=places) or pytest.fail(LACKING)


def lines_of_the_docs(folder: Path, port: int, service: int) -> str:
    """Give the lines of docs/proxy.md, with ports and files of the test's own."""
    page = (CHECKOUT / "docs" / "proxy.md").read_text(encoding="utf-8")
    server = re.search(r"```nginx\n(.*?)```", page, re.DOTALL)[1]
    for told, own in (
        ("listen 443", f"listen 127.0.0.1:{port}"),
        ("127.0.0.1:8112", f"127.0.0.2:{service}"),
        ("/etc/ssl/certs/dispatch.example.org.pem", f"{folder}/cert.pem"),
        ("/etc/ssl/private/dispatch.example.org.key", f"{folder}/key.pem"),
    ):
        assert server.count(told) == 1
        server = server.replace(told, own)
    return server


@contextmanager
def in_front(folder: Path, port: int, service: int) -> Iterator[None]:
    """Run nginx in front of a service."""
    certificate = ["-subj", "/CN=localhost", "-days", "2", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    making = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes"]
    subprocess.run([*making, *certificate], check=True, capture_output=True)
    configured = folder / "nginx.conf"
    configured.write_text(AROUND.format(folder=folder, server=lines_of_the_docs(folder, port, service)))
    log = folder / "nginx.log"
    with log.open("wb") as said:
        process = subprocess.Popen([nginx(), "-e", "stderr", "-p", folder, "-c", configured], stdout=said, stderr=said)
    try:
        until(lambda: answers(port) or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield
    finally:
        process.terminate()
        process.wait(10)


def answers(port: int) -> bool:
    try:
        return httpx.head(f"https://127.0.0.1:{port}/", verify=False).status_code > 0
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")
def proxied(tmp_path_factory, release_folder) -> Iterator[Proxied]:
    folder = tmp_path_factory.mktemp("proxy")
    database, port = f"sqlite:///{folder / 'saring.db'}", free_port()
    told = {"root_path": PREFIX, "hosts": json.dumps([NAME]), "proxies": json.dumps(["127.0.0.1"])}
    # Its own address is one of its names, also when it is none of loopback's own.
    told |= {"host": "127.0.0.2", "insecure_local": False, "mode": "board"}
    service = Process(folder, "service", release_folder, database, **told)
    try:
        service.ready()
        engine = connect(database)
        keys = {role.value: create_key(engine, role.value, role, datetime.now(UTC)) for role in Role}
        engine.dispose()
        with in_front(folder, port, service.port):
            behind = Proxied(f"https://localhost:{port}{PREFIX}", keys)
            until(lambda: behind.ask("admin", "GET", "/v1/operations").status_code == 200)
            assert httpx.get(f"{service.url}/badge.js").status_code == 200
            yield behind
    finally:
        service.stop()


def test_the_console_and_its_stream_work_behind_nginx_with_tls_and_a_path(proxied, browser: Browser):
    with opened(browser, proxied.url, ignore_https_errors=True) as page:
        sign_in(page, proxied.keys["operator"], f"{PREFIX}/console")
        cookie = next(one for one in page.context.cookies() if one["name"].endswith("saring"))
        assert (cookie["name"], cookie["path"], cookie["secure"]) == ("__Secure-saring", PREFIX, True)
        expect(page.locator("#line")).to_have_attribute("data-state", "live")
        proxied.ring("a/call")
        expect(page.locator('li.row[data-id="a/call"]')).to_be_visible(timeout=3_000)  # nothing holds the stream back
        page.locator("#next").click()
        expect(page.locator("article.mine")).to_be_visible()
        page.locator("article.mine a").click()
        page.wait_for_url(f"{proxied.url}/console/calls/a%2Fcall")
        page.keyboard.press("Escape")
        page.wait_for_url(f"{proxied.url}/console")
        page.get_by_role("link", name="My shift").click()
        page.wait_for_url(f"{proxied.url}/console/shift")
        page.get_by_role("button", name="Indonesia").click()
        expect(page.locator("html")).to_have_attribute("lang", "id")
        assert page.url == f"{proxied.url}/console/shift"
        page.get_by_role("button", name="Keluar").click()
        page.wait_for_url(f"{proxied.url}/console/sign-in")
        assert [one["name"] for one in page.context.cookies()] == ["saring-language"]
        page.goto(f"{proxied.url}/console/shift")
        page.wait_for_url(f"{proxied.url}/console/sign-in?to=/console/shift")


def test_the_badge_works_behind_nginx_on_the_page_of_another_site(proxied, browser: Browser):
    badge = proxied.ring("badged")["badge"]
    token = proxied.ask("intake", "POST", "/v1/tokens", json={"scope": "badge", "call_id": "badged"}).json()["token"]
    with opened(browser, "about:blank", ignore_https_errors=True) as page:
        page.set_content(
            f'<script type="module" src="{proxied.url}/badge.js"></script>'
            f'<saring-badge call="badged" token="{token}"></saring-badge>'
        )
        expect(page.locator("saring-badge")).to_have_attribute("shown", badge)


def test_only_the_proxy_says_that_there_is_tls(proxied):
    answered = proxied.ask("intake", "GET", "/console/badge")
    assert f"https://{NAME}{PREFIX}/badge.js" in answered.text
    assert "strict-transport-security" in answered.headers
    assert proxied.ask("admin", "GET", "/openapi.json").json()["servers"] == [{"url": PREFIX}]
    assert proxied.ask("admin", "GET", "/v1/operations", headers={"Host": "elsewhere.example"}).status_code == 421
    for path in ("/healthz", "/readyz"):
        assert proxied.ask("admin", "HEAD", path, headers={"Host": "elsewhere.example"}).status_code == 200
