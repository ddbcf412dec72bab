"""Nobody gets in and nothing stops it: hostile bodies, texts, paths, headers and connections against one service.

All of it is told to the same service, in the order of this file; the last tests look at what is left of it: the log,
the store, the memory, and whether a call is scored as ever.
"""

import gzip
import json
import logging
import re
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import pytest

from service.server import connection, listener
from service.telemetry.logs import Formatter, Handler
from tests.support.keyed_service import NOBODY, Keyed, keyed

NUMBER = "+6281234567890"
FORMS = ("81234567890", "812-3456-7890", "812 3456 7890")
CALL = {"call_id": "a", "received_at": "2026-01-31T08:15:00+07:00", "line": "mobile"}
START = json.dumps(CALL)[:-1].encode() + b", "
REQUEST_S = 1.0
MUCH = 50_000_000
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Watched(NamedTuple):
    """The service, its log in both forms, and its memory at the start in KiB."""

    service: Keyed
    logs: tuple[StringIO, StringIO]
    memory: int


@pytest.fixture(scope="module")
def watched(tmp_path_factory, release_folder: Path) -> Iterator[Watched]:
    logs, handlers, root = (StringIO(), StringIO()), [], logging.getLogger()
    for form, stream in zip(("text", "json"), logs, strict=True):
        handlers.append(Handler(stream))
        handlers[-1].setFormatter(Formatter(form))
        root.addHandler(handlers[-1])
    try:
        with keyed(tmp_path_factory.mktemp("hostile"), release_folder) as service:
            assert service.ask("intake", "POST", "/v1/score", json=CALL | {"call_id": "before"}).status_code == 200
            yield Watched(service, logs, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    finally:
        for handler in handlers:
            root.removeHandler(handler)


@pytest.fixture(scope="module")
def service(watched: Watched) -> Keyed:
    return watched.service


@pytest.fixture
def impatient(monkeypatch) -> None:
    """For what would take 20 seconds otherwise."""
    monkeypatch.setattr(connection, "STALL_TIMEOUT_S", REQUEST_S)


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
    """Name the fields that an answer complains of: those of a problem, or those of its warnings."""
    document = answered.json()
    return {entry["field"] for entry in document.get("errors", document.get("warnings", []))}


# Bodies


def deep(opening: bytes, closing: bytes, inside: bytes = b"", times: int = 10_000) -> bytes:
    return opening * times + inside + closing * times


def with_field(text: str | bytes) -> bytes:
    """Give a call with one more field, as it is written."""
    return START + (text.encode() if isinstance(text, str) else text) + b"}"


def with_call(**changes: Any) -> bytes:
    return json.dumps(CALL | changes).encode()


WHOLE = json.dumps(CALL).encode()
#: Bodies that are no call: none of them is taken, and each is told what is wrong.
REFUSED: dict[str, bytes] = {
    "nothing": b"",
    "a megabyte of spaces": b" " * 1_000_000,
    "64 KiB of spaces": b" " * 65_536,
    "a space and nothing": b" ",
    "a nul": b"\x00",
    "nuls around it": b"\x00" + WHOLE + b"\x00",
    "text": b"hello",
    "a form": b"call_id=a&received_at=2026-01-31T08:15:00Z",
    "xml": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "yaml": b"!!python/object/apply:os.system ['true']",
    "a pickle": b"\x80\x04\x95\x1e\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x8c\x06system\x93.",
    "multipart": b'--x\r\nContent-Disposition: form-data; name="call_id"\r\n\r\na\r\n--x--',
    "null": b"null",
    "true": b"true",
    "a number": b"5",
    "a caller's number": b"6281234567890",
    "a string": b'"a"',
    "a list": b"[" + WHOLE + b"]",
    "an empty list": b"[]",
    "an empty object": b"{}",
    "an object in an object": b'{"call": ' + WHOLE + b"}",
    "lists 10,000 deep": deep(b"[", b"]"),
    "lists 10,000 deep that never end": b"[" * 10_000,
    "objects 10,000 deep": deep(b'{"a":', b"}", b"1"),
    "a field 10,000 deep": with_field(b'"x_a": ' + deep(b"[", b"]")),
    "a call_id 10,000 deep": with_field(b'"call_id": ' + deep(b"[", b"]")),
    "a field of 250 levels": with_field(b'"x_a": ' + deep(b"[", b"]", times=250)),
    "not ended": WHOLE[:-1],
    "ended twice": WHOLE + b"}",
    "trailing text": WHOLE + b" and more",
    "two of them": WHOLE + WHOLE,
    "two lines of them": WHOLE + b"\n" + WHOLE,
    "a comma at the end": WHOLE[:-1] + b",}",
    "a comment": b"/* hello */" + WHOLE,
    "single quotes": WHOLE.replace(b'"', b"'"),
    "names without quotes": b"{call_id: 1}",
    "a guard against eval": b")]}',\n" + WHOLE,
    "a newline in a string": b'{"call_id": "a\nb", "received_at": "2026-01-31T08:15:00Z"}',
    "an unknown escape": with_field(rb'"x_a": "\q"'),
    "half an escape": with_field(rb'"x_a": "\u12"'),
    "a lone high surrogate": with_field(rb'"x_a": "\ud800"'),
    "a lone low surrogate": with_field(rb'"x_a": "\udc00"'),
    "surrogates the wrong way round": with_field(rb'"x_a": "\udc00\ud800"'),
    "a surrogate in a call_id": with_field(rb'"call_id": "\ud800"'),
    "a surrogate in the name of a field": with_field(rb'"x_\ud800": 1'),
    "a surrogate written as UTF-8": with_field(b'"x_a": "\xed\xa0\x80"'),
    "an overlong nul": with_field(b'"x_a": "\xc0\x80"'),
    "an overlong slash": with_field(b'"x_a": "\xc0\xaf"'),
    "beyond Unicode": with_field(b'"x_a": "\xf4\x90\x80\x80"'),
    "half a character": with_field(b'"x_a": "\xe2\x82"'),
    "latin-1": with_field('"x_a": "é"'.encode("latin-1")),
    "UTF-16": WHOLE.decode().encode("utf-16"),
    "UTF-16 without a mark": WHOLE.decode().encode("utf-16-le"),
    "UTF-32": WHOLE.decode().encode("utf-32"),
    "UTF-7": WHOLE.decode().encode("utf-7")[:-1],
    "a byte order mark": b"\xef\xbb\xbf" + WHOLE,
    "gzip": gzip.compress(WHOLE),
    "a megabyte in a kilobyte": gzip.compress(b" " * 1_000_000),
    "leading zeros": with_field('"duration_s": 007'),
    "a plus": with_field('"duration_s": +7'),
    "hexadecimal": with_field('"duration_s": 0x7'),
    "half a number": with_field('"duration_s": 7.'),
    "half an exponent": with_field('"duration_s": 7e'),
    "undefined": with_field('"duration_s": undefined'),
    "True": with_field('"duration_s": True'),
    "5,000 digits": with_field('"x_a": ' + "9" * 5_000),
    "call_id: null": with_call(call_id=None),
    "call_id: a number": with_call(call_id=5),
    "call_id: a caller's number": with_call(call_id=6281234567890),
    "call_id: true": with_call(call_id=True),
    "call_id: a list": with_call(call_id=["a"]),
    "call_id: an object": with_call(call_id={"$ne": None}),
    "call_id: empty": with_call(call_id=""),
    "call_id: blank": with_call(call_id=" \u00a0"[:1] * 20),
    "call_id: 201 characters": with_call(call_id="a" * 201),
    "call_id: 60,000 characters": with_call(call_id="a" * 60_000),
    "call_id: a nul": with_call(call_id="a\x00b"),
    "call_id: two lines": with_call(call_id="a\nERROR forged"),
    "call_id: a colour": with_call(call_id="\x1b[31ma"),
    "call_id: a colour of eight bits": with_call(call_id="\x9b31ma"),
    "call_id: twice, the last one wrong": with_field('"call_id": 5'),
    "call_id: not there": b'{"received_at": "2026-01-31T08:15:00Z"}',
    "call_id: in capitals": b'{"CALL_ID": "a", "received_at": "2026-01-31T08:15:00Z"}',
    "call_id: by another path": b'{"__proto__": {"call_id": "a"}, "received_at": "2026-01-31T08:15:00Z"}',
    "received_at: null": with_call(received_at=None),
    "received_at: a number": with_call(received_at=1769822100),
    "received_at: a number as text": with_call(received_at="1769822100"),
    "received_at: a float": with_call(received_at=1769822100.5),
    "received_at: 0": with_call(received_at=0),
    "received_at: infinity": with_field('"received_at": 1e999'),
    "received_at: not a number": with_field('"received_at": NaN'),
    "received_at: a day": with_call(received_at="2026-01-31"),
    "received_at: no offset": with_call(received_at="2026-01-31T08:15:00"),
    "received_at: no such day": with_call(received_at="2026-02-30T08:15:00Z"),
    "received_at: no such hour": with_call(received_at="2026-01-31T25:15:00Z"),
    "received_at: a leap second": with_call(received_at="2016-12-31T23:59:60Z"),
    "received_at: no such offset": with_call(received_at="2026-01-31T08:15:00+99:99"),
    "received_at: the year 0": with_call(received_at="0000-01-01T00:00:00Z"),
    "received_at: the year 1": with_call(received_at="0001-01-01T00:00:00+23:59"),
    "received_at: the year 9999": with_call(received_at="9999-12-31T23:59:59-23:59"),
    "received_at: the year 10000": with_call(received_at="10000-01-01T00:00:00Z"),
    "received_at: before telephones": with_call(received_at="1869-01-01T00:00:00Z"),
    "received_at: next year": with_call(received_at="2031-01-01T00:00:00Z"),
    "received_at: other digits": with_call(received_at="٢٠٢٦-01-31T08:15:00Z"),
    "received_at: a newline after it": with_call(received_at="2026-01-31T08:15:00Z\n"),
    "received_at: 60,000 digits": with_call(received_at="2" * 60_000),
    "received_at: a list": with_call(received_at=["2026-01-31T08:15:00Z"]),
    "65,537 bytes": with_call(x_a="a" * (65_537 - len(with_call(x_a="")))),
    "ten megabytes": with_call(x_a="a" * 10_000_000),
}
#: Bodies that are a call in spite of it all: the call is taken, and what makes no sense is named.
FORGIVEN: dict[str, tuple[str, set[str]]] = {
    "duration: not a number": ('"duration_s": NaN', {"duration_s"}),
    "duration: infinity": ('"duration_s": Infinity', {"duration_s"}),
    "duration: less than all": ('"duration_s": -Infinity', {"duration_s"}),
    "duration: 1e999": ('"duration_s": 1e999', {"duration_s"}),
    "duration: -1e999": ('"duration_s": -1e999', {"duration_s"}),
    "duration: next to nothing": ('"duration_s": 5e-324', set()),
    "duration: nothing from below": ('"duration_s": -0', set()),
    "duration: nothing from below, as a float": ('"duration_s": -0.0', set()),
    "duration: 400 digits": ('"duration_s": ' + "9" * 400, {"duration_s"}),
    "duration: 4,000 decimals": ('"duration_s": 0.' + "1" * 4_000, set()),
    "duration: a text": ('"duration_s": "5"', {"duration_s"}),
    "duration: an empty text": ('"duration_s": ""', {"duration_s"}),
    "duration: true": ('"duration_s": true', {"duration_s"}),
    "duration: a list": ('"duration_s": [5]', {"duration_s"}),
    "duration: a day and more": ('"duration_s": 86400.0001', {"duration_s"}),
    "silence: 1.01": ('"silence_ratio": 1.01', {"silence_ratio"}),
    "silence: a hair above 1": ('"silence_ratio": 1.0000000000000002', {"silence_ratio"}),
    "silence: a text": ('"silence_ratio": "0.5"', {"silence_ratio"}),
    "wait: an object": ('"expected_wait_s": {}', {"expected_wait_s"}),
    "line: a number": ('"line": 5', {"line"}),
    "line: a word that is none": ('"line": "carrier pigeon"', {"line"}),
    "line: 60,000 letters": ('"line": "' + "a" * 60_000 + '"', {"line"}),
    "stage: unknown": ('"stage": "__class__"', {"stage"}),
    "queue: two lines": (r'"queue": "a\nb"', {"queue"}),
    "queue: a nul": (r'"queue": "a\u0000b"', {"queue"}),
    "queue: 201 letters": ('"queue": "' + "a" * 201 + '"', {"queue"}),
    "queue: a list": ('"queue": ["a"]', {"queue"}),
    "caller: a number that is no text": ('"caller": 6281234567890', {"caller"}),
    "caller: a nul": (r'"caller": "+6281234567890\u0000"', {"caller"}),
    "caller: 60,000 digits": ('"caller": "' + "1" * 60_000 + '"', {"caller"}),
    "the same field twice, the last one wrong": ('"duration_s": 5, "duration_s": -5', {"duration_s"}),
    "the same field twice, the last one right": ('"duration_s": -5, "duration_s": 5', set()),
    "an unknown field": ('"colour": "red"', {"colour"}),
    "an unknown field named by a number": (f'"{NUMBER}": 1', {"[number]"}),
    "an unknown field that is a script": ('"<script>alert(1)</script>": 1', {"<script>alert(1)</script>"}),
    "a field without a name": ('"": 1', {""}),
    "a name of 60,000 letters": ('"x_' + "a" * 60_000 + '": 1', {"x_" + "a" * 98}),
    "a name of two lines": (r'"x_a\nb": 1', {r"x_a\nb"}),
    "prototypes": ('"__proto__": {"a": 1}, "constructor": 1', {"__proto__", "constructor"}),
    "an extra field nested too deep": ('"x_a": ' + "[" * 150 + "]" * 150, {"x_a"}),
    "an extra field of objects nested too deep": ('"x_a": ' + '{"a":' * 9 + "1" + "}" * 9, {"x_a"}),
    "an extra field of 4,000 digits": ('"x_a": ' + "9" * 4_000, {"x_a"}),
    "extra fields that JSON cannot carry": ('"x_a": NaN, "x_b": [1e999, -Infinity]', set()),
    "an extra field with the number in it": (f'"caller": "{NUMBER}", "x_a": "sip:{NUMBER}@pbx"', {"x_a"}),
    "a queue with the number in it": (f'"caller": "{NUMBER}", "queue": "0812 3456 7890"', {"queue"}),
    "blanks everywhere": (' \t\r\n "x_a"\t:\r\n1 ', set()),
    "emoji": ('"x_\N{FIRE ENGINE}": "\N{FIRE ENGINE}"', set()),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_body_that_is_no_call_is_refused_by_its_field(service, name):
    answered = looked_at(service.ask("intake", "POST", "/v1/score", content=REFUSED[name]))
    assert answered.status_code in (400, 413, 422)
    field = name.split(":")[0] if ":" in name else None
    if field is not None:
        assert field in named(answered)
    else:
        assert named(answered) <= {"(body)", "call_id", "received_at"}
        assert named(answered)


@pytest.mark.parametrize("name", FORGIVEN)
def test_a_field_that_makes_no_sense_is_named_and_the_call_is_taken(service, name):
    text, expected = FORGIVEN[name]
    body = with_field(f'{text}, "call_id": {json.dumps(name)}')
    answered = looked_at(service.ask("intake", "POST", "/v1/score", content=body))
    assert answered.status_code == 200, answered.text
    assert answered.json()["durable"]
    assert named(answered) == expected
    found = looked_at(service.ask("operator", "GET", f"/v1/calls/{quote(name, safe='')}"))
    assert found.json()["call_id"] == name
    assert not any(form in found.text for form in FORMS)


def test_thousands_of_unknown_fields_are_not_told_back_one_by_one(service):
    body = with_call(call_id="many fields", **{f"field{place}": place for place in range(2_500)})
    answered = looked_at(service.ask("intake", "POST", "/v1/score", content=body))
    assert len(answered.json()["warnings"]) == 21
    assert "2,480 more" in answered.json()["warnings"][-1]["detail"]
    kept = with_call(call_id="many extras", **{f"x_{place}": place for place in range(2_500)})
    assert looked_at(service.ask("intake", "POST", "/v1/score", content=kept)).status_code == 200
    found = service.ask("operator", "GET", "/v1/calls/many%20extras").json()
    assert sum(name.startswith("x_") for name in found) == 100
    operate = json.dumps({f"field{place}": place for place in range(2_500)}).encode()
    refused = looked_at(service.ask("operator", "PUT", "/v1/operations", content=operate))
    assert len(named(refused)) == 21


ENDPOINTS = [
    ("POST", "/v1/score"),
    ("POST", "/v1/score/batch"),
    ("POST", "/v1/calls/before/answered"),
    ("POST", "/v1/calls/before/ended"),
    ("POST", "/v1/calls/before/disposition"),
    ("POST", "/v1/calls/before/take"),
    ("POST", "/v1/calls/before/release"),
    ("POST", "/v1/callers/lookup"),
    ("POST", "/v1/callers/erase"),
    ("PUT", "/v1/operations"),
    ("POST", "/v1/tokens"),
]


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_no_endpoint_is_stopped_by_a_hostile_body(service, method, path):
    for body in REFUSED.values():
        answered = looked_at(service.ask("admin", method, path, content=body))
        if answered.status_code == 200:
            # `{}` and the like may be right here; what is no JSON never is.
            assert isinstance(json.loads(body), dict)
        else:
            assert named(answered)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/xml"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "%n/{{7*7}}" * 50},
        {"Content-Type": ""},
        {"Accept": "text/html"},
        {"Accept-Encoding": "*;q=0"},
        {"Content-Language": "tlh"},
        {"Range": "bytes=0-1"},
        {"If-Match": '"a"'},
        {"X-HTTP-Method-Override": "DELETE"},
    ],
)
def test_what_a_header_says_of_a_body_changes_nothing(service, headers):
    told = service.ask("intake", "POST", "/v1/score", content=with_call(call_id="as it is")).json()
    again = looked_at(
        service.ask("intake", "POST", "/v1/score", content=with_call(call_id="as it is"), headers=headers)
    )
    assert again.json() == told


