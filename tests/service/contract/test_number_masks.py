"""No number is kept, whatever field it is sent in and however it is written; and no call is lost over it."""

import re
import signal
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from model.calls.call_log import write_log
from tests.support.call_histories import saring
from tests.support.processes import Process, all_told, until

DIGITS = "81234567890"
#: What is sent as the caller, and a text that gives it away.
CALLERS = {
    "E.164": ("+6281234567890", "0812-3456-7890"),
    "SIP": ("sip:+6281234567890@10.20.30.40:5060;user=phone", "0812 3456 7890"),
    "a name before SIP": ('"B 7" <sip:081234567890@pbx>', "6281234567890"),
    "an extension": ("0812-3456-7890 ext 12", "081234567890"),
    "an extension behind a comma": ("081234567890,12", "+62 812 3456 7890"),
    "six digits": ("345678", "345678"),
    "seven digits": ("2345678", "234-5678"),
    "other digits": ("+6281234567890", "٠٨١٢٣٤٥٦٧٨٩٠"),
}
NUMBERS = re.compile(r"3\D{0,3}4\D{0,3}5\D{0,3}6\D{0,3}7\D{0,3}8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("masks")


@pytest.fixture(scope="module")
def service(folder, release_folder):
    database = f"sqlite:///{folder / 'saring.db'}"
    process = Process(folder, "service", release_folder, database, mode="board", log_level="debug").ready()
    try:
        with httpx.Client(base_url=process.url, timeout=30.0) as client:
            yield client
    finally:
        process.stop(signal.SIGTERM)


def at(seconds: float = 0.0) -> str:
    return (datetime.now(UTC) - timedelta(seconds=50 - seconds)).isoformat()


def path_of(call_id: str, event: str = "") -> str:
    return f"/v1/calls/{quote(call_id, safe='')}{event and '/' + event}"


def kept(folder: Path) -> list[str]:
    """Read all that the service wrote, and give the lines with a number in them."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix != ".key":
            text = path.read_bytes().decode("utf-8", "replace").translate(str.maketrans("٠١٢٣٤٥٦٧٨٩", "0123456789"))
            found += [f"{path.name}: {hit[0]}" for hit in NUMBERS.finditer(text)]
    return found


@pytest.mark.parametrize(("caller", "written"), CALLERS.values(), ids=CALLERS)
def test_no_number_is_kept_in_a_call_id_and_its_call_is_found(service, folder, caller, written):
    call_id = f"pbx/{written}/7"
    said = {"call_id": call_id, "received_at": at(), "caller": caller, "line": "mobile"}
    own = {"centre": written, "queue": f"of {written}", "x_from": [{"as": f"<{written}>"}], "x_trunk": "7"}
    answer = service.post("/v1/score", json=said | own)
    assert answer.status_code == 200
    assert answer.json()["call_id"] == call_id  # whoever asked knows the answer by it
    assert {"call_id", "centre", "queue", "x_from"} <= {one["field"] for one in answer.json()["warnings"]}
    service.post("/v1/score", json=said | {"duration_s": 5.0})
    waiting = service.get("/v1/queue").json()["calls"]
    assert len(waiting) == 1  # one call, however often it is told
    for known_as in (call_id, waiting[0]["call_id"]):
        assert service.get(path_of(known_as)).json()["x_trunk"] == "7"
    assert service.post(path_of(call_id, "take"), json={}).status_code == 200
    token = service.post("/v1/tokens", json={"scope": "badge", "call_id": call_id}).json()["token"]
    assert service.get(path_of(call_id, "badge"), params={"token": token}).status_code == 200
    by, free = {"operator": f"rina {written}"}, {"x_note": f"rang {written}"}
    answered = service.post(path_of(call_id, "answered"), json={"answered_at": at(10)} | by | free)
    ended = service.post(path_of(call_id, "ended"), json={"ended_at": at(20), "duration_s": 9.0} | free)
    closed = {"disposition": "genuine", "category": f"fire at {written}", "disposed_at": at(30)}
    disposed = service.post(path_of(call_id, "disposition"), json=closed | by | free | {"incident_id": call_id})
    assert [one.status_code for one in (answered, ended, disposed)] == [200] * 3
    assert [one.json()["call_id"] for one in (answered, ended, disposed)] == [call_id] * 3
    known = service.get(path_of(call_id)).json()
    assert (known["disposition"], known["incident_id"][:5]) == ("genuine", "name-")
    assert service.post("/v1/score", json=said | {"received_at": at(1)}).status_code == 409
    assert not NUMBERS.search(service.get("/metrics").text)
    assert kept(folder) == []


@pytest.mark.parametrize("call_id", ["+62 812-3456-7890", "081234567890", "6281234567890-1", "pbx-081234567890"])
def test_without_a_number_shown_whatever_may_be_one_is_masked(service, folder, call_id):
    """As of a caller who withheld it, while the network gave it in another field."""
    written = "0812-3456-7890"
    said = {"call_id": call_id, "received_at": at(), "caller": "anonymous", "queue": written, "centre": written}
    own = {"x_identity": f"<sip:{written}@pbx>", "x_number": 6281234567890, "x_trunk": 7, f"x_{DIGITS}": 1}
    answer = service.post("/v1/score", json=said | own | {"x_deep": {DIGITS: [written]}}).json()
    assert answer["call_id"] == call_id
    found = service.get(path_of(call_id)).json()
    assert (found["x_trunk"], found["x_number"]) == (7, None)
    other = f"beside {found['call_id']}"
    service.post("/v1/score", json=said | {"call_id": other})
    assert service.get(path_of(other)).json()["queue"] == found["queue"]  # two calls of one queue stay so
    service.put("/v1/operations", json={"queue": written, "operators": 2, "mean_handling_s": 60.0})
    assert service.get("/v1/operations").json()["staff"][0]["queue"] == found["queue"]
    assert len(service.get("/v1/queue", params={"queue": written}).json()["calls"]) == 2
    for one in (call_id, other):
        service.post(path_of(one, "ended"), json={"ended_at": at(9)}).raise_for_status()
    assert service.get(path_of("+62 812 3456 7891", "answered")).status_code in (404, 405)
    assert kept(folder) == []


@pytest.mark.parametrize("call_id", ["112-20261101-0042", "1730448000.1234", "550e8400-e29b-41d4-a716-446655440000"])
def test_a_name_of_digits_that_holds_no_number_stays_as_it_is(service, call_id):
    said = {"call_id": call_id, "received_at": at(), "caller": "+6281234567890", "x_epoch": 1_730_448_000}
    assert service.post("/v1/score", json=said).json()["warnings"] == []
    assert service.get(path_of(call_id)).json()["x_epoch"] == 1_730_448_000
    assert call_id in [call["call_id"] for call in service.get("/v1/queue").json()["calls"]]


def test_incidents_with_a_number_in_their_names_stay_two_and_each_stays_one(service, folder):
    told = {"F-12": "F-12", "0812-3456-7890": None, "fire/345678": None}
    for place, incident_id in enumerate([*told, *told]):
        call_id = f"of an incident {place}"
        service.post("/v1/score", json={"call_id": call_id, "received_at": at(), "caller": "+6281234567890"})
        closed = {"disposition": "genuine", "disposed_at": at(), "incident_id": incident_id}
        warnings = service.post(path_of(call_id, "disposition"), json=closed).json()["warnings"]
        assert [one["field"] for one in warnings] == ["incident_id"] * (incident_id != "F-12")
        kept_as = service.get(path_of(call_id)).json()["incident_id"]
        assert told[incident_id] in (None, kept_as)
        told[incident_id] = kept_as
    assert len(set(told.values())) == len(told)
    assert kept(folder) == []


def test_what_the_journal_takes_has_no_number(service, folder):
    call_id, caller = "pbx/0812-3456-7890/8", "+6281234567890"
    said = {"call_id": call_id, "received_at": at(), "caller": caller, "queue": caller, "x_from": caller}
    with sqlite3.connect(folder / "saring.db") as connection:
        connection.execute("ALTER TABLE events RENAME TO lost")
    answer = service.post("/v1/score", json=said).json()
    assert (answer["degraded"], answer["durable"], answer["call_id"]) == (True, True, call_id)
    ended = service.post(path_of(call_id, "ended"), json={"ended_at": at(9), "x_from": caller})
    assert ended.json()["degraded"]
    assert kept(folder) == []
    with sqlite3.connect(folder / "saring.db") as connection:
        connection.execute("ALTER TABLE lost RENAME TO events")
    until(lambda: all_told(service.base_url))
    assert service.get(path_of(call_id)).json()["state"] == "abandoned"
    assert kept(folder) == []


def test_a_log_is_imported_without_the_numbers_in_its_other_columns(tmp_path, release_folder, log_of):
    calls = [
        {"call_id": f"pbx/{written}/{place}", "received_at": 60.0 * place, "caller": caller, "queue": written,
         "category": f"at {written}", "incident_id": f"fire/{written}", "disposition": "genuine",
         "disposed_at": 60.0 * place + 30.0, "x_from": written}
        for place, (caller, written) in enumerate([("+6281234567890", "0812-3456-7890"), (None, "081234567890")])
    ]  # fmt: skip
    write_log(log_of(calls).assign(x_from=[call["x_from"] for call in calls]), tmp_path / "log.parquet")
    store = ("--database", f"sqlite:///{tmp_path / 'saring.db'}", "--key-file", tmp_path / "saring.key")
    status, said = saring("import", "--calls", tmp_path / "log.parquet", "--release", release_folder, *store)
    assert (status, "2 calls added" in said) == (0, True), said
    (tmp_path / "log.parquet").unlink()
    assert kept(tmp_path) == []
