"""`saring export`: what a service was told comes back as a call log, with what was known when each call was queued."""

import csv
import itertools
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest

from model.calls.call_events import events_of, sort_calls
from model.calls.call_log import read_calls, read_corrections
from model.calls.columns import CORRECTION_COLUMNS
from model.release.folder import read_release, write_release
from model.release.pipeline import data_hash
from model.simulation.city import simulate
from service.maintenance import log_export
from service.maintenance.erasure import erase_from
from service.maintenance.log_export import export_log
from service.maintenance.log_import import import_log
from service.playback.log_replay import replay, steps
from service.security.pseudonyms import Pseudonyms, full_pseudonym, read_keys, short_pseudonym
from service.store.database import connect
from service.store.store import Store
from tests.support.call_histories import CHRONIC, house, saring, told

#: As the log has them, and as they come back.
TOLD = (
    "call_id", "received_at", "line", "centre", "queue", "opening_duration_s", "opening_silence_ratio", "duration_s",
    "silence_ratio", "answered_at", "ended_at", "ended_by", "disposition", "disposed_at", "category", "x_persona",
)  # fmt: skip
DONE = ["held_out", "shown_band", "defer_s", "release", "genuine_like", "one_in"]


@pytest.fixture(scope="module")
def city_told():
    return simulate("metro", 3, calls=300)


@pytest.fixture(scope="module")
def acting_then(acting_release, tmp_path_factory):
    """The release that acts, certified for the time of the city."""
    folder = tmp_path_factory.mktemp("then") / "release"
    facts = json.loads((acting_release / "manifest.json").read_text())
    files = {name: (acting_release / name).read_bytes() for name in facts["files"]}
    then = {"issued_at": "2020-01-01T00:00:00+00:00", "expires_at": "2040-01-01T00:00:00+00:00"}
    files["certificate.json"] = json.dumps(json.loads(files["certificate.json"]) | then).encode()
    write_release(folder, files, {name: facts[name] for name in facts if name not in ("format", "files")})
    return folder


