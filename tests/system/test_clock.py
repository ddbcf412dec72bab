"""Whose clock it is: an event's own only where a log is replayed, and never for when it was written down."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from service.security.key_store import create_key
from service.store.database import connect
from tests.support.processes import Process, until
from tests.support.walk.wall_clock import WallClock

CLOCK = {"Saring-Clock": "as-recorded"}
LONG_AGO = datetime(1990, 1, 2, tzinfo=UTC)


@pytest.fixture
def started(tmp_path, release_folder):
    """A function that starts a service with keys; gives it and a function that gives a client with a role."""
    running = []

    def start(**settings) -> tuple[Process, dict[str, httpx.Client]]:
        database = f"sqlite:///{tmp_path / 'saring.db'}"
        engine = connect(database)
        keys = {role: create_key(engine, role, role, datetime.now(UTC)) for role in ("intake", "admin")}
        engine.dispose()
        process = Process(tmp_path, "service", release_folder, database, insecure_local=False, **settings).ready()
        clients = {
            role: httpx.Client(base_url=process.url, headers={"Authorization": f"Bearer {key}"}, timeout=30.0)
            for role, key in keys.items()
        }
        running.append((process, clients))
        return process, clients

    yield start
    for process, clients in running:
        for client in clients.values():
            client.close()
        process.stop()


def told(client: httpx.Client, call_id: str, received_at: datetime, **headers) -> httpx.Response:
    said = {"call_id": call_id, "received_at": received_at.isoformat(), "caller": "+6281234567890"}
    return client.post("/v1/score", json=said, headers=headers or CLOCK)


def resident_mib(process: Process) -> float:
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def test_an_event_s_own_clock_counts_only_in_a_service_started_for_a_replay_or_for_an_admin(started):
    _, clients = started()
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    refused = told(clients["intake"], "a", an_hour_ago)
    assert refused.status_code == 403
    assert "--replay" in refused.json()["detail"]
    batch = {"calls": [{"call_id": "a", "received_at": an_hour_ago.isoformat()}]}
    assert clients["intake"].post("/v1/score/batch", json=batch, headers=CLOCK).json()["results"][0]["status"] == 403
    assert clients["admin"].get("/v1/calls/a").status_code == 404  # nothing was kept by a clock that nobody let count
    assert told(clients["intake"], "a", an_hour_ago, **{"Saring-Clock": "of the wall"}).status_code == 200
    for event, said in (("answered", {"answered_at": an_hour_ago.isoformat()}),
                        ("ended", {"ended_at": an_hour_ago.isoformat()}),
                        ("disposition", {"disposition": "prank", "disposed_at": an_hour_ago.isoformat()})):  # fmt: skip
        assert clients["intake"].post(f"/v1/calls/a/{event}", json=said, headers=CLOCK).status_code == 403
    assert told(clients["admin"], "b", an_hour_ago).json()["scored_at"].startswith(an_hour_ago.isoformat()[:19])


def test_when_an_event_was_written_down_is_told_by_the_machine_s_clock_also_in_a_replay(started):
    _, clients = started(replay=True)
    before = datetime.now(UTC)
    answer = told(clients["intake"], "a", LONG_AGO).json()
    assert answer["scored_at"].startswith("1990-01-02")
    closed = {"disposition": "prank", "disposed_at": (LONG_AGO + timedelta(hours=1)).isoformat()}
    clients["intake"].post("/v1/calls/a/disposition", json=closed, headers=CLOCK).raise_for_status()
    said = clients["admin"].get("/v1/calls/a").json()["said"]
    assert [one["known_at"][:13] for one in said] == ["1990-01-02T00", "1990-01-02T01"]
    assert all(before <= datetime.fromisoformat(one["recorded_at"]) <= datetime.now(UTC) for one in said)


def test_a_call_of_1990_takes_no_memory_for_the_years_since(started):
    process, clients = started(replay=True)
    assert told(clients["intake"], "warm", LONG_AGO).status_code == 200
    before = resident_mib(process)
    assert told(clients["intake"], "now", datetime.now(UTC)).status_code == 200
    until(lambda: clients["admin"].get("/v1/queue").status_code == 200)
    assert resident_mib(process) - before < 60.0


TELL = """
import time, datetime
for _ in range(2):
    before = time.monotonic()
    time.sleep(0.2)
    print(time.time(), datetime.datetime.now().timestamp(), 0.2 <= time.monotonic() - before < 5.0, flush=True)
    input()
"""


def test_a_step_reaches_a_running_process_and_no_sleep(tmp_path):
    clock = WallClock(tmp_path / "clock")
    if not clock.steps:
        pytest.skip("the clock of a process can be put wrong only where there is a C compiler")
    with subprocess.Popen(
        [sys.executable, "-c", TELL], env=clock.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        first = process.stdout.readline().split()
        clock.step(1_200)
        process.stdin.write("\n")
        process.stdin.flush()
        second = process.stdout.readline().split()
        process.stdin.write("\n")
    for place in (0, 1):
        assert 1_200.0 <= float(second[place]) - float(first[place]) < 1_220.0
    assert first[2] == second[2] == "True"
