"""Nobody without a key takes the service away from those who have one: bodies, trailers, upgrades, deaf and dumb peers.

Where descriptors, memory or TLS count, the service is a process of its own with few files; where only time counts it
stands in this process and is less patient.
"""

import asyncio
import re
import resource
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from service.security.key_store import create_key
from service.server import connection, listener
from service.store.database import connect
from tests.service.http.test_hostile import CALL, ended, with_call
from tests.support.keyed_service import NOBODY, Keyed, keyed
from tests.support.processes import Process, until

#: Of a process that may open so few files, a peer gets some 25 connections and all together 102.
FEW_FILES = 128
MIB = 1 << 20


@pytest.fixture(scope="module")
def service(tmp_path_factory, release_folder: Path) -> Iterator[Keyed]:
    with keyed(tmp_path_factory.mktemp("network"), release_folder) as running:
        yield running


@pytest.fixture
def impatient(monkeypatch) -> None:
    monkeypatch.setattr(connection, "STALL_TIMEOUT_S", 1.0)


def chunked(service: Keyed, *lines: str, who: str = NOBODY) -> bytes:
    return service.head(who, "POST", "/v1/score", "Transfer-Encoding: chunked", *lines)


def in_chunks(body: bytes, *trailers: str) -> bytes:
    return b"%x\r\n%b\r\n0\r\n" % (len(body), body) + "\r\n".join([*trailers, "", ""]).encode()


# What stands behind a body, and what is said of another protocol


def test_a_trailer_is_no_header(service):
    key = f"Authorization: Bearer {service.keys['intake']}"
    body = with_call(call_id="trailers")
    for trailers in ([key], [key, "Host: localhost"], ["Host: elsewhere.example", "Authorization: Basic YTph"]):
        answered = service.raw(chunked(service, "Connection: close") + in_chunks(body, *trailers))
        assert answered.startswith(b"HTTP/1.1 401 "), answered
    told = service.raw(chunked(service, "Connection: close", who="intake") + in_chunks(body, "Host: elsewhere.example"))
    assert told.startswith(b"HTTP/1.1 200 "), told
    hostless = chunked(service, "Connection: close", who="intake").replace(b"Host: localhost\r\n", b"")
    assert service.raw(hostless + in_chunks(body, "Host: localhost")).startswith(b"HTTP/1.1 400 ")


def test_trailers_and_what_stands_between_chunks_have_a_limit(few_files):
    before = memory(few_files)
    head = b"POST /v1/score HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    for begun, line in (
        (b"0\r\n", b"X-A: " + b"a" * 60_000 + b"\r\n"),
        (b"0\r\nX-A: ", b"a" * 60_000),
        (b"1;", b"a" * 60_000),
    ):
        sent = 0
        with socket.create_connection(("127.0.0.1", few_files.port), timeout=10.0) as sender:
            sender.sendall(head + begun)
            with suppress(OSError):
                while sent < 100 * MIB:
                    sender.sendall(line)
                    sent += len(line)
        assert sent < 50 * MIB
    assert memory(few_files) - before < 40 * MIB


def test_small_chunks_are_counted_and_others_are_not(service):
    blanks = b"1\r\n \r\n"
    small = chunked(service, who="intake") + blanks * 5_000
    assert service.raw(small).startswith(b"HTTP/1.1 413 ")
    assert service.raw(chunked(service) + blanks * 5_000).count(b"HTTP/1.1 ") <= 1
    few = blanks * 900 + in_chunks(with_call(call_id="in small chunks"))
    assert b'"durable":true' in service.raw(chunked(service, "Connection: close", who="intake") + few)
    pieces = (b" " * 1_024 if place else b'{"calls": [' for place in range(2_000))
    found = service.ask("intake", "POST", "/v1/score/batch", content=(part for part in (*pieces, b"]}")))
    assert found.json() == {"results": []}


def test_a_request_has_only_so_many_headers(service):
    asked = service.head(NOBODY, "GET", "/healthz", "Connection: close", *["A: b"] * 5_000)
    assert service.raw(asked).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("length", ["Content-Length: {}", "Transfer-Encoding: chunked"])
def test_an_upgrade_is_not_taken_and_the_body_is_a_body(service, length):
    body = with_call(call_id="upgraded")
    offer = (
        "Connection: Upgrade, HTTP2-Settings",
        "Upgrade: h2c",
        "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
    )
    asked = service.head("intake", "POST", "/v1/score", length.format(len(body)), *offer)
    asked += in_chunks(body) if "chunked" in length else body
    last = service.head("admin", "GET", "/v1/model", "Connection: close")
    answered = service.raw(asked + last)
    assert re.findall(rb"HTTP/1\.1 (\d+) ", answered) == [b"200", b"200"]
    assert b'"call_id":"upgraded"' in answered


def test_the_body_of_an_upgrade_is_not_the_next_request(service):
    body = service.head("admin", "GET", "/v1/model")
    lines = (f"Content-Length: {len(body)}", "Connection: Upgrade", "Upgrade: h2c")
    asked = service.head("intake", "POST", "/v1/score", *lines)
    answered = service.raw(asked, body, pause_s=0.3, patience_s=2.0)
    assert re.findall(rb"HTTP/1\.1 (\d+) ", answered) == [b"400"]


def test_what_a_client_does_over_and_over_does_not_fill_the_log(few_files):
    offer = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    before = len(few_files.log.read_text())
    for asked in [offer, b"no request\r\n\r\n"] * 50:
        with socket.create_connection(("127.0.0.1", few_files.port), timeout=10.0) as one:
            one.sendall(asked)
            assert one.recv(65_536)
    assert len(few_files.log.read_text()) - before < 1_000


# Peers that do not read, or do not speak


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
    monkeypatch.setattr(connection, "STALL_TIMEOUT_S", 2.0)
    asked = service.head("admin", "GET", "/openapi.json") * 40
    last = service.head("admin", "GET", "/openapi.json", "Connection: close")
    with small_socket(service.port) as slow:
        slow.sendall(asked + last)
        found, began = b"", time.monotonic()
        while more := slow.recv(16_384):
            found += more
            time.sleep(0.02)
    assert found.count(b"HTTP/1.1 200 ") == 41
    assert time.monotonic() - began > 4.0


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


@pytest.fixture
def few_files(tmp_path: Path, release_folder: Path) -> Iterator[Process]:
    with process_with_few_files(tmp_path, release_folder) as running:
        yield running


@contextmanager
def process_with_few_files(folder: Path, release: Path, **tls: str) -> Iterator[Process]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    database = f"sqlite:///{folder / 'saring.db'}"
    engine = connect(database)
    key = create_key(engine, "pbx", "intake", datetime.now(UTC))
    engine.dispose()
    running = Process(folder, "service", release, database, files=FEW_FILES, insecure_local=False, **tls)
    running.key = key
    try:
        yield running.ready()
    finally:
        running.stop()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == limits


def memory(process: Process) -> int:
    """Give the most memory that a process ever had, in bytes."""
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1_024


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
        assert len(list(Path(f"/proc/{few_files.process.pid}/fd").iterdir())) < FEW_FILES


def test_over_tls_whoever_says_nothing_holds_nothing_for_long(tmp_path, release_folder):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    with (
        process_with_few_files(tmp_path, release_folder, certfile=str(certificate), keyfile=str(key)) as running,
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
