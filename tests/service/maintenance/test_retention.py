"""What retention removes, and what stays the same: every score that comes later, and the proof of the histories."""

import json
import random
import shutil
import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from model.errors import StoreError
from model.release.folder import read_release, write_release
from service.contract.problems import Unknown
from service.maintenance import retention
from service.maintenance.log_import import import_log
from service.maintenance.retention import remove_old_calls
from service.maintenance.scrubbing.sqlite_scrub import compact
from service.store.database import connect
from tests.support.call_histories import (
    CHRONIC,
    START,
    Step,
    change,
    days,
    house,
    proof_of,
    read,
    request,
    saring,
    told,
    url,
    us,
)

CUT = START + days(100)
PAST, LATER = ([], [])
for _step in told(260, over=240.0):
    (PAST if _step.at < START + days(190) else LATER).append(_step)


def removed(folder: Path, cutoff: datetime = CUT) -> retention.Removed:
    engine = connect(url(folder))
    try:
        return remove_old_calls(engine, us(cutoff), us(cutoff), lambda _: None, "command")
    finally:
        engine.dispose()


def test_the_scores_of_later_calls_are_the_same_to_the_bit_with_and_without(folder, past, tmp_path, release):
    other = shutil.copytree(past, tmp_path / "other")
    gone = removed(folder)
    assert gone.calls > 50
    assert gone.events > 200
    answers = []
    for one in (folder, other):
        with house(one, release) as there:
            answers.append([without_scored_at(answer) for answer in there.tell(LATER)])
            histories = there.histories()
            answers[-1].append([histories[step.call_id] for step in LATER if step.kind == "score"])
    assert answers[0] == answers[1]
    assert len(read(other, "SELECT * FROM calls")) - len(read(folder, "SELECT * FROM calls")) == gone.calls
    assert proof_of(folder).differences == proof_of(other).differences == []


def without_scored_at(answer: object) -> object:
    return {**answer, "scored_at": None} if isinstance(answer, dict) else answer


def test_with_events_that_came_late_the_histories_agree_to_a_billionth(tmp_path, release):
    steps = told(110, over=240.0, late=0.4, seed=5)
    past, later = ([step for step in steps if (step.at < START + days(190)) is is_past] for is_past in (True, False))
    chance = random.Random(2)
    read_by = []
    for name in ("with", "without"):
        folder = tmp_path / name
        folder.mkdir()
        shutil.copy(tmp_path / "with" / "saring.key", folder) if name == "without" else None
        with house(folder, release) as there:
            there.tell(past, lambda *_: there.intake.event_log.evict_all() if chance.random() < 0.05 else None)
        if name == "with":
            assert removed(folder).events > 50
        with house(folder, release) as there:
            there.tell(later)
            histories = there.histories()
        read_by.append([histories[step.call_id] for step in later if step.kind == "score"])
        assert proof_of(folder).differences == []
    np.testing.assert_allclose(read_by[0], read_by[1], rtol=1e-9, atol=1e-9)


def test_only_calls_that_are_old_and_over_go_and_only_from_the_front_of_a_chain(folder, release):
    with house(folder, release) as there:
        chains = {step.call_id: there.hash(step.caller) for step in PAST}
    change(folder, "UPDATE calls SET state = 'waiting' WHERE call_id = 'call 00020'")
    before = {row[0] for row in read(folder, "SELECT call_id FROM calls")}
    removed(folder)
    stay = {row[0] for row in read(folder, "SELECT call_id FROM calls")}
    received = {step.call_id: step.at for step in PAST if step.kind == "score" and "stage" not in step.said}
    assert "call 00020" in stay
    assert all(received[call_id] < CUT for call_id in before - stay)
    blocked = chains["call 00020"]
    for call_id in stay:
        if received[call_id] < CUT:  # something that has to stay came before it, or its own end did after a later call
            later = [one for one in stay if chains[one] == chains[call_id] and received[one] <= received[call_id]]
            assert chains[call_id] == blocked or later
    numbers = read(folder, "SELECT chain, min(nth), max(nth), count(*) FROM events GROUP BY chain")
    assert all(last - first + 1 == count for _, first, last, count in numbers)