def test_a_body_in_pieces_is_the_same_body(service):
    body = with_call(call_id="in pieces")
    pieces = (bytes([byte]) for byte in body)
    answered = looked_at(service.ask("intake", "POST", "/v1/score", content=pieces))
    assert answered.json() == service.ask("intake", "POST", "/v1/score", content=body).json()
    endless = (b" " * 10_000 for _ in range(1_000))
    refused = looked_at(service.ask("intake", "POST", "/v1/score", content=endless))
    assert refused.status_code == 413


# Texts

TEXTS = {
    "sql": "'; DROP TABLE calls; --",
    "more sql": '" OR 1=1) UNION SELECT digest FROM access_keys --',
    "script": "<script>alert(1)</script>",
    "an attribute": '" onload="alert(1)',
    "a picture": "]]></text><image href='x' onerror='alert(1)'/>",
    "template": "{{7*7}}${7*7}#{7*7}<%= 7*7 %>",
    "lookup": "${jndi:ldap://127.0.0.1/a}",
    "format": "%s%n%x {0} {self.__class__} %(call_id)s",
    "path": "../../../../etc/passwd",
    "another path": "..\\..\\windows\\win.ini",
    "shell": "$(touch /tmp/x); `id` | cat",
    "lines": "a\r\n2026-11-24T02:08:16.430093Z ERROR root forged",
    "header": "a\r\nSet-Cookie: a=b\r\n\r\n<html>",
    "colours": "\x1b[2J\x1b[31mred\x1b]0;title\x07",
    "colours of eight bits": "\x9b2J\x9b31mred",
    "nul": "a\x00b",
    "backwards": "\u202egpj.exe\u2066",
    "invisible": "a\u200b\u200d\ufeffb\u2028c\u2029d",
    "not characters": "\ufffe\uffff\U0010ffff",
    "piled up": "Z" + "\u0351\u036b\u0343" * 60,
    "digits of elsewhere": "٠١٢٣٤٥٦٧٨٩",
    "metric": 'a"} 1\nsaring_up 0\n#',
    "csv": "=HYPERLINK(1);@SUM(1+1)*cmd|' /C calc'!A0",
    "json": '","on":true,"a":"',
    "a number": NUMBER,
    "a number as dialled": "0812-3456-7890",
    "a key": "saring_0123456789_abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
    "long": "a" * 5_000,
    "empty": "",
}
AT = "2026-01-31T09:15:00+07:00"
FIELDS: list[tuple[str, str, dict[str, Any], str]] = [
    *(("POST", "/v1/score", CALL, field) for field in (*CALL, "caller", "centre", "queue", "stage", "x_a")),
    ("POST", "/v1/calls/before/answered", {"answered_at": AT}, "operator"),
    ("POST", "/v1/calls/before/answered", {"answered_at": AT}, "answered_at"),
    ("POST", "/v1/calls/before/ended", {"ended_at": AT}, "ended_at"),
    ("POST", "/v1/calls/before/ended", {"ended_at": AT}, "ended_by"),
    *(("POST", "/v1/calls/before/disposition", {"disposition": "prank", "disposed_at": AT}, field)
      for field in ("disposition", "category", "disposed_at", "operator")),
    ("POST", "/v1/calls/before/take", {}, "operator"),
    ("POST", "/v1/calls/before/release", {}, "operator"),
    ("POST", "/v1/callers/lookup", {}, "caller"),
    ("POST", "/v1/callers/erase", {"reason": "a drill"}, "caller"),
    ("POST", "/v1/callers/erase", {"caller": "+6281211112222"}, "reason"),
    ("PUT", "/v1/operations", {"operators": 2}, "queue"),
    ("PUT", "/v1/operations", {"switch": {"on": True}}, "switch.reason"),
    ("POST", "/v1/tokens", {"scope": "badge"}, "call_id"),
    ("POST", "/v1/tokens", {}, "scope"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "field"), FIELDS)
