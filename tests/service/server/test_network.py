"""Peers that do not read or do not speak, and peers that are too many."""

import asyncio
import socket
import ssl
import subprocess
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest

from service.server import connection, listener
from tests.support.hostile import CALL, ended, with_call
from tests.support.keyed_service import Keyed
from tests.support.processes import Process, until


@pytest.fixture
def impatient(monkeypatch) -> None:
    monkeypatch.setattr(connection, "STALL_TIMEOUT_S", 1.0)


@pytest.mark.usefixtures("impatient")
def test_whoever_reads_no_answer_is_ended(service):
    asked = service.head("admin", "GET", "/openapi.json") * 100
    stream = service.head("operator", "GET", "/v1/queue/stream")
    with ExitStack() as stack:
        listens = stack.enter_context(small_socket(service.port))
        listens.sendall(stream)
        for _ in range(5):
            stack.enter_context(small_socket(service.port)).sendall(asked)
        until(lambda: service.app.state.streams.open == 1)
        assert still_open(service) >= 6
        until(lambda: still_open(service) <= 2, 30.0)  # the stream, whose beats there is room for, and this client
        assert service.app.state.streams.open == 1


def test_whoever_reads_slowly_gets_all_of_it(service, monkeypatch):
    monkeypatch.setattr(connection, "STALL_TIMEOUT_S", 1.0)
    asked = service.head("admin", "GET", "/openapi.json") * 20
    last = service.head("admin", "GET", "/openapi.json", "Connection: close")
    with small_socket(service.port) as slow:
        slow.sendall(asked + last)
        found, began = b"", time.monotonic()
        while more := slow.recv(16_384):
            found += more
            time.sleep(0.02)
    assert found.count(b"HTTP/1.1 200 ") == 21
    assert time.monotonic() - began > 2.0


def small_socket(port: int) -> socket.socket:
    """Connect with as little room as there can be for answers that nobody reads."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    one.connect(("127.0.0.1", port))
    return one


def still_open(service: Keyed) -> int:
    """Count the connections to the service, as the system tells of them."""
    states = Path("/proc/self/net/tcp").read_text().splitlines()[1:]
    mine = [line.split() for line in states]
    return sum(one[1].endswith(f":{service.port:04X}") and one[3] == "01" for one in mine)


def score(process: Process, call_id: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {process.key}"}
    with httpx.Client(base_url=process.url, headers=headers, timeout=10.0, verify=False) as client:
        return client.post("/v1/score", json=CALL | {"call_id": call_id})


def from_peer(number: int, port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=5.0, source_address=(f"127.0.0.{number}", 0))


def test_one_peer_cannot_take_every_connection(few_files):
    with ExitStack() as stack:
        held = [stack.enter_context(from_peer(2, few_files.port)) for _ in range(150)]
        assert score(few_files, "beside one peer").json()["durable"]
        assert ended(held[-1]).startswith(b"HTTP/1.1 503 ")
        for one in held:
            one.close()
        again = stack.enter_context(from_peer(2, few_files.port))
        until(lambda: asked_health(again))


def asked_health(one: socket.socket) -> bool:
    one.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return one.recv(65_536).startswith(b"HTTP/1.1 200 ")


def test_many_peers_leave_the_store_and_the_journal_their_files(few_files):
    with ExitStack() as stack:
        asked = stack.enter_context(from_peer(1, few_files.port))
        for number in range(2, 12):
            for _ in range(20):
                stack.enter_context(from_peer(number, few_files.port))
        body = with_call(call_id="beside many peers")
        head = f"POST /v1/score HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {few_files.key}\r\n"
        asked.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = b""
        while b'"durable":true' not in answer:  # it comes in as many pieces as it likes
            answer += (piece := asked.recv(65_536))
            assert piece, answer
        assert len(list(Path(f"/proc/{few_files.process.pid}/fd").iterdir())) < 128


def test_over_tls_whoever_says_nothing_holds_nothing_for_long(tmp_path, few_files_over):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    with (
        few_files_over(certfile=str(certificate), keyfile=str(key)) as running,
        ExitStack() as stack,
    ):
        dumb = [stack.enter_context(from_peer(2, running.port)) for _ in range(150)]
        assert score(running, "beside the dumb").json()["durable"]
        began = time.monotonic()
        for one in dumb:
            one.settimeout(20.0)
            with suppress(ConnectionError):
                assert one.recv(1) == b""
        assert time.monotonic() - began < 15.0
        unverified = ssl.create_default_context()
        unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
        with unverified.wrap_socket(from_peer(2, running.port)) as speaking:
            assert asked_health(speaking)


def test_without_a_key_every_answer_is_small(service):
    for path in ("/openapi.json", "/healthz", "/readyz", "/neverwhere", "/v1/model"):
        assert len(service.ask("nobody", "GET", path).content) < 1_000


def test_a_peer_that_acknowledges_nothing_is_taken_to_be_gone():
    async def accepted() -> int:
        loop, found = asyncio.get_running_loop(), asyncio.Event()
        servers = await loop.create_server(lambda: Connected(found), "127.0.0.1", 0)
        with socket.create_connection(servers.sockets[0].getsockname()):
            await found.wait()
        servers.close()
        return Connected.timeout_ms

    class Connected(asyncio.Protocol):
        timeout_ms = 0

        def __init__(self, found: asyncio.Event) -> None:
            self._found = found

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            one = transport.get_extra_info("socket")
            Connected.timeout_ms = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            self._found.set()

    with asyncio.Runner(loop_factory=listener.Loop) as runner:
        assert runner.run(accepted()) == listener.GONE_MS
