"""`saring rekey`: whoever is stored under another reading of a number becomes the caller whom the number is by now."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from model.calls.phone_numbers import Numbering, numbering_of
from service.maintenance import renumbering
from service.maintenance.renumbering import Renumbering, plan_renumbering, renumber
from service.maintenance.retention import remove_old_calls
from service.maintenance.verify import labels_of, read_history_facts, verify
from service.queue.operations import read_protected
from service.queue.protected_callers import add_protected
from service.security.pseudonyms import Pseudonyms, read_keys
from service.security.tombstones import add_tombstones, last_erased_at_us
from service.store.database import connect, transaction
from tests.support.call_histories import CALLERS, CHRONIC, START, Step, days, house, saring, told, us

OTHER, HIDDEN = CALLERS[1], "Private Number"
#: As they were stored: a SIP address was a person of its own, and so was a word.
WRITTEN = {
    CHRONIC: [CHRONIC, f"sip:{CHRONIC}@10.0.0.5;user=phone", f'"Ibu Wati" <{CHRONIC}>'],
    OTHER: [f"'{OTHER}"],
    CALLERS[2]: [HIDDEN],
}
chance = random.Random(2)
PAST = told(120, over=60.0, seed=4)
SPELT = {step.call_id: chance.choice(WRITTEN.get(step.caller, [step.caller])) for step in PAST}
OLD = [step._replace(caller=SPELT[step.call_id]) for step in PAST]
NEW = [step._replace(caller=None if SPELT[step.call_id] == HIDDEN else step.caller) for step in PAST]
AT = START + days(100)
LATER = [
    Step(AT, "score", f"later {place}", caller, {"call_id": f"later {place}", "received_at": AT}, AT)
    for place, caller in enumerate((CHRONIC, OTHER, CALLERS[3], None))
]


@contextmanager
def old_database(folder: Path, release, database: str | None = None) -> Iterator[tuple[sa.Engine, list[object]]]:
    """Open what a version of before left of a past, with its log beside it; gives the words of the command, too."""
    with house(folder, release, database) as there:
        there.tell(OLD)
        url, hashes = there.url, {text: there.hash(text) for texts in WRITTEN.values() for text in texts}
        with transaction(there.store.engine, writing=True) as connection:
            add_protected(connection, [hashes[f"'{OTHER}"]], "hospital", us(AT + days(9)), us(START), "command")
            add_tombstones(connection, [hashes[WRITTEN[CHRONIC][1]]], us(START))
    log = pd.DataFrame({"call_id": list(SPELT), "caller": list(SPELT.values())}).assign(received_at=START.isoformat())
    log.to_csv(folder / "log.csv", index=False)
    engine = connect(url)
    yield engine, ["--calls", folder / "log.csv", "--database", url, "--key-file", folder / "saring.key"]
    engine.dispose()


def rows_of(engine: sa.Engine) -> list[tuple[object, ...]]:
    query = "SELECT chain, nth, call_id, kind FROM events ORDER BY chain, nth"
    with engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def told_later(folder: Path, release, database: str | None) -> dict[str, list[float]]:
    with house(folder, release, database) as there:
        there.tell(LATER)
        return {name: history for name, history in there.histories().items() if name.startswith("later")}


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_after_it_everybody_has_the_past_that_the_number_has(store, request, tmp_path, release, release_folder):
    database = None if store == "sqlite" else request.getfixturevalue("postgres")
    (tmp_path / "new").mkdir()
    with house(tmp_path / "new", release) as there:
        there.tell(NEW)
    expected = told_later(tmp_path / "new", release, None)
    with old_database(tmp_path, release, database) as (engine, words):
        words += ["--release", release_folder, "--journal", tmp_path / "journal"]
        before = rows_of(engine)
        status, dry = saring("rekey", *words, "--dry-run")
        assert (status, rows_of(engine) == before) == (0, True)
        for said in ("2 are one with others by now, and become 1", "1 only change their hash", "1 show no number"):
            assert said in dry
        if database is not None:  # it was used a moment ago
            with engine.begin() as connection:
                connection.exec_driver_sql("UPDATE writers SET seen_at_us = 0")
        status, done = saring("rekey", *words)
        assert status == 0, done
        assert done.splitlines()[:5] == dry.splitlines()[:5]
        assert verify(engine, labels_of(read_history_facts(engine)), lambda _: None).differences == []
        with engine.connect() as connection:
            nobodys = set(connection.exec_driver_sql("SELECT call_id FROM calls WHERE caller IS NULL").scalars())
        assert nobodys == {call_id for call_id, text in SPELT.items() if text in (HIDDEN, None)}
        again = rows_of(engine)
        assert "0 are one with others by now, and become 0" in saring("rekey", *words)[1]
        assert rows_of(engine) == again
        later = told_later(tmp_path, release, database)
        for name, history in expected.items():
            np.testing.assert_allclose(later[name], history, rtol=1e-9, atol=1e-9, err_msg=name)
        with house(tmp_path, release, database) as there, transaction(engine) as connection:
            assert list(read_protected(connection)) == [there.hash(OTHER)]
            assert last_erased_at_us(connection, [there.hash(CHRONIC)]) == us(START)


def plan_of(engine: sa.Engine, folder: Path, numbering: Numbering) -> tuple[Renumbering, Pseudonyms]:
    pseudonyms = Pseudonyms(read_keys(folder / "saring.key"))
    return plan_renumbering(engine, pseudonyms, [text for text in SPELT.values() if text], numbering), pseudonyms


def test_who_turns_out_to_be_many_loses_also_what_retention_had_folded(tmp_path, release):
    with old_database(tmp_path, release) as (engine, _):
        remove_old_calls(engine, us(START + days(30)), us(AT), lambda _: None, "command")
        plan, pseudonyms = plan_of(engine, tmp_path, numbering_of("ID", [CHRONIC]))
        assert (plan.nobodies, plan.merged) == (4, 0)
        renumber(engine, pseudonyms, plan, lambda _: None, "command")
        assert verify(engine, labels_of(read_history_facts(engine)), lambda _: None).differences == []
        with engine.connect() as connection:
            left = set(connection.exec_driver_sql("SELECT chain FROM bases").scalars())
        assert left
        assert not left & set(plan.moves)


def test_what_was_interrupted_goes_on_where_it_was(tmp_path, release, monkeypatch):
    monkeypatch.setattr(renumbering, "AT_ONCE", 1)
    with old_database(tmp_path, release) as (engine, _):
        plan, pseudonyms = plan_of(engine, tmp_path, Numbering("ID"))
        with pytest.raises(ZeroDivisionError):
            renumber(engine, pseudonyms, plan, lambda done: 1 // (done - 1), "command")
        rest, _ = plan_of(engine, tmp_path, Numbering("ID"))
        assert len(rest.moves) == len(plan.moves) - 1 > 0
        renumber(engine, pseudonyms, rest, lambda _: None, "command")
        assert plan_of(engine, tmp_path, Numbering("ID"))[0].moves == {}
        assert verify(engine, labels_of(read_history_facts(engine)), lambda _: None).differences == []


def test_it_is_refused_while_a_service_has_the_database(tmp_path, release, release_folder):
    with old_database(tmp_path, release) as (engine, words), house(tmp_path, release):
        before = rows_of(engine)
        words += ["--release", release_folder, "--journal", tmp_path / "journal"]
        status, said = saring("rekey", *words)
        assert (status, rows_of(engine) == before) == (1, True), said
        assert saring("rekey", *words, "--dry-run")[0] == 0


def test_a_hash_that_a_log_shows_as_two_people_stays(tmp_path, release):
    with house(tmp_path, release) as there:  # once, a number without its plus was one of the region
        there.tell([step._replace(caller="+626273627411") for step in PAST[:6]])
        texts, keys = ["6273627411", "06273627411"], there.pseudonyms
        plan = plan_renumbering(there.store.engine, keys, texts, Numbering("ID"))
    assert (plan.unclear, plan.moves) == (1, {})
