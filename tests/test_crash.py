"""Nothing that was acknowledged as durable is lost, and nothing counts twice: killed, on a full disk, behind a lock."""

import random
import signal
import time
from pathlib import Path

from tests.crashing import Told, check, load, locked, ready
from tests.processes import Process


def kill_and_start_anew(folder: Path, release: Path, rounds: int, seed: int) -> Told:
    """Kill a service under load at random moments, and start it again on the same files."""
    chance, told = random.Random(seed), Told()
    database = folder / "saring.db"
    for number in range(rounds):
        process = Process(folder, "service", release, f"sqlite:///{database}", deadline_ms=1_000).ready()
        with load(process.url, told, f"round {number}", seed):
            time.sleep(chance.uniform(0.1, 0.8))
            if number % 2:  # the journal, too, has something in it when the process dies
                with locked(database):
                    time.sleep(chance.uniform(0.7, 1.2))
                time.sleep(chance.uniform(0.0, 0.6))
            process.stop(signal.SIGKILL)
    process = Process(folder, "service", release, f"sqlite:///{database}", deadline_ms=1_000).ready()
    ready(process.url)
    assert process.stop() == 0
    return told


def test_a_service_that_is_killed_loses_nothing_and_counts_nothing_twice(tmp_path, release_folder):
    told = kill_and_start_anew(tmp_path, release_folder, rounds=3, seed=1)
    assert len(told.kept) > 100
    check(tmp_path / "saring.db", told)
