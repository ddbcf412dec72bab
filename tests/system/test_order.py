"""What the service does to the order of the queue: deferral, its bound, the switch, the random share, the monitor."""

import json
import sqlite3
import time
from datetime import UTC, datetime, timedelta

import pytest

from model.policy.deferral import DeferralSettings
from model.release.folder import read_release
from tests.support.nuisances import NUISANCE, ago, nuisance, told_as_prank

STRANGER = "+6281300000001"
BUSY = {"operators": 1, "mean_handling_s": 60.0}


@pytest.fixture
def busy(serving, tmp_path, acting_release):
    """A service with one operator, whom a stranger's call keeps busy, and a number that is known for pranks."""
    with serving(tmp_path, acting_release, random_share=0.0) as client:
        told_as_prank(client)
        client.put("/v1/operations", json=BUSY)
        stranger = {"call_id": "stranger", "received_at": ago(), "caller": STRANGER}
        client.post("/v1/score", json=stranger)
        client.post("/v1/calls/stranger/answered", json={"answered_at": ago()})
        yield client


def test_a_call_is_deferred_by_the_rule_and_within_its_bound(busy, acting_release):
    answer = busy.post("/v1/score", json=nuisance("a")).json()
    assert answer["band"] in ("unsure", "likely_prank")
    assert (answer["expected_wait_s"], answer["expected_wait_source"]) == (60.0, "operations")
    rule: DeferralSettings = read_release(acting_release).policy.deferral
    expected = min(rule.max_defer_s, answer["defer_factor"] * (rule.kappa * 60.0 + rule.base_s))
    assert answer["defer_s"] == pytest.approx(expected)
    assert 0.0 < answer["defer_s"] <= 300.0
    received, key = (
        datetime.fromisoformat(text) for text in (busy.get("/v1/calls/a").json()["received_at"], answer["queue_key"])
    )
    assert 0.0 <= answer["defer_s"] - (key - received).total_seconds() < 0.0010001
    assert key.microsecond % 1_000 == 0
    assert key.timestamp() == pytest.approx(answer["queue_key_epoch"])


def test_a_stranger_who_comes_later_is_answered_before_a_deferred_call(busy):
    deferred = busy.post("/v1/score", json=nuisance("a")).json()
    later = {"call_id": "b", "received_at": ago(), "caller": "+6281300000002", "duration_s": 4.0}
    first = busy.post("/v1/score", json=later).json()
    assert "first_call" in first["guardrails"]
    assert first["defer_s"] == 0.0
    assert first["queue_key"] < deferred["queue_key"]
    assert [call["call_id"] for call in busy.get("/v1/queue").json()["calls"]] == ["b", "a"]


def test_nobody_is_deferred_while_an_operator_is_free_or_nothing_is_known_of_them(serving, tmp_path, acting_release):
    with serving(tmp_path, acting_release, random_share=0.0) as client:
        told_as_prank(client)
        unknown = client.post("/v1/score", json=nuisance("a")).json()
        assert (unknown["defer_s"], unknown["expected_wait_source"]) == (0.0, "unknown")
        assert unknown["defer_factor"] > 0.0
        client.put("/v1/operations", json=BUSY | {"operators": 5})
        free = client.post("/v1/score", json=nuisance("b")).json()
        assert (free["defer_s"], free["expected_wait_s"]) == (0.0, 0.0)
        told = client.post("/v1/score", json=nuisance("c", expected_wait_s=30.0)).json()
        assert told["expected_wait_source"] == "request"
        assert told["defer_s"] > 0.0
        none = client.post("/v1/score", json=nuisance("d", expected_wait_s=0.0)).json()
        assert none["defer_s"] == 0.0


def test_a_key_is_never_raised_when_more_is_heard(busy):
    keys = []
    for change in (
        {"stage": "ring", "duration_s": None, "silence_ratio": None},
        {},
        {"duration_s": 1.0},
        {"duration_s": 15.0},
    ):
        known = nuisance("a") | {"received_at": keys[0][1] if keys else ago()} | change
        answer = busy.post("/v1/score", json=known).json()
        keys.append((answer["queue_key"], known["received_at"], answer["defer_s"]))
    assert [key for key, *_ in keys] == sorted((key for key, *_ in keys), reverse=True)
    assert keys[0][2] > 0.0


