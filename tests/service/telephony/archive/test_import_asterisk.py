"""`saring import-asterisk` on logs as Asterisk writes them: each call once, and an account of the rest."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from typer.testing import CliRunner

from model.calls.call_log import read_calls
from model.errors import LogError, SaringError
from service.cli.main import app
from service.telephony.archive.cdr import FIELDS, read_cdr
from service.telephony.archive.queue_log import read_queue_log

QUEUE_LOG = """\
1717207200|1717207195.1|112|NONE|ENTERQUEUE||081290000001|1
1717207205|1717207195.1|112|PJSIP/op1|CONNECT|5|1717207201.2|3
1717207240|1717207195.1|112|PJSIP/op1|COMPLETECALLER|5|35|1
1717207300|1717207290.3|112|NONE|ENTERQUEUE|||1
1717207330|1717207290.3|112|NONE|ABANDON|1|1|30
1717207400|1717207395.5|112|NONE|ENTERQUEUE||081290000002|1
1717207410|1717207395.5|112|NONE|EXITWITHTIMEOUT|1|1|10
1717207411|1717207395.5|fire|NONE|ENTERQUEUE||081290000002|1
1717207420|1717207395.5|fire|PJSIP/op2|CONNECT|9|1717207412.6|4
1717207450|1717207395.5|fire|PJSIP/op2|BLINDTRANSFER|700|internal|9|30|1
1717207440|NONE|NONE|PJSIP/op1|PAUSE|lunch
1717207500|1717207000.9|112|PJSIP/op1|COMPLETEAGENT|5|400|1
1717207600|171720759
"""
LEGS = [
    ("1717207195.1", "081290000001", "112", "Queue", "112", "08:59:55", "08:59:56", "09:00:40", "44", "PRANK"),
    ("1717207290.3", "anonymous", "112", "Queue", "112", "09:01:30", "09:01:31", "09:02:10", "39", ""),
    ("1717207395.5", "081290000002", "112", "Queue", "fire", "09:03:15", "09:03:16", "09:04:10", "54", "E7"),
    ("1717207395.5", "081290000002", "700", "Dial", "chief", "09:04:10", "09:04:12", "09:06:10", "118", ""),
    ("1717207450.9", "101", "102", "Dial", "b", "09:04:10", "09:04:12", "09:06:10", "118", ""),
]


def fields(leg: tuple[str, ...]) -> dict[str, str]:
    uniqueid, src, dst, lastapp, lastdata, start, answer, end, billsec, userfield = leg
    times = {name: f"2024-06-01 {at}" for name, at in (("start", start), ("answer", answer), ("end", end))}
    return dict.fromkeys(FIELDS, "") | times | {
        "uniqueid": uniqueid, "linkedid": uniqueid, "src": src, "dst": dst, "lastapp": lastapp, "lastdata": lastdata,
        "billsec": billsec, "userfield": userfield, "disposition": "ANSWERED", "amaflags": "DOCUMENTATION",
        "clid": f'"{src}" <{src}>',
    }  # fmt: skip


def run_here(*words: str) -> str:
    return CliRunner().invoke(app, words, catch_exceptions=False).output


def records(names: tuple[str, ...]) -> str:
    rows = pd.DataFrame([fields(leg) for leg in LEGS])[list(names)]
    return rows.to_csv(header=False, index=False, quoting=1)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    (tmp_path / "queue_log").write_text(QUEUE_LOG + "1717207600|1717207595.7|112|NONE|ENTERQUEUE||0812")
    (tmp_path / "Master.csv").write_text(records(FIELDS))
    (tmp_path / "map.toml").write_text('[values.disposition]\nE7 = "genuine"\n[values.category]\nE7 = "fire"\n')
    return tmp_path


def imported(folder: Path, *more: str) -> tuple[pd.DataFrame, str]:
    out = folder / "calls.parquet"
    words = ["--time-zone", "Asia/Jakarta", "--map", str(folder / "map.toml"), "--out", str(out), *more]
    said = run_here("import-asterisk", *words)
    return read_calls(out, now=datetime.now(UTC)).set_index("call_id"), said


def test_each_call_is_there_once_and_the_rest_is_accounted_for(logs):
    calls, said = imported(logs, "--queue-log", str(logs / "queue_log"), "--cdr", str(logs / "Master.csv"))
    assert calls.index.tolist() == ["1717207195.1", "1717207290.3", "1717207395.5"]
    assert calls["received_at"].tolist() == [
        pd.Timestamp(at, unit="s", tz="UTC") for at in (1717207195, 1717207290, 1717207395)
    ]
    assert calls["disposition"].tolist() == ["prank", "abandoned", "genuine"]
    assert calls["category"].tolist()[2] == "fire"
    assert calls["ended_by"].tolist()[:2] == ["caller", "caller"]
    assert calls["duration_s"].tolist()[0] == 35.0
    # The transfer's conversation goes on until the last leg ends.
    assert calls["duration_s"].tolist()[2] == 150.0
    assert calls["x_transferred"].tolist() == [False, False, True]
    assert "1 call in a queue before the log began" in said
    assert "2 lines cut, or not of this kind" in said
    assert "1 leg of calls to no queue that was asked for" in said
    assert "0812" not in said


def test_without_records_calls_are_the_same_but_for_what_only_these_say(logs):
    both, _ = imported(logs, "--queue-log", str(logs / "queue_log"), "--cdr", str(logs / "Master.csv"))
    alone, _ = imported(logs, "--queue-log", str(logs / "queue_log"))
    same = ["received_at", "answered_at", "ended_by", "queue", "opening_duration_s"]
    pd.testing.assert_frame_equal(both[same], alone[same])
    assert alone["disposition"].fillna("").tolist() == ["", "abandoned", ""]


@pytest.mark.parametrize(
    "names",
    [
        FIELDS,
        FIELDS[:18],
        FIELDS[:17],
        (*FIELDS[:17], *FIELDS[18:]),
        ("clid", "src", "dst", "dcontext", "channel", "dstchannel", "lastapp", "lastdata", "start", "answer", "end",
         "duration", "billsec", "disposition", "amaflags", "accountcode", "uniqueid", "userfield", "sequence"),
    ],
    ids=["new columns", "uniqueid and userfield", "uniqueid", "no userfield", "cdr_custom"],
)  # fmt: skip
def test_the_orders_that_asterisk_writes_are_recognised(tmp_path, names):
    (tmp_path / "Master.csv").write_text(records(names))
    found = read_cdr([tmp_path / "Master.csv"], ZoneInfo("Asia/Jakarta"))
    assert [(leg.uniqueid, leg.src, leg.start_us, leg.billsec) for leg in found.legs] == [
        (leg[0], leg[1], pd.Timestamp(f"2024-06-01 {leg[5]}", tz="Asia/Jakarta").value // 1_000, float(leg[8]))
        for leg in LEGS
    ]
    assert found.broken == []


def test_a_header_and_named_columns_are_read_and_an_unknown_order_is_refused(tmp_path):
    header = tmp_path / "header.csv"
    header.write_text("calldate,src,dst,uniqueid\n2024-06-01 09:00:00,0812,112,1717207200.1\n")
    assert read_cdr([header], ZoneInfo("Asia/Jakarta")).legs[0].dst == "112"
    odd = tmp_path / "odd.csv"
    odd.write_text("2024-06-01 09:00:00,0812,112,1717207200.1\n")
    with pytest.raises(LogError, match="the order of its 4 columns is not known"):
        read_cdr([odd], ZoneInfo("Asia/Jakarta"))
    named = read_cdr([odd], ZoneInfo("Asia/Jakarta"), ("start", "src", "dst", "uniqueid"))
    assert named.legs[0].start_us == 1717207200_000_000


def test_the_hour_that_comes_twice_is_told_by_the_uniqueid(tmp_path):
    first = int(datetime(2024, 10, 27, 0, 30, tzinfo=UTC).timestamp())  # 02:30 in Berlin, and again an hour later
    rows = [fields(LEGS[0]) | {"uniqueid": f"{at}.1", "start": "2024-10-27 02:30:00"} for at in (first, first + 3600)]
    pd.DataFrame(rows).to_csv(tmp_path / "Master.csv", header=False, index=False, quoting=1)
    found = read_cdr([tmp_path / "Master.csv"], ZoneInfo("Europe/Berlin"))
    assert [leg.start_us for leg in found.legs] == [first * 1_000_000, (first + 3600) * 1_000_000]
    assert found.wrong_hours == 0.0


def test_a_wrong_zone_is_told(logs):
    with pytest.raises(SaringError, match=r"the records start \+7 h apart"):
        run_here(
            "import-asterisk", "--cdr", str(logs / "Master.csv"), "--time-zone", "UTC", "--out", str(logs / "x.csv")
        )
    assert not (logs / "x.csv").exists()


def test_a_table_of_records_gives_the_same_calls(logs):
    with sqlite3.connect(logs / "asterisk.db") as database:
        pd.DataFrame([fields(leg) for leg in LEGS]).rename(columns={"start": "calldate"}).to_sql("cdr", database)
    by_file, _ = imported(logs, "--cdr", str(logs / "Master.csv"))
    by_table, _ = imported(logs, "--cdr", f"sqlite:///{logs / 'asterisk.db'}")
    pd.testing.assert_frame_equal(by_file, by_table)


def test_what_is_no_queue_log_is_refused(tmp_path):
    (tmp_path / "queue_log").write_text("call_id,received_at\na,b\n")
    with pytest.raises(LogError, match="holds no line of a queue_log"):
        read_queue_log([tmp_path / "queue_log"])
