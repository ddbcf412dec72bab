"""Closing a call: one that still waits takes a word more, and what was a mistake is put right within a minute."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.support.call_histories import change, saring
from tests.support.keyed_service import Keyed, keyed, now
from tests.support.processes import until
from tests.support.store.crashes import locked

CALLER = "+6281234567890"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("closing")


@pytest.fixture(scope="module")
def service(folder: Path, release_folder: Path) -> Iterator[Keyed]:
    with keyed(folder, release_folder) as service:
        yield service


def rung(service: Keyed, call_id: str, **more: Any) -> str:
    service.ring(call_id, **more)
    return call_id


def closed(service: Keyed, who: str, call_id: str, disposition: str = "prank", **more: Any) -> int:
    return service.close(call_id, disposition, who, **more).status_code


def not_genuine(service: Keyed) -> float:
    answered = service.ask("admin", "POST", "/v1/callers/lookup", json={"caller": CALLER})
    return answered.json()["history"]["not_genuine_ever"]


@pytest.mark.parametrize("taken", [False, True])
def test_an_operator_closes_a_waiting_call_of_nobody_or_of_another_only_by_confirming_it(service, taken):
    call_id = rung(service, f"not mine {taken}")
    if taken:
        assert service.say("admin", call_id, "take", operator="rina").status_code == 200
    before = service.known(call_id)
    for more in ({}, {"confirm": False}, {"confirm": None}, {"confirm": "yes"}, {"confirm": 1}):
        refused = service.close(call_id, "prank", "operator", **more)
        assert refused.status_code == 409
        assert [error["field"] for error in refused.json()["errors"]] == ["confirm"]
    assert service.known(call_id) == before
    assert closed(service, "operator", call_id, confirm=True) == 200
    said = service.known(call_id)["said"][-1]
    assert (said["kind"], said["told_by"], said["was"]) == ("disposed", "operator", "taken" if taken else "waiting")


def test_whoever_is_signed_in_has_to_confirm_it_and_a_telephone_system_has_not(service):
    one, other, third = (rung(service, f"told by {who}") for who in ("an admin", "the pbx", "a system"))
    with service.signed_in("admin") as signed_in:
        body = {"disposition": "prank", "disposed_at": now()}
        assert signed_in.post(f"/v1/calls/{one}/disposition", json=body).status_code == 409
        assert signed_in.post(f"/v1/calls/{one}/disposition", json=body | {"confirm": True}).status_code == 200
    assert closed(service, "intake", other) == 200
    assert closed(service, "admin", third) == 200


def test_an_operators_own_call_and_one_that_was_answered_or_is_over_is_closed_as_ever(service):
    own, talked, gone = (rung(service, name) for name in ("own", "talked", "gone"))
    assert service.say("operator", own, "take").status_code == 200
    assert service.say("intake", talked, "answered", answered_at=now(), operator="rina").status_code == 200
    assert service.say("intake", gone, "ended", ended_at=now()).status_code == 200
    for call_id in (own, talked, gone):
        assert closed(service, "operator", call_id) == 200
        assert closed(service, "operator", call_id, "genuine", category="fire") == 200  # a correction


def test_an_incident_is_kept_with_its_call_until_another_is_named(service):
    call_id = rung(service, "of an incident")
    told = [("genuine", "f1", "f1"), ("duplicate", None, "f1"), ("duplicate", "f2", "f2"), ("duplicate", "", "f2")]
    for disposition, named, kept in told:
        assert closed(service, "intake", call_id, disposition, incident_id=named) == 200
        assert service.known(call_id)["incident_id"] == kept
    said = [one["incident_id"] for one in service.known(call_id)["said"] if one["kind"] == "disposed"]
    assert said == ["f1", None, "f2"]  # the same told again is nothing new
    for wrong in (7, "f" * 201, "f\x1b1", ["f1"]):
        answered = service.close(call_id, "genuine", incident_id=wrong)
        assert [one["field"] for one in answered.json()["warnings"]] == ["incident_id"]
    assert service.known(call_id)["incident_id"] == "f2"
    assert service.say("operator", call_id, "reopen").status_code == 200
    assert service.known(call_id)["incident_id"] is None


@pytest.mark.parametrize("taken", [False, True])
def test_a_call_closed_by_mistake_while_it_waited_waits_again_at_its_old_place(service, folder, taken):
    call_id = rung(service, f"mistake {taken}", caller=CALLER, expected_wait_s=200.0)
    before, labels = service.known(call_id), not_genuine(service)
    if taken:
        assert service.say("operator", call_id, "take").status_code == 200
    assert closed(service, "operator", call_id, confirm=True, answered_at=now()) == 200
    assert closed(service, "operator", call_id, "silent") == 200
    assert not_genuine(service) == labels + 1.0
    assert service.known(call_id)["answered_at"] is not None
    assert call_id not in service.waiting()
    assert service.say("operator", call_id, "reopen").json() == {
        "call_id": call_id, "durable": True, "degraded": False, "warnings": [],
    }  # fmt: skip
    after = service.known(call_id)
    same = before.keys() - {"said"}
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert call_id in service.waiting()
    assert not_genuine(service) == labels
    kinds = [(said["kind"], said["told_by"], said["disposition"]) for said in after["said"]]
    assert kinds[-3:] == [
        ("disposed", "operator", "prank"),
        ("disposed", "operator", "silent"),
        ("reopened", "operator", None),
    ]
    assert service.say("operator", call_id, "reopen").status_code == 200  # told again
    assert service.known(call_id) == after
    url = f"sqlite:///{folder / 'saring.db'}"
    status, text = saring("rebuild", "--database", url)
    assert status == 0, text
    assert saring("export", "--database", url, "--out", folder / "calls.csv")[0] == 0
    exported = pd.read_csv(folder / "calls.csv").set_index("call_id")
    assert pd.isna(exported.loc[call_id, "disposition"])
    assert call_id not in set(pd.read_csv(folder / "calls.corrections.csv")["call_id"])
    assert service.say("operator", call_id, "take").status_code == 200
    assert closed(service, "operator", call_id, "genuine") == 200


def test_what_was_answered_or_ended_or_closed_long_ago_is_not_brought_back(service, folder):
    answered, ended, since, taken, old, never = (
        rung(service, name) for name in ("answered", "ended", "since", "taken", "old", "never")
    )
    assert service.say("intake", answered, "answered", answered_at=now()).status_code == 200
    assert service.say("intake", ended, "ended", ended_at=now()).status_code == 200
    for call_id in (answered, ended, since, old):
        assert closed(service, "intake", call_id) == 200
    assert service.say("intake", since, "ended", ended_at=now()).status_code == 200
    assert service.say("operator", taken, "take").status_code == 200
    minute_ago = int((datetime.now(UTC) - timedelta(seconds=61)).timestamp() * 1e6)
    assert change(folder, f"UPDATE events SET recorded_at_us = {minute_ago} WHERE call_id = 'old'") == 2
    for call_id in (answered, ended, since, taken, old):
        before = service.known(call_id)
        refused = service.say("operator", call_id, "reopen")
        assert refused.status_code == 409, call_id
        assert service.known(call_id) == before
    assert service.say("operator", "nobody", "reopen").status_code == 404
    assert service.say("operator", never, "reopen").status_code == 200
    assert service.known(never)["said"][-1]["kind"] == "received"  # it waits: nothing was to be done


def test_a_call_is_brought_back_also_while_the_store_is_out_of_reach(tmp_path, release_folder):
    with keyed(tmp_path, release_folder, deadline_ms=2_000) as service:
        call_id = rung(service, "a")
        assert closed(service, "operator", call_id, confirm=True) == 200
        with locked(tmp_path / "saring.db"):
            answer = service.say("operator", call_id, "reopen").json()
        assert (answer["durable"], answer["degraded"]) == (True, True)
        until(lambda: service.client.get("/readyz").json().get("journal") == 0, 20.0)
        assert service.known(call_id)["state"] == "waiting"
        assert service.known(call_id)["said"][-1]["told_by"] == "operator"
