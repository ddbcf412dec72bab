"""What one connection holds: requests in pieces, in a row and at once, and clients that go away or do not read."""

import json
import logging
import re
import socket
import time
from contextlib import suppress

import pytest

from service.server import connection
from tests.support.keyed_service import NOBODY, Keyed
from tests.support.processes import until

CALL = {"call_id": "one", "received_at": "2026-01-31T08:15:00+07:00", "caller": "0812-3456-7890", "duration_s": 3.5}
BODY = json.dumps(CALL).encode()
#: Requests with some 200 MB of answers.
MANY = 100_000
LEFT = 'saring_requests_total{method="POST",route="/v1/score",status="499"}'


def plain(service: Keyed, body: bytes, *lines: str) -> bytes:
    return service.head("intake", "POST", "/v1/score", *lines, f"Content-Length: {len(body)}") + body


def in_chunks(service: Keyed, body: bytes) -> bytes:
    head = service.head("intake", "POST", "/v1/score", "Transfer-Encoding: chunked")
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


@pytest.mark.parametrize(("who", "status"), [(NOBODY, 401), ("scientist", 403)])
def test_whoever_may_not_is_told_before_the_body_is_read(service, who, status):
    with socket.create_connection(("127.0.0.1", service.port), timeout=10.0) as sender:
        sender.sendall(service.head(who, "POST", "/v1/score", "Content-Length: 500"))
        assert sender.recv(65_536).startswith(b"HTTP/1.1 %d " % status)
        # What was announced is not taken for the next request.
        sender.sendall(b"x" * 500 + plain(service, BODY))
        assert sender.recv(65_536).startswith(b"HTTP/1.1 200 ")


def test_a_body_that_comes_in_pieces_is_one_body(service):
    request = plain(service, BODY, "Connection: close")
    pieces = [request[place : place + 40] for place in range(0, len(request), 40)]
    assert b'"call_id":"one"' in service.raw(*pieces, pause_s=0.01)


def test_a_request_may_wait_for_a_word_be_old_or_have_a_query(service):
    waits = plain(service, BODY, "Expect: 100-continue", "Connection: close").removesuffix(BODY)
    assert service.raw(waits, BODY, pause_s=0.2).startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")
    old = plain(service, BODY).replace(b"HTTP/1.1", b"HTTP/1.0")
    assert service.raw(old).startswith(b"HTTP/1.1 200 ")
    asked = plain(service, BODY, "Connection: close").replace(b"/score", b"/score?a=b")
    assert service.raw(asked).startswith(b"HTTP/1.1 200 ")


def test_requests_in_a_row_are_answered_in_their_order(service):
    bodies = [json.dumps(CALL | {"call_id": f"in order {place}"}).encode() for place in range(9)]
    asked = [(in_chunks if place % 3 == 1 else plain)(service, body) for place, body in enumerate(bodies)]
    answered = service.raw(b"".join(asked) + service.head(NOBODY, "POST", "/v1/score", "Connection: close"))
    assert re.findall(rb'"call_id":"in order (\d)"', answered) == [b"%d" % place for place in range(9)]


def test_pipelined_requests_are_answered_wherever_they_are_cut(service, monkeypatch):
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

    monkeypatch.setattr(service.app.state.scorer, "score", broken)
    with caplog.at_level(logging.ERROR):
        answered = service.ask("intake", "POST", "/v1/score", content=BODY)
    assert answered.status_code == 500
    assert answered.headers["x-content-type-options"] == "nosniff"
    assert answered.json()["detail"] == "Something is wrong in this service; its log says what."
    until(lambda: [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError])


def counted(service: Keyed) -> float:
    lines = service.ask("admin", "GET", "/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(LEFT))


def test_a_client_that_goes_away_is_counted_as_gone(service):
    before = counted(service)
    with socket.create_connection(("127.0.0.1", service.port)) as sender:
        sender.sendall(plain(service, BODY)[:-10])
    until(lambda: counted(service) == before + 1)


def test_a_client_that_does_not_read_is_not_answered_for_ever(service):
    one, sent = plain(service, BODY), 0
    with socket.create_connection(("127.0.0.1", service.port)) as deaf:
        deaf.settimeout(2.0)
        with suppress(OSError):  # it takes no more, or ends the connection
            for sent in range(MANY):  # noqa: B007 - how many it took
                deaf.sendall(one)
        assert service.ask("intake", "POST", "/v1/score", json=CALL).status_code == 200
    assert 20 < sent < MANY - 1


def test_a_connection_is_kept_for_some_seconds_after_an_answer(service):
    with socket.create_connection(("127.0.0.1", service.port), timeout=15.0) as kept:
        for _ in range(3):
            kept.sendall(plain(service, BODY))
            assert kept.recv(65_536).startswith(b"HTTP/1.1 200 ")
            time.sleep(1.0)
        started = time.monotonic()
        assert kept.recv(1) == b""
        assert 2.0 < time.monotonic() - started < 8.0
