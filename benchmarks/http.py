"""POST /v1/score against an empty endpoint, FastAPI + predict_proba and MLflow, all in one run, each on one core.

The load comes from another core. The four take many short turns, since a machine is now faster and now slower, and the
ratios are medians over the turns; while one is measured the others stand still. At a fixed rate they take longer ones,
afterwards: the slowest of a hundred answers wants many.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks import ours
from benchmarks.generator import fixed_rate, percentiles
from benchmarks.load import CONNECTIONS, Measured, as_fast_as_it_answers, has_wrk
from benchmarks.peers import example_row, save_for_mlflow
from benchmarks.servers import LOAD_CORE, Server, serving

WARM_UP_S, RATE = 4, 300
#: How often each takes its turn, and for how long: as fast as it answers, and at the rate.
CLOSED_TURNS, CLOSED_S, FIXED_TURNS, FIXED_S = 9, 2, 3, 30
#: Requests that were under way when a load ended are answered before a server is made to stand still.
SETTLE_S = 1.0
OURS, EMPTY, PREDICT, MLFLOW = (
    "this service",
    "empty FastAPI endpoint",
    "FastAPI + predict_proba",
    "mlflow models serve",
)
BIN = Path(sys.executable).parent
SETTINGS = {
    "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",  # MLflow looks for uvicorn there
    "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
console = Console(stderr=True, width=120)


class Peer(NamedTuple):
    """One of the four, and what was measured of it, turn by turn."""

    name: str
    server: Server
    path: str
    body: str | None
    closed: list[Measured]
    cpu_us: list[float]
    fixed: list[tuple[float, ...]]

    def per_s(self) -> float:
        """Return the median of the answers a second."""
        return statistics.median(one.per_s for one in self.closed)


def main() -> None:
    os.sched_setaffinity(0, {LOAD_CORE})
    if not has_wrk():
        console.print("wrk is not installed (apt-get install wrk), so the load is that of our own generator.")
    if (busy := os.getloadavg()[0]) > 1.0:
        console.print(f"This machine is busy with something else (load {busy:.1f}): figures will be too low.")
    # Never a file system in memory: a write that is on disk must cost what it costs.
    with TemporaryDirectory(dir="/var/tmp", prefix="saring-bench-") as name:
        folder = Path(name)
        with console.status("training a release"):
            release = ours.release(folder)
        with ExitStack() as stack:
            peers = _started(folder, release, stack)
            wrong = _measured(peers)
        with console.status("starting the service"):  # with nothing beside it
            start_s, imported = ours.start_s(folder, release), ours.imported(folder, release)
    _show(peers)
    service, empty, predict, mlflow = peers
    p99 = f"{statistics.median(turn[2] for turn in service.fixed):.1f} ms" if service.fixed else "too slow for it"
    rows = [
        ("POST /v1/score with history and a durable write, one core", f"{service.per_s():,.0f}/s", ""),
        ("of its answers refused, degraded or not on disk", f"{wrong:,}", "0"),
        ("this service / empty FastAPI endpoint", f"{_ratio(service, empty):.2f}", ">= 0.45"),
        ("this service / FastAPI + predict_proba", f"{_ratio(service, predict):.1f} times", ">= 5 times"),
        ("this service / mlflow models serve", f"{_ratio(service, mlflow):.1f} times", ""),
        (f"p99 at {RATE} requests/s, one core", p99, "<= 10 ms"),
        ("saring serve from start to ready", f"{start_s:.2f} s", "<= 2 s"),
        ("of scikit-learn, pandas and MLflow it imports", ", ".join(sorted(imported)) or "none", "none"),
    ]
    print(json.dumps(rows))


def _started(folder: Path, release: Path, stack: ExitStack) -> list[Peer]:
    """Start the four; two of the peers answer with what the service itself answers to a call."""

    def start(name: str, command: Sequence[str], ready: str, path: str = "/v1/score", body: str | None = None) -> Peer:
        own = folder / name
        own.mkdir()
        with console.status(f"starting {name}"):
            server = stack.enter_context(serving(command, ready, own, SETTINGS))
        return Peer(name, server, path, body, [], [], [])

    service = start(OURS, ours.command(release), ours.READY)
    (folder / "answer.json").write_bytes(ours.answer(service.server.port))
    small = [sys.executable, "-m", "benchmarks.peers", "{port}", str(folder / "answer.json"), str(release)]
    save_for_mlflow(release, folder / "model")
    scoring = [str(BIN / "mlflow"), "models", "serve", "-m", str(folder / "model"), "-p", "{port}"]
    return [
        service,
        start(EMPTY, [*small, "empty"], "/openapi.json"),
        start(PREDICT, [*small, "predict"], "/openapi.json"),
        start(MLFLOW, [*scoring, "--env-manager", "local", "--workers", "1"], "/ping", "/invocations", example_row()),
    ]


def _measured(peers: Sequence[Peer]) -> int:
    """Let all take turns, the first one to warm up; gives how many answers of the service were wrong."""
    turns = [(_warm_up, 1), (_closed, CLOSED_TURNS), (_fixed, FIXED_TURNS)]
    wrong, run = 0, 0
    for measure, peer in [(measure, peer) for measure, times in turns for _ in range(times) for peer in peers]:
        run += 1
        # Who answers hardly more than so many a second would only build up a queue.
        if measure is _fixed and (peer.body is not None or peer.per_s() < 1.2 * RATE):
            continue
        others = [other.server for other in peers if other is not peer]
        with peer.server.alone(others), console.status(f"turn {run}: {peer.name}"):
            found = measure(peer, run)
            time.sleep(SETTLE_S)
        if found and peer.name != OURS:
            raise RuntimeError(f"{peer.name}: {found:,} wrong answers:\n{peer.server.log.read_text()[-2_000:]}")
        wrong += found
    return wrong


def _warm_up(peer: Peer, run: int) -> int:
    """Ask without measuring; like the others gives how many answers were wrong."""
    return as_fast_as_it_answers(peer.server.port, peer.path, run, WARM_UP_S, peer.body).wrong


def _closed(peer: Peer, run: int) -> int:
    before = peer.server.cpu_s()
    found = as_fast_as_it_answers(peer.server.port, peer.path, run, CLOSED_S, peer.body)
    peer.closed.append(found)
    peer.cpu_us.append(1e6 * (peer.server.cpu_s() - before) / max(found.answers, 1))
    return found.wrong


def _fixed(peer: Peer, run: int) -> int:
    latencies, wrong, _ = fixed_rate(peer.server.port, peer.path, run, RATE, FIXED_S)
    peer.fixed.append(percentiles(latencies))
    return wrong


def _ratio(one: Peer, other: Peer) -> float:
    return statistics.median(a.per_s / b.per_s for a, b in zip(one.closed, other.closed, strict=True))


def _show(peers: Sequence[Peer]) -> None:
    """Print what stands behind the rows."""
    table = Table(title=f"as fast as it answers on {CONNECTIONS} connections; and at {RATE}/s, whatever it answers")
    for name in ("", "requests/s", "of empty", "CPU us", "p50 ms", "p90", "p99", "p99.9", "longest"):
        table.add_column(name, justify="right" if name else "left")
    empty = next(peer for peer in peers if peer.name == EMPTY)
    for peer in peers:
        cpu_us, latencies = (
            f"{statistics.median(peer.cpu_us):,.0f}",
            _medians([one.latencies_ms for one in peer.closed]),
        )
        table.add_row(peer.name, f"{peer.per_s():,.0f}", f"{_ratio(peer, empty):.3f}", cpu_us, *latencies)
        if peer.fixed:
            table.add_row("", f"{RATE}", "", "", *_medians(peer.fixed))
    console.print(table)


def _medians(turns: Sequence[tuple[float, ...]]) -> list[str]:
    return [f"{statistics.median(column):,.1f}" for column in zip(*turns, strict=True)]


if __name__ == "__main__":
    main()
