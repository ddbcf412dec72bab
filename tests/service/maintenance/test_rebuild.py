"""What `saring rebuild` proves, finds and mends, on stores that an intake wrote."""

import json
import random
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from model.errors import StoreError
from model.release.folder import read_release, write_release
from service.maintenance.log_import import import_log
from service.maintenance.rebuild import rebuild
from service.maintenance.verify import history_facts, verify
from service.store import event_streams
from service.store.database import connect
from tests.support.call_histories import CHRONIC, Step, change, days, house, proof_of, read, saring, shifted, told, url

PAST = told(240)
LATEST = PAST[-1].at + days(9)
LATER = [Step(LATEST, "score", "later", CHRONIC, {"call_id": "later", "received_at": LATEST}, LATEST)]
#: Closed as information: genuine by the other release, not genuine by this one.
OTHER = {"silent": 0, "test": 1}


@pytest.fixture(scope="module")
def other_release(made, tmp_path_factory) -> Path:
    """The same release with other labels."""
    facts = made.facts(made.certificate.issued_at)
    folder = tmp_path_factory.mktemp("other") / "release"
    write_release(folder, made.files(), facts | {"labels": facts["labels"] | OTHER, "release": "other"})
    return folder


def test_a_past_told_in_order_agrees_to_the_bit(folder):
    proof = proof_of(folder)
    assert proof.differences == []
    assert proof.calls == 240
    assert proof.checkpoints == proof.to_the_bit > 1
    status, said = saring("rebuild", "--database", url(folder))
    assert status == 0
    assert "everything agrees" in said
    assert f"{proof.checkpoints:,} of them to the bit" in said


def test_what_is_told_late_and_callers_made_anew_agree_as_closely_as_a_sum_can(tmp_path, release):
    chance = random.Random(3)
    with house(tmp_path, release) as there:
        there.tell(told(240, late=0.3), lambda *_: chance.random() < 0.1 and there.intake.event_log.evict_all())
    proof = proof_of(tmp_path)
    assert proof.differences == []
    assert proof.checkpoints > proof.to_the_bit


def test_an_imported_log_agrees_and_goes_on_agreeing(tmp_path, release, city):
    calls = city.calls[:800]
    corrections = city.corrections[city.corrections["call_id"].isin(calls["call_id"])]
    with house(tmp_path, release) as there:
        import_log(calls, corrections, release, there.store, there.pseudonyms, lambda _: None)
    with house(tmp_path, release) as there:
        there.tell(PAST[:200])
    proof = proof_of(tmp_path)
    assert proof.differences == []
    assert proof.calls == 800 + len({step.call_id for step in PAST[:200]})


def test_portions_of_any_size_give_the_same_proof(folder, monkeypatch):
    whole = proof_of(folder)
    monkeypatch.setattr(event_streams, "BATCH_STREAMS", 3)
    monkeypatch.setattr(event_streams, "BATCH_EVENTS", 40)
    assert proof_of(folder) == whole


def test_a_database_that_no_service_has_used_agrees(tmp_path):
    connect(url(tmp_path)).dispose()
    assert saring("rebuild", "--database", url(tmp_path)) == (
        0,
        "0 callers, 0 events, 0 calls looked at\n0 of 0 checkpoints agree, 0 of them to the bit\neverything agrees\n",
    )


def test_a_database_that_is_not_there_is_not_made(tmp_path):
    status, said = saring("rebuild", "--database", url(tmp_path))
    assert (status, "there is no such database" in said) == (1, True)
    assert list(tmp_path.iterdir()) == []


