"""An erasure leaves nothing of the caller in any byte, and everything of everybody else."""

import json
import logging
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from service.security.pseudonyms import Pseudonyms, read_keys, rotate_number_key
from service.store.journal import Journal
from tests.support.call_histories import read, saring
from tests.support.processes import all_told, until
from tests.support.store.erasures import NAMED, NUMBER, OTHER, call, erase, everything, take_place, traces


@contextmanager
def lived_in(serving, folder: Path, release: Path, **settings: object) -> Iterator[httpx.Client]:
    """A service with thirty calls of the caller among sixty of others."""
    with serving(folder, release, **settings) as client:
        for number in range(30):
            take_place(client, f"mine-{number:03}", minute=3 * number)
            for place in (1, 2):
                more = place == 1
                whose = OTHER if place == 1 and number % 3 == 0 else f"+6281300{number:03}{place:03}"
                take_place(client, f"theirs-{number:03}-{place}", whose, minute=3 * number + place, whole=more)
        take_place(client, "nobody's", None, minute=130)
        yield client


MINE = [f"mine-{number:03}" for number in range(30)]


@pytest.mark.parametrize("by", ["http", "command beside the service", "command alone"])
def test_nothing_of_the_caller_is_left_in_any_byte_and_everything_else_is(
    serving, rows, tmp_path, release_folder, by, caplog
):
    caplog.set_level(logging.DEBUG)
    database = f"sqlite:///{tmp_path / 'saring.db'}"
    words = ("erase", "--caller", "-", "--reason", NAMED, "--database", database, "--release", release_folder,
             "--key-file", tmp_path / "saring.key", "--journal", tmp_path / "journal")  # fmt: skip
    with lived_in(serving, tmp_path, release_folder) as client:
        assert len(traces(tmp_path, MINE)) > 30
        others = [client.get(f"/v1/calls/theirs-{number:03}-1").json() for number in range(30)]
        before = len(rows(tmp_path, "events"))
        if by == "http":
            answer = erase(client)
            assert answer.status_code == 200, answer.text
            assert (answer.json()["calls"], answer.json()["events"]) == (30, 180)
        elif by == "command beside the service":
            status, said = saring(*words, given=f"0{NUMBER[3:]}\n")
            assert status == 0, said
            assert "30 calls and 180 events removed" in said
            until(lambda: client.get("/v1/calls/mine-003").status_code == 404, 5.0)
        if by != "command alone":
            assert traces(tmp_path, MINE) == []
            assert client.get("/v1/calls/mine-003").status_code == 404
            take_place(client, "mine-new", minute=140)
            again = client.get("/v1/calls/mine-new").json()
            assert again["first_call"]
            assert again["history"]["calls_ever"] == 0.0
            assert [client.get(f"/v1/calls/theirs-{number:03}-1").json() for number in range(30)] == others
            lookup = client.post("/v1/callers/lookup", json={"caller": OTHER}).json()
            assert lookup["history"]["calls_ever"] == 10.0
            assert erase(client).status_code == 200
    if by == "command alone":
        assert saring(*words, given=NUMBER)[0] == 0
    assert traces(tmp_path, [*MINE, "mine-new"]) == []
    assert len(rows(tmp_path, "events")) == before - 180
    notes = [json.loads(row["body"]) for row in rows(tmp_path, "decisions") if row["kind"] == "erase"]
    assert notes[0] == {"reason": NAMED, "calls": 30, "events": 180}
    logged = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("service"))
    assert not re.search(rf"{NUMBER[3:]}|mine-\d{{3}}", logged)
    assert saring("rebuild", "--database", database)[0] == 0


def test_a_caller_with_a_call_that_is_not_over_is_not_erased(serving, tmp_path, release_folder):
    database = f"sqlite:///{tmp_path / 'saring.db'}"
    words = ("erase", "--caller", "-", "--reason", NAMED, "--database", database, "--release", release_folder,
             "--key-file", tmp_path / "saring.key", "--journal", tmp_path / "journal")  # fmt: skip
    with serving(tmp_path, release_folder) as client:
        take_place(client, "mine")
        client.post("/v1/score", json=call("mine-live", minute=10))
        answer = erase(client)
        assert answer.status_code == 409
        assert "not over yet" in answer.json()["detail"]
        status, said = saring(*words, given=NUMBER)
        assert (status, "not over yet" in said) == (1, True)
        assert client.get("/v1/calls/mine").status_code == 200
        assert read(tmp_path, "SELECT count(*) FROM decisions WHERE kind = 'erase'") == [(0,)]
        client.post("/v1/calls/mine-live/ended", json={"ended_at": "2026-01-31T08:11:00+07:00"})
        assert erase(client).status_code == 200
    assert traces(tmp_path, ["mine", "mine-live"]) == []


def test_a_reason_with_the_number_in_it_is_refused(serving, tmp_path, release_folder):
    with serving(tmp_path, release_folder) as client:
        take_place(client, "mine")
        for reason in (f"{NUMBER} asked", "0812 3456 7890 rang us"):
            answer = erase(client, reason=reason)
            assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "reason")
        assert erase(client, reason="asked on 3 March, ticket 17").status_code == 200


