"""The short way of POST /v1/score answers as the long way does, and holds what a connection has to hold."""

import json
import logging
import re
import socket
import time
from contextlib import suppress
from pathlib import Path

import pytest

from service import connection
from tests.keyed import NOBODY, Keyed, keyed
from tests.processes import until
from tests.test_hostile import FORGIVEN, REFUSED, with_field

CALL = {"call_id": "one", "received_at": "2026-01-31T08:15:00+07:00", "caller": "0812-3456-7890", "duration_s": 3.5}
BODIES: dict[str, bytes] = {
    **{f"refused: {name}": body for name, body in REFUSED.items()},
    **{
        f"forgiven: {name}": with_field(f'{text}, "call_id": {json.dumps(name)}')
        for name, (text, _) in FORGIVEN.items()
    },
    "a call": json.dumps(CALL).encode(),
}
#: What differs from one request to the next, and what uvicorn adds unless it is told not to, as `saring serve` does.
OF_A_REQUEST = (b"x-request-id", b"date", b"server")
#: Requests with some 200 MB of answers.
MANY = 100_000
LEFT = 'saring_requests_total{method="POST",route="/v1/score",status="499"}'


@pytest.fixture(scope="module")
def service(tmp_path_factory, release_folder: Path):
    with keyed(tmp_path_factory.mktemp("shortcut"), release_folder, origins=["https://board.example.org"]) as running:
        yield running


def head(service: Keyed, *lines: str, who: str = "intake", path: str = "/v1/score") -> bytes:
    key = [f"Authorization: Bearer {service.keys[who]}"] if who != NOBODY else []
    host = [] if any(line.startswith("Host:") for line in lines) else ["Host: localhost"]
    return "\r\n".join([f"POST {path} HTTP/1.1", *host, *key, *lines, "", ""]).encode()


def plain(service: Keyed, body: bytes, *lines: str, who: str = "intake") -> bytes:
    return head(service, *lines, f"Content-Length: {len(body)}", who=who) + body


def in_chunks(service: Keyed, body: bytes, *lines: str, who: str = "intake") -> bytes:
    """Give the same request as it takes the long way."""
    return head(service, *lines, "Transfer-Encoding: chunked", who=who) + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


def parts(answered: bytes) -> tuple[bytes, set[tuple[bytes, bytes]], bytes]:
    """Take an answer apart: its first line, its headers, its body."""
    above, _, body = answered.partition(b"\r\n\r\n")
    first, *lines = above.split(b"\r\n")
    headers = [(name.lower(), value) for name, _, value in (line.partition(b": ") for line in lines)]
    assert len(dict(headers)) == len(headers)
    assert int(dict(headers)[b"content-length"]) == len(body)
    return first, {pair for pair in headers if pair[0] not in OF_A_REQUEST}, body


@pytest.fixture
def ways(service, monkeypatch) -> list[str]:
    """Says which way each request took."""
    taken: list[str] = []
    real = service.app.state.shortcut.answer

    async def watched(*about):
        taken.append("short")
        return await real(*about)

    monkeypatch.setattr(service.app.state.shortcut, "answer", watched)
    return taken


@pytest.mark.parametrize("name", [name for name, body in BODIES.items() if 0 < len(body) <= 65_536])
def test_both_ways_say_the_same_of_every_body(service, ways, name):
    short = service.raw(plain(service, BODIES[name], "Connection: close"))
    assert ways == ["short"]
    long = service.raw(in_chunks(service, BODIES[name], "Connection: close"))
    assert ways == ["short"]
    assert parts(short) == parts(long)


@pytest.mark.parametrize(
    ("lines", "who"),
    [
        ([], NOBODY),
        ([], "operator"),
        (["Authorization: Bearer nonsense"], NOBODY),
        (["Host: other.example.org"], "intake"),
        (["Host: no host"], "intake"),
        (["Origin: https://board.example.org"], "intake"),
        (["Origin: https://other.example.org"], "intake"),
        (["Cookie: saring=nonsense"], NOBODY),
        (["Saring-Clock: as-recorded"], "intake"),
        (["X-Request-Id: given"], "intake"),
    ],
)
def test_both_ways_let_in_the_same(service, lines, who):
    body = BODIES["a call"]
    short = service.raw(plain(service, body, "Connection: close", *lines, who=who))
    long = service.raw(in_chunks(service, body, "Connection: close", *lines, who=who))
    assert parts(short) == parts(long)
    assert re.search(rb"x-request-id: (given|[0-9a-f]{16})\r\n", short)


def test_whoever_is_not_let_in_is_told_so_before_the_body_is_read(service):
    with socket.create_connection(("127.0.0.1", service.port), timeout=10.0) as sender:
        sender.sendall(head(service, "Content-Length: 500", who=NOBODY))
        assert sender.recv(65_536).startswith(b"HTTP/1.1 401 ")
        # What was announced is not taken for the next request.
        sender.sendall(b"x" * 500 + plain(service, BODIES["a call"]))
        assert sender.recv(65_536).startswith(b"HTTP/1.1 200 ")


