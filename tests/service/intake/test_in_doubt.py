"""What the store took after all, too late for its answer, stands on the board as the store has it."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from tests.support.processes import Process, all_told, until
from tests.support.store.crashes import locked


@pytest.fixture(scope="module")
def service(tmp_path_factory, release_folder) -> Iterator[tuple[Process, Path]]:
    """A service, and the file of its store."""
    folder = tmp_path_factory.mktemp("in doubt")
    process = Process(folder, "service", release_folder, f"sqlite:///{folder / 'saring.db'}", deadline_ms=500).ready()
    yield process, folder / "saring.db"
    process.stop()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("answered", {"answered_at": None, "operator": "rina"}),
        ("ended", {"ended_at": None, "ended_by": "caller"}),
        ("disposition", {"disposition": "prank", "disposed_at": None}),
    ],
)
def test_a_call_that_left_the_queue_while_the_store_was_locked_is_on_no_board(service, kind, said):
    process, database = service
    with httpx.Client(base_url=process.url, timeout=20.0) as client:
        before, left, after = names = [f"{kind} {number}" for number in range(3)]
        for name in names:
            ring = {"call_id": name, "received_at": datetime.now(UTC).isoformat(), "caller": "+6281200000001"}
            until(lambda ring=ring: not client.post("/v1/score", json=ring).json()["degraded"])
        with locked(database):
            told = {name: value or datetime.now(UTC).isoformat() for name, value in said.items()}
            assert client.post(f"/v1/calls/{left}/{kind}", json=told).json()["degraded"]
            time.sleep(0.3)
        until(lambda: all_told(process.url))
        assert client.get(f"/v1/calls/{left}").json()["state"] not in ("waiting", "taken")
        waiting = [call["call_id"] for call in client.get("/v1/queue").json()["calls"]]
        assert [name for name in waiting if name in names] == [before, after]
