"""The service under a steady load: nothing fails and memory stays where it is."""

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from benchmarks.generator import fixed_rate, percentiles

ROOT = Path(__file__).parents[2]


def resident_mib(process: subprocess.Popen) -> float:
    lines = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def soak(
    folder: Path, release: Path, port: int, rate: float, part_s: int, parts: int
) -> tuple[list[float], list[float], int]:
    """Load a service; gives its memory after each part, all latencies in ms, and how many answers were wrong."""
    settings = {
        "SARING_KEY_FILE": str(folder / "saring.key"),
        "SARING_JOURNAL": str(folder / "journal"),
        "SARING_JOURNAL_MIB": "1",
        "SARING_DEADLINE_MS": "2000",  # this machine is shared: its pauses are no fault of the store
        # So small that they are soon full, and so large that those who ring often are at hand; and calls leave, since
        # nobody here ends them.
        "SARING_CALLERS_IN_MEMORY": "8000",
        "SARING_CALLS_IN_MEMORY": "1000",
        "SARING_WAITING_TIMEOUT_S": "10",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "service.cli.main", "serve", "--release", str(release), "--port", str(port)]
    command += ["--database", f"sqlite:///{folder / 'saring.db'}", "--insecure-local"]
    memory: list[float] = []
    latencies: list[float] = []
    wrong = 0
    with subprocess.Popen(command, env=os.environ | settings, stdout=subprocess.DEVNULL) as process:
        try:
            give_up = time.monotonic() + 30.0
            while True:
                try:
                    if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                        break
                except httpx.HTTPError:
                    assert time.monotonic() < give_up
                time.sleep(0.1)
            for part in range(parts):
                found, errors, _ = fixed_rate(port, "/v1/score", part, rate, part_s)
                latencies += found
                wrong += errors
                memory.append(resident_mib(process))
        finally:
            process.terminate()
            process.wait()
    return memory, latencies, wrong


def test_a_short_steady_load_is_answered_without_an_error_and_memory_stays(tmp_path, release_folder, free_port):
    memory, latencies, wrong = soak(tmp_path, release_folder, free_port, rate=90.0, part_s=2, parts=4)
    assert len(latencies) == 720
    assert wrong == 0
    assert memory[-1] < 1.1 * memory[1]


@pytest.mark.slow
def test_ten_minutes_at_300_requests_a_second(tmp_path, release_folder, free_port):
    memory, latencies, wrong = soak(tmp_path, release_folder, free_port, rate=300.0, part_s=60, parts=10)
    print(f"memory MiB {[round(one) for one in memory]}; ms {[round(one, 1) for one in percentiles(latencies)]}")
    assert len(latencies) == 180_000
    assert wrong == 0
    assert memory[-1] < 1.1 * memory[2]