def test_the_chain_of_a_call_without_a_number_goes_with_it_and_leaves_nothing(folder):
    removed(folder, START + days(1_000))
    assert read(folder, "SELECT count(*) FROM events") == read(folder, "SELECT count(*) FROM calls") == [(0,)]
    assert read(folder, "SELECT count(*) FROM bases WHERE substr(chain, 1, 1) = x'00'") == [(0,)]
    assert read(folder, "SELECT count(*) FROM checkpoints") == [(0,)]
    assert read(folder, "SELECT count(*) FROM bases") != [(0,)]
    assert proof_of(folder).differences == []


def test_a_caller_all_of_whose_calls_are_gone_is_still_known(folder, past, tmp_path, release):
    """The first look of an intake takes a caller that is not at hand for a new one."""
    other = shutil.copytree(past, tmp_path / "other")
    removed(folder, START + days(1_000))
    at = START + days(300)
    step = Step(at, "score", "later", CHRONIC, {"call_id": "later", "received_at": at}, at)
    read_by = []
    for one in (folder, other):
        with house(one, release) as there:
            there.tell([step])
            read_by.append(there.histories()["later"])
            row = read(one, "SELECT nth FROM events WHERE call_id = 'later'")
            assert row[0][0] > 1
    assert read_by[0] == read_by[1]
    assert read(folder, "SELECT first_call FROM calls WHERE call_id = 'later'") == [(0,)]
    assert proof_of(folder).differences == []


def test_what_the_calls_brought_along_goes_with_them_from_the_very_bytes(folder):
    gone = {row[0] for row in read(folder, "SELECT call_id FROM calls")}
    removed(folder)
    engine = connect(url(folder))
    compact(engine)
    engine.dispose()
    gone -= {row[0] for row in read(folder, "SELECT call_id FROM calls")}
    kept = b"".join(path.read_bytes() for path in folder.iterdir())
    assert len(gone) > 50
    assert [call_id for call_id in gone if f"trunk of {call_id}".encode() in kept] == []


def test_once_more_and_after_being_killed_in_the_middle_it_goes_on(folder, past, tmp_path, monkeypatch):
    whole = shutil.copytree(past, tmp_path / "whole")
    all_of_it = removed(whole)
    monkeypatch.setattr(retention, "PAGE", 20)
    monkeypatch.setattr(retention, "AT_ONCE", 2)
    monkeypatch.setattr(retention, "MAX_EVENTS", 7)
    engine, pages = connect(url(folder)), []

    def pull(calls: int) -> None:
        pages.append(calls)
        if len(pages) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        remove_old_calls(engine, us(CUT), us(CUT), pull, "command")
    engine.dispose()
    assert proof_of(folder).differences == []
    rest = removed(folder)
    assert 0 < rest.events < all_of_it.events
    for table in ("bases", "calls", "events", "checkpoints"):
        assert read(folder, f"SELECT * FROM {table} ORDER BY 1, 2") == read(
            whole, f"SELECT * FROM {table} ORDER BY 1, 2"
        )
    assert removed(folder).events == 0
    bodies = [json.loads(row[0]) for row in read(folder, "SELECT body FROM decisions WHERE kind = 'retention'")]
    assert [body["calls"] for body in bodies] == [rest.calls, 0]
    assert bodies[0]["cutoff"] == CUT.isoformat(timespec="microseconds")


def test_said_late_of_a_call_that_is_gone_is_refused_also_when_the_service_had_it_at_hand(folder, release):
    with house(folder, release) as there:
        old = Step(START + days(200), "disposed", "call 00001", None,
                   {"disposition": "abusive", "disposed_at": START + days(200)}, START + days(200))  # fmt: skip
        there.tell([old])
        remove_old_calls(there.store.engine, us(CUT), us(CUT), lambda _: None, "command")
        with pytest.raises(Unknown):
            there.tell([old._replace(said=old.said | {"disposition": "genuine"})])
        there.tell(LATER)
    assert proof_of(folder).differences == []


