"""A request to score: what it cannot do without, and what is forgiven."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

NUMBER = "+6281234567890"


CALL = {"call_id": "a", "received_at": "2026-01-31T08:15:00+07:00", "caller": NUMBER, "line": "mobile"}


@pytest.fixture
def client(serving, tmp_path: Path, release_folder: Path) -> Iterator[httpx.Client]:
    with serving(tmp_path, release_folder) as client:
        yield client


@pytest.fixture(scope="module")
def refusing(serving, tmp_path_factory, release_folder: Path) -> Iterator[tuple[Path, httpx.Client]]:
    """One service for all requests that it refuses: its store stays empty."""
    folder = tmp_path_factory.mktemp("refusing")
    with serving(folder, release_folder) as client:
        yield folder, client


@pytest.fixture(scope="module")
def shared(serving, tmp_path_factory, release_folder: Path) -> Iterator[httpx.Client]:
    """One service for requests that have nothing to do with each other."""
    with serving(tmp_path_factory.mktemp("shared"), release_folder) as client:
        yield client


REFUSED = [
    ({"received_at": CALL["received_at"]}, "call_id", 422),
    ({"call_id": "a"}, "received_at", 422),
    (CALL | {"call_id": 5}, "call_id", 422),
    (CALL | {"call_id": ""}, "call_id", 422),
    (CALL | {"call_id": "a\u0000b"}, "call_id", 422),
    (CALL | {"call_id": None}, "call_id", 422),
    (CALL | {"call_id": "  "}, "call_id", 422),
    (CALL | {"call_id": "a" * 201}, "call_id", 422),
    (CALL | {"received_at": "2026-01-31T08:15:00"}, "received_at", 422),
    (CALL | {"received_at": "2026-01-31"}, "received_at", 422),
    (CALL | {"received_at": "1769822100"}, "received_at", 422),
    (CALL | {"received_at": 1769822100}, "received_at", 422),
    (CALL | {"received_at": "2026-02-31T08:15:00Z"}, "received_at", 422),
    (CALL | {"received_at": "2999-01-31T08:15:00Z"}, "received_at", 422),
    (CALL | {"received_at": "1889-01-31T08:15:00Z"}, "received_at", 422),
    ([CALL], "(body)", 422),
    ("text", "(body)", 422),
]


@pytest.mark.parametrize(("body", "field", "status"), REFUSED)
def test_what_a_score_cannot_do_without_is_refused_naming_the_field_and_nothing_is_stored(
    rows, refusing, body, field, status
):
    folder, client = refusing
    answer = client.post("/v1/score", json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert field in [error["field"] for error in problem["errors"]]
    assert rows(folder, "events") == rows(folder, "calls") == []


@pytest.mark.parametrize("body", [b"", b"hello", b"{", b'{"call_id": "a"', b"\xff\xfe", b'{"call_id": NaN}'])
def test_a_body_that_is_not_json_is_refused(rows, refusing, body):
    folder, client = refusing
    answer = client.post("/v1/score", content=body)
    assert answer.status_code in (400, 422)
    assert answer.json()["detail"]
    assert rows(folder, "events") == []


def test_a_body_of_ten_megabytes_is_refused(rows, refusing):
    folder, client = refusing
    answer = client.post("/v1/score", content=b'{"call_id": "' + b"a" * 10_000_000 + b'"}')
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert rows(folder, "events") == []


FORGIVEN = [
    ({"silence_ratio": 1.01}, "silence_ratio"),
    ({"silence_ratio": "0.5"}, "silence_ratio"),
    ({"duration_s": -1}, "duration_s"),
    ({"duration_s": 1e300}, "duration_s"),
    ({"duration_s": [1]}, "duration_s"),
    ({"line": "carrier pigeon"}, "line"),
    ({"caller": 6281234567890}, "caller"),
    ({"stage": "middle"}, "stage"),
    ({"centre": {"a": 1}}, "centre"),
    ({"expected_wait_s": True}, "expected_wait_s"),
    ({"colour": "red"}, "colour"),
]


@pytest.mark.parametrize(("change", "field"), FORGIVEN)
def test_an_optional_field_that_makes_no_sense_is_taken_as_not_known_with_a_warning(shared, change, field):
    answer = shared.post("/v1/score", json=CALL | {"call_id": f"forgiven {FORGIVEN.index((change, field))}"} | change)
    assert answer.status_code == 200
    assert [warning["field"] for warning in answer.json()["warnings"]] == [field]
    assert answer.json()["band"] != "unscored"


def test_not_a_number_in_an_optional_field_is_forgiven(client):
    body = json.dumps(CALL)[:-1] + ', "duration_s": NaN, "silence_ratio": Infinity}'
    answer = client.post("/v1/score", content=body)
    assert answer.status_code == 200
    assert [warning["field"] for warning in answer.json()["warnings"]] == ["duration_s", "silence_ratio"]
