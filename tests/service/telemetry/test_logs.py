"""The log: one line a record, whatever stands in it."""

import asyncio
import io
import json
import logging
import threading
import warnings

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import ASGIApp, Receive, Scope, Send

from service.telemetry.logs import Formatter, Handler, configure
from service.telemetry.metrics import Metrics
from service.telemetry.request_metrics import RequestMetricsMiddleware
from tests.support.small_service import running

LOGGERS = ("", "uvicorn", "uvicorn.error", "uvicorn.asgi", "uvicorn.access")
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
