"""Traces: what a real collector on loopback gets to see of a request, and what it never does."""

import io
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI, Request
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from starlette.types import ASGIApp

from model.errors import SaringError
from service.telemetry.logs import Formatter, Handler
from service.telemetry.metrics import Metrics
from service.telemetry.request_metrics import RequestMetricsMiddleware
from service.telemetry.traces import ATTRIBUTES, TracingMiddleware, close_traces, open_traces
from tests.support.small_service import running

ROOT = Path(__file__).parents[3]
NUMBER = "6281234567890"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch):
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def collector(monkeypatch) -> Iterator[list[ExportTraceServiceRequest]]:
    """An OTLP receiver, to which the environment points; what it got."""
    got: list[ExportTraceServiceRequest] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert (self.path, self.headers["content-type"]) == ("/v1/traces", "application/x-protobuf")
            got.append(ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield got
        server.shutdown()
        thread.join()


def small_app() -> FastAPI:
    router, app = APIRouter(), FastAPI()

    @router.post("/calls/{call_id}/ended")
    async def ended(call_id: str, request: Request) -> dict:
        await request.body()
        logging.getLogger("service.small").warning("ended")
        return {"trace": trace.format_trace_id(trace.get_current_span().get_span_context().trace_id)}

    @router.get("/calls/{call_id}/broken")
    async def broken(call_id: str) -> dict:
        raise ValueError(f"cannot score {call_id}")

    app.include_router(router, prefix="/v1")
    return app


@contextmanager
def traced(app: ASGIApp):
    provider = open_traces()
    assert provider is not None
    try:
        with running(TracingMiddleware(app, provider)) as client:
            yield client
    finally:
        close_traces(provider)


def spans(got: list[ExportTraceServiceRequest]) -> list[Span]:
    return [
        span for one in got for resource in one.resource_spans for scope in resource.scope_spans for span in scope.spans
    ]


def attributes(holder) -> dict[str, object]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in holder.attributes}


def test_a_request_is_one_span_of_the_trace_it_came_with(collector):
    with traced(small_app()) as client:
        response = client.post(
            f"/v1/calls/{NUMBER}/ended?token={NUMBER}",
            content=f'{{"caller": "{NUMBER}"}}',
            headers={"traceparent": f"00-{TRACE}-{PARENT}-01", "user-agent": NUMBER, "baggage": f"caller={NUMBER}"},
        )
    (span,) = spans(collector)
    assert (span.name, span.kind) == ("POST /v1/calls/{call_id}/ended", Span.SPAN_KIND_SERVER)
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert response.json() == {"trace": TRACE}
    assert attributes(span) == {
        "http.request.method": "POST",
        "url.scheme": "http",
        "http.route": "/v1/calls/{call_id}/ended",
        "http.response.status_code": 200,
    }
    assert span.status.code == Status.STATUS_CODE_UNSET
    assert 0 < span.end_time_unix_nano - span.start_time_unix_nano < 10e9