def test_the_service_goes_on_while_calls_are_removed(serving, rows, tmp_path, release_folder, monkeypatch):
    """As told over HTTP: nothing is scored without its history meanwhile, and what is gone is not shown any more."""
    monkeypatch.setattr(retention, "AT_ONCE", 1)
    steps = told(80, over=240.0)
    past, later = ([step for step in steps if (step.at < START + days(190)) is is_past] for is_past in (True, False))
    with serving(tmp_path, release_folder) as client, ThreadPoolExecutor(1) as beside:
        tell(client, past)
        assert client.get("/v1/calls/call 00001").status_code == 200
        removing = beside.submit(removed, tmp_path)
        answers = tell(client, later)
        assert removing.result().calls > 10
        assert not any(answer.get("degraded") for answer in answers)
        until = time.monotonic() + 5.0
        while client.get("/v1/calls/call 00001").status_code != 404:
            assert time.monotonic() < until
            time.sleep(0.05)
        said = {"disposition": "prank", "disposed_at": CUT.isoformat()}
        assert client.post("/v1/calls/call 00001/disposition", json=said).status_code == 404
    assert proof_of(tmp_path).differences == []
    assert [row["kind"] for row in rows(tmp_path, "decisions")].count("retention") == 1


def tell(client, steps: Sequence[Step]) -> list[dict]:
    answers = []
    for step in steps:
        path = {"score": "/v1/score", "disposed": f"/v1/calls/{step.call_id}/disposition"}.get(
            step.kind, f"/v1/calls/{step.call_id}/{step.kind}"
        )
        body = request(step) if step.kind == "score" else {
            name: value.isoformat() if isinstance(value, datetime) else value for name, value in step.said.items()
        }  # fmt: skip
        answer = client.post(path, json=body, headers={"Saring-Clock": "as-recorded"})
        assert answer.status_code == 200, answer.text
        answers.append(answer.json())
    return answers


def test_a_log_of_before_the_cutoff_is_not_imported_again(tmp_path, release, city):
    calls = city.calls[:400]
    with house(tmp_path, release) as there:
        import_log(calls, None, release, there.store, there.pseudonyms, lambda _: None)
    cutoff = calls["received_at"].iloc[200]
    removed(tmp_path, cutoff.to_pydatetime())
    before = read(tmp_path, "SELECT count(*) FROM events")
    with house(tmp_path, release) as there:
        with pytest.raises(StoreError, match="200 calls of the log are from before then"):
            import_log(calls, None, release, there.store, there.pseudonyms, lambda _: None)
        assert read(tmp_path, "SELECT count(*) FROM events") == before
        import_log(calls[calls["received_at"] >= cutoff], None, release, there.store, there.pseudonyms, lambda _: None)
    assert read(tmp_path, "SELECT count(*) FROM events") == before


def test_other_labels_after_retention_leave_what_was_folded_and_change_the_rest(folder, made, tmp_path, release):
    removed(folder)
    with house(folder, release) as there:
        chain = there.hash(CHRONIC)
    facts = made.facts(made.certificate.issued_at)
    other = tmp_path / "other"
    write_release(other, made.files(), facts | {"labels": facts["labels"] | {"silent": 0}, "release": "other"})
    base = state(folder, chain)
    status, said = saring("rebuild", "--write", "--database", url(folder), "--release", other)
    assert status == 0, said
    assert "keep the old labels" in said
    assert state(folder, chain) == base
    changed = read(
        folder, "SELECT genuine, not_genuine FROM events WHERE body LIKE '%\"silent\"%' AND kind = 'disposed'"
    )
    assert changed
    assert (1.0, 0.0) in changed
    with house(folder, read_release(other)) as there:
        there.tell(LATER)
    assert proof_of(folder).differences == []


def state(folder: Path, chain: bytes) -> tuple:
    with sqlite3.connect(folder / "saring.db") as connection:
        return connection.execute("SELECT * FROM bases WHERE chain = ?", (chain,)).fetchone()


def test_the_command_says_what_it_did_and_refuses_what_would_change_later_scores(folder, release):
    status, said = saring("retention", "--older-than", "56d", "--database", url(folder))
    assert (status, "expected at least 57d" in said) == (1, True)
    change(folder, "UPDATE calls SET state = 'answered' WHERE call_id = 'call 00003'")
    age = (datetime.now(UTC) - CUT) // timedelta(days=1)
    status, said = saring("retention", "--older-than", f"{age}d", "--compact", "--database", url(folder))
    assert status == 0, said
    assert "calls and" in said
    assert "old calls stay" in said
    assert "the monitor of this release" not in said
    change(folder, "UPDATE calls SET state = 'closed' WHERE call_id = 'call 00003'")
    status, said = saring("rebuild", "--database", url(folder))
    assert (status, "everything agrees" in said) == (0, True)
