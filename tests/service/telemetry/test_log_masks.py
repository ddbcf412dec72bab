"""The log never shows a telephone number or a key."""

import base64
import json
import logging
import re
import secrets
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.telemetry.logs import Formatter, mask_id, mask_numbers, request_state

BETWEEN = st.sampled_from(
    ["", "", " ", "-", ".", "/", ") ", " - ", "\u00a0", "\u2011", "\u200b", "%20", "%2D", "_", r"\xa0", "\t", "\n"]
)
EPOCH = "1970-01-01T00:00:00.000000Z"


def line_of(form, message: object, *args: object, **fields: object) -> str:
    always = {"name": "a", "levelname": "INFO", "created": 0.0}
    record = logging.makeLogRecord({**always, "msg": message, "args": args, **fields})
    return Formatter(form).format(record)


@pytest.mark.parametrize(
    "number",
    [
        "+6281234567890",
        "6281234567890",
        "0812-3456-7890",
        "0812 3456 7890",
        "(0736) 21-234",
        "+62 (0) 812.3456.7890",
        "0812/3456/7890",
        "0812\u20113456\u20117890",
        "0812\u200b345\u200b67890",
        "0812%203456%207890",
        "%2B6281234567890",
        r"0812\xa03456\xa07890",
        "\uff0b\uff16\uff12\uff18\uff11\uff12\uff13\uff14\uff15\uff16",
        "\u0660\u0668\u0661\u0662\u0663\u0664\u0665\u0666",
        "1234567",
        "tel:+6281234567890",
        "sip:6281234567890@pbx",
        "x6281234567890y",
    ],
)
def test_a_number_is_masked_however_it_is_written(number):
    found = mask_numbers(f"caller {number} rang")
    assert "[number]" in found
    assert not re.search(r"\d{3}", found)
    assert found.startswith("caller ")
    assert found.endswith(" rang")


@given(
    digits=st.text("0123456789", min_size=7, max_size=15),
    between=st.lists(BETWEEN, min_size=15, max_size=15),
    form=st.sampled_from(["json", "text"]),
    place=st.sampled_from(["message", "argument", "field", "exception", "name"]),
)
def test_no_run_of_seven_digits_gets_through_anywhere(digits, between, form, place):
    number = digits[0] + "".join(gap + digit for gap, digit in zip(between, digits[1:], strict=False))
    if place == "message":
        line = line_of(form, f"caller {number} rang")
    elif place == "argument":
        line = line_of(form, "caller %r rang", number)
    elif place == "field":
        line = line_of(form, "rang", caller=number, ids=[number])
    elif place == "name":
        line = line_of(form, "rang", **{f"x {number}": 1})
    else:
        error = ValueError(number)
        line = line_of(form, "rang", exc_info=(ValueError, error, None))
    assert "[number]" in line
    assert not re.search(r"\d{2}", line.replace(EPOCH, ""))


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-01T20:15:00.123456Z",
        "2026-11-01T20:15:00+07:00",
        "2026-11-01 20:15:00.123456+00:00",
        "from 2026-11-01T20:15:00Z to 2026-11-01T20:16Z",
        "127.0.0.1:8112",
        "Started server process [12345]",
        "took 12.345 s, 99 of 100",
        "at line 1234, in score",
    ],
)
def test_times_ports_and_small_numbers_stay(text):
    assert mask_numbers(text) == text


@pytest.mark.parametrize("text", ["2026-11-01", "2026-11-01T20:15:00.1234567890Z", "2026-11-01T20:15 0812345678"])
def test_what_might_be_a_time_or_a_number_is_taken_for_a_number(text):
    assert "[number]" in mask_numbers(text)


def test_a_value_that_is_a_number_passes_below_a_million():
    line = json.loads(line_of("json", "", seconds=0.0123456, status=200, caller=6281234567890, share=float("nan")))
    assert (line["seconds"], line["status"], line["caller"], line["share"]) == (0.012346, 200, "[number]", "nan")
    assert json.loads(line_of("json", "", caller=6281234567890.0, ok=True, none=None))["caller"] == "[number]"


def test_ids_stay_as_they_are_in_fields_of_their_own():
    ids = ["1730448000.1234", "112-20261101-0042", "4bf92f3577b34da6a3ce929d0e0e4736", "00001234567", "a/b c"]
    assert [mask_id(call_id) for call_id in ids] == ids
    line = json.loads(line_of("json", "call 112-20261101-0042", call_id="112-20261101-0042"))
    assert (line["call_id"], line["message"]) == ("112-20261101-0042", "call [number]")


def test_a_number_in_the_place_of_an_id_is_masked():
    for number in ("+6281234567890", "081234567890", "0812-3456-7890", " 0062 812 345 6789"):
        assert mask_id(number) == "[number]"
    assert mask_id("pbx1:+62 812-3456-7890:17") == "pbx1:[number]:17"
    assert len(mask_id("a" * 10_000)) == 200


def test_a_client_cannot_name_its_request_by_a_number():
    token = request_state.set({"request_id": "6281234567890"})
    try:
        assert json.loads(line_of("json", ""))["request_id"] == "[number]"
    finally:
        request_state.reset(token)


@given(st.binary(min_size=32, max_size=32), st.sampled_from(["json", "text"]))
def test_no_key_gets_through(entropy, form):
    secret = base64.urlsafe_b64encode(entropy).decode().rstrip("=")
    key = f"saring_0123456789_{secret}"
    for text in (key, f"Authorization: Bearer {key}", f"b'authorization', b'Bearer {key}'", f"?key={key}&a=b"):
        line = line_of(form, text, api=text, call_id=text, exc_text=text)
        assert secret not in line
        assert secret[-16:] not in line
        assert "[key]" in line


def test_a_key_is_not_halved_by_the_limit_of_a_text():
    key = f"saring_{secrets.token_hex(5)}_{secrets.token_urlsafe(32)}"
    for padding in range(15_930, 16_010, 4):
        line = line_of("json", "m", exc_text=key + " " + "x" * padding, note="x" * padding + key)
        assert key[-12:] not in line
        assert key[18:30] not in line


@pytest.mark.parametrize(
    "part", ["1 ", "123456 x ", "123456   ", "\\", "%20", "+(", "2026-11-01T20", "saring_", "bearer "]
)
def test_a_long_text_is_masked_in_linear_time(part):
    started = time.monotonic()
    mask_numbers(part * (1_000_000 // len(part)))
    assert time.monotonic() - started < 10.0  # it takes a third of a second; with a square it would be hours
