"""Traces for OpenTelemetry: one span a request, for whoever sets OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_TRACES_EXPORTER.

FastAPI could make spans by itself, but puts the raw path, the query and the Host that was sent into each of them, and
the texts of exceptions beside them; a call_id or a token would leave the house with them. A span from here says only
what is in ATTRIBUTES. Of what comes in, only `traceparent` is taken: `tracestate` and baggage are free text.
"""

import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from opentelemetry import context as current
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model.errors import SaringError
from service.telemetry.metrics import METHODS, OTHER
from service.telemetry.request_metrics import route_of

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

ATTRIBUTES = ("http.request.method", "http.route", "http.response.status_code", "url.scheme", "error.type")
#: Seconds that a stop waits for the last spans to be taken.
LAST_S = 2.0
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROPAGATOR = TraceContextTextMapPropagator()


def is_tracing_configured(environ: Mapping[str, str]) -> bool:
    """Return whether the environment asks for traces.

    Raises
    ------
    SaringError
        When it asks for a way of sending that is not to be had here.

    Examples
    --------
    >>> is_tracing_configured({}), is_tracing_configured({"OTEL_TRACES_EXPORTER": "none"})
    (False, False)
    >>> is_tracing_configured({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4318"})
    True
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporter == "none" or not (exporter or any(map(environ.get, _ENDPOINTS))):
        return False
    if exporter not in ("", "otlp"):
        raise SaringError(f"OTEL_TRACES_EXPORTER: {exporter!r}, expected otlp or none")
    protocol = next(filter(None, map(environ.get, _PROTOCOLS)), "http/protobuf")
    if protocol != "http/protobuf":
        raise SaringError(f"{_PROTOCOLS[1]}: {protocol!r}, expected http/protobuf")
    return True


def open_traces() -> "TracerProvider | None":
    """Get ready to send spans, as the variables of OpenTelemetry in the environment say; nothing global is set.

    Returns
    -------
    TracerProvider or None
        None when nobody asked for traces. Whoever opened it closes it, with `close_traces`.

    Raises
    ------
    SaringError
        When traces are asked for and the extra `traces` is not installed, or what is asked for cannot be had.
    """
    if not is_tracing_configured(os.environ):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise SaringError(
            f"the environment asks for traces, and {error.name} is not installed: "
            "expected `pip install 'saring[traces]'`, or OTEL_TRACES_EXPORTER=none"
        ) from error
    name = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "saring"}
    provider = TracerProvider(resource=Resource.create(name), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def close_traces(provider: "TracerProvider") -> None:
    """Send what is left, for LAST_S seconds at most: a collector that is gone must not hold up a stop."""
    last = threading.Thread(target=provider.shutdown, name="last spans", daemon=True)
    last.start()
    last.join(LAST_S)


class TracingMiddleware:
    """An application whose requests become spans; pure ASGI, around everything else."""

    def __init__(self, app: ASGIApp, provider: trace.TracerProvider) -> None:
        self.app, self._tracer = app, provider.get_tracer("saring")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request within a span, whose id its log lines then have as `trace_id`."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        attributes = {"http.request.method": method, "url.scheme": scope.get("scheme", "http")}
        span = self._tracer.start_span(method, _parent(scope), trace.SpanKind.SERVER, attributes)
        scope.setdefault("state", {})["trace_id"] = trace.format_trace_id(span.get_span_context().trace_id)
        before, failure = current.attach(trace.set_span_in_context(span)), ""
        try:
            await self.app(scope, receive, sent)
        except Exception as error:
            failure = type(error).__qualname__  # the name alone: the text may hold anything
            raise
        finally:
            current.detach(before)
            _finish(span, method, route_of(scope), status, failure or (str(status) if status >= 500 else ""))


def _finish(span: trace.Span, method: str, route: str, status: int, failure: str) -> None:
    name = "HTTP" if method == "_OTHER" else method
    if route != OTHER:
        name += f" {route}"
        span.set_attribute("http.route", route)
    span.update_name(name)
    if status:
        span.set_attribute("http.response.status_code", status)
    if failure:
        span.set_attribute("error.type", failure)
        span.set_status(trace.StatusCode.ERROR)
    span.end()


def _parent(scope: Scope) -> current.Context:
    given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"]
    return _PROPAGATOR.extract({"traceparent": given[0]} if len(given) == 1 else {}, current.Context())
