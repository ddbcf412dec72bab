"""Closing a call: one that still waits takes a word more, and what was a mistake is put right within a minute."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from tests.support.call_histories import change, saring
from tests.support.keyed_service import Keyed, keyed
from tests.support.processes import until

CALLER = "+6281234567890"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("closing")


@pytest.fixture(scope="module")
def service(folder: Path, release_folder: Path) -> Iterator[Keyed]:
    with keyed(folder, release_folder) as service:
        yield service


def now() -> str:
    return datetime.now(UTC).isoformat()


def rung(service: Keyed, call_id: str, **more: Any) -> str:
    body = {"call_id": call_id, "received_at": now()} | more
    assert service.ask("intake", "POST", "/v1/score", json=body).status_code == 200
    return call_id


def ask(service: Keyed, who: str, call_id: str, what: str, **body: Any) -> httpx.Response:
    return service.ask(who, "POST", f"/v1/calls/{call_id}/{what}", json=body)


def close(service: Keyed, who: str, call_id: str, disposition: str = "prank", **more: Any) -> httpx.Response:
    return ask(service, who, call_id, "disposition", disposition=disposition, disposed_at=now(), **more)


def known(service: Keyed, call_id: str) -> dict[str, Any]:
    return service.ask("admin", "GET", f"/v1/calls/{call_id}").json()


def not_genuine(service: Keyed) -> float:
    answered = service.ask("admin", "POST", "/v1/callers/lookup", json={"caller": CALLER})
    return answered.json()["history"]["not_genuine_ever"]


@pytest.mark.parametrize("taken", [False, True])
def test_an_operator_closes_a_waiting_call_of_nobody_or_of_another_only_by_confirming_it(service, taken):
    call_id = rung(service, f"not mine {taken}")
    if taken:
        assert ask(service, "admin", call_id, "take", operator="rina").status_code == 200
    before = known(service, call_id)
    for more in ({}, {"confirm": False}, {"confirm": None}, {"confirm": "yes"}, {"confirm": 1}):
        refused = close(service, "operator", call_id, **more)
        assert refused.status_code == 409
        assert [error["field"] for error in refused.json()["errors"]] == ["confirm"]
    assert known(service, call_id) == before
    assert close(service, "operator", call_id, confirm=True).status_code == 200
    said = known(service, call_id)["said"][-1]
    assert (said["kind"], said["told_by"], said["was"]) == ("disposed", "operator", "taken" if taken else "waiting")


def test_whoever_is_signed_in_has_to_confirm_it_and_a_telephone_system_has_not(service):
    one, other, third = (rung(service, f"told by {who}") for who in ("an admin", "the pbx", "a system"))
    url = str(service.client.base_url)
    with httpx.Client(base_url=url, headers={"Origin": url.rstrip("/")}, timeout=30.0) as signed_in:
        signed_in.post("/console/sign-in", data={"key": service.keys["admin"]})
        body = {"disposition": "prank", "disposed_at": now()}
        assert signed_in.post(f"/v1/calls/{one}/disposition", json=body).status_code == 409
        assert signed_in.post(f"/v1/calls/{one}/disposition", json=body | {"confirm": True}).status_code == 200
    assert close(service, "intake", other).status_code == 200
    assert close(service, "admin", third).status_code == 200


def test_an_operators_own_call_and_one_that_was_answered_or_is_over_is_closed_as_ever(service):
    own, talked, gone = (rung(service, name) for name in ("own", "talked", "gone"))
    assert ask(service, "operator", own, "take").status_code == 200
    assert ask(service, "intake", talked, "answered", answered_at=now(), operator="rina").status_code == 200
    assert ask(service, "intake", gone, "ended", ended_at=now()).status_code == 200
    for call_id in (own, talked, gone):
        assert close(service, "operator", call_id).status_code == 200
        assert close(service, "operator", call_id, "genuine", category="fire").status_code == 200  # a correction


@pytest.mark.parametrize("taken", [False, True])
def test_a_call_closed_by_mistake_while_it_waited_waits_again_at_its_old_place(service, folder, taken):
    call_id = rung(service, f"mistake {taken}", caller=CALLER, expected_wait_s=200.0)
    before, labels = known(service, call_id), not_genuine(service)
    if taken:
        assert ask(service, "operator", call_id, "take").status_code == 200
    assert close(service, "operator", call_id, confirm=True, answered_at=now()).status_code == 200
    assert close(service, "operator", call_id, "silent").status_code == 200
    assert not_genuine(service) == labels + 1.0
    assert known(service, call_id)["answered_at"] is not None
    assert call_id not in waiting(service)
    assert ask(service, "operator", call_id, "reopen").json() == {
        "call_id": call_id, "durable": True, "degraded": False, "warnings": [],
    }  # fmt: skip
    after = known(service, call_id)
    same = before.keys() - {"said"}
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert call_id in waiting(service)
    assert not_genuine(service) == labels
    kinds = [(said["kind"], said["told_by"], said["disposition"]) for said in after["said"]]
    assert kinds[-3:] == [
        ("disposed", "operator", "prank"),
        ("disposed", "operator", "silent"),
        ("reopened", "operator", None),
    ]
    assert ask(service, "operator", call_id, "reopen").status_code == 200  # told again
    assert known(service, call_id) == after
    url = f"sqlite:///{folder / 'saring.db'}"
    status, text = saring("rebuild", "--database", url)
    assert status == 0, text
    assert saring("export", "--database", url, "--out", folder / "calls.csv")[0] == 0
    exported = pd.read_csv(folder / "calls.csv").set_index("call_id")
    assert pd.isna(exported.loc[call_id, "disposition"])
    assert call_id not in set(pd.read_csv(folder / "calls.corrections.csv")["call_id"])
    assert ask(service, "operator", call_id, "take").status_code == 200
    assert close(service, "operator", call_id, "genuine").status_code == 200


def waiting(service: Keyed) -> list[str]:
    return [call["call_id"] for call in service.ask("operator", "GET", "/v1/queue").json()["calls"]]


def test_what_was_answered_or_ended_or_closed_long_ago_is_not_brought_back(service, folder):
    answered, ended, since, taken, old, never = (
        rung(service, name) for name in ("answered", "ended", "since", "taken", "old", "never")
    )
    assert ask(service, "intake", answered, "answered", answered_at=now()).status_code == 200
    assert ask(service, "intake", ended, "ended", ended_at=now()).status_code == 200
    for call_id in (answered, ended, since, old):
        assert close(service, "intake", call_id).status_code == 200
    assert ask(service, "intake", since, "ended", ended_at=now()).status_code == 200
    assert ask(service, "operator", taken, "take").status_code == 200
    minute_ago = int((datetime.now(UTC) - timedelta(seconds=61)).timestamp() * 1e6)
    assert change(folder, f"UPDATE events SET recorded_at_us = {minute_ago} WHERE call_id = 'old'") == 2
    for call_id in (answered, ended, since, taken, old):
        before = known(service, call_id)
        refused = ask(service, "operator", call_id, "reopen")
        assert refused.status_code == 409, call_id
        assert known(service, call_id) == before
    assert ask(service, "operator", "nobody", "reopen").status_code == 404
    assert ask(service, "operator", never, "reopen").status_code == 200
    assert known(service, never)["said"][-1]["kind"] == "received"  # it waits: nothing was to be done


def test_a_call_is_brought_back_also_while_the_store_is_out_of_reach(tmp_path, release_folder):
    with keyed(tmp_path, release_folder, deadline_ms=2_000) as service:
        call_id = rung(service, "a")
        assert close(service, "operator", call_id, confirm=True).status_code == 200
        lock = sqlite3.connect(tmp_path / "saring.db", isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        answer = ask(service, "operator", call_id, "reopen").json()
        assert (answer["durable"], answer["degraded"]) == (True, True)
        lock.rollback()
        lock.close()
        until(lambda: service.client.get("/readyz").json().get("journal") == 0, 20.0)
        assert known(service, call_id)["state"] == "waiting"
        assert known(service, call_id)["said"][-1]["told_by"] == "operator"