def test_a_body_that_comes_in_pieces_is_one_body(service, ways):
    request = plain(service, BODIES["a call"], "Connection: close")
    pieces = [request[place : place + 40] for place in range(0, len(request), 40)]
    assert b'"call_id":"one"' in service.raw(*pieces, pause_s=0.01)
    assert ways == ["short"]


def test_what_is_not_plain_takes_the_long_way(service, ways):
    body = BODIES["a call"]
    waits = head(service, "Expect: 100-continue", "Connection: close", f"Content-Length: {len(body)}")
    assert service.raw(waits, body, pause_s=0.2).startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")
    old = head(service, f"Content-Length: {len(body)}").replace(b"HTTP/1.1", b"HTTP/1.0") + body
    assert service.raw(old).startswith(b"HTTP/1.1 200 ")
    asked = head(service, "Connection: close", f"Content-Length: {len(body)}", path="/v1/score?a=b") + body
    assert service.raw(asked).startswith(b"HTTP/1.1 200 ")
    assert service.raw(plain(service, b" " * 65_537, "Connection: close")).startswith(b"HTTP/1.1 413 ")
    assert service.raw(head(service, "Connection: close")).startswith(b"HTTP/1.1 400 ")
    assert ways == []


def test_requests_of_both_ways_are_answered_in_their_order(service, ways):
    bodies = [json.dumps(CALL | {"call_id": f"in order {place}"}).encode() for place in range(9)]
    asked = [(in_chunks if place % 3 == 1 else plain)(service, body) for place, body in enumerate(bodies)]
    answered = service.raw(b"".join(asked) + head(service, "Connection: close", who=NOBODY))
    assert re.findall(rb'"call_id":"in order (\d)"', answered) == [b"%d" % place for place in range(9)]
    assert ways  # the first, at least; what came while it was answered waits its turn on the long way


def test_as_many_as_fit_on_the_way_at_once_are_answered_wherever_they_are_cut(service, monkeypatch):
    monkeypatch.setattr(connection, "HEAD_LIMIT", 2_000)  # of one head; what arrives at once is much more
    bodies = [json.dumps(CALL | {"call_id": f"at once {place}"}).encode() for place in range(500)]
    asked = b"".join(plain(service, body) for body in bodies)
    with socket.create_connection(("127.0.0.1", service.port), timeout=30.0) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * len(asked))
        within_the_last_head = len(asked) - len(plain(service, bodies[-1])) + 30
        sender.sendall(asked[:within_the_last_head])
        time.sleep(0.2)
        sender.sendall(asked[within_the_last_head:])
        answered = b""
        while answered.count(b"HTTP/1.1 ") < len(bodies):
            more = sender.recv(1 << 20)
            assert more, answered[-300:]
            answered += more
    assert re.findall(rb'"call_id":"at once (\d+)"', answered) == [b"%d" % place for place in range(500)]


def test_what_went_wrong_is_in_the_log_and_not_in_the_answer(service, monkeypatch, caplog):
    async def broken(*_about, **_more):
        raise ZeroDivisionError("the secret of 0812-3456-7890")

    monkeypatch.setattr(service.app.state.reception, "score", broken)
    with caplog.at_level(logging.ERROR):
        first, headers, body = parts(service.raw(plain(service, BODIES["a call"], "Connection: close")))
    assert first == b"HTTP/1.1 500 Internal Server Error"
    assert (b"x-content-type-options", b"nosniff") in headers
    assert json.loads(body)["detail"] == "Something is wrong in this service; its log says what."
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]


def counted(service: Keyed) -> float:
    lines = service.ask("admin", "GET", "/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(LEFT))


def test_a_client_that_goes_away_is_counted_as_gone(service):
    before = counted(service)
    with socket.create_connection(("127.0.0.1", service.port)) as sender:
        sender.sendall(plain(service, BODIES["a call"])[:-10])
    until(lambda: counted(service) == before + 1)


def test_a_client_that_does_not_read_is_not_answered_for_ever(service):
    one, sent = plain(service, BODIES["a call"]), 0
    with socket.create_connection(("127.0.0.1", service.port)) as deaf:
        deaf.settimeout(2.0)
        with suppress(OSError):  # it takes no more, or ends the connection
            for sent in range(MANY):  # noqa: B007 - how many it took
                deaf.sendall(one)
        assert service.ask("intake", "POST", "/v1/score", json=CALL).status_code == 200
    assert 20 < sent < MANY - 1


def test_a_connection_is_kept_for_some_seconds_after_an_answer_and_no_longer(service):
    with socket.create_connection(("127.0.0.1", service.port), timeout=15.0) as kept:
        for _ in range(3):
            kept.sendall(plain(service, BODIES["a call"]))
            assert kept.recv(65_536).startswith(b"HTTP/1.1 200 ")
            time.sleep(1.0)
        started = time.monotonic()
        assert kept.recv(1) == b""
        assert 2.0 < time.monotonic() - started < 8.0
