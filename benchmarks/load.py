"""Load on a server as fast as it answers, by wrk; `benchmarks.generator` stands in where there is none."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from benchmarks.generator import closed_loop, percentiles

CONNECTIONS = 16
SCRIPT = Path(__file__).with_name("calls.lua")


class Measured(NamedTuple):
    """What came of one run.

    Parameters
    ----------
    per_s : float
        Answers a second that were as they should be.
    answers, wrong : int
        How many came, and how many of these were not a 200, did not say that the call is on disk, or were degraded;
        requests without an answer count as wrong ones too.
    latencies_ms : tuple of float
        The percentiles of `generator.PERCENTILES`, and the longest.
    """

    per_s: float
    answers: int
    wrong: int
    latencies_ms: tuple[float, ...]


def has_wrk() -> bool:
    """Return whether wrk can be run."""
    return shutil.which("wrk") is not None


def as_fast_as_it_answers(port: int, path: str, run: int, seconds: int, body: str | None = None) -> Measured:
    """Send the next request on each of CONNECTIONS connections as soon as the last one was answered.

    Parameters
    ----------
    port : int
    path : str
    run : int
        Its call_ids and new numbers are this run's own.
    seconds : int
    body : str, optional
        Sent in every request instead of a call; only a 200 is then asked for.
    """
    if not has_wrk():
        latencies, wrong, taken_s = closed_loop(port, path, run, seconds, CONNECTIONS, body)
        return Measured((len(latencies) - wrong) / taken_s, len(latencies), wrong, percentiles(latencies))
    url = f"http://127.0.0.1:{port}{path}"
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s", "-s", str(SCRIPT), url, "--"]
    command += [str(run), *([body] if body else [])]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    latencies_ms = tuple(us / 1_000 for us in found["latencies_us"])
    right_per_s = max(0, found["answers"] - found["wrong"]) / found["seconds"]
    return Measured(right_per_s, found["answers"], found["wrong"], latencies_ms)