BUSIEST = "(SELECT chain FROM checkpoints ORDER BY included DESC LIMIT 1)"
DAMAGE = [
    (f"DELETE FROM events WHERE chain = {BUSIEST} AND nth = 7", "not numbered from 1 on without a gap"),
    (f"DELETE FROM events WHERE chain = {BUSIEST} AND nth > 9", "its checkpoint includes"),
    (f"UPDATE events SET nth = nth + 1000000 WHERE chain = {BUSIEST}", "not numbered from 1 on"),
    (
        f"UPDATE events SET duration_s = 500 WHERE chain = {BUSIEST} AND duration_s IS NOT NULL AND nth < 9",
        "checkpoint",
    ),
    (f"UPDATE events SET genuine = 1 - genuine WHERE chain = {BUSIEST} AND kind = 'disposed' AND nth < 20", "labels"),
    ("UPDATE checkpoints SET pending = '[]'", "its checkpoint"),
    ("UPDATE checkpoints SET included = included - 1", "its checkpoint"),
    ("UPDATE calls SET disposition = 'abusive' WHERE call_id = 'call 00007'", "does not follow"),
    ("UPDATE calls SET state = 'waiting' WHERE call_id = 'call 00007'", "from its events: state"),
    ("UPDATE calls SET ended_at_us = ended_at_us + 1 WHERE call_id = 'call 00007'", "from its events: ended_at_us"),
    ("UPDATE calls SET answered_at_us = 5 WHERE call_id = 'call 00007'", "from its events: answered_at_us"),
    ("UPDATE calls SET duration_s = 0.123 WHERE call_id = 'call 00007'", "from its events: duration_s"),
    ("UPDATE calls SET line = 'text' WHERE call_id = 'call 00007'", "from its events: line"),
    ("UPDATE calls SET extra = '{}' WHERE call_id = 'call 00007'", "from its events: extra"),
    ("UPDATE calls SET received_at_us = 1 WHERE call_id = 'call 00007'", "from its events: received_at_us"),
    ("UPDATE calls SET caller = x'6b00' WHERE call_id = 'call 00007'", "does not follow from its events: caller"),
    ("DELETE FROM calls WHERE call_id = 'call 00007'", "a call has events and no row"),
    ("DELETE FROM events WHERE call_id = 'call 00007' AND kind = 'received'", "not received exactly once"),
    (f"INSERT INTO bases SELECT chain, 5, state, pending FROM checkpoints WHERE chain = {BUSIEST}", "from 6 on"),
]


@pytest.mark.parametrize(("damage", "told_as"), DAMAGE)
def test_whatever_was_damaged_is_found_and_named_by_pseudonym(folder, damage, told_as):
    assert change(folder, damage) > 0
    status, said = saring("rebuild", "--database", url(folder))
    assert status == 1
    assert told_as in said
    assert "everything agrees" not in said
    assert CHRONIC not in said


