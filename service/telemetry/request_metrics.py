"""Counts and times every request from outside, and gives its log lines the request's id."""

import asyncio
import logging
from collections import deque
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.telemetry.logs import RateLimit, request_state
from service.telemetry.metrics import OTHER, Metrics

#: No answer was given: the client went away, or the service was stopped. Not a status of HTTP, but widely understood.
CLIENT_GONE = 499
LAGS_KEPT = 15

log = logging.getLogger(__name__)


class RequestMetricsMiddleware:
    """An application whose requests are counted and timed.

    It may stand outside of whatever refuses requests, so that these are counted too: with the route "other" when none
    was looked for. Whatever stands inside must pass the same scope on, or the route is never seen, and may put
    `request_id` into `scope["state"]` at any time. A request that takes `slow_s` seconds or more is logged as a
    warning, with its route and never its path.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, slow_s: float) -> None:
        self.app, self._metrics, self._slow_s = app, metrics, slow_s
        self._may_log = RateLimit()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request and count it; anything but HTTP is passed on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, streams, gone, ended = CLIENT_GONE, False, False, 0.0

        async def received() -> Message:
            nonlocal gone
            message = await receive()
            if message["type"] == "http.disconnect":
                gone = True
            return message

        async def sent(message: Message) -> None:
            nonlocal status, streams, gone, ended
            if message["type"] == "http.response.start":
                # An answer to nobody is none: whatever reads a body fails when the client goes away meanwhile.
                status, streams = CLIENT_GONE if gone else message["status"], _streams(message)
            try:
                await send(message)
            except OSError:
                gone = True
                raise
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                ended = perf_counter()

        before = request_state.set(scope.setdefault("state", {}))
        started = perf_counter()
        try:
            await self.app(scope, received, sent)
        except Exception:
            if not ended and not (streams and gone):
                status = CLIENT_GONE if gone else 500
            raise
        finally:
            seconds = (ended or perf_counter()) - started
            self.count(route_of(scope), scope["method"], status, None if streams else seconds)
            request_state.reset(before)

    def count(self, route: str, method: str, status: int, seconds: float | None) -> None:
        """Count a request, as `Metrics.request` does, and log it when it was slow."""
        self._metrics.request(route, method, status, seconds)
        if seconds is not None and seconds >= self._slow_s and self._may_log():
            about = {"route": route, "method": method, "status": status, "seconds": seconds}
            log.warning("a request was slow", extra=about)


def route_of(scope: Scope) -> str:
    """Return the template of the route that answered, such as "/v1/calls/{call_id}".

    Returns
    -------
    str
        "other" when no route with a template of its own did: an unknown path, a mounted application, a redirection.
    """
    # Only the router knows the prefix under which another one was included; the route itself does not.
    included = scope.get("fastapi", {}).get("effective_route_context")
    found = getattr(included, "starlette_route", None) or included or scope.get("route")
    path: str | None = getattr(found, "path_format", None)
    return path or OTHER


async def measure_loop_lag(metrics: Metrics, every_s: float = 1.0) -> None:
    """Measure how late the event loop comes, until cancelled; the worst of the last measurements is told."""
    loop, lags = asyncio.get_running_loop(), deque[float](maxlen=LAGS_KEPT)
    while True:
        due = loop.time() + every_s
        await asyncio.sleep(every_s)
        lags.append(max(0.0, loop.time() - due))
        metrics.event_loop_lag(max(lags))


def _streams(start: Message) -> bool:
    return any(
        name == b"content-type" and value.startswith(b"text/event-stream") for name, value in start.get("headers", ())
    )
