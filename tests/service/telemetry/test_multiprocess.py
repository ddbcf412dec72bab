"""Several workers that count as one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families as plain

from service.telemetry.metric_table import METRICS, PREFIX
from tests.support.processes import until

ROOT = Path(__file__).parents[3]
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


def test_two_workers_count_as_one_and_a_dead_one_leaves_no_gauges(tmp_path, free_port):
    (tmp_path / "small_worker.py").write_text(WORKER)
    (tmp_path / "parent.py").write_text(PARENT)
    command = [sys.executable, str(tmp_path / "parent.py"), str(tmp_path / "counts"), str(free_port)]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{tmp_path}"}
    with subprocess.Popen(command, cwd=tmp_path, env=environment) as parent:
        try:
            client = httpx.Client(
                base_url=f"http://127.0.0.1:{free_port}", headers={"connection": "close"}, timeout=10.0
            )
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
