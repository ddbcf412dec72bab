"""The metrics: what is counted, what can never be a label, and several workers as one; on real uvicorn."""

import asyncio
import logging
import math
import os
import re
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import prometheus_client
import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.sse import EventSourceResponse
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from model.errors import SaringError
from model.scorecard.features import STAGES
from service.contract import requests
from service.telemetry.metric_table import METRICS, PREFIX
from service.telemetry.metrics import BANDS, FIELDS, MAX_QUEUES, Metrics
from service.telemetry.multiprocess import VARIABLE
from service.telemetry.request_metrics import RequestMetricsMiddleware, measure_loop_lag
from tests.support.processes import until
from tests.support.small_service import raw, running

ROOT = Path(__file__).parents[3]
NUMBER = "6281234567890"


def test_the_page_explains_every_metric_as_the_table_has_it():
    page = (ROOT / "docs" / "telemetry.md").read_text(encoding="utf-8")
    rows = [tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in page.splitlines() if line[:4] == "| `s"]
    expected = [(PREFIX + m.name, m.kind, ", ".join(f"`{label}`" for label in m.labels), m.meaning) for m in METRICS]
    assert [(row[0].strip("`"), *row[1:4]) for row in rows] == expected
    assert all(len(row) == 5 and row[4] for row in rows)


def test_the_registry_gives_the_metrics_of_the_table():
    metrics = filled()
    found = {family.name: family for family in plain(metrics.render("")[0].decode())}
    assert set(found) == {(PREFIX + m.name).removesuffix("_total") for m in METRICS}
    for metric in METRICS:
        family = found[(PREFIX + metric.name).removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind, metric.meaning)
        assert {name for sample in family.samples for name in sample.labels} - {"le"} == set(metric.labels)


def test_the_page_speaks_of_no_metric_or_label_that_there_is_not():
    page = (ROOT / "docs" / "telemetry.md").read_text(encoding="utf-8")
    samples = {sample.name for family in plain(filled().render("")[0].decode()) for sample in family.samples}
    assert set(re.findall(r"\bsaring_[a-z_]+", page)) <= samples | {PREFIX + metric.name for metric in METRICS}
    selectors = set(re.findall(r"[{,(](\w+)=~?\"", page)) | set(re.findall(r"by \((\w+)\)", page))
    assert selectors <= {label for metric in METRICS for label in metric.labels} | {"le"}


def test_one_scored_call_counts_in_everything_that_it_was():
    metrics = Metrics()
    warnings = [{"field": "silence_ratio", "detail": "…"}]
    metrics.scored("opening", "unsure", 42.0, True, ["silence", "redial"], warnings)
    assert value(metrics, "calls_total", stage="opening", band="unsure") == 1
    assert value(metrics, "calls_total", stage="ring", band="unsure") == 0
    assert value(metrics, "deferral_seconds_sum", stage="opening") == 42
    assert value(metrics, "deferral_seconds_bucket", stage="opening", le="60.0") == 1
    assert value(metrics, "deferral_seconds_bucket", stage="opening", le="30.0") == 0
    assert value(metrics, "deferred_total") == value(metrics, "held_out_total") == 1
    assert value(metrics, "guardrails_total", guardrail="silence") == 1
    assert value(metrics, "guardrails_total", guardrail="redial") == 1
    assert value(metrics, "guardrails_total", guardrail="surge") == 0
    assert value(metrics, "warnings_total", field="silence_ratio") == 1


def test_a_call_that_is_not_deferred_counts_in_the_zero_bucket():
    metrics = Metrics()
    metrics.scored("ring", "normal", 0.0, False, [], [])
    assert value(metrics, "deferral_seconds_bucket", stage="ring", le="0.0") == 1
    assert value(metrics, "deferred_total") == value(metrics, "held_out_total") == 0


def test_every_stage_and_band_is_there_before_the_first_call():
    metrics = Metrics()
    assert all(value(metrics, "calls_total", stage=stage, band=band) == 0 for stage in STAGES for band in BANDS)


def test_every_field_of_a_request_that_is_forgiven_has_a_label():
    bodies = [body for body in vars(requests).values() if isinstance(body, type) and issubclass(body, requests.Body)]
    fields = {name for body in bodies for name, field in body.model_fields.items() if not field.is_required()}
    assert {"line", "duration_s", "operator"} <= fields <= set(FIELDS)


