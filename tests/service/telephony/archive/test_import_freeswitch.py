"""`saring import-freeswitch` on records as FreeSWITCH writes them."""

import json

import pytest
from typer.testing import CliRunner

from model.calls.call_log import read_calls
from model.errors import LogError
from service.cli.main import app

START = 1_717_207_195


def record(uuid: str, **variables: object) -> str:
    start = {"uuid": uuid, "start_uepoch": START * 1_000_000 + 250_000, "end_uepoch": (START + 60) * 1_000_000}
    number = {"caller_id_number": "+6281290000001", "cc_side": "member", "cc_queue": "112@default"}
    profile = {"caller_profile": {"destination_number": "112"}}
    named = {name: str(value) for name, value in (start | number | variables).items()}
    return json.dumps({"variables": named, "callflow": [profile]})


def imported(folder, *more: str):
    words = ["import-freeswitch", "--out", str(folder / "calls.parquet"), *more]
    said = CliRunner().invoke(app, words, catch_exceptions=False).output
    return read_calls(folder / "calls.parquet").set_index("call_id"), said


def test_json_records_tell_of_queue_answer_and_end(tmp_path):
    records = tmp_path / "cdr"
    records.mkdir()
    answered = {"cc_queue_joined_epoch": START + 5, "cc_queue_answered_epoch": START + 20}
    ended = {"cc_queue_terminated_epoch": START + 55, "sip_hangup_disposition": "recv_bye"}
    (records / "a.json").write_text(record("a", **answered, **ended, saring_disposition="prank"))
    (records / "b.json").write_text(record("b", cc_queue_joined_epoch=START + 5, cc_cancel_reason="BREAK_OUT"))
    (records / "c.json").write_text(record("c", cc_queue_joined_epoch=START + 5, cc_cancel_reason="TIMEOUT"))
    (records / "agent.json").write_text(record("d", cc_side="agent"))
    (records / "cut.json").write_text(record("e")[:40])
    calls, said = imported(tmp_path, "--cdr", str(records))
    assert calls.index.tolist() == ["a", "b", "c"]
    assert calls.loc["a", ["duration_s", "opening_duration_s", "ended_by"]].tolist() == [35.0, 4.75, "caller"]
    assert calls["disposition"].tolist() == ["prank", "abandoned", "unanswered"]
    assert "1 line cut, or not of this kind" in said
    assert "1 leg of calls to no queue" in said


def test_a_csv_needs_its_zone_and_says_what_was_guessed(tmp_path):
    row = ["x", "+6281290000001", "112", "public", "2024-06-01 08:59:55", "2024-06-01 09:00:05", "2024-06-01 09:00:40",
           "45", "35", "NORMAL_CLEARING", "a", "b", "acc", "PCMU", "PCMU"]  # fmt: skip
    (tmp_path / "Master.csv").write_text(",".join(f'"{value}"' for value in row) + "\n")
    more = ("--cdr", str(tmp_path / "Master.csv"), "--dialled", "112")
    with pytest.raises(LogError, match="expected --time-zone"):
        imported(tmp_path, *more)
    calls, said = imported(tmp_path, *more, "--time-zone", "Asia/Jakarta")
    assert calls["received_at"].tolist()[0].timestamp() == START
    assert calls["duration_s"].tolist() == [35.0]
    assert "1 call answer: the channel's" in said
