"""A real Asterisk with a queue of twenty calls, asked and followed by Saring: who is answered when.

    python -m benchmarks.asterisk_queue --prefix /usr          some two minutes; prints what is to be seen

Asterisk (with app_queue, res_agi, func_talkdetect, cdr_csv) is started with a configuration of its own in a temporary
folder. Callers and the one agent are channels of its local driver: half of the callers talk, half are silent. The
service's release and its callers' past are made of two months of logs as Asterisk writes them.

    0. import-asterisk, check, train, import
    1. all of it running                order of service = order of queue keys; talk and silence measured; an operator's
                                        outcome is in the history of the number's next call
    2. the service stopped, and killed  first come, first served
    3. the AGI server killed, too       first come, first served
"""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import httpx

from benchmarks.asterisk_past import Past, make_past
from benchmarks.ours import READY, command
from benchmarks.servers import Server, serving
from service.telephony.archive.past_calls import join_calls
from service.telephony.archive.queue_log import read_queue_log
from service.telephony.asterisk.manager import Manager
from service.telephony.asterisk.place_server import CALL_ID

ROOT = Path(__file__).parents[1]
MANAGER = 5038
NEW = [f"+62813100020{number}" for number in range(6)]
CONFIGURATION = {
    "asterisk.conf": """\
[directories]
astetcdir => {folder}/etc
astmoddir => {prefix}/lib/asterisk/modules
astvarlibdir => {folder}/var
astdbdir => {folder}/var
astkeydir => {folder}/var
astdatadir => {prefix}/var/lib/asterisk
astspooldir => {folder}/spool
astrundir => {folder}/run
astlogdir => {folder}/log
""",
    "modules.conf": "[modules]\nautoload = yes\nnoload = res_rtp_asterisk.so\n",
    "manager.conf": """\
[general]
enabled = yes
port = {manager}
bindaddr = 127.0.0.1
timestampevents = yes
[saring]
secret = secret
read = call,agent,user,dialplan,system
write = call,agent,system,originate,reporting
""",
    "queues.conf": """\
[general]
[112]
strategy = ringall
ringinuse = no
timeout = 20
wrapuptime = 0
member => Local/1@agents/n,0,siti,Local/1@agents
""",
    "extensions.conf": """\
[from-trunk]
exten => 112,1,Gosub(saring,start,1)
 same => n,Answer()
 same => n,Wait(1)
 same => n,Gosub(saring,opening,1)
 same => n,Queue(112)
[callers]
exten => silent,1,Answer()
 same => n,Wait(600)
exten => talking,1,Answer()
 same => n,Milliwatt(o)
[agents]
exten => 1,1,Answer()
 same => n,Wait(2)
 same => n,Hangup()
{saring}
""",
    "cdr.conf": "[general]\nenable = yes\nunanswered = yes\n[csv]\nloguniqueid = yes\nnewcdrcolumns = yes\n",
    "logger.conf": "[general]\nqueue_log = yes\n[logfiles]\nfull => notice,warning,error,verbose(3)\n",
}


class Waiting(NamedTuple):
    """One caller as Asterisk keeps it."""

    call_id: str
    priority: int
    number: str


