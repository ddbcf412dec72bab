"""A service that is asked hostile things, how each of its answers is looked at, and what is left of it all."""

import json
import logging
import re
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from service.telemetry.logs import Formatter, Handler
from tests.support.keyed_service import Keyed, keyed

NUMBER = "+6281234567890"
FORMS = ("81234567890", "812-3456-7890", "812 3456 7890")
CALL = {"call_id": "a", "received_at": "2026-01-31T08:15:00+07:00", "line": "mobile"}
START = json.dumps(CALL)[:-1].encode() + b", "
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Watched(NamedTuple):
    """The service, its log in both forms, and its memory at the start in KiB."""

    service: Keyed
    logs: tuple[StringIO, StringIO]
    memory: int


@contextmanager
def watching(folder: Path, release: Path) -> Iterator[Watched]:
    """Run a service in a folder, log what it says, and see in the end that nothing harmed it."""
    logs, handlers, root = (StringIO(), StringIO()), [], logging.getLogger()
    for form, stream in zip(("text", "json"), logs, strict=True):
        handlers.append(Handler(stream))
        handlers[-1].setFormatter(Formatter(form))
        root.addHandler(handlers[-1])
    try:
        with keyed(folder, release) as service:
            assert service.ask("intake", "POST", "/v1/score", json=CALL | {"call_id": "before"}).status_code == 200
            watched = Watched(service, logs, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
            yield watched
            assert_scored_as_ever(service)
            assert_memory_has_not_grown(watched)
            assert_no_number_and_no_key_in_the_log(watched)
            assert_events_can_be_read(service)
    finally:
        for handler in handlers:
            root.removeHandler(handler)


def assert_scored_as_ever(service: Keyed) -> None:
    answered = looked_at(service.ask("intake", "POST", "/v1/score", json=CALL | {"call_id": "after", "caller": NUMBER}))
    assert answered.status_code == 200
    answer = answered.json()
    assert (answer["durable"], answer["degraded"]) == (True, False)
    assert answer["band"] != "unscored"
    assert service.client.get("/readyz").status_code == 200


def assert_memory_has_not_grown(watched: Watched) -> None:
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - watched.memory
    assert grown < 250_000  # the highest it ever was, in KiB, with the tests' own bodies of megabytes in it


def assert_no_number_and_no_key_in_the_log(watched: Watched) -> None:
    text, lines = watched.logs[0].getvalue(), watched.logs[1].getvalue().splitlines()
    assert lines
    for line in text.splitlines():
        assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z (DEBUG|INFO|WARNING|ERROR|CRITICAL) ", line), line
        assert line.isprintable()
    for line in lines:
        assert {"time", "level", "message"} <= json.loads(line).keys()
    both = text + "".join(lines)
    assert "forged" not in both
    assert "Traceback" not in both
    assert not any(form in both for form in FORMS)
    assert not any(key in both for key in watched.service.keys.values())


def assert_events_can_be_read(service: Keyed) -> None:
    with service.engine.connect() as found:
        bodies = [json.loads(body) for (body,) in found.exec_driver_sql("SELECT body FROM events")]
        extras = [json.loads(extra) for (extra,) in found.exec_driver_sql("SELECT extra FROM calls")]
        told = json.dumps([row[0] for row in found.exec_driver_sql("SELECT body FROM decisions WHERE kind <> 'staff'")])
    assert bodies
    assert extras
    assert not any(form in told for form in FORMS)


def looked_at(answered: httpx.Response) -> httpx.Response:
    """See that an answer does no harm, whatever was asked; gives it back."""
    assert answered.status_code < 500, answered.text
    assert answered.headers["x-content-type-options"] == "nosniff"
    assert answered.headers["content-security-policy"].startswith("default-src 'none'")
    if answered.headers["content-type"].startswith("application/"):
        assert not CONTROL.search(answered.content.decode()), answered.text
    if answered.status_code >= 400:
        assert answered.headers["content-type"] == "application/problem+json"
        problem = answered.json()
        assert problem["status"] == answered.status_code
        assert problem["title"]
        assert problem["detail"]
        for text in (problem["detail"], *(text for error in problem.get("errors", []) for text in error.values())):
            assert text.isprintable(), text
            assert "<script" not in text
            assert len(text) < 5_000
        assert not any(form in answered.text for form in FORMS), answered.text
    return answered


def named(answered: httpx.Response) -> set[str]:
    """Name the fields that an answer complains of: those of a problem, or those of its warnings.

    That a call is of January is no complaint here.
    """
    document = answered.json()
    if "errors" in document:
        return {entry["field"] for entry in document["errors"]}
    return {entry["field"] for entry in document.get("warnings", [])} - {"received_at"}


def parsed(raw: bytes) -> httpx.Response:
    """Read the first answer of what came over a connection, and look at it."""
    head, _, body = raw.partition(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").split("\r\n")
    headers = [tuple(one.split(": ", 1)) for one in lines]
    length = int(dict(headers).get("content-length", "0"))
    answered = httpx.Response(int(line.split()[1]), headers=headers, content=body[:length])
    if "x-request-id" in answered.headers:
        return looked_at(answered)
    # Told by the server, before anything was asked of the application.
    assert answered.headers["content-type"] == "application/problem+json"
    assert answered.json()["status"] == answered.status_code
    assert answered.headers["connection"] == "close"
    return answered


def deep(opening: bytes, closing: bytes, inside: bytes = b"", times: int = 10_000) -> bytes:
    return opening * times + inside + closing * times


def with_field(text: str | bytes) -> bytes:
    """Give a call with one more field, as it is written."""
    return START + (text.encode() if isinstance(text, str) else text) + b"}"


def with_call(**changes: Any) -> bytes:
    return json.dumps(CALL | changes).encode()


def ended(half: socket.socket) -> bytes:
    """Give what comes until the service ends a connection."""
    half.settimeout(20.0)
    found = b""
    while more := half.recv(65_536):
        found += more
    return found
