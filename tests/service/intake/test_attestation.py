"""What a forged number can do: little by one silent call, and nothing where the network attests numbers."""

from datetime import UTC, datetime, timedelta

import pytest

from model.calls.call_log import read_calls
from tests.support.call_histories import saring

VICTIM, NUISANCE = "+6281234500001", "+6281234500002"


def at(seconds: float = 0.0) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def ring(client, call_id: str, caller: str, **more) -> dict:
    said = {"call_id": call_id, "received_at": at(), "caller": caller, "line": "mobile", "expected_wait_s": 120.0}
    answer = client.post("/v1/score", json=said | {"duration_s": 3.0, "silence_ratio": 0.3} | more)
    assert answer.status_code == 200, answer.text
    return answer.json()


def close(client, call_id: str, disposition: str, **heard) -> None:
    client.post(f"/v1/calls/{call_id}/ended", json={"ended_at": at(), **heard}).raise_for_status()
    closed = {"disposition": disposition, "disposed_at": at()}
    client.post(f"/v1/calls/{call_id}/disposition", json=closed).raise_for_status()


@pytest.mark.parametrize("heard", [{"duration_s": 4.0, "silence_ratio": 1.0}, {"duration_s": 4.0}, {}])
def test_one_silent_call_in_a_victim_s_number_does_not_end_the_guardrail_of_a_first_call(
    serving, tmp_path, acting_release, heard
):
    with serving(tmp_path, acting_release, random_share=0.0) as client:
        ring(client, "forged", VICTIM)
        close(client, "forged", "silent", **heard)
        answer = ring(client, "victim", VICTIM)
        assert "first_call" in answer["guardrails"]
        assert answer["defer_s"] == 0.0
        ring(client, "talked", NUISANCE)
        close(client, "talked", "prank", duration_s=20.0, silence_ratio=0.2)
        assert "first_call" not in ring(client, "again", NUISANCE)["guardrails"]


def pranks(client, caller: str, name: str, attestation: str | None) -> None:
    for number in range(8):
        ring(client, f"{name} {number}", caller, attestation=attestation)
        close(client, f"{name} {number}", "prank", duration_s=6.0, silence_ratio=0.3)


def test_where_the_network_attests_a_past_that_is_not_attested_puts_nobody_back(serving, tmp_path, acting_release):
    with serving(tmp_path, acting_release, random_share=0.0, network_attests=True) as client:
        pranks(client, VICTIM, "forged", "C")
        pranks(client, NUISANCE, "own", "A")
        victim = ring(client, "victim", VICTIM, attestation="A")
        assert "unattested" in victim["guardrails"]
        assert (victim["defer_s"], victim["band"]) == (0.0, "normal")
        assert ring(client, "nuisance", NUISANCE, attestation="A")["defer_s"] > 0.0
        for attestation in ("B", "failed", None):
            assert ring(client, f"as if {attestation}", NUISANCE, attestation=attestation)["defer_s"] == 0.0
        assert "unattested" in ring(client, "mixed", NUISANCE, attestation="A")["guardrails"]
    (tmp_path / "plain").mkdir()
    with serving(tmp_path / "plain", acting_release, random_share=0.0) as client:  # nobody asked for it
        pranks(client, VICTIM, "forged", "C")
        assert ring(client, "victim", VICTIM, attestation="A")["defer_s"] > 0.0


def test_an_attestation_is_kept_told_again_and_exported_and_one_that_makes_no_sense_is_not_known(
    serving, tmp_path, release_folder
):
    with serving(tmp_path, release_folder) as client:
        for attestation in ("A", "B", "C", "failed", None):
            ring(client, str(attestation), VICTIM, attestation=attestation)
        assert ring(client, "odd", VICTIM, attestation="D")["warnings"][0]["field"] == "attestation"
        ring(client, "A", VICTIM, received_at=client.get("/v1/calls/A").json()["received_at"], duration_s=4.0)
        assert client.get("/v1/calls/A").json()["attestation"] == "A"  # what is not said again stays
    for suffix in ("csv", "parquet"):
        out = tmp_path / f"log.{suffix}"
        status, said = saring("export", "--database", f"sqlite:///{tmp_path / 'saring.db'}", "--out", out)
        assert status == 0, said
        calls = read_calls(out).set_index("call_id")["attestation"]
        assert {name: calls[name] for name in ("A", "B", "C", "failed")} == {n: n for n in ("A", "B", "C", "failed")}
        assert calls[["None", "odd"]].isna().all()