@contextmanager
def asterisk(prefix: Path, folder: Path, port: int) -> Iterator[None]:
    """Run Asterisk with the configuration above until the end of the block."""
    for name in ("etc", "var", "spool", "run", "log/cdr-csv"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    saring = (ROOT / "deploy" / "asterisk" / "saring.conf").read_text()
    for name, text in CONFIGURATION.items():
        filled = text.format(folder=folder, prefix=prefix, manager=port, saring=saring) if "{" in text else text
        (folder / "etc" / name).write_text(filled)
    process = subprocess.Popen([str(prefix / "sbin" / "asterisk"), "-f", "-C", str(folder / "etc" / "asterisk.conf")])
    try:
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def saring(folder: Path, *words: str) -> Iterator[subprocess.Popen]:
    """Run a command of Saring until the end of the block."""
    environment = os.environ | {"SARING_AMI_SECRET": "secret", "PYTHONPATH": str(ROOT)}
    with (folder / f"{words[1]}.log").open("w") as log:
        line = [sys.executable, "-m", "service.cli.main", *words]
        process = subprocess.Popen(line, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


async def call_in(manager: Manager, pranksters: list[str], count: int, gap_s: float) -> list[Waiting]:
    """Let callers come, one after the other, and read the queue when all have."""
    for number in range(count):
        caller = pranksters[number // 2 % len(pranksters)] if number % 2 else NEW[number // 2 % len(NEW)]
        side = "talking" if number % 4 < 2 else "silent"
        await manager.ask("Originate", Channel=f"Local/{side}@callers/n", Context="from-trunk", Exten="112",
                          Priority="1", CallerID=caller, Async="true", Timeout="600000")  # fmt: skip
        await asyncio.sleep(gap_s)
    await asyncio.sleep(3.0)
    entries = await manager.ask_list("QueueStatus", Queue="112")
    waiting = [entry for entry in entries if entry.get("event") == "QueueEntry"]
    return [Waiting(entry["uniqueid"], int(entry["priority"]), entry["calleridnum"]) for entry in waiting]


async def served(folder: Path, calls: list[str]) -> list[str]:
    """Wait until all of these calls were answered, and give them in the order in which they were."""
    while True:
        events = read_queue_log([folder / "log" / "queue_log"]).events
        answered = [event.uniqueid for event in events if event.event == "CONNECT" and event.uniqueid in calls]
        if len(answered) >= len(calls):
            return answered
        await asyncio.sleep(0.5)


async def one_round(manager: Manager, past: Past, folder: Path, name: str, calls: int) -> None:
    """Fill the queue, empty it, and print in which order."""
    since_us = int(datetime.now(UTC).timestamp()) * 1_000_000
    waiting = await call_in(manager, past.pranksters, calls, 1.1)
    entered = [event.uniqueid for event in read_queue_log([folder / "log" / "queue_log"]).events
               if event.event == "ENTERQUEUE" and event.at_us >= since_us]  # fmt: skip
    answered = await served(folder, entered)
    by_key = [call.call_id for call in sorted(waiting, key=lambda call: (-call.priority, entered.index(call.call_id)))]
    order = [call_id for call_id in answered if call_id in by_key]
    deferred = sum(-call.priority - int(call.call_id.split(".")[0]) > 1 for call in waiting)
    print(f"{name}: {len(entered)} calls, {len(waiting)} waited together, {deferred} of them deferred")
    print(f"  order of service = order of queue keys: {order == by_key}")
    print(f"  order of service = order of coming: {order == [one for one in entered if one in by_key]}", flush=True)


def report(service: httpx.Client, folder: Path) -> None:
    """Print what the service knows of the calls of the first round, beside what an import of the logs says."""
    past = join_calls(read_queue_log([folder / "log" / "queue_log"]).events, [])
    same, seconds, silences = 0, [], {"talking": [], "silent": []}
    for call in past.calls:
        known = service.get(f"/v1/calls/{call.call_id}").json()
        if known.get("duration_s") is not None:
            length = (call.ended_us - call.answered_us) / 1e6 if call.ended_us and call.answered_us else None
            same += known["ended_by"] == call.ended_by
            seconds.append(abs(known["duration_s"] - length) if length is not None else 0.0)
            silences["silent" if known["silence_ratio"] > 0.5 else "talking"].append(known["silence_ratio"])
    print(f"told live and imported: {len(seconds)} calls, who hung up the same in {same}, "
          f"durations apart by {max(seconds, default=0.0):.1f} s at most")  # fmt: skip
    print(f"silence ratios: {[round(one, 2) for one in silences['silent']]} and "
          f"{[round(one, 2) for one in silences['talking']]}")  # fmt: skip


async def outcome(manager: Manager, service: httpx.Client) -> None:
    """Close the first call of a new number as genuine by the manager's event, and let the number ring again."""
    caller = "+628131000999"
    known: list[dict] = []
    for _ in range(2):
        await manager.ask("Originate", Channel="Local/talking@callers/n", Context="from-trunk", Exten="112",
                          Priority="1", CallerID=caller, Async="true", Timeout="600000")  # fmt: skip
        await asyncio.sleep(2.5)
        call_id = (await manager.ask_list("Status", Variables=CALL_ID))[0]["linkedid"]
        await asyncio.sleep(4.0)
        event = {"UserEvent": "SaringDisposition", "CallID": call_id, "Disposition": "genuine", "Category": "fire"}
        await manager.ask("UserEvent", **event)
        await asyncio.sleep(1.0)
        known.append(service.get(f"/v1/calls/{call_id}").json())
    print(f"closed by UserEvent as {known[0]['disposition']}, {known[0]['category']}; "
          f"the next call's history: {known[1]['history']['genuine_ever']:.0f} genuine")  # fmt: skip


async def rounds(manager_port: int, past: Past, service: httpx.Client, folder: Path, server: Server,
                 agi: subprocess.Popen, calls: int) -> None:  # fmt: skip
    """Run every round."""
    await asyncio.sleep(3.0)
    manager = await Manager.connect("127.0.0.1", manager_port, "saring", "secret")
    await one_round(manager, past, folder, "all of it running", calls)
    await asyncio.sleep(5.0)
    report(service, folder)
    await outcome(manager, service)
    os.killpg(server.group, signal.SIGSTOP)
    await one_round(manager, past, folder, "the service hangs", calls // 2)
    os.killpg(server.group, signal.SIGKILL)
    await one_round(manager, past, folder, "the service killed", calls // 2)
    agi.kill()
    await one_round(manager, past, folder, "the AGI server killed, too", calls // 2)
    await manager.close()


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--prefix", type=Path, default=Path("/usr"), help="where Asterisk was installed")
    words.add_argument("--calls", type=int, default=20)
    chosen = words.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, settings = Path(name), {"SARING_RANDOM_SHARE": "0"}
        past = make_past(folder, "sqlite:///bench.db")
        with (
            serving(command(past.release), READY, folder, settings) as server,
            asterisk(chosen.prefix, folder, MANAGER),
            httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as service,
        ):
            staff = {"operators": 1, "mean_handling_s": 60}
            service.put("/v1/operations", json=staff).raise_for_status()
            there = ("--manager", f"saring@127.0.0.1:{MANAGER}", "--url", f"http://127.0.0.1:{server.port}")
            with (
                saring(folder, "asterisk", "agi", *there) as agi,
                saring(folder, "asterisk", "events", *there, "--outbox", str(folder / "outbox")),
            ):
                asyncio.run(rounds(MANAGER, past, service, folder, server, agi, chosen.calls))


if __name__ == "__main__":
    main()