def test_no_text_in_any_field_does_harm(service, method, path, body, field):
    for name, text in TEXTS.items():
        if field == "caller" and path == "/v1/score":
            body = body | {"call_id": f"caller {name}"}
        outer, _, inner = field.partition(".")
        asked = body | {outer: {**body.get(outer, {}), inner: text} if inner else text}
        answered = looked_at(service.ask("admin", method, path, json=asked))
        assert answered.status_code in (200, 404, 409, 422), (name, answered.text)
        if answered.status_code == 422:
            assert field in named(answered), (name, answered.text)
        elif answered.status_code == 200:
            assert named(answered) <= {field}, (name, answered.text)


def test_a_hostile_text_comes_back_as_text_alone(service):
    for path in ("/v1/queue", "/v1/operations", "/v1/model", "/v1/calls/before"):
        answered = looked_at(service.ask("admin", "GET", path))
        assert answered.headers["content-type"] == "application/json"
    metrics = looked_at(service.ask("admin", "GET", "/metrics")).text
    assert "\x1b" not in metrics
    assert "\nsaring_up 0" not in metrics
    assert not any(form in metrics for form in FORMS)
    for line in metrics.split("\n")[:-1]:
        assert line.startswith(("#", "saring_", "python_", "process_")), line
    for name, text in TEXTS.items():
        if 0 < len(text) <= 200 and not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", text):
            assert service.ask("intake", "POST", "/v1/score", json=CALL | {"call_id": text}).status_code == 200, name
            picture = looked_at(service.ask("operator", "GET", f"/v1/calls/{quote(text, safe='')}/badge.svg"))
            assert picture.headers["content-type"] == "image/svg+xml"
            assert "script" not in picture.text
            assert "onload" not in picture.text


