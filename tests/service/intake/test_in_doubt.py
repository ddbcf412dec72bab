"""What the store took after all, too late for its answer, stands on the board as the store has it."""

import time
from datetime import UTC, datetime

import httpx
import pytest

from tests.support.processes import Process, all_told, until
from tests.support.store.crashes import locked


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("answered", {"answered_at": None, "operator": "rina"}),
        ("ended", {"ended_at": None, "ended_by": "caller"}),
        ("disposition", {"disposition": "prank", "disposed_at": None}),
    ],
)
def test_a_call_that_left_the_queue_while_the_store_was_locked_is_on_no_board(tmp_path, release_folder, kind, said):
    database = tmp_path / "saring.db"
    process = Process(tmp_path, "service", release_folder, f"sqlite:///{database}", deadline_ms=500).ready()
    try:
        with httpx.Client(base_url=process.url, timeout=20.0) as client:
            for number in range(3):
                ring = {
                    "call_id": f"c{number}",
                    "received_at": datetime.now(UTC).isoformat(),
                    "caller": "+6281200000001",
                }
                until(lambda ring=ring: not client.post("/v1/score", json=ring).json()["degraded"])
            with locked(database):
                told = {name: value or datetime.now(UTC).isoformat() for name, value in said.items()}
                assert client.post("/v1/calls/c1/" + kind, json=told).json()["degraded"]
                time.sleep(0.3)
            until(lambda: all_told(process.url))
            assert client.get("/v1/calls/c1").json()["state"] not in ("waiting", "taken")
            assert [call["call_id"] for call in client.get("/v1/queue").json()["calls"]] == ["c0", "c2"]
    finally:
        process.stop()