def test_the_switch_ends_all_deferral_at_once_and_stays_off_across_restarts(serving, tmp_path, acting_release):
    with serving(tmp_path, acting_release, random_share=0.0) as client:
        told_as_prank(client)
        client.put("/v1/operations", json=BUSY)
        before = client.post("/v1/score", json=nuisance("a", expected_wait_s=60.0)).json()
        assert before["defer_s"] > 0.0
        off = client.put("/v1/operations", json={"switch": {"on": False, "reason": "a try"}}).json()
        assert (off["switch"]["on"], off["deferral_on"], off["off_because"]) == (False, False, "switch")
        waiting = client.get("/v1/queue").json()["calls"][0]
        assert waiting["queue_key"] == waiting["received_at"]
    with serving(tmp_path, acting_release, random_share=0.0) as client:
        answer = client.post("/v1/score", json=nuisance("b", expected_wait_s=60.0)).json()
        assert (answer["defer_s"], answer["band"]) == (0.0, "unsure")
        assert client.get("/v1/model").json()["deferral"] == {"on": False, "off_because": "switch"}
        on = client.put("/v1/operations", json={"switch": {"on": True, "reason": "tried"}}).json()
        assert on["deferral_on"]
        assert client.post("/v1/score", json=nuisance("c", expected_wait_s=60.0)).json()["defer_s"] > 0.0
        # What was taken back does not come back.
        calls = {call["call_id"]: call for call in client.get("/v1/queue").json()["calls"]}
        assert calls["a"]["queue_key"] == calls["a"]["received_at"]


def test_a_release_whose_certificate_has_expired_defers_and_marks_nobody(serving, tmp_path, made, acting_release):
    from model.release.folder import write_release

    files = {path.name: path.read_bytes() for path in acting_release.iterdir() if path.name != "manifest.json"}
    certificate = json.loads(files["certificate.json"])
    certificate["issued_at"], certificate["expires_at"] = ago(days=181), ago(seconds=1)
    files["certificate.json"] = json.dumps(certificate).encode()
    write_release(tmp_path / "expired", files, made.facts(datetime.now(UTC)))
    with serving(tmp_path, tmp_path / "expired", random_share=0.0) as client:
        told_as_prank(client)
        answer = client.post("/v1/score", json=nuisance("a", expected_wait_s=60.0)).json()
        assert (answer["defer_s"], answer["band"]) == (0.0, "unsure")
        model = client.get("/v1/model").json()
        assert (model["certificate"]["state"], model["deferral"]["off_because"]) == ("expired", "expired")


def test_the_random_share_is_neither_deferred_nor_marked_and_no_board_shows_its_score(
    serving, tmp_path, acting_release
):
    with serving(tmp_path, acting_release, random_share=0.5) as client:
        told_as_prank(client)
        answers = [client.post("/v1/score", json=nuisance(f"n{n}", expected_wait_s=60.0)).json() for n in range(40)]
        held = {answer["call_id"] for answer in answers if answer["held_out"]}
        assert 8 <= len(held) <= 32
        for answer in answers:
            if answer["held_out"]:
                assert (answer["band"], answer["defer_factor"], answer["defer_s"]) == ("normal", 0.0, 0.0)
            else:
                assert answer["defer_s"] > 0.0
        for call in client.get("/v1/queue").json()["calls"]:
            hidden = (call["band"], call["prank_likelihood"], call["reasons"]) == (None, None, [])
            assert hidden == (call["call_id"] in held)
            assert ((call["genuine_like"], call["one_in"], call["badge"]) == (None, None, "not_rated")) == hidden