PATHS = [
    "%00", "%0a", "%0d%0aSet-Cookie:%20a=b", "%1b%5b31m", "%7f", "%c2%9b31m", "%20", "%09", "%ff", "%fe%ff", "%c0%af",
    "%ed%a0%80", "%zz", "%", "%2", "%2F", "%2F%2F", "%5c", "..%2f..%2fetc%2fpasswd", "%252e%252e", "%2e%2e%2f", ";a=b",
    "a;b", "a%3Fb", "a%23b", "*", "~root", "%7B%7D", "%3Cscript%3E", "'%20OR%201=1--", "%2B62%20812-3456-7890", "take",
    "answered%2Fended", "badge.svg", "%u0041", "+", "=", "&", "%E2%80%AE", "null", "-1", "1e999", "a" * 201,
    "%F0%9F%9A%92" * 201,
]  # fmt: skip


@pytest.mark.parametrize("written", PATHS)
def test_an_odd_call_id_in_a_path_is_not_found_and_not_repeated(service, written):
    ended, closed = {"ended_at": AT}, {"disposition": "prank", "disposed_at": AT}
    for method, behind, body in (
        ("GET", "", None),
        ("GET", "/badge.svg", None),
        ("POST", "/answered", {"answered_at": AT}),
        ("POST", "/ended", ended),
        ("POST", "/disposition", closed),
        ("POST", "/take", {}),
        ("POST", "/release", {}),
    ):
        path = f"/v1/calls/{written}{behind}"
        key = service.keys["admin"]
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\nConnection: close\r\n"
        answered = parsed(service.raw(f"{head}Authorization: Bearer {key}\r\n\r\n".encode() + content))
        assert answered.status_code == 404, (path, answered.text)
        assert named(answered) in ({"call_id"}, set())
        assert "script" not in answered.text
        assert "passwd" not in answered.text
        unkeyed = parsed(service.raw(f"{head}\r\n".encode() + content))
        assert unkeyed.status_code in (401, 404), path


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


