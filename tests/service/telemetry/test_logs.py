"""The log: one line a record whatever stands in it, and never a telephone number or a key."""

import asyncio
import base64
import io
import json
import logging
import re
import secrets
import threading
import time
import warnings

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import ASGIApp, Receive, Scope, Send

from service.telemetry.logs import Formatter, Handler, configure, mask_id, mask_numbers, request_state
from service.telemetry.metrics import Metrics
from service.telemetry.request_metrics import RequestMetricsMiddleware
from tests.support.small_service import running

LOGGERS = ("", "uvicorn", "uvicorn.error", "uvicorn.asgi", "uvicorn.access")
BETWEEN = st.sampled_from(
    ["", "", " ", "-", ".", "/", ") ", " - ", "\u00a0", "\u2011", "\u200b", "%20", "%2D", "_", r"\xa0", "\t", "\n"]
)
EPOCH = "1970-01-01T00:00:00.000000Z"
ANYTHING = st.text(st.characters(exclude_categories=[]))


@pytest.fixture
def log():
    """Where everything is logged to, as the server has it; a function gives its lines."""
    before = {name: (logger.handlers[:], logger.level, logger.propagate, logger.disabled) for name, logger in named()}
    hook, stream = threading.excepthook, io.StringIO()
    configure("info", "json", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logging.captureWarnings(False)
    threading.excepthook = hook
    for name, logger in named():
        logger.handlers[:], logger.level, logger.propagate, logger.disabled = before[name]


def named() -> list[tuple[str, logging.Logger]]:
    return [(name, logging.getLogger(name)) for name in LOGGERS]


def line_of(form, message: object, *args: object, **fields: object) -> str:
    always = {"name": "a", "levelname": "INFO", "created": 0.0}
    record = logging.makeLogRecord({**always, "msg": message, "args": args, **fields})
    return Formatter(form).format(record)


# -- Telephone numbers and keys


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


# -- One line a record


@given(ANYTHING, ANYTHING, st.sampled_from(["json", "text"]))
def test_whatever_is_logged_is_one_printable_line(message, other, form):
    fields = {"name": other, "exc_text": other, "stack_info": message, "note": other, "call_id": message}
    line = line_of(form, message, **fields)
    assert line.isprintable()
    assert len(line.splitlines()) == 1
    if form == "json":
        assert set(json.loads(line)) == {
            *("time", "level", "logger", "message", "request_id"),
            *("note", "call_id", *(["exception"] if other else []), *(["stack"] if message else [])),
        }


def test_a_forged_line_stays_inside_its_record():
    forged = 'x\n{"time": "2026-01-01T00:00:00Z", "level": "INFO"}\r\n\x1b[2J\u2028'
    line = json.loads(line_of("json", "name %s", forged))
    assert line["message"] == "name " + forged
    assert line_of("text", "name %s", "a\nb\x1b[2J").endswith(r"name a\nb\x1b[2J")


def test_a_record_has_its_time_in_utc_to_the_microsecond():
    record = logging.makeLogRecord({"created": 1_793_000_000.5, "msg": "m", "name": "a", "levelname": "INFO"})
    assert json.loads(Formatter("json").format(record))["time"] == "2026-10-26T07:33:20.500000Z"
    assert Formatter("text").format(record) == "2026-10-26T07:33:20.500000Z INFO a m"


def test_fields_cannot_take_the_place_of_what_every_line_has():
    line = json.loads(line_of("json", "m", time="never", level="NONE", request_id="forged", logger="other"))
    assert (line["level"], line["logger"], line["request_id"]) == ("INFO", "a", None)
    assert line["time"] == EPOCH


def test_a_mistake_in_a_log_call_loses_neither_the_line_nor_a_number():
    line = json.loads(line_of("json", "caller %d of %d", "+6281234567890"))
    assert line["message"] == "caller %d of %d (its arguments do not fit)"


def test_a_stream_that_takes_nothing_shows_no_record(capsys):
    stream = io.StringIO()
    handler = Handler(stream)
    handler.setFormatter(Formatter("json"))
    stream.close()
    handler.handle(logging.makeLogRecord({"name": "a", "msg": "caller +6281234567890", "levelname": "INFO"}))
    assert capsys.readouterr().err == "a log record of a is lost: <class 'ValueError'>\n"


# -- In a server


class Named:
    """Gives each request an id, inside of `RequestMetricsMiddleware`, as the guard does."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["request_id"] = dict(scope["headers"]).get(b"x-request-id", b"none").decode()
        await self.app(scope, receive, send)


def small_app() -> ASGIApp:
    app = FastAPI()

    @app.get("/score/{number}")
    async def score(number: str, broken: bool = False) -> dict:
        logging.getLogger("service.small").warning("asked about %s", number)
        await asyncio.sleep(0.05)
        logging.getLogger("service.small").warning("answered", extra={"route": "/score/{number}"})
        if broken:
            raise ValueError(f"cannot score\n{number}")
        return {}

    return RequestMetricsMiddleware(Named(app), Metrics(), 10.0)


def test_every_line_of_a_request_has_its_id_and_none_of_another(log):
    async def many(url: httpx.URL) -> None:
        async with httpx.AsyncClient(base_url=url) as client:
            await asyncio.gather(*(client.get("/score/a", headers={"x-request-id": f"r{n}"}) for n in range(20)))

    logging.getLogger("httpx").setLevel(logging.WARNING)
    with running(small_app()) as client:
        asyncio.run(many(client.base_url))
    ids = [line["request_id"] for line in log() if line["logger"] == "service.small"]
    assert sorted(ids) == sorted([f"r{n}" for n in range(20)] * 2)
    assert {line["request_id"] for line in log() if line["logger"] == "uvicorn.error"} == {None}


def test_an_exception_in_the_server_is_one_line_without_the_number(log):
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with running(small_app()) as client:
        client.get("/score/0812-3456-7890?broken=true&key=+6281234567890", headers={"x-request-id": "r1"})
    text = json.dumps(log())
    assert "3456" not in text
    assert "6281" not in text
    (failed,) = [line for line in log() if "exception" in line]
    assert (failed["logger"], failed["level"]) == ("uvicorn.error", "ERROR")
    assert failed["exception"].endswith("ValueError: cannot score\n[number]")
    assert not [line for line in log() if "GET" in line["message"]]  # raw paths are in no access log
    assert [line["message"] for line in log() if line["logger"] == "service.small"] == [
        "asked about [number]",
        "answered",
    ]


def test_what_python_itself_would_print_is_a_line_too(log):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("caller +6281234567890\nis old", stacklevel=1)
    thread = threading.Thread(target=lambda: int("+62 812 3456 7890"), name="writer")
    thread.start()
    thread.join()
    warned, failed = log()
    assert (warned["logger"], failed["logger"]) == ("py.warnings", "service.telemetry.logs")
    assert "caller [number]\nis old" in warned["message"]
    assert failed["level"] == "CRITICAL"
    assert "'[number]'" in failed["exception"]
    assert "3456" not in json.dumps([warned, failed])


def test_configuring_twice_writes_each_record_once(log):
    stream = io.StringIO()
    configure("warning", "text", stream)
    logging.getLogger("service.small").info("one")
    logging.getLogger("uvicorn.error").warning("two")
    assert log() == []
    assert stream.getvalue().endswith("WARNING uvicorn.error two\n")
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize(
    "part", ["1 ", "123456 x ", "123456   ", "\\", "%20", "+(", "2026-11-01T20", "saring_", "bearer "]
)
def test_a_long_text_is_masked_in_linear_time(part):
    started = time.monotonic()
    mask_numbers(part * (1_000_000 // len(part)))
    assert time.monotonic() - started < 10.0  # it takes a third of a second; with a square it would be hours
