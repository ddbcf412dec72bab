"""Requests as they come over a wire: trailers, chunks, headers and upgrades have their limits."""

import re
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.hostile import with_call
from tests.support.keyed_service import NOBODY, Keyed
from tests.support.processes import Process

MIB = 1 << 20


def chunked(service: Keyed, *lines: str, who: str = NOBODY) -> bytes:
    return service.head(who, "POST", "/v1/score", "Transfer-Encoding: chunked", *lines)


def in_chunks(body: bytes, *trailers: str) -> bytes:
    return b"%x\r\n%b\r\n0\r\n" % (len(body), body) + "\r\n".join([*trailers, "", ""]).encode()


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


def memory(process: Process) -> int:
    """Give the most memory that a process ever had, in bytes."""
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1_024