# Batches


def batch(service: Keyed, content: bytes) -> httpx.Response:
    return looked_at(service.ask("intake", "POST", "/v1/score/batch", content=content))


def test_a_batch_of_more_than_a_thousand_is_refused(service):
    answered = batch(service, json.dumps({"calls": [{}] * 1_001}).encode())
    assert (answered.status_code, named(answered)) == (422, {"calls"})
    assert len(batch(service, json.dumps({"calls": [{}] * 1_000}).encode()).json()["results"]) == 1_000
    assert batch(service, b'{"calls": []}').json() == {"results": []}


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"calls": null}', b'{"calls": {}}', b'{"calls": "a"}', b"5"])
def test_a_batch_that_is_no_list_of_calls_is_refused(service, body):
    answered = batch(service, body)
    assert (answered.status_code, named(answered)) == (422, {"calls"})


def test_in_a_batch_one_that_cannot_be_scored_keeps_no_other_from_it(service):
    wrong = [b"null", b"5", b'"a"', b"[]", b"{}", b'{"call_id": "a"}', b'{"call_id": "\\u0000", "x_a": NaN}',
             deep(b"[", b"]", times=150), b"NaN", b"1e999", b"9" * 400,
             b'{"x_a": "' + b"a" * 70_000 + b'"}']  # fmt: skip
    right = [with_call(call_id=f"beside {place}") for place in range(len(wrong))]
    items = [one for pair in zip(wrong, right, strict=True) for one in pair]
    results = batch(service, b'{"calls": [' + b",".join(items) + b"]}").json()["results"]
    assert [result.get("status") for result in results[::2]] == [422] * len(wrong)
    assert all(result["errors"] for result in results[::2])
    assert [result["call_id"] for result in results[1::2]] == [f"beside {place}" for place in range(len(right))]
    assert all(result["durable"] for result in results[1::2])