def test_a_state_that_is_off_by_more_than_a_billionth_is_found_and_one_that_is_closer_is_not(folder):
    for by, agrees in ((1e-12, True), (1e-6, False)):
        with sqlite3.connect(folder / "saring.db") as connection:
            for chain, state in connection.execute("SELECT chain, state FROM checkpoints").fetchall():
                changed = np.frombuffer(state) * np.r_[1.0, 1.0, np.full(len(state) // 8 - 2, 1.0 + by)]
                connection.execute("UPDATE checkpoints SET state = ? WHERE chain = ?", (changed.tobytes(), chain))
        proof = proof_of(folder)
        assert (proof.differences == []) is agrees
        assert proof.to_the_bit == 0


@pytest.mark.parametrize("whose", [CHRONIC, None])
def test_a_call_without_any_event_is_found(folder, release, whose):
    with house(folder, release) as there:
        caller = there.hash(whose)
    with sqlite3.connect(folder / "saring.db") as connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(calls)")][3:]
        connection.execute(
            f"INSERT INTO calls SELECT 'lost', received_at_us, ?, {', '.join(names)} FROM calls LIMIT 1", (caller,)
        )
    assert [difference.partition(": ")[2] for difference in proof_of(folder).differences] == ["a call has no events"]


def test_writing_drops_checkpoints_and_the_histories_stay(folder, tmp_path, release):
    as_it_was = shutil.copytree(folder, tmp_path / "as it was")
    status, said = saring("rebuild", "--write", "--database", url(folder))
    assert status == 0
    assert "checkpoints dropped, 0 labels" in said
    assert proof_of(folder).checkpoints == 0
    read_by = []
    for one in (folder, as_it_was):
        with house(one, release) as there:
            there.tell(LATER)
            read_by.append(there.histories()["later"])
    assert read_by[0] == read_by[1]


def test_a_release_with_other_labels_is_refused_until_the_history_was_rebuilt_for_it(
    folder, tmp_path, release, other_release
):
    other = read_release(other_release)
    with pytest.raises(StoreError, match=r"label mapping .*: saring rebuild"), house(folder, other):
        pass
    status, said = saring("rebuild", "--database", url(folder), "--release", other_release)
    assert (status, "saring rebuild --write" in said) == (1, True)
    status, said = saring("rebuild", "--write", "--database", url(folder), "--release", other_release)
    assert status == 0, said
    assert "labels of events written anew" in said
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    shutil.copy(folder / "saring.key", fresh)
    with house(fresh, other) as there:
        there.tell(PAST + LATER)
        expected = there.histories()["later"]
    with house(folder, other) as there:
        there.tell(LATER)
        assert there.histories()["later"] == expected
    with pytest.raises(StoreError, match="saring rebuild"), house(folder, release):
        pass
    decided = [json.loads(row[0]) for row in read(folder, "SELECT body FROM decisions WHERE kind = 'rebuild'")]
    assert decided[-1]["made_by"] == history_facts(other.labels)


def test_a_history_of_another_version_is_made_anew_from_its_events(folder, release):
    with house(folder, release) as there:
        before = there.histories()
    change(folder, "UPDATE facts SET value = '0' WHERE name = 'history version'",
           "UPDATE calls SET history = x'00'", "UPDATE checkpoints SET state = x'00'")  # fmt: skip
    status, said = saring("rebuild", "--database", url(folder))
    assert (status, "history version 0, not 1: saring rebuild --write" in said) == (1, True)
    status, said = saring("rebuild", "--write", "--database", url(folder))
    assert status == 0, said
    with house(folder, release) as there:
        assert there.histories() == before


def test_what_retention_folded_under_another_version_cannot_be_made_anew(folder):
    change(folder, "INSERT INTO bases SELECT chain, 1, state, pending FROM checkpoints LIMIT 1",
           "UPDATE facts SET value = '0' WHERE name = 'history version'")  # fmt: skip
    status, said = saring("rebuild", "--write", "--database", url(folder))
    assert (status, "retention has folded the calls of 1 callers" in said) == (1, True)
    assert read(folder, "SELECT count(*) FROM checkpoints") != [(0,)]


def test_nothing_is_written_anew_while_a_service_runs(folder, release):
    with house(folder, release):
        status, said = saring("rebuild", "--write", "--database", url(folder))
        assert (status, "is in use by another process" in said) == (1, True)
        assert saring("rebuild", "--database", url(folder))[0] == 0


def test_a_rewriting_that_fails_in_the_middle_changes_nothing(folder, release, other_release):
    before = {table: read(folder, f"SELECT * FROM {table}") for table in ("events", "checkpoints", "facts")}

    def fail(_events: int) -> None:
        raise RuntimeError("pulled")

    engine = connect(url(folder))
    with pytest.raises(RuntimeError, match="pulled"):
        rebuild(engine, read_release(other_release).labels, fail)
    engine.dispose()
    assert {table: read(folder, f"SELECT * FROM {table}") for table in before} == before


def test_a_store_is_proven_as_of_one_moment_for_each_portion(folder, release):
    """Calls are told between the portions; none of them makes a difference."""
    steps = iter(shifted(told(60, seed=4), days(400), "more"))
    with house(folder, release) as there:

        def tell_more(_events: int) -> None:
            there.tell([step for step in [next(steps, None) for _ in range(40)] if step is not None])

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(event_streams, "BATCH_STREAMS", 4)
            proof = verify(there.store.engine, release.labels, tell_more)
    assert proof.differences == []
    assert proof.calls > 240
