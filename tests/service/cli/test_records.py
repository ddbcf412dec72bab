"""`saring protect` and `saring switch` beside a running service, and the commands run in a process of their own."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from service.security.pseudonyms import rotate_number_key
from tests.support.call_histories import saring
from tests.support.processes import until

NUMBER, OTHER = "+6281234567890", "+6281298765432"
ROOT = Path(__file__).parents[3]
#: What is told beside the service is known there within this time, and some for a machine that is busy.
WITHIN_S = 1.0 + 2.0


def ago(**how_long: float) -> str:
    return (datetime.now(UTC) - timedelta(**how_long)).isoformat()


def ring(client: httpx.Client, call_id: str, caller: str = NUMBER, **more: object) -> dict:
    said = {"call_id": call_id, "received_at": ago(), "caller": caller, "line": "mobile"} | more
    answer = client.post("/v1/score", json=said)
    assert answer.status_code == 200, answer.text
    return answer.json()


def becomes(true) -> None:
    until(true, WITHIN_S)


def words_of(folder: Path, release: Path) -> tuple:
    return ("--database", f"sqlite:///{folder / 'saring.db'}", "--release", release, "--key-file",
            folder / "saring.key")  # fmt: skip


def decisions(folder: Path, kind: str) -> list[dict]:
    with sqlite3.connect(folder / "saring.db") as connection:
        query = "SELECT body FROM decisions WHERE kind = ? ORDER BY seq"
        return [json.loads(row[0]) for row in connection.execute(query, (kind,))]


def test_a_protected_number_is_honoured_until_it_is_removed(serving, tmp_path, release_folder):
    words = words_of(tmp_path, release_folder)
    with serving(tmp_path, release_folder) as client:
        assert "protected" not in ring(client, "before")["guardrails"]
        status, said = saring("protect", "add", "-", "--reason", "RSUD hospital", *words, given="0812-3456-7890\n")
        assert (status, "is protected for 365d" in said) == (0, True)
        calls = iter(range(1_000))
        becomes(lambda: "protected" in ring(client, f"while {next(calls)}")["guardrails"])
        assert "protected" not in ring(client, "other", OTHER)["guardrails"]
        assert client.post("/v1/callers/lookup", json={"caller": NUMBER}).json()["protected"]
        status, said = saring("protect", "list", *words[:2])
        assert status == 0
        assert "RSUD hospital" in said
        assert said.count("\n") == 1
        assert NUMBER[3:] not in said
        status, said = saring("protect", "add", NUMBER, "--reason", "school", "--expires", "30d", *words)
        assert (status, "others on this machine can see" in said) == (0, True)
        assert "school" in saring("protect", "list", *words[:2])[1]
        assert saring("protect", "remove", "-", *words, given=NUMBER)[0] == 0
        becomes(lambda: "protected" not in ring(client, f"after {next(calls)}")["guardrails"])
        status, said = saring("protect", "remove", "-", *words, given=NUMBER)
        assert (status, "is not on the list" in said) == (1, True)
    noted = decisions(tmp_path, "protect")
    assert [note["did"] for note in noted] == ["add", "add", "remove"]
    assert NUMBER[3:] not in json.dumps(noted)
    assert NUMBER[3:].encode() not in b"".join(path.read_bytes() for path in tmp_path.glob("saring.db*"))


def test_protection_ends_by_itself(serving, tmp_path, release_folder):
    words = words_of(tmp_path, release_folder)
    with serving(tmp_path, release_folder) as client:
        saring("protect", "add", "-", "--reason", "chronic patient", "--expires", "1m", *words, given=NUMBER)
        calls = iter(range(1_000))
        becomes(lambda: "protected" in ring(client, f"while {next(calls)}")["guardrails"])
        with sqlite3.connect(tmp_path / "saring.db") as connection:
            connection.execute("UPDATE protected SET expires_at_us = ?", (int((time.time() - 1) * 1e6),))
        becomes(lambda: "protected" not in ring(client, f"after {next(calls)}")["guardrails"])
    assert "(ended)" in saring("protect", "list", *words[:2])[1]


def test_protection_is_kept_under_the_key_of_the_running_service(serving, tmp_path, release_folder):
    words = words_of(tmp_path, release_folder)
    with serving(tmp_path, release_folder) as client:
        rotate_number_key(tmp_path / "saring.key")
        assert saring("protect", "add", "-", "--reason", "hospital", *words, given=NUMBER)[0] == 0
        calls = iter(range(1_000))
        becomes(lambda: "protected" in ring(client, f"while {next(calls)}")["guardrails"])
    with serving(tmp_path, release_folder) as client:
        assert "protected" in ring(client, "after")["guardrails"]


@pytest.mark.parametrize(
    ("more", "given", "told"),
    [
        (("--reason", f"clinic {NUMBER}"), NUMBER, "has the number in it"),
        (("--reason", "clinic", "--expires", "soon"), NUMBER, "--expires"),
        (("--reason", "clinic"), "withheld", "shows no number"),
        (("--reason", "clinic"), "", "shows no number"),
    ],
)
def test_what_protects_nobody_is_refused(serving, tmp_path, release_folder, more, given, told):
    with serving(tmp_path, release_folder):
        pass
    status, said = saring("protect", "add", "-", *more, *words_of(tmp_path, release_folder), given=given)
    assert (status, told in said) == (1, True)
    assert decisions(tmp_path, "protect") == []


@pytest.fixture
def deferring(serving, tmp_path, acting_release):
    """A service that has a number known for pranks wait, and one such call waiting."""
    with serving(tmp_path, acting_release, random_share=0.0, mode="board") as client:
        clock = {"Saring-Clock": "as-recorded"}
        for place in range(12):
            hours = 48 - 2 * place
            known = {"call_id": f"earlier {place}", "received_at": ago(hours=hours), "caller": NUMBER, "line": "mobile"}
            client.post("/v1/score", json=known | {"duration_s": 3.0, "silence_ratio": 0.3}, headers=clock)
            over = {"ended_at": ago(hours=hours - 0.1), "duration_s": 6.0}
            client.post(f"/v1/calls/earlier {place}/ended", json=over, headers=clock)
            closed = {"disposition": "prank", "disposed_at": ago(hours=hours - 0.2)}
            client.post(f"/v1/calls/earlier {place}/disposition", json=closed, headers=clock)
        assert annoying(client, "waiting")["defer_s"] > 0.0
        yield client


def annoying(client: httpx.Client, call_id: str) -> dict:
    return ring(client, call_id, duration_s=3.0, silence_ratio=0.3, expected_wait_s=60.0)


def test_the_switch_takes_hold_in_a_running_service(deferring, serving, tmp_path, acting_release):
    database = ("--database", f"sqlite:///{tmp_path / 'saring.db'}")
    assert saring("switch", *database) == (0, "on: calls may be deferred\n")
    status, said = saring("switch", "off", "--reason", "a strange week", *database)
    assert status == 0
    assert "off: no call is deferred" in said
    assert "by command: a strange week" in said
    becomes(lambda: deferring.get("/v1/model").json()["deferral"] == {"on": False, "off_because": "switch"})
    becomes(lambda: waiting(deferring)["defer_s"] == 0.0)
    assert annoying(deferring, "off")["defer_s"] == 0.0
    deferring.post("/v1/calls/waiting/take", json={"operator": "rina"})
    assert waiting(deferring)["defer_s"] == 0.0
    assert deferring.get("/v1/calls/waiting").json()["defer_s"] == 0.0
    with sqlite3.connect(tmp_path / "saring.db") as connection:
        assert connection.execute("SELECT max(defer_s) FROM calls WHERE state = 'taken'").fetchone() == (0.0,)
    assert saring("switch", "on", "--reason", "it was a school holiday", *database)[0] == 0
    becomes(lambda: deferring.get("/v1/model").json()["deferral"]["on"])
    assert waiting(deferring)["defer_s"] == 0.0
    assert annoying(deferring, "on")["defer_s"] > 0.0
    noted = decisions(tmp_path, "switch")
    assert [note["on"] for note in noted] == [False, True]


def waiting(client: httpx.Client) -> dict:
    call = next(one for one in client.get("/v1/queue").json()["calls"] if one["call_id"] == "waiting")
    received, key = (datetime.fromisoformat(call[name]) for name in ("received_at", "queue_key"))
    return call | {"defer_s": max(0.0, (key - received).total_seconds())}


def test_a_switch_put_while_no_service_runs_holds_at_its_start(serving, tmp_path, acting_release):
    database = ("--database", f"sqlite:///{tmp_path / 'saring.db'}")
    with serving(tmp_path, acting_release):
        pass
    assert saring("switch", "off", "--reason", "the audit", *database)[0] == 0
    with serving(tmp_path, acting_release) as client:
        assert client.get("/v1/model").json()["deferral"] == {"on": False, "off_because": "switch"}
        assert client.get("/v1/operations").json()["switch"]["reason"] == "the audit"


def test_a_switch_without_a_reason_or_to_anything_else_is_refused(serving, tmp_path, release_folder):
    database = ("--database", f"sqlite:///{tmp_path / 'saring.db'}")
    with serving(tmp_path, release_folder):
        pass
    assert saring("switch", "off", *database) == (1, "--reason: expected a few words, which operators read")
    assert saring("switch", "off", "--reason", " a ", *database)[0] == 1
    assert saring("switch", "perhaps", "--reason", "who knows", *database)[0] == 1
    assert decisions(tmp_path, "switch") == []


def test_commands_take_the_settings_of_the_service(serving, tmp_path, release_folder):
    """As a person runs them: in a process of their own, with the environment of the service."""
    with serving(tmp_path, release_folder) as client:
        ring(client, "mine")
        client.post("/v1/calls/mine/ended", json={"ended_at": ago()})
    settings = {"DATABASE": f"sqlite:///{tmp_path / 'saring.db'}", "RELEASE": str(release_folder),
                "KEY_FILE": str(tmp_path / "saring.key"), "JOURNAL": str(tmp_path / "journal")}  # fmt: skip
    environment = os.environ | {f"SARING_{name}": value for name, value in settings.items()}

    def command(*words: str, given: str = "", **more: str) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, "-m", "service.cli.main", *words], cwd=ROOT, env=environment | more,
                              text=True, input=given, capture_output=True, timeout=60, check=False)  # fmt: skip

    erased = command("erase", "--caller", "-", "--reason", "asked for", given=f"{NUMBER}\n")
    assert (erased.returncode, erased.stderr) == (0, "")
    assert "1 call and 2 events removed" in erased.stdout
    nowhere = command("rebuild", SARING_DATABASE="sqlite:///nowhere.db")
    assert (nowhere.returncode, nowhere.stdout) == (1, "")
    assert nowhere.stderr == "saring: nowhere.db: there is no such database\n"
