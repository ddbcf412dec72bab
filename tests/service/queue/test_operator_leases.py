"""A taken call is held as long as its operator is there, and waits again at its old place when that one is gone."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from service.queue.operator_leases import OperatorLeases
from service.security.key_store import create_key, revoke_key
from tests.support.keyed_service import Keyed, keyed, now
from tests.support.processes import group, until

LEASE_S = 1.5
SETTINGS = {"taken_timeout_s": LEASE_S}


@pytest.fixture(scope="module")
def patient(tmp_path_factory, release_folder: Path) -> Iterator[Keyed]:
    """A service that holds a call for half a minute, as by default."""
    with keyed(tmp_path_factory.mktemp("patient"), release_folder) as service:
        yield service


def rung(service: Keyed, call_id: str) -> str:
    service.ring(call_id)
    return call_id


def take(service: Keyed, call_id: str, who: str = "operator", **body: str) -> int:
    return service.say(who, call_id, "take", **body).status_code


def state(service: Keyed, call_id: str) -> tuple[str, str | None]:
    call = service.known(call_id)
    return call["state"], call["operator"]


@contextmanager
def following(client: httpx.Client, headers: dict[str, str] | None = None) -> Iterator[None]:
    with client.stream("GET", "/v1/queue/stream", headers=headers) as answered:
        lines = answered.iter_lines()  # while it is there the connection is open
        assert next(lines).startswith("event: queue")
        yield
        del lines


def test_a_taken_call_waits_again_at_its_old_place_when_its_operators_stream_has_ended(service):
    call_id = rung(service, "left alone")
    key = service.known(call_id)["queue_key"]
    with following(service.client, service.by("operator")):
        assert take(service, call_id) == 200
        time.sleep(2.5 * LEASE_S)
        assert state(service, call_id) == ("taken", "operator")
        assert take(service, call_id, "admin", operator="budi") == 409
    assert state(service, call_id) == ("taken", "operator")  # it may come back
    until(lambda: state(service, call_id) == ("waiting", None), 4.0 * LEASE_S)
    assert service.known(call_id)["queue_key"] == key
    assert service.known(call_id)["said"][-1] | {"known_at": 0, "recorded_at": 0} == {
        "kind": "released", "known_at": 0, "recorded_at": 0, "told_by": None, "operator": "operator", "why": "gone",
        "disposition": None, "category": None, "incident_id": None, "was": None,
    }  # fmt: skip
    assert take(service, call_id, "admin", operator="budi") == 200


def test_a_call_that_is_taken_again_and_again_is_held_without_a_stream(service):
    call_id = rung(service, "held")
    for _ in range(6):
        assert take(service, call_id) == 200
        time.sleep(LEASE_S / 2.0)
    assert state(service, call_id) == ("taken", "operator")
    until(lambda: state(service, call_id) == ("waiting", None), 4.0 * LEASE_S)


def test_a_page_that_asks_for_an_operators_calls_holds_them(service):
    call_id = rung(service, "read about")
    assert take(service, call_id) == 200
    for _ in range(6):
        mine = service.ask("operator", "GET", "/console/mine").json()["calls"]
        assert [call["call_id"] for call in mine] == [call_id]
        time.sleep(LEASE_S / 2.0)
    assert take(service, call_id, "admin", operator="budi") == 409


def test_signing_out_gives_a_taken_call_back_at_once(patient):
    call_id = rung(patient, "signed out")
    with patient.signed_in("operator") as signed_in:
        assert signed_in.post(f"/v1/calls/{call_id}/take", json={}).status_code == 200
        assert take(patient, call_id, "admin", operator="budi") == 409
        assert signed_in.post("/console/sign-out").status_code == 303
    assert take(patient, call_id, "admin", operator="budi") == 200
    said = patient.known(call_id)["said"][-2]
    assert (said["kind"], said["operator"], said["why"]) == ("released", "operator", "signed out")
    assert said["told_by"] == "operator"


def test_revoking_a_key_gives_back_what_its_holder_has_taken_within_a_second(patient):
    key = create_key(patient.engine, "rina", "operator", datetime.now(UTC))
    headers = {"Authorization": f"Bearer {key}"}
    until(lambda: patient.client.get("/v1/queue", headers=headers).status_code == 200)
    call_id = rung(patient, "revoked")
    with following(patient.client, headers):
        assert patient.client.post(f"/v1/calls/{call_id}/take", headers=headers, json={}).status_code == 200
        revoke_key(patient.engine, key.split("_")[1], datetime.now(UTC))
        until(lambda: state(patient, call_id) == ("waiting", None), 2.0)
    assert patient.known(call_id)["said"][-1]["why"] == "revoked"


def test_after_a_restart_no_call_is_lost_and_every_lease_begins_anew(serving, tmp_path, release_folder):
    def held(client: httpx.Client) -> list[tuple[str, str, str | None]]:
        calls = client.get("/v1/queue").json()["calls"]
        return [(call["call_id"], call["state"], call["operator"]) for call in calls]

    with serving(tmp_path, release_folder, mode="board", taken_timeout_s=3.0) as client:
        client.post("/v1/score", json={"call_id": "restart", "received_at": now()}).raise_for_status()
        assert client.post("/v1/calls/restart/take", json={"operator": "rina"}).status_code == 200
    time.sleep(3.5)
    with serving(tmp_path, release_folder, mode="board", taken_timeout_s=3.0) as client:
        assert held(client) == [("restart", "taken", "rina")]
        time.sleep(1.0)
        assert held(client) == [("restart", "taken", "rina")]
        until(lambda: held(client) == [("restart", "waiting", None)], 15.0)


def test_a_lease_holds_across_the_services_of_one_database(postgres, tmp_path, release_folder):
    with (
        group(2, tmp_path, release_folder, postgres, taken_timeout_s=3.0) as two,
        two.client(0, "intake") as pbx,
        two.client(0, "operator 1") as board,
        two.client(1, "operator 1") as elsewhere,
        two.client(1, "operator 2") as other,
    ):
        pbx.post("/v1/score", json={"call_id": "far", "received_at": now()}).raise_for_status()
        until(lambda: elsewhere.post("/v1/calls/far/take", json={}).status_code == 200)
        with following(board):  # at one of them; the call was taken at the other one
            for _ in range(12):  # twice the time-out
                assert other.post("/v1/calls/far/take", json={}).status_code == 409
                time.sleep(0.5)
        until(lambda: other.post("/v1/calls/far/take", json={}).status_code == 200, 15.0)
        queue = board.get("/v1/queue").json()["calls"]
        until(lambda: board.get("/v1/queue").json()["calls"][0]["operator"] == "operator 2")
        assert len(queue) == 1


def test_whoever_is_not_known_yet_or_was_not_looked_after_has_the_whole_time():
    now_s = 0.0
    leases = OperatorLeases(30.0, lambda: now_s)
    now_s = 100.0
    assert leases.expired({"rina"}) == set()  # nobody looked: it stood still, or could not ask
    now_s = 114.0
    assert leases.expired({"rina", "budi"}) == set()
    now_s = 129.0
    assert leases.expired({"rina", "budi"}) == set()
    now_s = 131.0
    assert leases.expired({"rina", "budi"}) == {"rina"}
    now_s = 160.0
    assert leases.expired({"rina", "budi"}) == set()