def test_the_monitor_pulls_the_switch_when_more_genuine_callers_are_marked_than_promised(
    serving, tmp_path, acting_release
):
    clock = {"Saring-Clock": "as-recorded"}
    fingerprint = read_release(acting_release).certificate.fingerprint
    with serving(tmp_path, acting_release, random_share=0.0) as client:
        assert client.get("/v1/model").json()["monitor"]["e_value"] == 1.0
        for n in range(12):
            caller = f"+62813000001{n:02}"
            at = datetime.now(UTC) - timedelta(days=20, minutes=n)
            known = {"call_id": f"g{n}", "received_at": at.isoformat(), "caller": caller}
            client.post("/v1/score", json=known, headers=clock)
            closed = {"disposition": "genuine", "disposed_at": (at + timedelta(hours=1)).isoformat()}
            client.post(f"/v1/calls/g{n}/disposition", json=closed, headers=clock)
    # As if the release had been served for a month, and had marked them all.
    with sqlite3.connect(tmp_path / "saring.db") as connection:
        connection.execute("UPDATE calls SET silent_band = 'likely_prank'")
        connection.execute("DELETE FROM decisions WHERE kind = 'release'")
        body = json.dumps({"fingerprint": fingerprint, "release": "r"})
        month_ago = int((time.time() - 30 * 86_400) * 1e6)
        connection.execute(
            "INSERT INTO decisions (at_us, who, kind, body) VALUES (?, 'monitor', 'release', ?)", (month_ago, body)
        )
    with serving(tmp_path, acting_release, random_share=0.0) as client:
        give_up = time.monotonic() + 20.0
        while client.get("/v1/operations").json()["switch"]["on"]:
            assert time.monotonic() < give_up
            time.sleep(0.1)
        model = client.get("/v1/model").json()
        assert (model["monitor"]["alarmed"], model["monitor"]["genuine_callers_marked"]) == (True, 12)
        assert model["deferral"] == {"on": False, "off_because": "monitor"}
    with serving(tmp_path, acting_release, random_share=0.0) as client:
        told_as_prank(client)
        assert client.post("/v1/score", json=nuisance("a", expected_wait_s=60.0)).json()["defer_s"] == 0.0
        # A person looks into it and switches it on again: the monitor begins anew.
        client.put("/v1/operations", json={"switch": {"on": True, "reason": "looked into"}})
        assert client.post("/v1/score", json=nuisance("b", expected_wait_s=60.0)).json()["defer_s"] > 0.0


#: By how much the clock of each trunk is ahead.
TRUNKS = {"right": 0.0, "slow": -40.0, "nine minutes ahead": 540.0, "in the year 2000": -26.0 * 365.0 * 86_400.0}


def test_nobody_is_passed_by_a_call_that_came_later_than_the_deferral_allows_whatever_the_trunks_say(busy):
    tolerance_s, now = 60.0, datetime.now(UTC)
    told_as_prank(busy, "+6281234567891", calls=3)
    callers = (NUISANCE, "+6281234567891", None, "+62813000{:05}")
    kept, told = {}, []
    for place in range(300):
        # Told in a mixed order, after an outage; each sender says for how long it has kept the call.
        call_id, trunk = f"c{place}", list(TRUNKS)[place * 7 % 4]
        kept[call_id] = (place * 389) % 840 + 0.5
        received_at = now + timedelta(seconds=TRUNKS[trunk] - kept[call_id])
        caller = callers[place // 4 % 4]
        said = {"call_id": call_id, "received_at": received_at.isoformat(), "centre": trunk, "duration_s": 3.0,
                "caller": caller and caller.format(place), "expected_wait_s": 60.0 + place % 5 * 30.0}  # fmt: skip
        age_s = kept[call_id] + (datetime.now(UTC) - now).total_seconds()
        told.append((trunk, busy.post("/v1/score", json=said, headers={"Saring-Age": f"{age_s:.6f}"}).json()))
    answers = {answer["call_id"]: answer for _, answer in told}
    assert {answer["defer_s"] > 0.0 for _, answer in told} == {True, False}
    assert len({answer["band"] for _, answer in told}) > 1
    for trunk, answer in told:
        off = [warning["field"] for warning in answer["warnings"]]
        assert off == (["received_at"] if abs(TRUNKS[trunk]) > tolerance_s else []), answer["warnings"]
    order = [call["call_id"] for call in busy.get("/v1/queue?limit=1000").json()["calls"] if call["call_id"] in kept]
    assert len(order) == 300
    trunk_of = {answer["call_id"]: trunk for trunk, answer in told}
    for place, call_id in enumerate(order):
        for passing in order[:place]:
            later_s = kept[call_id] - kept[passing]
            slow_s = 40.0 if trunk_of[passing] == "slow" else 0.0
            assert later_s <= answers[call_id]["defer_s"] + slow_s + 0.01, (call_id, passing)
            assert later_s <= 300.0 + slow_s + 0.01