def test_a_number_that_is_none_spoils_its_own_call_of_a_batch_alone(service):
    items = START + b'"call_id": "nan", "duration_s": NaN}, ' + with_call(call_id="beside nan")
    results = batch(service, b'{"calls": [' + items + b"]}").json()["results"]
    assert [warning["field"] for warning in results[0]["warnings"]] == ["duration_s"]
    assert results[1]["warnings"] == []


def test_the_same_call_many_times_in_one_batch_counts_once(service):
    same = with_call(call_id="same", caller="+6281255555555")
    results = batch(service, b'{"calls": [' + b",".join([same] * 50) + b"]}").json()["results"]
    assert all(result == results[0] for result in results)
    asked = {"caller": "+6281255555555"}
    looked_up = service.ask("operator", "POST", "/v1/callers/lookup", json=asked).json()
    assert looked_up["history"]["calls_ever"] == 1.0
    other = with_call(call_id="same", caller="+6281255555556")
    results = batch(service, b'{"calls": [' + b",".join([same, other]) + b"]}").json()["results"]
    assert results[0]["durable"]
    assert (results[1]["status"], results[1]["errors"][0]["field"]) == (409, "caller")


def test_a_call_told_of_two_callers_at_once_is_of_one_of_them(service):
    callers = [f"+62812555566{place:02}" for place in range(20)]
    items = [with_call(call_id="whose", caller=caller) for caller in callers]
    results = batch(service, b'{"calls": [' + b",".join(items) + b"]}").json()["results"]
    assert sorted(result.get("status", 200) for result in results) == [200] + [409] * 19
    told = [service.ask("operator", "POST", "/v1/callers/lookup", json={"caller": caller}).json() for caller in callers]
    assert sum(one["history"]["calls_ever"] for one in told) == 1.0


