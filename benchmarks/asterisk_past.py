"""Two months of a made-up city as Asterisk would have written them, made a release of by the project's own commands."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from model.simulation.city import simulate

ROOT = Path(__file__).parents[1]
ZONE = "Asia/Jakarta"
DAYS, CALLS, OFTEN = 60, 20_000, 4


class Past(NamedTuple):
    """A release, and numbers of the log that rang most often and were closed as prank each time."""

    release: Path
    pranksters: list[str]


def make_past(folder: Path, database: str) -> Past:
    """Write the logs, import them, train, and load the calls into a service's store."""
    calls = _recent(simulate("metro", 0, calls=CALLS).calls)
    queue_log, records = _queue_log(calls), _records(calls)
    (folder / "past_queue_log").write_text(queue_log)
    records.to_csv(folder / "past_Master.csv", header=False, index=False, quoting=1)
    logs = ["--queue-log", "past_queue_log", "--cdr", "past_Master.csv", "--time-zone", ZONE]
    _saring(folder, "import-asterisk", *logs, "--out", "calls.parquet")
    _saring(folder, "check", "calls.parquet")
    _saring(folder, "train", "--calls", "calls.parquet", "--out", "release")
    _saring(folder, "import", "--calls", "calls.parquet", "--release", "release", "--database", database)
    pranks = calls[calls["disposition"].eq("prank") & calls["caller"].notna()]
    return Past(folder / "release", pranks["caller"].value_counts().index[:OFTEN].tolist())


def _recent(calls: pd.DataFrame) -> pd.DataFrame:
    """Return the last days of a log, moved by whole weeks so that they end within the last one."""
    last = calls["received_at"].max()
    calls = calls[calls["received_at"] > last - pd.Timedelta(days=DAYS)].reset_index(drop=True)
    weeks = (pd.Timestamp.now(tz="UTC") - last).days // 7
    times = calls.select_dtypes("datetimetz").columns
    calls[times] += pd.Timedelta(weeks=weeks)
    return calls[calls["disposed_at"].isna() | (calls["disposed_at"] < pd.Timestamp.now(tz="UTC"))]


def _uniqueids(calls: pd.DataFrame) -> pd.Series:
    return calls["received_at"].map(lambda at: f"{int(at.timestamp())}") + "." + calls.index.astype(str)


def _queue_log(calls: pd.DataFrame) -> str:
    lines: list[tuple[float, str]] = []
    for uniqueid, call in zip(_uniqueids(calls), calls.itertuples(), strict=True):
        came = call.received_at.timestamp()
        entered = came + (call.opening_duration_s if call.opening_duration_s == call.opening_duration_s else 0.0)

        def say(at: float, agent: str, event: str, *values: object, uniqueid: str = uniqueid) -> None:
            lines.append((at, "|".join(map(str, (int(at), uniqueid, "112", agent, event, *values)))))

        say(entered, "NONE", "ENTERQUEUE", "", "" if pd.isna(call.caller) else call.caller, 1)
        ended = came + 30.0 if pd.isna(call.ended_at) else max(entered, call.ended_at.timestamp())
        if pd.isna(call.answered_at):
            say(ended, "NONE", "ABANDON", 1, 1, int(ended - entered))
            continue
        answered = max(entered, call.answered_at.timestamp())
        say(answered, "siti", "CONNECT", int(answered - entered), f"{uniqueid}9", 1)
        who = "COMPLETEAGENT" if call.ended_by == "operator" else "COMPLETECALLER"
        say(max(answered, ended), "siti", who, int(answered - entered), int(max(0.0, ended - answered)), 1)
    return "".join(f"{line}\n" for _, line in sorted(lines, key=lambda pair: pair[0]))


def _records(calls: pd.DataFrame) -> pd.DataFrame:
    local = calls["received_at"].dt.tz_convert(ZONE).dt.strftime("%Y-%m-%d %H:%M:%S")
    ends = calls["disposed_at"].fillna(calls["ended_at"]).dt.tz_convert(ZONE).dt.strftime("%Y-%m-%d %H:%M:%S")
    uniqueids, callers = _uniqueids(calls), calls["caller"].fillna("anonymous")
    closed = calls["disposition"].where(~calls["disposition"].isin(["abandoned", "unanswered"]), "").fillna("")
    columns = {
        "accountcode": "",
        "src": callers,
        "dst": "112",
        "dcontext": "from-trunk",
        "clid": callers,
        "channel": "PJSIP/trunk",
        "dstchannel": "",
        "lastapp": "Queue",
        "lastdata": "112",
        "start": local,
        "answer": local,
        "end": ends,
        "duration": 60,
        "billsec": 60,
        "disposition": "ANSWERED",
        "amaflags": "DOCUMENTATION",
        "uniqueid": uniqueids,
        "userfield": closed,
        "peeraccount": "",
        "linkedid": uniqueids,
        "sequence": 1,
    }
    return pd.DataFrame(columns, index=calls.index)


def _saring(folder: Path, *words: str) -> None:
    line = [sys.executable, "-m", "service.cli.main", *words]
    done = subprocess.run(
        line, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    print(f"$ saring {' '.join(words)}\n{done.stdout.strip()}", flush=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
