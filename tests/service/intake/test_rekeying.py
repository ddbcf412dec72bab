"""A rotated key of the hash of numbers loses no history: what calls read is the same before and after."""

import asyncio
import shutil
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest

from model.history.caller_history import FIELDS
from service.intake.rekeying import gather_aliases
from service.maintenance.number_keys import count_callers
from service.maintenance.retention import remove_old_calls
from service.security.pseudonyms import Pseudonyms, read_keys, rotate_number_key
from service.store.database import connect
from tests.support.call_histories import (
    CALLERS,
    CHRONIC,
    START,
    Step,
    days,
    house,
    proof_of,
    request,
    saring,
    shifted,
    told,
    us,
)
from tests.support.processes import all_told

#: The first three ring some two hundred times in all; each has a checkpoint.
PAST = told(260, over=150.0, seed=6)
LATER = [
    Step(at, "score", f"later {place}", caller, {"call_id": f"later {place}", "received_at": at}, at)
    for place, caller in enumerate(CALLERS)
    for at in [START + days(300) + days(place / 100)]
]


@pytest.fixture(scope="module")
def expected(past, tmp_path_factory, release) -> dict[str, list[float]]:
    """What later calls read when no key was rotated."""
    return told_later(shutil.copytree(past, tmp_path_factory.mktemp("unrotated") / "past"), release)


def told_later(folder: Path, release, steps: list[Step] = LATER) -> dict[str, list[float]]:
    with house(folder, release) as there:
        for step in steps:
            if step.caller is not None:
                bring_together(there, step.caller)
            there.tell([step])
        return {name: history for name, history in there.histories().items() if name.startswith("later")}


def bring_together(there, caller: str) -> None:
    others = there.pseudonyms.others(caller)
    asyncio.run(gather_aliases(there.intake, there.pseudonyms, others, there.hash(caller)))


def test_what_later_calls_read_is_the_same_to_the_bit(folder, release, expected):
    for _ in range(2):
        rotate_number_key(folder / "saring.key")
    assert told_later(folder, release) == expected
    assert max(history[FIELDS.index("calls_ever")] for history in expected.values()) > 40.0
    with sqlite3.connect(folder / "saring.db") as connection:
        assert connection.execute("SELECT max(nth) FROM events").fetchone()[0] > 190
    assert proof_of(folder).differences == []


def test_the_same_with_calls_under_both_keys_agrees_to_a_billionth(folder, release, tmp_path):
    between = shifted(told(60, over=20.0, seed=8), days(200), "between")
    unrotated = shutil.copytree(folder, tmp_path / "unrotated")
    with house(unrotated, release) as there:
        there.tell(between)
    plain = told_later(unrotated, release)
    rotate_number_key(folder / "saring.key")
    with house(folder, release) as there:
        there.tell(between)  # nobody is moved: as if another process had been there first
    both = told_later(folder, release)
    assert plain.keys() == both.keys()
    for name in plain:
        np.testing.assert_allclose(both[name], plain[name], rtol=1e-9, atol=1e-9)
    assert proof_of(folder).differences == []


@pytest.mark.parametrize("cut", [60, 1_000])
def test_a_base_from_retention_moves_with_its_caller(folder, release, expected, cut):
    engine = connect(f"sqlite:///{folder / 'saring.db'}")
    assert remove_old_calls(engine, us(START + days(cut)), us(START), lambda _: None, "command").calls > 50
    engine.dispose()
    rotate_number_key(folder / "saring.key")
    later = told_later(folder, release)
    for name, history in expected.items():
        np.testing.assert_allclose(later[name], history, rtol=1e-9, atol=1e-9)
    assert proof_of(folder).differences == []


def test_bases_and_events_under_both_keys_become_one_chain(folder, release, tmp_path):
    """Removed calls under both keys, and calls that stay under both."""
    again = shifted(PAST[:400], days(200), "again")
    late = shifted(LATER, days(400), "later")
    plain = shutil.copytree(folder, tmp_path / "plain")
    with house(plain, release) as there:
        there.tell(again)
    rotate_number_key(folder / "saring.key")
    with house(folder, release) as there:
        there.tell(again)
    engine = connect(f"sqlite:///{folder / 'saring.db'}")
    remove_old_calls(engine, us(START + days(230)), us(START), lambda _: None, "command")
    engine.dispose()
    with sqlite3.connect(folder / "saring.db") as connection:
        assert connection.execute("SELECT count(*) FROM bases").fetchone()[0] > len(CALLERS)
    one, other = told_later(plain, release, late), told_later(folder, release, late)
    for name in one:
        np.testing.assert_allclose(other[name], one[name], rtol=1e-9, atol=1e-9)
    assert proof_of(folder).differences == []


def test_a_waiting_call_is_told_on_under_the_new_key(serving, tmp_path, release_folder):
    now = datetime.now(UTC).replace(microsecond=0)
    said = {"call_id": "a", "received_at": now.isoformat(), "caller": CHRONIC}
    with serving(tmp_path, release_folder) as client:
        client.post("/v1/score", json=said)
    rotate_number_key(tmp_path / "saring.key")
    with serving(tmp_path, release_folder) as client:
        heard = client.post("/v1/score", json=said | {"duration_s": 5.0})
        assert heard.status_code == 200, heard.text
        over = (now.replace(microsecond=1)).isoformat()
        assert client.post("/v1/calls/a/ended", json={"ended_at": over, "duration_s": 7.0}).status_code == 200
        later = {"call_id": "b", "received_at": (now.replace(microsecond=9)).isoformat(), "caller": CHRONIC}
        client.post("/v1/score", json=later)
        history = client.get("/v1/calls/b").json()["history"]
        assert (history["calls_ever"], history["short_ever"]) == (1.0, 1.0)
        assert [call["call_id"] for call in client.get("/v1/queue").json()["calls"]] == ["b"]
    assert proof_of(tmp_path).differences == []


