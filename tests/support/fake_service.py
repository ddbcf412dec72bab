"""Services on loopback for the tests of the client: a good one, and many with one bad habit each."""

import asyncio
import json
import os
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

START = datetime(2026, 1, 31, 1, 15, tzinfo=UTC)
CALL = {"call_id": "a", "received_at": "2026-01-31T08:15:00+07:00", "caller": "+6281234567890", "line": "mobile"}
#: For calls of START, as if the client had heard of them then.
OF_LONG_AGO = {"clock_tolerance_s": 1e9}
#: For tests in which nothing is to be cut, however busy the machine is.
PATIENT = {"deadline_s": 10.0, **OF_LONG_AGO}
ENDED_AT = "2026-01-31T08:16:00+07:00"
FIELDS = [
    "call_id", "stage", "prank_likelihood", "band", "defer_factor", "defer_s", "queue_key", "queue_key_epoch",
    "arrived_at", "expected_wait_s", "expected_wait_source", "reasons", "guardrails", "held_out", "release",
    "scored_at", "durable", "degraded", "warnings", "genuine_like", "one_in", "badge",
]  # fmt: skip
#: What a service of before does not say.
LATER = ("arrived_at", "genuine_like", "one_in", "badge")


class Server:
    """A service on loopback that treats each connection as it is told."""

    def __init__(self, behave: "Behaviour") -> None:
        self.behave = behave
        self.connections = 0
        self.heads: list[str] = []
        self.told: list[tuple[str, dict]] = []

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self.behave(self, reader, writer)
        writer.close()

    async def request(self, reader: asyncio.StreamReader) -> tuple[str, dict]:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        length = next(int(line[15:]) for line in head.lower().splitlines() if line.startswith("content-length:"))
        asked = head.split(" ")[1], json.loads(await reader.readexactly(length))
        self.told.append(asked)
        return asked

    def paths(self) -> list[str]:
        return [path for path, _ in self.told]


Behaviour = Callable[[Server, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextmanager
def listening(behave: Behaviour, port: int = 0) -> Iterator[tuple[Server, str]]:
    server, loop, ready, done = Server(behave), asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    address: list[str] = []

    async def run() -> None:
        listener = await asyncio.start_server(server.connected, "127.0.0.1", port)
        address.append(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}")
        ready.set()
        await done.wait()
        listener.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0.01)

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    assert ready.wait(5)
    try:
        yield server, address[0]
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()


def reply(body: object, status: int = 200, media_type: str = "application/json", *lines: str) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [f"HTTP/1.1 {status} X", f"Content-Type: {media_type}", f"Content-Length: {len(content)}", *lines]
    return "\r\n".join([*head, "", ""]).encode() + content


def scored(call: dict, defer_s: float = 0.0) -> dict:
    key = datetime.fromisoformat(call["received_at"]) + timedelta(seconds=defer_s)
    values = [
        call["call_id"], "ring", 0.4, "unsure", 0.5, defer_s, key.isoformat(timespec="microseconds"), key.timestamp(),
        call["received_at"], None, "unknown", [], [], False, "r1", START.isoformat(), True, False, [],
        0.2, 100, "not_clear",
    ]  # fmt: skip
    return dict(zip(FIELDS, values, strict=True))


def answer_to(path: str, body: dict) -> dict:
    """What a well-behaved service answers."""
    if path == "/v1/score":
        return scored(body)
    call_id, kind = map(unquote, path.removeprefix("/v1/calls/").split("/"))
    if kind == "ended":
        return scored({"call_id": call_id, "received_at": CALL["received_at"]}) | {"stage": "ended"}
    return {"call_id": call_id, "durable": True, "warnings": []}


def replying(answer: Callable[[str, dict], bytes]) -> Behaviour:
    async def behave(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            path, body = await server.request(reader)
            writer.write(answer(path, body))
            await writer.drain()

    return behave


good = replying(lambda path, body: reply(answer_to(path, body)))


async def hang(server, reader, writer) -> None:
    await reader.read()


async def drip(server, reader, writer) -> None:
    for byte in reply(answer_to(*await server.request(reader))):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(1.0)


async def drip_the_body(server, reader, writer) -> None:
    head, _, body = reply(answer_to(*await server.request(reader))).partition(b"\r\n\r\n")
    writer.write(head + b"\r\n\r\n")
    for byte in body:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.02)


async def late(server, reader, writer) -> None:
    answer = reply(answer_to(*await server.request(reader)))
    await asyncio.sleep(0.3)
    writer.write(answer)


async def reset(server, reader, writer) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def close(server, reader, writer) -> None:
    await server.request(reader)


async def break_off(server, reader, writer) -> None:
    writer.write(reply(answer_to(*await server.request(reader)))[:-10])


async def garbage(server, reader, writer) -> None:
    await server.request(reader)
    writer.write(os.urandom(2_000))


async def endless(server, reader, writer) -> None:
    await server.request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"2000\r\n" + b" " * 0x2000 + b"\r\n")
        await writer.drain()


