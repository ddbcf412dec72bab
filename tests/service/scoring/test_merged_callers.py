"""A caller who is probably many people is told of, in the metric and in /v1/model, without the number."""

import json
from datetime import UTC, datetime

import pytest


@pytest.fixture
def client(serving, tmp_path, release_folder):
    with serving(tmp_path, release_folder, deadline_ms=5_000) as client:
        yield client


def ring(client, call_id: str, caller: str, **more) -> None:
    said = {"call_id": call_id, "received_at": datetime.now(UTC).isoformat(), "caller": caller} | more
    assert client.post("/v1/score", json=said).status_code == 200


def told(client) -> list[dict]:
    found = client.get("/v1/model").json()["merged_callers"]
    assert f"saring_merged_callers {len(found)}.0" in client.get("/metrics").text.splitlines()
    return found


def test_a_name_from_two_kinds_of_line_is_told_without_showing_it(client):
    ring(client, "a", "trunk-7", line="mobile")
    ring(client, "b", "trunk-7", line="unknown")
    assert told(client) == []
    rang = {"line": "landline", "received_at": datetime.now(UTC).isoformat()}
    for stage in ("ring", "opening", "ended"):
        ring(client, "c", "trunk-7", stage=stage, **rang)
    (one,) = told(client)
    assert (one["shape"], one["calls"], one["lines"]) == ("pseudonym", 3, ["landline", "mobile"])
    assert one["last_call"] == "c"
    assert "trunk-7" not in json.dumps(one)


def test_three_calls_at_once_are_more_than_one_person_has(client):
    for call_id in "abc":
        assert told(client) == []
        ring(client, call_id, "+62999123456789", line="mobile")
    assert [(one["shape"], one["at_once"]) for one in told(client)] == [("possible", 3)]


def test_a_valid_number_is_never_looked_at_and_nobody_is_no_caller(client):
    for number, line in enumerate(("mobile", "landline", "voip")):
        ring(client, f"valid {number}", "+6281234500000", line=line)
        ring(client, f"nobody {number}", "Private Number", line=line)
    assert told(client) == []


def test_whoever_was_erased_is_forgotten_here_too(client):
    for call_id, line in (("a", "mobile"), ("b", "landline")):
        ring(client, call_id, "trunk-7", line=line)
        client.post(f"/v1/calls/{call_id}/ended", json={"ended_at": datetime.now(UTC).isoformat()})
    assert len(told(client)) == 1
    assert client.post("/v1/callers/erase", json={"caller": "trunk-7", "reason": "asked for it"}).status_code == 200
    client.put("/v1/operations", json={"operators": 1})  # decisions are read
    assert told(client) == []