def test_a_caller_stored_under_two_keys_is_erased_under_both(serving, tmp_path, release_folder):
    with serving(tmp_path, release_folder) as client:
        take_place(client, "mine-1")
        take_place(client, "mine-2", minute=5)
        take_place(client, "theirs", OTHER, minute=6)
    rotate_number_key(tmp_path / "saring.key")
    with serving(tmp_path, release_folder) as client:
        # Behind the service's back, since it would move the caller to the new key at the next call.
        keys = Pseudonyms(read_keys(tmp_path / "saring.key"))
        with sqlite3.connect(tmp_path / "saring.db") as connection:
            connection.execute("UPDATE calls SET caller = ? WHERE call_id = 'mine-2'", (keys.hash(NUMBER),))
            moved = "UPDATE events SET chain = ?, nth = nth - 6 WHERE call_id = 'mine-2'"
            connection.execute(moved, (keys.hash(NUMBER),))
        answer = erase(client).json()
        assert (answer["calls"], answer["events"]) == (2, 12)
        assert client.get("/v1/calls/theirs").status_code == 200
    assert traces(tmp_path, ["mine-1", "mine-2"]) == []


def test_what_the_journal_held_is_gone_once_the_store_was_told(serving, tmp_path, release_folder):
    with serving(tmp_path, release_folder) as client:
        take_place(client, "theirs", OTHER)
        with sqlite3.connect(tmp_path / "saring.db") as connection:
            connection.execute("ALTER TABLE events RENAME TO lost")
        for number in range(30):
            said = call(f"mine-{number:03}", minute=number) | {"x_note": f"mine-{number:03}"}
            assert client.post("/v1/score", json=said).json()["durable"]
            client.post(f"/v1/calls/mine-{number:03}/ended", json={"ended_at": "2026-01-31T09:00:00+07:00"})
        assert b"mine-017" in (tmp_path / "journal" / "journal-0.saring").read_bytes()
        assert erase(client).status_code == 503
        with sqlite3.connect(tmp_path / "saring.db") as connection:
            connection.execute("ALTER TABLE lost RENAME TO events")
        until(lambda: all_told(client.base_url), 20.0)
        assert client.get("/v1/calls/mine-017").status_code == 200
        assert erase(client).json()["calls"] == 30
        assert traces(tmp_path, [f"mine-{number:03}" for number in range(30)]) == []
        assert client.get("/v1/calls/theirs").status_code == 200
        take_place(client, "new", OTHER, minute=60)
        assert client.get("/v1/calls/new").json()["history"]["calls_ever"] == 1.0


def test_the_command_waits_for_a_journal_that_holds_something_and_wipes_those_left_behind(
    serving, tmp_path, release_folder
):
    with serving(tmp_path, release_folder) as client:
        take_place(client, "mine")
    database = f"sqlite:///{tmp_path / 'saring.db'}"
    words = ("erase", "--caller", "-", "--reason", NAMED, "--database", database, "--release", release_folder,
             "--key-file", tmp_path / "saring.key", "--journal", tmp_path / "journal")  # fmt: skip
    journal = Journal(tmp_path / "journal" / "journal-7.saring", size=2**20)
    journal.append(b"mine of long ago")
    status, said = saring(*words, given=NUMBER)
    assert (status, "holds what the store was not told of yet" in said) == (1, True)
    journal.acknowledge(1)
    journal.close()
    assert b"mine of long ago" in everything(tmp_path)
    assert saring(*words, given=NUMBER)[0] == 0
    assert b"mine of long ago" not in everything(tmp_path)


def test_a_journal_that_a_dead_process_told_and_did_not_wipe_is_wiped_at_the_next_start(
    serving, tmp_path, release_folder
):
    with serving(tmp_path, release_folder):
        pass
    journal = Journal(tmp_path / "journal" / "journal-0.saring")
    journal.append(b"mine of long ago")
    journal.acknowledge(journal.peek()[0][0])
    journal.close()
    with serving(tmp_path, release_folder):
        until(lambda: b"mine of long ago" not in everything(tmp_path))


def test_the_command_never_makes_a_key_and_says_that_a_number_can_be_seen(serving, tmp_path, release_folder):
    with serving(tmp_path, release_folder) as client:
        take_place(client, "mine")
    words = ("erase", "--reason", NAMED, "--database", f"sqlite:///{tmp_path / 'saring.db'}",
             "--release", release_folder, "--journal", tmp_path / "journal")  # fmt: skip
    status, said = saring(*words, "--caller", "-", "--key-file", tmp_path / "none.key", given=NUMBER)
    assert (status, "there is no such file" in said) == (1, True)
    assert not (tmp_path / "none.key").exists()
    another = tmp_path / "another.key"
    read_keys(another)
    status, said = saring(*words, "--caller", "-", "--key-file", another, given=NUMBER)
    assert (status, "does not hold the key" in said) == (1, True)
    key = ("--key-file", tmp_path / "saring.key")
    status, said = saring(*words, "--caller", "-", *key, given="anonymous\n")
    assert (status, "shows no number" in said) == (1, True)
    assert saring(*words, "--caller", "-", *key, "--reason", f"{NUMBER} asked", given=NUMBER)[0] == 1
    status, said = saring(*words, "--caller", NUMBER, *key)
    assert (status, "others on this machine can see" in said) == (0, True)
    assert "1 call and 6 events removed" in said
    assert NUMBER not in said
    assert traces(tmp_path, ["mine"]) == []