def test_a_batch_has_a_size(service):
    within = b'{"calls": [' + b" " * 8_000_000 + with_call(call_id="behind blanks") + b"]}"
    assert batch(service, within).json()["results"][0]["durable"]
    beyond = b'{"calls": [' + b" " * 8_400_000 + b"]}"
    answered = batch(service, beyond)
    assert (answered.status_code, named(answered)) == (413, {"(body)"})
    assert batch(service, b'{"calls": [' + b"[" * 1_000_000).status_code == 400
    assert batch(service, b'{"calls": [' + b"0," * 2_000_000 + b"0]}").status_code == 422


# Headers and connections


TRICKS = [
    "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: localhost", "X-Forwarded-Proto: https", "X-Real-IP: 127.0.0.1",
    "Forwarded: for=127.0.0.1;host=localhost;proto=https", "Via: 1.1 localhost", "X-Original-URL: /healthz",
    "X-Rewrite-URL: /healthz", "X-Forwarded-User: admin", "X-Remote-User: admin", "Remote-User: admin",
    "Cookie: role=admin", "X-HTTP-Method-Override: OPTIONS", "Origin: null", "Origin: http://localhost",
    "Proxy-Authorization: Bearer a", "Upgrade-Insecure-Requests: 1", "Sec-Fetch-Site: same-origin",
    "X-Request-ID: a\tb", "X-Saring-Role: admin", "Principal: admin", "Connection: close, authorization",
]  # fmt: skip
UPGRADES = [
    "Upgrade: h2c\r\nHTTP2-Settings: AAA",
    "Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13",
]


@pytest.mark.parametrize("trick", TRICKS)
def test_no_header_stands_in_for_a_key(service, trick):
    for path in ("/v1/model", "/v1/queue", "/v1/calls/before", "/metrics"):
        answered = parsed(service.raw(service.head(NOBODY, "GET", path, trick, "Connection: close")))
        assert answered.status_code == 401, answered.text


@pytest.mark.parametrize("upgrade", UPGRADES)
def test_no_other_protocol_is_spoken(service, upgrade):
    asked = service.head(NOBODY, "GET", "/v1/queue/stream", "Connection: upgrade", upgrade)
    answered = service.raw(asked, patience_s=0.5)
    assert parsed(answered).status_code == 401