def exported(url: str, folder: Path, name: str = "calls.parquet") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Export by the command, see that `saring check` has nothing to say, and read what was written."""
    out, beside = folder / name, folder / name.replace(".", ".corrections.")
    status, text = saring("export", "--database", url, "--out", out)
    assert status == 0, text
    status, text = saring("check", out, "--corrections", beside)
    assert status == 0, text
    calls = read_calls(out)
    return calls, read_corrections(beside, calls)


def assert_same(calls: pd.DataFrame, corrections: pd.DataFrame, log, release) -> None:
    """See that calls and corrections are those of a log, but for the callers, who are the same ones by other names."""
    before = sort_calls(log.calls)
    assert calls["call_id"].tolist() == before["call_id"].tolist()
    for name in TOLD:
        pd.testing.assert_series_equal(calls[name], before[name], check_dtype=False)
    callers = pd.DataFrame({"told": before["caller"], "given": calls["caller"]})
    assert callers["told"].isna().equals(callers["given"].isna())
    assert (callers.dropna().drop_duplicates().nunique() == callers["told"].nunique()).all()
    assert not callers["given"].dropna().str.startswith(("+", "0")).any()
    names = ["call_id", "disposed_at"]
    given, wanted = (one.sort_values(names, ignore_index=True) for one in (corrections, log.corrections))
    pd.testing.assert_frame_equal(given[wanted.columns], wanted, check_dtype=False)
    # All that training sees of a log is the same, so it makes the same release.
    fingerprints = [
        data_hash(events_of(sort_calls(one), release.labels, release.numbering, later))
        for one, later in ((log.calls, log.corrections), (calls, corrections))
    ]
    assert fingerprints[0] == fingerprints[1]


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_a_log_told_to_a_service_comes_back_as_it_was_told(store, serving, tmp_path, acting_then, city_told, request):
    url = f"sqlite:///{tmp_path / 'saring.db'}" if store == "sqlite" else request.getfixturevalue("postgres")
    answers = {}
    with serving(tmp_path, acting_then, database=url, random_share=0.5) as client:
        client.put("/v1/operations", json={"operators": 1, "mean_handling_s": 60.0}).raise_for_status()

        def note(step, answer):
            if step.path == "/v1/score":
                answers[step.call_id] = answer

        replay(steps(city_told.calls, city_told.corrections), client, as_recorded=True, told=note)
        calls, corrections = exported(url, tmp_path)  # the service still runs
    release = read_release(acting_then)
    assert_same(calls, corrections, city_told, release)
    shown = pd.DataFrame([answers[name] for name in calls["call_id"]])
    assert calls["shown_band"].tolist() == shown["band"].tolist()
    for name in ("held_out", "genuine_like", "one_in"):
        assert calls[name].tolist() == shown[name].tolist()
    assert (calls["release"] == release.name).all()
    assert calls["held_out"].any()
    assert not calls["held_out"].all()
    assert (calls["defer_s"] <= shown["defer_s"]).all()


def test_what_was_imported_is_exported_and_what_was_exported_is_imported(tmp_path, release, city_told):
    log, first = city_told.calls, None
    for name in ("one", "other"):
        folder = tmp_path / name
        folder.mkdir()
        url = f"sqlite:///{folder / 'saring.db'}"
        store, keys = Store(url), Pseudonyms(read_keys(folder / "saring.key"))
        added = import_log(log, city_told.corrections, release, store, keys, lambda _: None)
        store.close()
        assert added == len(log)
        calls, corrections = exported(url, folder, "calls.csv")
        assert_same(calls, corrections, city_told, release)
        assert calls[DONE].isna().all(axis=None)  # it was not scored here
        assert first is None or not set(first) & set(calls["caller"].dropna())
        log, first = calls, calls["caller"].dropna()


def test_the_incidents_of_a_log_come_back_as_they_were_named(tmp_path, release, log_of):
    closed = {"disposition": "genuine", "disposed_at": 100}
    rows = [
        {"incident_id": "fire"} | closed,
        {"incident_id": "flood"} | closed,
        {"incident_id": "fire"},  # never closed
        {"incident_id": "flood"},  # closed by a correction
        closed,
    ]
    log = log_of([{"call_id": f"c{place}", "received_at": place} | row for place, row in enumerate(rows)])
    named = {"call_id": "c1", "disposition": "duplicate", "disposed_at": 200, "incident_id": "fire"}
    later = log_of([named, {"call_id": "c3", "disposition": "duplicate", "disposed_at": 300}], CORRECTION_COLUMNS)
    store = Store(f"sqlite:///{tmp_path / 'saring.db'}")
    import_log(log, later, release, store, Pseudonyms(read_keys(tmp_path / "saring.key")), lambda _: None)
    store.close()
    calls, corrections = exported(f"sqlite:///{tmp_path / 'saring.db'}", tmp_path, "calls.csv")
    assert calls["incident_id"].fillna("").tolist() == ["fire", "flood", "fire", "flood", ""]
    assert corrections[["call_id", "incident_id"]].values.tolist() == [["c1", "fire"]]


def test_the_opening_is_as_the_queue_knew_it_and_not_as_it_was_told_later(tmp_path, release):
    past = told(120)
    queued = {step.call_id: step.said for step in past if step.kind == "score"}
    closed = [step for step in past if step.kind == "disposed"]
    late = [
        step._replace(
            at=step.at + timedelta(days=9),
            kind="score",
            said={"call_id": step.call_id, "received_at": queued[step.call_id]["received_at"], "stage": "opening",
                  "duration_s": 99.0, "silence_ratio": 0.99},
        )
        for step in {step.call_id: step for step in closed}.values()
    ]  # fmt: skip
    with house(tmp_path, release) as there:
        there.tell(past + late)
    calls, corrections = exported(f"sqlite:///{tmp_path / 'saring.db'}", tmp_path)
    for name in ("duration_s", "silence_ratio"):
        wanted = [queued[call_id].get(name, np.nan) for call_id in calls["call_id"]]
        assert calls[f"opening_{name}"].tolist() == pytest.approx(wanted, nan_ok=True)
        assert 0 < calls[f"opening_{name}"].notna().sum() < len(calls)
    by_call = {call_id: [s for s in closed if s.call_id == call_id] for call_id in calls["call_id"]}
    assert calls["disposition"].tolist() == [said[0].said["disposition"] for said in by_call.values()]
    different = sum(
        one.said["disposition"] != two.said["disposition"]
        for said in by_call.values()
        for one, two in itertools.pairwise(said)
    )
    assert len(corrections) == different > 0
    assert calls["x_trunk"].tolist() == [f"trunk of {call_id}" for call_id in calls["call_id"]]


def test_an_erased_caller_is_gone_also_when_erased_while_the_log_is_written(tmp_path, release, monkeypatch):
    monkeypatch.setattr(log_export, "BATCH_CALLS", 40)
    with house(tmp_path, release) as there:
        there.tell(told(200))
        gone = full_pseudonym(there.hash(CHRONIC))
        assert gone.startswith(short_pseudonym(there.hash(CHRONIC)))
    url = f"sqlite:///{tmp_path / 'saring.db'}"
    before, _ = exported(url, tmp_path)
    assert gone in set(before["caller"])
    keys, said = Pseudonyms(read_keys(tmp_path / "saring.key")), []

    def erase(done: int) -> None:
        if not said:
            other = connect(url)
            erase_from(other, [keys.hash(CHRONIC)], "test", "asked for it")
            other.dispose()
        said.append(done)

    engine = connect(url)
    out = tmp_path / "again.parquet"
    written = export_log(engine, out, tmp_path / "again.corrections.parquet", erase)
    engine.dispose()
    after = read_calls(out)
    assert sum(said) == written.calls
    assert min(said) < 0  # it began again
    assert gone not in set(after["caller"])
    assert len(after) == written.calls < len(before)
    assert gone.encode() not in out.read_bytes()


def test_a_field_of_the_senders_own_keeps_its_type_where_all_calls_agree(tmp_path, release):
    past = [step for step in told(60) if step.kind == "score"]
    seen = {}
    for number, step in enumerate(past):
        own = {
            "x_number": number,
            "x_half": number / 2,
            "x_flag": number % 2 == 0,
            "x_mixed": [number, "a"][number % 2],
        }
        step.said.update(own | {"x_list": [number]} | ({"x_some": 7} if number % 3 == 0 else {"x_some": None}))
        seen[step.call_id] = seen.get(step.call_id, {}) | step.said
    with house(tmp_path, release) as there:
        there.tell(past)
    calls, _ = exported(f"sqlite:///{tmp_path / 'saring.db'}", tmp_path)
    wanted = [seen[call_id] for call_id in calls["call_id"]]
    for name in ("x_number", "x_half", "x_flag"):
        assert calls[name].tolist() == [row[name] for row in wanted]
    assert calls["x_mixed"].tolist() == [str(row["x_mixed"]) for row in wanted]
    assert calls["x_list"].tolist() == [f"[{row['x_list'][0]}]" for row in wanted]
    assert [None if pd.isna(v) else v for v in calls["x_some"]] == [row.get("x_some") for row in wanted]


def test_an_empty_store_gives_an_empty_log(tmp_path):
    Store(f"sqlite:///{tmp_path / 'saring.db'}").close()
    for name in ("calls.csv", "calls.parquet"):
        engine = connect(f"sqlite:///{tmp_path / 'saring.db'}")
        assert export_log(engine, tmp_path / name, tmp_path / f"c{name}") == (0, 0)
        engine.dispose()
        assert len(read_calls(tmp_path / name)) == 0


def test_a_log_that_cannot_be_written_leaves_the_earlier_one(tmp_path, release):
    with house(tmp_path, release) as there:
        there.tell(told(20))
    (tmp_path / "calls.parquet").write_bytes(b"earlier")
    engine = connect(f"sqlite:///{tmp_path / 'saring.db'}")
    with pytest.raises(OSError, match="none"):
        export_log(engine, tmp_path / "calls.parquet", tmp_path / "none" / "corrections.parquet")
    engine.dispose()
    assert (tmp_path / "calls.parquet").read_bytes() == b"earlier"
    assert not list(tmp_path.glob("*.part"))


FORMULAS = ["=1+1", "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "'=1", "\uff1d1+1", "-", "plain", "'tis", "-5", "+6281"]


def test_no_cell_of_an_export_is_a_formula_and_what_was_told_is_read_back(serving, tmp_path, release_folder):
    """A spreadsheet runs what begins with = + - or @; what is a plain number is none."""
    with serving(tmp_path, release_folder) as client:
        for place, text in enumerate(FORMULAS):
            said = {"received_at": datetime.now(UTC).isoformat(), "queue": text, "x_note": text}
            client.post("/v1/score", json=said | {"call_id": f"{text} {place}"}).raise_for_status()
            closed = {"disposition": "genuine", "category": text, "disposed_at": datetime.now(UTC).isoformat()}
            path = f"/v1/calls/{quote(f'{text} {place}', safe='')}/disposition"
            client.post(path, json=closed).raise_for_status()
    calls, _ = exported(f"sqlite:///{tmp_path / 'saring.db'}", tmp_path, "calls.csv")
    with (tmp_path / "calls.csv").open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    dangerous = [c for c in cells if c[:1] in tuple("=@\t\r\uff1d") or (c[:1] in tuple("+-") and not c[1:].isdigit())]
    assert dangerous == []
    for name in ("queue", "category", "x_note"):
        assert calls[name].tolist() == FORMULAS
    assert calls["call_id"].tolist() == [f"{text} {place}" for place, text in enumerate(FORMULAS)]