def test_words_that_nobody_knows_make_no_labels():
    metrics = Metrics()
    before = labels(metrics)
    for n in range(300):
        metrics.scored(f"stage{n}", f"band{n}", 1.0, False, [f"rail{n}"], [{"field": f"field{n}", "detail": ""}])
        metrics.abandoned(f"band{n}")
        metrics.request("/v1/score", f"M{n}", 200, 0.1)
    assert labels(metrics) - before <= {"/v1/score", "200", "other"}
    assert value(metrics, "warnings_total", field="other") == 300
    assert value(metrics, "requests_total", route="/v1/score", method="other", status="200") == 300


def test_the_fifty_first_queue_is_other_and_an_empty_queue_is_0():
    metrics = Metrics()
    metrics.waiting({f"queue {n}": 2 for n in range(MAX_QUEUES + 30)} | {"": 1})
    queues = {sample.labels["queue"]: sample.value for sample in family(metrics, "saring_waiting_calls").samples}
    assert len(queues) == MAX_QUEUES + 1
    assert queues["other"] == 61
    metrics.waiting({"queue 1": 5})
    queues = {sample.labels["queue"]: sample.value for sample in family(metrics, "saring_waiting_calls").samples}
    assert queues["queue 1"] == sum(queues.values()) == 5


def test_a_number_in_the_place_of_a_queue_never_becomes_a_label():
    metrics = Metrics()
    metrics.waiting({f"+{NUMBER}": 1, "0812-3456-7890": 1, "fire": 1})
    assert labels(metrics) >= {"fire", "other"}
    assert NUMBER not in metrics.render("")[0].decode()
    assert "0812" not in metrics.render("")[0].decode()
    assert value(metrics, "waiting_calls", queue="other") == 2


def test_what_is_not_known_is_nan_or_0_and_a_release_follows_another():
    metrics = Metrics()
    metrics.operators(None)
    assert math.isnan(value(metrics, "operators_on_duty"))
    metrics.operators(3)
    assert value(metrics, "operators_on_duty") == 3
    metrics.certificate(datetime(2027, 1, 1, tzinfo=UTC))
    assert value(metrics, "certificate_expires_timestamp_seconds") == 1_798_761_600
    metrics.certificate(None)
    assert value(metrics, "certificate_expires_timestamp_seconds") == 0
    metrics.release("a")
    metrics.release("b")
    assert (value(metrics, "release_info", release="a"), value(metrics, "release_info", release="b")) == (0, 1)


@pytest.mark.parametrize("accept", ["", "*/*", "text/plain; version=x", "text/plain;version=0.0.4;q=0.5"])
def test_without_a_wish_the_answer_is_the_plain_format(accept):
    body, media_type = filled().render(accept)
    assert media_type.startswith("text/plain; version=0.0.4")
    assert len(list(plain(body.decode()))) == len(METRICS)


@pytest.mark.parametrize("version", ["; version=1.0.0", "", "; version=x", "; version=99"])
def test_openmetrics_is_given_to_who_asks_for_it(version):
    body, media_type = filled().render(f"application/openmetrics-text{version},text/plain;q=0.1")
    assert media_type.startswith("application/openmetrics-text; version=1.0.0")
    assert len(list(openmetrics(body.decode()))) == len(METRICS)


def test_nothing_is_registered_globally():
    filled()
    assert not [family for family in prometheus_client.REGISTRY.collect() if family.name.startswith(PREFIX)]