def test_a_protected_caller_stays_protected_without_ever_having_rung(serving, tmp_path, release_folder):
    words = ("--database", f"sqlite:///{tmp_path / 'saring.db'}", "--release", release_folder,
             "--key-file", tmp_path / "saring.key")  # fmt: skip
    with serving(tmp_path, release_folder):
        pass
    assert saring("protect", "add", "-", "--reason", "hospital", *words, given=CHRONIC)[0] == 0
    rotate_number_key(tmp_path / "saring.key")
    with serving(tmp_path, release_folder) as client:
        first = Step(START, "score", "a", CHRONIC, {"call_id": "a", "received_at": START}, START)
        assert "protected" in client.post("/v1/score", json=request(first)).json()["guardrails"]
    with sqlite3.connect(tmp_path / "saring.db") as connection:
        protected = [row[0][:4] for row in connection.execute("SELECT chain FROM protected")]
    assert protected == [Pseudonyms(read_keys(tmp_path / "saring.key")).current]


def test_what_the_journal_held_under_the_old_key_is_found_under_the_new_one(serving, tmp_path, release_folder):
    steps = [step for step in LATER if step.caller == CHRONIC][:1]
    asked = request(steps[0])
    with serving(tmp_path, release_folder) as client:
        with sqlite3.connect(tmp_path / "saring.db") as connection:
            connection.execute("ALTER TABLE events RENAME TO lost")
        assert client.post("/v1/score", json=asked).json()["degraded"]
    with sqlite3.connect(tmp_path / "saring.db") as connection:
        connection.execute("ALTER TABLE lost RENAME TO events")
    rotate_number_key(tmp_path / "saring.key")
    with serving(tmp_path, release_folder) as client:
        second = asked | {"call_id": "second", "received_at": (START + days(301)).isoformat()}
        client.post("/v1/score", json=second)
        wait_until(lambda: all_told(client.base_url))
        third = asked | {"call_id": "third", "received_at": (START + days(302)).isoformat()}
        client.post("/v1/score", json=third)
        assert client.get("/v1/calls/third").json()["history"]["calls_ever"] == 2.0
        ended = {"ended_at": (START + days(303)).isoformat()}
        assert client.post(f"/v1/calls/{steps[0].call_id}/ended", json=ended).status_code == 200
    assert proof_of(tmp_path).differences == []


def wait_until(true) -> None:
    until = time.monotonic() + 10.0
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_key_is_dropped_only_when_nobody_is_stored_under_it(folder, release):
    database = ("--database", f"sqlite:///{folder / 'saring.db'}")
    key, journal = ("--key-file", folder / "saring.key"), ("--journal", folder / "journal")
    old = Pseudonyms(read_keys(folder / "saring.key")).current
    status, said = saring("keys", "drop-numbers", old.hex(), *database, *key, *journal)
    assert (status, "is the current key" in said) == (1, True)
    status, said = saring("keys", "rotate-numbers", *key)
    assert status == 0
    new = Pseudonyms(read_keys(folder / "saring.key")).current
    assert said.splitlines()[0] == new.hex() != old.hex()
    status, said = saring("keys", "drop-numbers", old.hex(), *database, *key, *journal)
    assert (status, "not every service was started with the current key" in said) == (1, True)
    known = len({step.caller for step in PAST if step.caller})
    with house(folder, release) as there:
        assert count_callers(there.store.engine, old) == known
    status, said = saring("keys", "drop-numbers", old.hex(), *database, *key, *journal)
    assert (status, f"{known} callers are still stored under the key {old.hex()}" in said) == (1, True)
    told_later(folder, release)
    status, said = saring("keys", "numbers", *database, *key)
    assert said.split() == [new.hex(), str(known), "callers", "current", old.hex(), "0", "callers"]
    status, said = saring("keys", "drop-numbers", old.hex(), *database, *key, *journal)
    assert status == 0, said
    assert Pseudonyms(read_keys(folder / "saring.key")).key_ids == (new,)
    with house(folder, release) as there:  # the store does not ask for the key that is gone
        assert [name for name in there.store.fact_names("number key ") if old.hex() in name] == []
    assert saring("keys", "drop-numbers", old.hex(), *database, *key, *journal)[0] == 1
    assert saring("keys", "drop-numbers", "nonsense", *database, *key, *journal)[0] == 1


def test_processes_that_start_together_make_one_key(tmp_path):
    made = []
    for number in range(50):
        path, start = tmp_path / f"{number}.key", Barrier(8)

        def read(path=path, start=start):
            start.wait()
            return read_keys(path)

        with ThreadPoolExecutor(8) as pool:
            found = [one.result() for one in [pool.submit(read) for _ in range(8)]]
        assert all(keys == found[0] for keys in found)
        made.append(found[0][0])
    assert len(set(made)) == 50
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".key"] * 50
