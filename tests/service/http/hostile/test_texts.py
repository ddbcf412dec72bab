"""Hostile texts in every field and in paths: none of them does harm, and none is repeated."""

import json
import re
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.hostile import CALL, FORMS, NUMBER, looked_at, named, parsed

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