def test_a_changed_environment_is_told_and_not_half_followed(monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(SaringError, match=r"PROMETHEUS_MULTIPROC_DIR.*before the service starts"):
        Metrics()


def test_a_folder_for_counting_that_is_not_there_is_told(tmp_path):
    code = "from service.telemetry.metrics import Metrics; Metrics()"
    environment = os.environ | {VARIABLE: str(tmp_path / "nowhere")}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert "nowhere' is not a folder" in done.stderr


# -- Requests, watched from outside


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


# -- Several workers

WORKER = """
import os
from fastapi import FastAPI, Response
from service.telemetry.request_metrics import RequestMetricsMiddleware
from service.telemetry.metrics import Metrics

metrics, api = Metrics(), FastAPI()
metrics.journal_holds(1)
metrics.store_up(up=True)
metrics.waiting({"fire": 3})

@api.get("/hit")
async def hit():
    metrics.scored("ring", "normal", 5.0, False, [], [])
    return os.getpid()

@api.get("/metrics")
async def render():
    body, media_type = metrics.render("")
    return Response(body, headers={"pid": str(os.getpid())}, media_type=media_type)

app = RequestMetricsMiddleware(api, metrics, 10.0)
"""
PARENT = """
import os
import sys
import uvicorn

if __name__ == "__main__":
    os.mkdir(sys.argv[1])
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = sys.argv[1]
    uvicorn.run("small_worker:app", port=int(sys.argv[2]), workers=2, log_level="critical")
"""


def test_two_workers_count_as_one_and_a_dead_one_leaves_no_gauges(tmp_path):
    (tmp_path / "small_worker.py").write_text(WORKER)
    (tmp_path / "parent.py").write_text(PARENT)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(tmp_path / "parent.py"), str(tmp_path / "counts"), str(port)]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{tmp_path}"}
    with subprocess.Popen(command, cwd=tmp_path, env=environment) as parent:
        try:
            client = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"connection": "close"}, timeout=10.0)
            hits = 0
            pids: set[int] = set()

            def hit() -> int:
                nonlocal hits
                try:
                    pid = client.get("/hit").json()
                except httpx.TransportError:  # it starts, or one of them just died
                    return 0
                hits += 1
                pids.add(pid)
                return pid

            until(lambda: hit() and len(pids) == 2, 30.0)
            # A request is counted once its answer has been sent: the client may be there before.
            counted = ("saring_requests_total", "/hit", "GET", "200")
            until(lambda: all(scraped(client, pid)[counted] == hits for pid in pids), 30.0)
            first, second = [scraped(client, pid) for pid in pids]
            for found in (first, second):
                assert found["saring_calls_total", "ring", "normal"] == hits
                assert found["saring_deferral_seconds_sum", "ring"] == 5.0 * hits
                assert found[counted] == hits
                assert found["saring_journal_records",] == 2
                assert found["saring_store_up",] == 1
                assert found["saring_waiting_calls", "fire"] == 3
            victim, other = sorted(pids)
            os.kill(victim, signal.SIGKILL)
            until(lambda: hit() not in (0, victim, other), 30.0)
            after = scraped(client, other)
            assert after["saring_calls_total", "ring", "normal"] == hits
            assert after["saring_journal_records",] == 2  # the dead one's is gone, its successor's is there
            assert not list((tmp_path / "counts").glob(f"gauge_live*_{victim}.db"))
            assert (tmp_path / "counts" / f"counter_{victim}.db").exists()
        finally:
            parent.send_signal(signal.SIGTERM)
            parent.wait(20)


def scraped(client: httpx.Client, pid: int) -> dict[tuple[str, ...], float]:
    """What one certain worker answers for all of them."""
    answers: list[httpx.Response] = []

    def asked() -> bool:
        answers.append(client.get("/metrics"))
        return answers[-1].headers["pid"] == str(pid)

    until(asked)
    families = list(plain(answers[-1].text))
    assert {family.name for family in families} >= {"saring_calls", "saring_request_seconds", "saring_store_up"}
    order = {PREFIX + metric.name: metric.labels for metric in METRICS}
    return {
        (sample.name, *(sample.labels[name] for name in order.get(sample.name, sorted(sample.labels)))): sample.value
        for family in families
        for sample in family.samples
    }


# -- What these tests say often


def filled() -> Metrics:
    """Metrics with at least one sample of each."""
    metrics = Metrics()
    metrics.request("/v1/score", "POST", 200, 0.002)
    metrics.degraded("store")
    metrics.waiting({"fire": 1})
    metrics.release("a")
    metrics.not_kept()
    metrics.journal_kept()
    metrics.journal_drained(1)
    metrics.committed(0.001, 3, 1)
    metrics.deferral(switch_on=True, on=False)
    return metrics


def value(metrics: Metrics, name: str, **labels: str) -> float:
    found = metrics.registry.get_sample_value(PREFIX + name, labels)
    assert found is not None
    return found


def family(metrics: Metrics, name: str):
    return next(family for family in metrics.registry.collect() if family.name == name)


def labels(metrics: Metrics) -> set[str]:
    return {
        word for family in metrics.registry.collect() for sample in family.samples for word in sample.labels.values()
    }


def counted(metrics: Metrics) -> dict[tuple[str, str, str], float]:
    samples = family(metrics, "saring_requests").samples
    return {(s.labels["route"], s.labels["method"], s.labels["status"]): s.value for s in samples}
