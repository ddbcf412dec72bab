"""Whose clock places a call: real services, told by senders whose clocks are right, ahead, or of another year."""

import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from service.maintenance.verify import labels_of, read_history_facts, verify
from service.store.database import connect
from tests.support.processes import until

#: By how many seconds each trunk's clock is ahead.
TRUNKS = {"right": 0.0, "nine minutes ahead": 540.0, "in the year 2000": -26 * 365 * 86_400.0}


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def ring(
    client: httpx.Client, call_id: str, trunk: str = "right", headers: dict[str, str] | None = None, **more
) -> dict:
    received_at = datetime.now(UTC) + timedelta(seconds=TRUNKS[trunk])
    said = {"call_id": call_id, "received_at": received_at.isoformat(), "centre": trunk, "duration_s": 3.0} | more
    answered = client.post("/v1/score", json=said, headers=headers)
    assert answered.status_code == 200, answered.text
    return answered.json() | {"received_at": said["received_at"]}


@pytest.fixture(scope="module")
def shared(serving, tmp_path_factory, release_folder: Path):
    with serving(tmp_path_factory.mktemp("clocks"), release_folder) as client:
        yield client


def test_a_call_is_placed_by_when_it_was_heard_of_through_outage_and_restart(serving, tmp_path, release_folder, rows):
    with serving(tmp_path, release_folder) as client:
        told = [ring(client, f"{place} {trunk}", trunk) for place in range(2) for trunk in TRUNKS]
        with closing(sqlite3.connect(tmp_path / "saring.db")) as connection:
            connection.execute("ALTER TABLE events RENAME TO lost")
        told += [ring(client, f"out {trunk}", trunk) for trunk in TRUNKS]
        assert all(answer["degraded"] and answer["durable"] for answer in told[-3:])
        # Told more of while it is in the journal, a call stays where it is.
        again = {name: told[-2][name] for name in ("call_id", "received_at")}
        later = client.post("/v1/score", json=again | {"duration_s": 9.0}).json()
        assert (later["arrived_at"], later["degraded"]) == (told[-2]["arrived_at"], True)
        with closing(sqlite3.connect(tmp_path / "saring.db")) as connection:
            connection.execute("ALTER TABLE lost RENAME TO events")
        until(lambda: client.get("/readyz").json().get("journal") == 0)
        before = client.get("/v1/queue").json()["calls"]
    for answer in told:
        off = answer["call_id"].split(" ", 1)[1] != "right"
        assert answer["arrived_at"] == answer["queue_key"]
        assert answer["queue_key_epoch"] == seconds(answer["queue_key"])
        assert (seconds(answer["arrived_at"]) == seconds(answer["received_at"])) is not off
        assert abs(seconds(answer["arrived_at"]) - seconds(answer["scored_at"])) < 30.0
        assert [warning["field"] for warning in answer["warnings"]] == (["received_at"] if off else [])
    assert [call["call_id"] for call in before] == [answer["call_id"] for answer in told]
    with serving(tmp_path, release_folder) as client:
        after = client.get("/v1/queue").json()["calls"]
        assert [call["arrived_at"] for call in after] == [answer["arrived_at"] for answer in told]
        assert [call["queue_key"] for call in after] == [call["queue_key"] for call in before]
        known = client.get(f"/v1/calls/{told[-1]['call_id']}").json()
        assert (known["arrived_at"], known["received_at"][:4]) == (told[-1]["arrived_at"], "2000")
    engine = connect(f"sqlite:///{tmp_path / 'saring.db'}")
    try:
        assert verify(engine, labels_of(read_history_facts(engine)), lambda _: None).differences == []
    finally:
        engine.dispose()


def test_a_sender_whose_clock_is_off_is_told_of_until_it_is_right(shared, caplog):
    for place in range(3):
        for trunk in TRUNKS:
            ring(shared, f"told of {place} {trunk}", trunk)
    counted = shared.get("/metrics").text
    assert 'saring_clock_off_total{direction="ahead",sender="local, nine minutes ahead"} 3.0' in counted
    assert 'saring_clock_off_total{direction="behind",sender="local, in the year 2000"} 3.0' in counted
    assert [line.count("come with a clock that is") for line in caplog.messages].count(1) == 2
    english = shared.get("/console/supervisor", headers={"Accept-Language": "en"}).text
    assert "Calls from local, nine minutes ahead come with a clock that is 9 minutes ahead" in english
    indonesian = shared.get("/console/supervisor", headers={"Accept-Language": "id"}).text
    assert "Jam pengirim local, nine minutes ahead 9 menit lebih cepat" in indonesian
    assert "local, right" not in english
    ring(shared, "it was set", "right", centre="nine minutes ahead")
    assert "nine minutes ahead" not in shared.get("/console/supervisor").text


