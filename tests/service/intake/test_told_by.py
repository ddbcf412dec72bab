"""Who told of each event: the name of the key stands beside it, and an operator's key speaks for itself alone."""

import sqlite3

import pandas as pd
import pytest

from service.store.store import Store
from tests.support.call_histories import saring
from tests.support.keyed_service import Keyed, keyed, now
from tests.support.processes import until
from tests.support.store.older_database import migrate


def ring(service: Keyed, call_id: str) -> None:
    body = {"call_id": call_id, "received_at": now()}
    assert service.ask("intake", "POST", "/v1/score", json=body).status_code == 200


def tell(service: Keyed, who: str, call_id: str, what: str, **body) -> int:
    body = {"answered": {"answered_at": now()}, "disposition": {"disposed_at": now()}}.get(what, {}) | body
    return service.ask(who, "POST", f"/v1/calls/{call_id}/{what}", json=body).status_code


def story(service: Keyed, call_id: str) -> list[tuple[str, str | None, str | None]]:
    said = service.ask("admin", "GET", f"/v1/calls/{call_id}").json()["said"]
    return [(one["kind"], one["told_by"], one["operator"]) for one in said]


def test_beside_every_event_stands_whose_key_told_it(service, tmp_path):
    ring(service, "a")
    batch = {"calls": [{"call_id": "a", "received_at": now(), "duration_s": 3.0}]}
    received_at = service.ask("admin", "GET", "/v1/calls/a").json()["received_at"]
    batch["calls"][0]["received_at"] = received_at
    assert service.ask("intake", "POST", "/v1/score/batch", json=batch).json()["results"][0]["durable"]
    assert tell(service, "operator", "a", "take") == 200
    assert tell(service, "admin", "a", "release", operator="operator") == 200
    assert tell(service, "intake", "a", "answered", operator="rina") == 200
    assert service.ask("intake", "POST", "/v1/calls/a/ended", json={"ended_at": now()}).status_code == 200
    assert tell(service, "operator", "a", "disposition", disposition="prank") == 200
    assert tell(service, "admin", "a", "disposition", disposition="genuine", operator="rina") == 200
    assert story(service, "a") == [
        ("received", "intake", None),
        ("scored", "intake", None),
        ("taken", "operator", "operator"),
        ("released", "admin", "operator"),
        ("answered", "intake", "rina"),
        ("ended", "intake", None),
        ("disposed", "operator", "operator"),
        ("disposed", "admin", "rina"),
    ]
    url = service.engine.url.render_as_string(hide_password=False)
    assert saring("export", "--database", url, "--out", tmp_path / "calls.csv")[0] == 0
    exported = pd.read_csv(tmp_path / "calls.csv").set_index("call_id")
    assert exported.loc["a", ["disposition", "x_disposed_by"]].tolist() == ["prank", "operator"]
    later = pd.read_csv(tmp_path / "calls.corrections.csv").set_index("call_id")
    assert later.loc["a", ["disposition", "x_disposed_by"]].tolist() == ["genuine", "admin"]


@pytest.mark.parametrize("what", ["take", "release", "answered", "disposition"])
def test_an_operators_key_speaks_for_itself_alone(service, what):
    ring(service, f"own {what}")
    more = {"disposition": "prank"} if what == "disposition" else {}
    before = story(service, f"own {what}")
    body = {"answered": {"answered_at": now()}, "disposition": {"disposed_at": now()}}.get(what, {}) | more
    refused = service.ask("operator", "POST", f"/v1/calls/own {what}/{what}", json=body | {"operator": "rina"})
    assert refused.status_code == 403
    assert [error["field"] for error in refused.json()["errors"]] == ["operator"]
    assert story(service, f"own {what}") == before
    if what == "release":
        assert tell(service, "operator", f"own {what}", "take") == 200
    if what == "disposition":
        assert tell(service, "intake", f"own {what}", "answered", operator="operator") == 200
    assert tell(service, "operator", f"own {what}", what, operator="operator", **more) == 200
    assert story(service, f"own {what}")[-1][1:] == ("operator", "operator")


def test_what_the_journal_kept_keeps_whose_key_told_it(tmp_path, release_folder):
    with keyed(tmp_path, release_folder, deadline_ms=2_000) as service:
        ring(service, "a")
        lock = sqlite3.connect(tmp_path / "saring.db", isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        answer = service.ask("intake", "POST", "/v1/score", json={"call_id": "b", "received_at": now()}).json()
        assert (answer["degraded"], answer["durable"]) == (True, True)
        body = {"disposition": "prank", "disposed_at": now(), "operator": "rina"}
        closed = service.ask("intake", "POST", "/v1/calls/b/disposition", json=body)
        assert closed.json()["degraded"]
        lock.rollback()
        lock.close()
        until(lambda: service.client.get("/readyz").json().get("journal") == 0, 20.0)
        told = story(service, "b")
        assert {told_by for _, told_by, _ in told} == {"intake"}
        assert told[-1] == ("disposed", "intake", "rina")


def test_a_database_of_before_opens_and_its_events_name_nobody(tmp_path):
    url = f"sqlite:///{tmp_path / 'saring.db'}"
    migrate(url, "0001")
    with sqlite3.connect(tmp_path / "saring.db") as connection:
        connection.execute(
            "INSERT INTO events (writer, seq, chain, nth, call_id, kind, received_at_us, known_at_us, recorded_at_us, "
            "body) VALUES (1, 1, x'00', 1, 'a', 'received', 1, 1, 1, '{}')"
        )
    store = Store(url)
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT call_id, told_by FROM events").all() == [("a", None)]
    store.close()
