"""Requests, counted and timed around a small application on real uvicorn."""

import asyncio
import logging
import time

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.sse import EventSourceResponse
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from service.telemetry.metric_table import PREFIX
from service.telemetry.metrics import Metrics
from service.telemetry.request_metrics import RequestMetricsMiddleware, measure_loop_lag
from tests.support.processes import until
from tests.support.small_service import raw, running

NUMBER = "6281234567890"


def small_app() -> FastAPI:
    inner, outer, app = APIRouter(prefix="/calls"), APIRouter(), FastAPI()

    @inner.get("/{call_id:path}/answered")
    async def answered(call_id: str) -> dict:
        return {}

    @inner.post("/body")
    async def body(request: Request) -> dict:
        return {"bytes": len(await request.body())}

    @inner.get("/{call_id}/broken")
    async def broken(call_id: str) -> dict:
        raise ValueError(call_id)

    @inner.get("/{call_id}/torn")
    async def torn(call_id: str) -> StreamingResponse:
        async def half():
            yield b"half"
            raise ValueError(call_id)

        return StreamingResponse(half())

    @inner.get("/{call_id}/slow")
    async def slow(call_id: str) -> dict:
        await asyncio.sleep(0.3)
        return {}

    @inner.get("/stream")
    async def stream(end: int) -> StreamingResponse:
        async def events():
            for _ in range(end):
                yield b"data: 1\n\n"
                await asyncio.sleep(0.01)

        return StreamingResponse(events(), media_type="text/event-stream")

    @inner.get("/native", response_class=EventSourceResponse)
    async def native():
        yield {"a": 1}

    outer.include_router(inner, prefix="/in")
    app.include_router(inner, prefix="/v1")
    app.include_router(outer, prefix="/out/{centre}")
    app.mount("/static/{number}", Starlette(routes=[Route("/x/{y}", lambda _: PlainTextResponse("x"))]))
    return app


@pytest.fixture
def watched():
    metrics = Metrics()
    with running(RequestMetricsMiddleware(small_app(), metrics, 0.25)) as client:
        yield client, metrics


def test_a_route_is_counted_by_its_template_alone(watched):
    client, metrics = watched
    paths = (
        f"/v1/calls/{NUMBER}/answered",
        f"/v1/calls/{NUMBER}%2Fa/answered?token={NUMBER}",
        f"/out/{NUMBER}/in/calls/{NUMBER}/answered",
        f"/static/{NUMBER}/x/{NUMBER}",
        f"/{NUMBER}",
        f"/v1/calls/{NUMBER}/answered/",
    )
    for path in paths:
        client.get(path)
    client.post(f"/v1/calls/{NUMBER}/answered")
    client.request("PROPFIND", f"/v1/calls/{NUMBER}/answered")
    assert counted(metrics) == {
        ("/v1/calls/{call_id}/answered", "GET", "200"): 2,
        ("/v1/calls/{call_id}/answered", "POST", "405"): 1,
        ("/v1/calls/{call_id}/answered", "other", "405"): 1,
        ("/out/{centre}/in/calls/{call_id}/answered", "GET", "200"): 1,
        ("/x/{y}", "GET", "200"): 1,
        ("other", "GET", "404"): 1,
        ("other", "GET", "307"): 1,
    }
    assert NUMBER not in metrics.render("")[0].decode()


def test_an_exception_counts_as_500_with_its_route(watched):
    client, metrics = watched
    assert client.get("/v1/calls/a/broken").status_code == 500
    until(lambda: counted(metrics) == {("/v1/calls/{call_id}/broken", "GET", "500"): 1})


def test_an_answer_that_breaks_off_counts_as_500(watched):
    client, metrics = watched
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/v1/calls/a/torn")
    until(lambda: counted(metrics) == {("/v1/calls/{call_id}/torn", "GET", "500"): 1})


def test_a_client_that_goes_away_is_no_error_of_the_service(watched):
    client, metrics = watched
    raw(client, b"POST /v1/calls/body HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf", patience_s=0.2)
    until(lambda: counted(metrics) == {("/v1/calls/body", "POST", "499"): 1})


def test_a_stream_is_counted_when_it_ends_and_never_timed(watched):
    client, metrics = watched
    assert client.get("/v1/calls/stream?end=2").text.count("data") == 2
    client.get("/v1/calls/native")
    with client.stream("GET", "/v1/calls/stream?end=10000") as response:
        next(response.iter_raw())
    until(lambda: counted(metrics).get(("/v1/calls/stream", "GET", "200")) == 2)
    assert value(metrics, "request_seconds_count", route="/v1/calls/stream") == 0
    assert value(metrics, "request_seconds_count", route="/v1/calls/native") == 0
    assert value(metrics, "requests_total", route="/v1/calls/native", method="GET", status="200") == 1


def test_a_slow_request_is_logged_with_its_route_and_not_its_path(watched, caplog):
    client, metrics = watched
    with caplog.at_level(logging.WARNING, logger="service.telemetry.request_metrics"):
        client.get(f"/v1/calls/{NUMBER}/slow")
        client.get("/v1/calls/a/answered")
    (record,) = caplog.records
    assert (record.route, record.status) == ("/v1/calls/{call_id}/slow", 200)
    assert 0.3 <= record.seconds < 5.0
    assert NUMBER not in str(vars(record))
    assert value(metrics, "request_seconds_sum", route="/v1/calls/{call_id}/slow") >= 0.3
    assert value(metrics, "request_seconds_bucket", route="/v1/calls/{call_id}/slow", le="0.25") == 0


def test_a_loop_that_is_held_up_is_seen():
    metrics = Metrics()

    async def held_up() -> None:
        task = asyncio.create_task(measure_loop_lag(metrics, every_s=0.05))
        await asyncio.sleep(0.1)
        time.sleep(0.4)
        await asyncio.sleep(0.1)
        task.cancel()

    asyncio.run(held_up())
    assert 0.25 <= value(metrics, "event_loop_lag_seconds") < 5.0


def value(metrics: Metrics, name: str, **labels: str) -> float:
    found = metrics.registry.get_sample_value(PREFIX + name, labels)
    assert found is not None
    return found


def counted(metrics: Metrics) -> dict[tuple[str, str, str], float]:
    (requests,) = (family for family in metrics.registry.collect() if family.name == "saring_requests")
    return {(s.labels["route"], s.labels["method"], s.labels["status"]): s.value for s in requests.samples}
