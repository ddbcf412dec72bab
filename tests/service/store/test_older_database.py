"""A database that the service of commit d37fcb8 kept (27 November 2026), opened by today's service.

`d37fcb8/database.zip` holds the SQLite file and the key file: 21 calls of 3 March 2025, waiting, answered, abandoned,
ended and closed, one of them corrected, and a caller who was erased. `expected.json` is what that service said of them,
and of a later call of each caller that was told to a copy. The release is that of tests/model/release.
"""

import json
import zipfile
from pathlib import Path

import pytest

from tests.support.call_histories import proof_of

OLDER = Path(__file__).parent / "d37fcb8"
RELEASE = Path(__file__).parents[2] / "model" / "release" / "d37fcb8" / "release.zip"
EXPECTED = json.loads((OLDER / "expected.json").read_text())
CALLERS = {
    "later-prank": "+6281200000001",
    "later-genuine": "+6281200000002",
    "later-new": "+6281200000003",
    "later-gone": "+6281200000004",
    "later-silent": "+6281200000005",
    "later-nobody": None,
}


def twelve_digits(value):
    """Return JSON with the digits that every machine's exponential function gives alike."""
    return json.loads(json.dumps(value), parse_float=lambda text: f"{float(text):.12g}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("older")
    zipfile.ZipFile(OLDER / "database.zip").extractall(folder)
    zipfile.ZipFile(RELEASE).extractall(folder / "release")
    return folder


@pytest.fixture(scope="module")
def client(serving, folder):
    with serving(folder, folder / "release", replay=True) as client:
        client.headers["Saring-Clock"] = "as-recorded"
        yield client


def test_what_an_older_database_derived_follows_from_its_events(client, folder):
    proof = proof_of(folder)
    assert proof.differences == []
    assert proof.calls == len(EXPECTED["calls"])


def test_the_calls_that_waited_are_on_the_board(client):
    assert [call["call_id"] for call in client.get("/v1/queue").json()["calls"]] == EXPECTED["waiting"]


@pytest.mark.parametrize("call_id", EXPECTED["calls"])
def test_a_call_of_an_older_database_reads_the_same(client, call_id):
    then, now = EXPECTED["calls"][call_id], client.get(f"/v1/calls/{call_id}").json()
    history = {name: value for name, value in now["history"].items() if value}
    assert twelve_digits({name: now[name] for name in then} | {"history": history}) == twelve_digits(then)
    assert now["arrived_at"] == now["received_at"]


def test_the_callers_of_an_older_database_are_scored_by_the_same_histories(client):
    for call_id, then in EXPECTED["later"].items():
        caller = CALLERS[call_id]
        said = {
            "call_id": call_id,
            "received_at": "2025-03-03T04:00:00+00:00",
            "caller": caller,
            "line": "mobile" if caller else "withheld",
            "expected_wait_s": 60.0,
            "stage": "opening",
            "duration_s": 8.0,
            "silence_ratio": 0.9,
        }
        answer = client.post("/v1/score", json=said).json()
        history = client.get(f"/v1/calls/{call_id}").json()["history"]
        contributions = {reason["feature"]: reason["contribution"] for reason in answer["reasons"]}
        now = answer | {
            "contributions": contributions,
            "history": {name: value for name, value in history.items() if value},
        }
        assert twelve_digits({name: now[name] for name in then}) == twelve_digits(then)
