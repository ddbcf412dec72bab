"""A rotation of number keys, one service after the other: each sees all the while what the other keeps of a caller."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from service.maintenance.number_keys import count_callers
from service.maintenance.verify import labels_of, read_history_facts, verify
from service.security.pseudonyms import Pseudonyms, read_keys, rotate_number_key
from service.store.database import connect
from tests.support.processes import Process, until

NUISANCE, OTHER = "+6281234567890", "+6281234567891"


def at(seconds: float = 0.0) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def ring(client: httpx.Client, call_id: str, caller: str = NUISANCE) -> dict:
    said = {"call_id": call_id, "received_at": at(), "caller": caller, "line": "mobile", "expected_wait_s": 120.0}
    answer = client.post("/v1/score", json=said | {"duration_s": 3.0, "silence_ratio": 0.3})
    assert answer.status_code == 200, answer.text
    return answer.json()


def close(client: httpx.Client, call_id: str, disposition: str) -> None:
    for event, said in (("ended", {"ended_at": at(), "duration_s": 6.0}),
                        ("disposition", {"disposition": disposition, "disposed_at": at()})):  # fmt: skip
        assert client.post(f"/v1/calls/{call_id}/{event}", json=said).status_code == 200


def pranks(client: httpx.Client, name: str, calls: int = 8) -> None:
    for number in range(calls):
        ring(client, f"{name} {number}")
        close(client, f"{name} {number}", "prank")


@contextmanager
def running(folder: Path, name: str, release: Path, database: str, **more) -> Iterator[tuple[Process, httpx.Client]]:
    process = Process(folder, name, release, database, random_share=0.0, **more).ready()
    try:
        with httpx.Client(base_url=process.url, timeout=30.0) as client:
            yield process, client
    finally:
        process.stop()


class Rotated(NamedTuple):
    """Two services; the first was started again with a new key before the old one, as the documents say."""

    first: httpx.Client
    second: httpx.Client
    process: Process  # the second one
    database: str
    old_file: Path


@pytest.fixture(scope="module")
def rotated(postgres_server, tmp_path_factory, acting_release) -> Iterator[Rotated]:
    folder = tmp_path_factory.mktemp("rotated")
    old_file = folder / "old" / "saring.key"
    old_file.parent.mkdir()
    with (
        postgres_server.database() as database,
        running(folder, "second", acting_release, database) as (process, second),
    ):
        shutil.copy(folder / "saring.key", old_file)
        with running(folder, "first", acting_release, database) as (_, first):
            pranks(first, "before")
        rotate_number_key(folder / "saring.key")
        with running(folder, "first", acting_release, database) as (_, first):
            yield Rotated(first, second, process, database, old_file)


def test_a_caller_closed_as_genuine_at_one_service_is_deferred_at_none(rotated):
    first, second = rotated.first, rotated.second
    assert ring(first, "one")["defer_s"] > 0.0  # it would be: the past came with it
    assert ring(second, "two")["defer_s"] > 0.0  # and it stayed here
    close(second, "two", "genuine")
    for client, call_id in ((first, "three"), (second, "four")):
        answer = ring(client, call_id)
        assert "closed_genuine" in answer["guardrails"]
        assert answer["defer_s"] == 0.0
    counts = [client.post("/v1/callers/lookup", json={"caller": NUISANCE}).json() for client in (first, second)]
    assert [found["history"]["genuine_ever"] for found in counts] == [1.0, 1.0]
    assert [found["history"]["calls_ever"] for found in counts] == [12.0, 12.0]


def test_two_services_with_different_keys_share_what_they_learn(rotated):
    first, second = rotated.first, rotated.second
    ring(first, "five", OTHER)
    close(first, "five", "genuine")
    assert "closed_genuine" in ring(second, "six", OTHER)["guardrails"]
    said = {"call_id": "six", "received_at": first.get("/v1/calls/six").json()["received_at"], "caller": OTHER}
    for client in (first, second):
        assert client.post("/v1/score", json=said).status_code == 200
    assert first.post("/v1/score", json=said | {"caller": "+6281300000001"}).status_code == 409


def test_callers_move_once_every_service_has_the_new_key(rotated, postgres_server, acting_release):
    first, database, folder = rotated.first, rotated.database, rotated.old_file.parent.parent
    old = Pseudonyms(read_keys(rotated.old_file)).current
    assert rotated.process.stop() == 0
    engine = connect(database)
    assert count_callers(engine, old) > 0
    name = database.rsplit("/", 1)[1]
    # A minute passes.
    postgres_server.run(name, "UPDATE writers SET seen_at_us = 0 WHERE number_keys NOT LIKE '% %'")

    def moved() -> bool:
        for caller in (NUISANCE, OTHER):
            ring(first, f"ring {at()}", caller)
        return count_callers(engine, old) == 0

    until(moved, 30.0)
    # A copy of the old file on another machine, taken for gone and back again: it is not let in any more.
    late = Process(folder, "third", acting_release, database, key_file=rotated.old_file)
    assert late.process.wait(60) == 1
    calls = first.post("/v1/callers/lookup", json={"caller": NUISANCE}).json()["history"]["calls_ever"]
    with running(folder, "second", acting_release, database) as (_, second):
        assert second.post("/v1/callers/lookup", json={"caller": NUISANCE}).json()["history"]["calls_ever"] == calls
    assert verify(engine, labels_of(read_history_facts(engine)), lambda _: None).differences == []
    engine.dispose()