@pytest.mark.parametrize("age", ["-1", "-0.001", "1e9", "900.001", "nan", "inf", "text", "", "1 2", "0x10", "٣"])
def test_an_age_that_makes_no_sense_counts_as_none_and_is_warned_of(shared, age):
    answer = ring(shared, f"aged {age}", headers={"Saring-Age": age.encode()})
    assert [warning["field"] for warning in answer["warnings"]] == ["Saring-Age"]
    assert answer["arrived_at"] == answer["received_at"].replace("Z", "+00:00")


def test_an_age_says_when_the_call_was_heard_of_and_nothing_of_a_call_that_is_known(shared):
    received_at = (datetime.now(UTC) - timedelta(seconds=700)).isoformat(timespec="microseconds")
    kept = ring(shared, "kept", headers={"Saring-Age": "699.5"}, received_at=received_at)
    assert (kept["arrived_at"], kept["warnings"]) == (received_at, [])
    slow = ring(shared, "slow", headers={"Saring-Age": "600"}, received_at=received_at)
    assert [warning["field"] for warning in slow["warnings"]] == ["received_at"]
    assert seconds(slow["arrived_at"]) == pytest.approx(seconds(slow["scored_at"]) - 600.0, abs=1.0)
    again = ring(shared, "slow", headers={"Saring-Age": "700"}, received_at=received_at, duration_s=5.0)
    assert again["arrived_at"] == slow["arrived_at"]
    moved = {"call_id": "slow", "received_at": datetime.now(UTC).isoformat()}
    assert shared.post("/v1/score", json=moved).status_code == 409


def test_just_inside_the_tolerance_a_sender_gains_no_more_than_it(shared):
    at = (datetime.now(UTC) - timedelta(seconds=59)).isoformat(timespec="microseconds")
    inside = ring(shared, "inside", received_at=at)
    assert (inside["arrived_at"], inside["warnings"]) == (at, [])
    outside = ring(shared, "outside", received_at=(datetime.now(UTC) - timedelta(seconds=61)).isoformat())
    assert abs(seconds(outside["arrived_at"]) - seconds(outside["scored_at"])) < 1.0


def test_an_operator_closes_a_call_at_once_whose_sender_is_ahead_and_its_log_stays_in_order(shared):
    for call_id in ("closed", "over"):
        ring(shared, call_id, "nine minutes ahead")
    now = datetime.now(UTC).isoformat()
    closed = {"disposition": "genuine", "disposed_at": now, "answered_at": now, "confirm": True}
    assert shared.post("/v1/calls/closed/disposition", json=closed).status_code == 200
    for _ in range(2):
        assert shared.post("/v1/calls/over/ended", json={"ended_at": now}).status_code == 200
    early = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    assert shared.post("/v1/calls/over/disposition", json=closed | {"disposed_at": early}).status_code == 409
    for call_id, name in (("closed", "answered_at"), ("closed", "disposed_at"), ("over", "ended_at")):
        known = shared.get(f"/v1/calls/{call_id}").json()
        assert known[name] >= known["received_at"]


def test_calls_told_at_the_same_time_by_many_are_placed_in_the_order_in_which_they_were_heard_of(shared):
    first = ring(shared, "first of all", "nine minutes ahead")
    threads = [
        threading.Thread(target=ring, args=(shared, f"many {n}", list(TRUNKS)[n % 3]))
        for n in range(12)
    ]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    last = ring(shared, "last of all", "in the year 2000")
    keys = {call["call_id"]: call["queue_key"] for call in shared.get("/v1/queue?limit=1000").json()["calls"]}
    assert all(first["queue_key"] <= keys[f"many {n}"] <= last["queue_key"] for n in range(12))