def test_nothing_that_was_sent_leaves_the_house(collector, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/srv/of/this/machine"])
    state = f"00-{TRACE}-{PARENT}-01"
    with traced(small_app()) as client:
        client.post(f"/v1/calls/{NUMBER}/ended?a={NUMBER}", headers={"traceparent": state, "tracestate": f"a={NUMBER}"})
        client.get(f"/v1/calls/{NUMBER}/broken", headers={"host": f"{NUMBER}.example", "cookie": NUMBER})
        client.get(f"/{NUMBER}")
        client.request("X" + NUMBER[:3], "/v1/calls/1/ended")
    found = spans(collector)
    assert len(found) >= 3
    for span in found:
        assert set(attributes(span)) <= set(ATTRIBUTES)
        assert not span.events
        assert not span.trace_state
    everything = b"".join(one.SerializeToString() for one in collector)
    assert NUMBER.encode() not in everything
    assert socket.gethostname().encode() not in everything
    assert sys.argv[0].encode() not in everything


def test_an_unknown_path_has_no_route(collector):
    with traced(small_app()) as client:
        client.get(f"/{NUMBER}")
    (span,) = spans(collector)
    assert (span.name, attributes(span).get("http.route")) == ("GET", None)
    assert attributes(span)["http.response.status_code"] == 404


def test_an_exception_is_told_by_its_name_alone(collector):
    with traced(small_app()) as client:
        client.get(f"/v1/calls/{NUMBER}/broken")
    (span,) = spans(collector)
    assert attributes(span)["error.type"] == "ValueError"
    assert attributes(span)["http.response.status_code"] == 500
    assert (span.status.code, span.status.message) == (Status.STATUS_CODE_ERROR, "")


@pytest.mark.parametrize(
    "parents",
    [[""], ["00-0-0-01"], [f"ff-{TRACE}-{PARENT}-01"], ["é" * 600], [NUMBER],
     [f"00-{TRACE}-{PARENT}-01", f"00-{TRACE[::-1]}-{PARENT}-01"]],
)  # fmt: skip
def test_no_parent_or_two_start_a_trace_of_its_own(collector, parents):
    with traced(small_app()) as client:
        client.post("/v1/calls/1/ended", headers=[("traceparent", one.encode("latin-1")) for one in parents])
    (span,) = spans(collector)
    assert span.parent_span_id == b""
    assert span.trace_id.hex() not in (TRACE, TRACE[::-1])


def test_a_trace_that_is_not_sampled_is_not_sent(collector):
    with traced(small_app()) as client:
        client.post("/v1/calls/1/ended", headers={"traceparent": f"00-{TRACE}-{PARENT}-00"})
        client.post("/v1/calls/1/ended")
    (span,) = spans(collector)
    assert span.trace_id.hex() != TRACE


def test_the_process_is_called_saring_unless_it_is_named(collector, monkeypatch):
    for name in (None, "saring-east"):
        if name:
            monkeypatch.setenv("OTEL_SERVICE_NAME", name)
        with traced(small_app()) as client:
            client.get("/")
    first, second = (attributes(one.resource_spans[0].resource) for one in collector)
    assert (first["service.name"], second["service.name"]) == ("saring", "saring-east")
    assert not [key for key in first if key.startswith(("process", "host"))]


@pytest.mark.usefixtures("collector")
def test_the_log_of_a_request_has_the_id_of_its_trace():
    stream = io.StringIO()
    logger, handler = logging.getLogger("service.small"), Handler(stream)
    handler.setFormatter(Formatter("text"))
    logger.addHandler(handler)
    with traced(RequestMetricsMiddleware(small_app(), Metrics(), 10.0)) as client:
        client.post("/v1/calls/1/ended", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    logger.removeHandler(handler)
    assert stream.getvalue().endswith(f"trace_id={TRACE}\n")


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:1"},
    ],
)
def test_without_being_asked_nothing_is_traced(monkeypatch, environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert open_traces() is None


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER: 'zipkin', expected otlp or none"),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "'grpc', expected http/protobuf"),
    ],
)
def test_what_cannot_be_had_is_refused_in_a_sentence(monkeypatch, environment, said):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SaringError, match=said):
        open_traces()


def test_traces_without_the_extra_are_refused_in_a_sentence():
    code = (
        "import sys; sys.modules['opentelemetry.sdk'] = sys.modules['opentelemetry.exporter'] = None\n"
        "from model.errors import SaringError\n"
        "from service.telemetry.traces import open_traces\n"
        "try: print(open_traces())\n"
        "except SaringError as error: print(error)\n"
    )
    for endpoint, said in (("", "None\n"), ("http://127.0.0.1:1", "expected `pip install 'saring[traces]'`")):
        environment = os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
        assert said in done.stdout, done
        assert not done.stderr


def test_nothing_of_the_sdk_is_loaded_until_traces_are_asked_for():
    code = (
        "import sys, service.telemetry.traces; "
        "print([name for name in sys.modules if name.startswith('opentelemetry.sdk')])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_silent_collector_holds_nothing_up(monkeypatch):
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    with socket.socket() as silent:  # takes connections and says nothing
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        provider = open_traces()
        assert provider is not None
        with running(TracingMiddleware(small_app(), provider)) as client:
            assert client.post("/v1/calls/1/ended").status_code == 200
        started = time.monotonic()
        close_traces(provider)
        assert time.monotonic() - started < 6.0