POST = b"POST /v1/score HTTP/1.1\r\nHost: localhost\r\n"
SMUGGLED = b"GET /v1/model HTTP/1.1\r\nHost: localhost\r\n\r\n"
MALFORMED = {
    "both lengths": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde" + SMUGGLED,
    "a negative length": POST + b"Content-Length: -1\r\n\r\n",
    "a length with a plus": POST + b"Content-Length: +5\r\n\r\nabcde",
    "a huge length": POST + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n",
    "another coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a blank before the colon": b"GET /healthz HTTP/1.1\r\nHost : localhost\r\n\r\n",
    "a folded header": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: a\r\n b\r\n\r\n",
    "bare line feeds": b"GET /healthz HTTP/1.1\nHost: localhost\n\n",
    "a nul in a header": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: a\x00b\r\n\r\n",
    "no such method": b"\x1b[31m /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "HTTP/3.0": b"GET /healthz HTTP/3.0\r\nHost: localhost\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "bytes in a path": b"GET /v1/calls/\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a tunnel": b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "TLS": bytes.fromhex("160301020001000001fc0303") + bytes(range(200)),
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "redis": b"*1\r\n$8\r\nFLUSHALL\r\n",
    "noise": bytes(range(255, 0, -1)) * 4,
    "a head of 100 KB in one header": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: "
    + b"a" * 100_000
    + b"\r\n\r\n",
    "a head of 100 KB in many": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X-A: a\r\n" * 20_000 + b"\r\n",
    "a path of 100 KB": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_request_is_refused_and_the_connection_ends(service, name):
    answered = service.raw(MALFORMED[name])
    # What is too large is no longer read, and an answer to it may be lost on the way.
    if answered or "100 KB" not in name:
        assert answered.count(b"HTTP/1.1 ") == 1, answered
        assert parsed(answered).status_code == (431 if "100 KB" in name else 400)


@pytest.mark.usefixtures("impatient")
def test_a_chunk_that_makes_no_sense_is_not_taken(service):
    head = service.head("intake", "POST", "/v1/score", "Transfer-Encoding: chunked")
    for chunks in (
        b"zz\r\n",
        b"-1\r\n",
        b"ffffffffffffffffffff\r\n",
        b"5\r\nabcdefg\r\n0\r\n\r\n",
        b"5;" + b"a" * 100_000,
    ):
        answered = service.raw(head + chunks, patience_s=20.0)
        assert b"200 OK" not in answered
        assert answered.count(b"HTTP/1.1 ") <= 1
    body = with_call(call_id="in chunks")
    chunked = b"".join(b"%x;a=b\r\n%c\r\n" % (1, byte) for byte in body) + b"0\r\nX-Trailer: a\r\n\r\n"
    assert b'"durable":true' in service.raw(head + chunked, patience_s=1.0)


def test_a_head_that_never_ends_costs_nothing(service):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for line in (b"a" * 1_000_000, b"X-A: " + b"a" * 60_000 + b"\r\n"):
        with socket.create_connection(("127.0.0.1", service.port), timeout=10.0) as sender:
            sender.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: ")
            sent = 0
            try:
                while sent < MUCH:
                    sender.sendall(line)
                    sent += len(line)
            except OSError:
                pass
        assert sent < MUCH
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


@pytest.mark.usefixtures("impatient")
def test_half_open_connections_keep_nobody_out_and_are_ended(service):
    begun = service.head("intake", "POST", "/v1/score", "Content-Length: 500")
    starts = (b"", b"G", b"GET /healthz HTTP/1.1\r\nHost: loc", begun[:-2], begun, begun + START)
    with ExitStack() as stack:
        opened = [stack.enter_context(socket.create_connection(("127.0.0.1", service.port))) for _ in range(200)]
        for place, half in enumerate(opened):
            half.sendall(starts[place % len(starts)])
        answered = service.ask("intake", "POST", "/v1/score", content=with_call(call_id="beside the half-open"))
        assert looked_at(answered).json()["durable"]
        told = [ended(half) for half in opened]
    for place, one in enumerate(told):
        # Whoever began to ask is told that it takes too long; whoever said nothing is not.
        assert (one == b"") if place % len(starts) == 0 else one.startswith(b"HTTP/1.1 408"), one


def ended(half: socket.socket) -> bytes:
    """Give what comes until the service ends a connection."""
    half.settimeout(20.0)
    found = b""
    while more := half.recv(65_536):
        found += more
    return found


@pytest.mark.usefixtures("impatient")
def test_whoever_sends_a_byte_at_a_time_is_ended_too(service):
    head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: "
    begun = service.head("intake", "POST", "/v1/score", "Content-Length: 500")
    unkeyed = service.head(NOBODY, "POST", "/v1/score", "Content-Length: 500")
    for start in (head, begun, unkeyed):
        started = time.monotonic()
        answered = service.raw(start, *[b" "] * 400, pause_s=0.05)
        assert time.monotonic() - started < 15.0
        assert answered.startswith(b"HTTP/1.1 401" if start is unkeyed else b"HTTP/1.1 408") or not answered


def test_more_connections_than_there_is_room_for_are_told_so(service, monkeypatch):
    monkeypatch.setattr(listener, "connection_limit", lambda: 20)
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(socket.create_connection(("127.0.0.1", service.port)))
        answered = parsed(service.raw(b""))
        assert answered.status_code == 503


def test_a_client_that_goes_away_leaves_no_trace_in_the_log(watched):
    service, length = watched.service, len(watched.logs[0].getvalue())
    begun = service.head("intake", "POST", "/v1/score", "Content-Length: 500")
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", service.port)) as gone:
            gone.sendall(begun + START)
    assert service.client.get("/healthz").status_code == 200
    assert "Traceback" not in watched.logs[0].getvalue()[length:]


# What is left of it all


def test_after_all_of_it_a_call_is_scored_as_ever(service):
    answered = looked_at(service.ask("intake", "POST", "/v1/score", json=CALL | {"call_id": "after", "caller": NUMBER}))
    assert answered.status_code == 200
    assert answered.json()["durable"]
    assert not answered.json()["degraded"]
    assert answered.json()["band"] != "unscored"
    assert service.client.get("/readyz").status_code == 200


def test_after_all_of_it_the_memory_has_not_grown(watched):
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - watched.memory
    assert grown < 250_000  # the highest it ever was, in KiB, with this test's own bodies of megabytes in it


def test_after_all_of_it_the_log_holds_no_number_and_no_key(watched):
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


def test_after_all_of_it_the_events_that_were_kept_can_all_be_read(service):
    with service.engine.connect() as found:
        bodies = [json.loads(body) for (body,) in found.exec_driver_sql("SELECT body FROM events")]
        extras = [json.loads(extra) for (extra,) in found.exec_driver_sql("SELECT extra FROM calls")]
        told = json.dumps([row[0] for row in found.exec_driver_sql("SELECT body FROM decisions WHERE kind <> 'staff'")])
    assert len(bodies) > 100
    assert len(extras) > 100
    assert not any(form in told for form in FORMS)
