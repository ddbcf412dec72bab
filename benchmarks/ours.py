"""The service as it is measured: a release, the command that serves it, one call, and how it starts."""

import json
import statistics
import sys
import time
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path

from benchmarks.servers import serving
from model.params import Params
from model.release.folder import write_release
from model.release.pipeline import make_release
from model.simulation.city import simulate

READY = "/readyz"
STARTS, TRIES = 5, 50
NOT_WANTED = frozenset(("sklearn", "pandas", "mlflow"))


def release(folder: Path) -> Path:
    """Train a release on 20,000 calls of a made-up city."""
    now, city = datetime.now(UTC), simulate("metro", 0, calls=20_000)
    made = make_release(city.calls, Params(), now, corrections=city.corrections)
    write_release(folder / "release", made.files(), made.facts(now))
    return folder / "release"


def command(served: Path) -> list[str]:
    """Return the command that serves a release, with a database in the folder where it runs."""
    saring, database = Path(sys.executable).with_name("saring"), "sqlite:///bench.db"
    options = ["--release", str(served), "--database", database, "--port", "{port}", "--insecure-local"]
    return [str(saring), "serve", *options]


def answer(port: int) -> bytes:
    """Let the service score one call, and another one while it is too busy with having started to keep its deadline."""
    for number in range(TRIES):
        found = _answer(port, f"an example {number}")
        if not json.loads(found)["degraded"]:
            return found
        time.sleep(0.2)
    raise RuntimeError(f"the service answered {TRIES} calls one after another without a score")


def _answer(port: int, call_id: str) -> bytes:
    call = {
        "call_id": call_id,
        "received_at": datetime.now(UTC).isoformat(timespec="microseconds"),
        "caller": "+6281234567890",
        "line": "mobile",
        "duration_s": 9.5,
        "silence_ratio": 0.8,
    }
    connection = HTTPConnection("127.0.0.1", port)
    try:
        connection.request("POST", "/v1/score", json.dumps(call), {"Content-Type": "application/json"})
        return connection.getresponse().read()
    finally:
        connection.close()


def start_s(folder: Path, served: Path) -> float:
    """Start the service on new databases and give the median of the seconds until it was ready."""
    taken = []
    for number in range(STARTS):
        own = folder / f"start {number}"
        own.mkdir()
        with serving(command(served), READY, own) as server:
            taken.append(server.ready_s)
    return statistics.median(taken)


def imported(folder: Path, served: Path) -> frozenset[str]:
    """Return which of NOT_WANTED the service has imported once it has scored a call."""
    own = folder / "imports"
    own.mkdir()
    told = [sys.executable, "-X", "importtime", "-m", "service.cli.main", *command(served)[1:]]
    with serving(told, READY, own) as server:
        answer(server.port)
        lines = server.log.read_text().splitlines()
    found = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines if line.startswith("import time:")}
    if "service" not in found:
        raise RuntimeError("python -X importtime did not tell what was imported")
    return NOT_WANTED & found
