"""Hostile bodies: what is no call is refused by its field, and what makes no sense is named."""

import gzip
import json
from urllib.parse import quote

import pytest

from tests.support.hostile import CALL, FORMS, NUMBER, deep, looked_at, named, with_call, with_field
from tests.support.keyed_service import Keyed

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
    "a byte order mark within": with_field(b'\xef\xbb\xbf"x_a": 1'),
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
    "call_id: not a number": b'{"call_id": NaN}',
    "call_id: in capitals": b'{"CALL_ID": "a", "received_at": "2026-01-31T08:15:00Z"}',
    "call_id: by another path": b'{"__proto__": {"call_id": "a"}, "received_at": "2026-01-31T08:15:00Z"}',
    "received_at: not there": b'{"call_id": "a"}',
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
    "duration: a text": ('"duration_s": "5"', set()),
    "duration: a word": ('"duration_s": "five"', {"duration_s"}),
    "duration: a thousand or one": ('"duration_s": "1.000"', {"duration_s"}),
    "duration: 60,000 digits in a text": ('"duration_s": "' + "9" * 60_000 + '"', {"duration_s"}),
    "duration: a number in a text": (f'"duration_s": "{NUMBER}"', {"duration_s"}),
    "duration: an empty text": ('"duration_s": ""', {"duration_s"}),
    "duration: true": ('"duration_s": true', {"duration_s"}),
    "duration: a list": ('"duration_s": [5]', {"duration_s"}),
    "duration: less than nothing": ('"duration_s": -1', {"duration_s"}),
    "duration: 1e300": ('"duration_s": 1e300', {"duration_s"}),
    "duration: a day and more": ('"duration_s": 86400.0001', {"duration_s"}),
    "silence: 1.01": ('"silence_ratio": 1.01', {"silence_ratio"}),
    "silence: a hair above 1": ('"silence_ratio": 1.0000000000000002', {"silence_ratio"}),
    "silence: a text": ('"silence_ratio": "0,5"', set()),
    "silence: infinity": ('"silence_ratio": Infinity', {"silence_ratio"}),
    "centre: an object": ('"centre": {"a": 1}', {"centre"}),
    "wait: true": ('"expected_wait_s": true', {"expected_wait_s"}),
    "wait: an object": ('"expected_wait_s": {}', {"expected_wait_s"}),
    "line: a number": ('"line": 5', {"line"}),
    "line: a word that is none": ('"line": "carrier pigeon"', {"line"}),
    "line: 60,000 letters": ('"line": "' + "a" * 60_000 + '"', {"line"}),
    "stage: unknown": ('"stage": "__class__"', {"stage"}),
    "queue: two lines": (r'"queue": "a\nb"', {"queue"}),
    "queue: a nul": (r'"queue": "a\u0000b"', {"queue"}),
    "queue: 201 letters": ('"queue": "' + "a" * 201 + '"', {"queue"}),
    "queue: a list": ('"queue": ["a"]', {"queue"}),
    "caller: a number that is no text": ('"caller": 6281234567890', set()),
    "caller: digits that were cut": ('"caller": 6.28e12', {"caller"}),
    "caller: 4,000 digits": ('"caller": ' + "9" * 4_000, {"caller"}),
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
def test_a_body_that_is_no_call_is_refused_by_its_field_and_nothing_of_it_is_stored(service, name):
    before = stored(service)
    answered = looked_at(service.ask("intake", "POST", "/v1/score", content=REFUSED[name]))
    if ":" in name:
        assert answered.status_code == 422
        assert name.split(":")[0] in named(answered)
    else:
        assert answered.status_code == 413 if name == "ten megabytes" else answered.status_code in (400, 413, 422)
        assert named(answered) <= {"(body)", "call_id", "received_at"}
        assert named(answered)
    assert stored(service) == before


def stored(service: Keyed) -> tuple[int, int]:
    """Count the calls and the events in the store."""
    with service.engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT (SELECT count(*) FROM calls), (SELECT count(*) FROM events)").one()
    return tuple(found)


@pytest.mark.parametrize("name", FORGIVEN)
def test_a_field_that_makes_no_sense_is_named_and_the_call_is_taken_and_scored(service, name):
    text, expected = FORGIVEN[name]
    body = with_field(f'{text}, "call_id": {json.dumps(name)}')
    answered = looked_at(service.ask("intake", "POST", "/v1/score", content=body))
    assert answered.status_code == 200, answered.text
    assert answered.json()["durable"]
    assert answered.json()["band"] != "unscored"
    assert named(answered) == expected
    found = looked_at(service.ask("operator", "GET", f"/v1/calls/{quote(name, safe='')}"))
    assert found.json()["call_id"] == name
    assert not any(form in found.text for form in FORMS)


def test_thousands_of_unknown_fields_are_not_told_back_one_by_one(service):
    body = with_call(call_id="many fields", **{f"field{place}": place for place in range(2_500)})
    answered = looked_at(service.ask("intake", "POST", "/v1/score", content=body))
    *_, more, of_january = answered.json()["warnings"]
    assert len(answered.json()["warnings"]) == 22
    assert "2,480 more" in more["detail"]
    assert of_january["field"] == "received_at"
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