async def endless_head(server, reader, writer) -> None:
    await server.request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-A: " + b"a" * 8_000 + b"\r\n")
        await writer.drain()


async def endlessly_about_to_answer(server, reader, writer) -> None:
    await server.request(reader)
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.001)


REDIRECT = "Location: http://127.0.0.1:9/v1/score"
#: What a service may do, and a word of why it is not followed.
SLOW = [(hang, "in time"), (drip, "in time"), (drip_the_body, "in time"), (late, "in time")]
WRONG = [
    (reset, "broke off"),
    (close, "broke off"),
    (break_off, "broke off"),
    (garbage, "broke off"),
    (endless, "something else than a JSON object"),
    (endless_head, ""),  # on a busy machine it is cut before its second head is too long
    (replying(lambda *_: reply(b"<html>Welcome!</html>", 200, "text/html")), "something else than a JSON object"),
    (replying(lambda path, body: reply(answer_to(path, body), 200, "text/plain")), "something else"),
    (replying(lambda *_: reply(b"{", 200)), "something else than a JSON object"),
    (replying(lambda *_: reply(b"[" * 60_000, 200)), "something else than a JSON object"),
    (replying(lambda *_: reply(b"1" * 60_000, 200)), "something else than a JSON object"),
    (replying(lambda *_: reply(b"\xff\xfe", 200)), "something else than a JSON object"),
    (replying(lambda *_: reply([], 200)), "something else than a JSON object"),
    (replying(lambda *_: reply(b"", 204)), "something else than a JSON object"),
    (replying(lambda *_: reply(b"", 200, "application/json", "Content-Encoding: gzip")), "something else"),
    (replying(lambda *_: reply({}, 302, "application/json", REDIRECT)), "302"),
    (replying(lambda path, body: reply(answer_to(path, body), 500)), "500"),
    (replying(lambda path, body: reply(answer_to(path, body), 503)), "503"),
    (replying(lambda path, body: reply(answer_to(path, body), 999)), "999"),
    (replying(lambda *_: reply({"detail": "call_id: wrong"}, 422, "application/problem+json")), "call_id: wrong"),
    (replying(lambda *_: reply(b"<html>", 499, "text/html")), "refused it with 499"),
    (replying(lambda *_: reply({"detail": ["x"]}, 429)), "429"),
]


def call_at(place: int) -> dict:
    return {"call_id": f"call {place}", "received_at": START + timedelta(microseconds=place), "duration_s": 5}


def assert_first_come(answer: dict, call: dict, why: str = "") -> str:
    """Check an answer that puts nobody back, and give what it says of the reason."""
    received_at = call["received_at"]
    assert list(answer) == FIELDS
    assert (answer["call_id"], answer["band"], answer["prank_likelihood"]) == (call["call_id"], "unscored", None)
    assert (answer["defer_factor"], answer["defer_s"], answer["durable"], answer["degraded"]) == (0.0, 0.0, False, True)
    assert answer["queue_key"] == received_at.astimezone(UTC).isoformat(timespec="microseconds")
    assert answer["queue_key_epoch"] == received_at.timestamp()
    assert answer["arrived_at"] == answer["queue_key"]
    assert (answer["reasons"], answer["guardrails"], answer["held_out"], answer["release"]) == ([], [], False, None)
    assert (answer["genuine_like"], answer["one_in"], answer["badge"]) == (None, None, "not_rated")
    assert datetime.fromisoformat(answer["scored_at"]).utcoffset() == timedelta(0)
    (warning,) = answer["warnings"]
    assert warning["field"] == "service"
    assert why in warning["detail"], warning
    return warning["detail"]
