"""Debian's Kamailio as deploy/kamailio has it, calls from sipp before it, and a far end behind it; and what it costs.

python -m benchmarks.kamailio                 1,000 calls at 50/s beside a proxy that asks nobody, as percentiles
"""

import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path

from benchmarks.browsing import install
from benchmarks.far_end import FarEnd

DEPLOYED = Path(__file__).parents[1] / "deploy" / "kamailio"
PACKAGES = ("kamailio", "kamailio-python3-modules", "kamailio-extra-modules", "sip-tester")
LACKING = f"Kamailio and sipp are needed: install them, such as with `apt-get install {' '.join(PACKAGES)}`"
MODULE = Path("/usr/lib/x86_64-linux-gnu/kamailio/modules/app_python3.so")
#: A call that is hung up as soon as it is answered, with headers that somebody made up; `[field0]` is who calls.
SCENARIO = """<?xml version="1.0" encoding="UTF-8"?>
<scenario name="calls">
<send retrans="500"><![CDATA[
INVITE sip:112@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:[field0]@[local_ip]:[local_port]>;tag=[call_number]
To: <sip:112@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: <sip:caller@[local_ip]:[local_port]>
Max-Forwards: 70
X-Sent: [timestamp]
Call-Info: <http://far.example/a,b.jpg>;purpose=icon, <99>;purpose=emergency-CallSuspicion
CALL-INFO : <98> ; Purpose = "EMERGENCY-callsuspicion"
call-info: <urn:emergency:uid:callid:a1b2c3d4e5:far.example>;purpose=emergency-CallId
X-Saring-Defer: 299
Content-Length: 0

]]></send>
<recv response="100" optional="true"/>
<recv response="200" rrs="true"/>
<send><![CDATA[
ACK [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
[routes]
From: <sip:[field0]@[local_ip]:[local_port]>;tag=[call_number]
To: <sip:112@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 1 ACK
Max-Forwards: 70
Content-Length: 0

]]></send>
<send retrans="500"><![CDATA[
BYE [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
[routes]
From: <sip:[field0]@[local_ip]:[local_port]>;tag=[call_number]
To: <sip:112@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 2 BYE
Max-Forwards: 70
Content-Length: 0

]]></send>
<recv response="200"/>
</scenario>
"""


def installed() -> bool:
    """Say whether Kamailio and sipp are there, after installing Debian's where that may be done."""
    for package in PACKAGES:
        if not (MODULE.exists() and _found("kamailio") and _found("sipp")):
            install(package)
    return MODULE.exists() and bool(_found("kamailio") and _found("sipp"))


def _found(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")


@contextmanager
def proxy(folder: Path, next_hop: int, service: str | None, key: str | None = None) -> Iterator[int]:
    """Run Kamailio as it is deployed, before a far end; give its port. Without a service it asks nobody."""
    port = _free_port()
    asking = folder / "saring.py"
    told = {"http://127.0.0.1:8112": service or "", "/etc/kamailio/saring.key": str(folder / "proxy.key")}
    asking.write_text(_with(told, (DEPLOYED / "saring.py").read_text(encoding="utf-8")), encoding="utf-8")
    (folder / "proxy.key").write_text(key or "", encoding="ascii")
    own = {"listen=LISTEN": f"listen=LISTEN\nlisten=tcp:127.0.0.1:{port}"}
    own |= {"127.0.0.1:5060": f"127.0.0.1:{port}", "127.0.0.1:5080": f"127.0.0.1:{next_hop}"}
    own |= {"/etc/kamailio/saring.py": str(asking)}
    own |= {} if service else {'async_task_route("ASK");': ""}
    configuration = folder / "kamailio.cfg"
    configuration.write_text(_with(own, (DEPLOYED / "kamailio.cfg").read_text(encoding="utf-8")), encoding="utf-8")
    command = [_found("kamailio") or "kamailio", "-DD", "-E", "-f", configuration, "-Y", folder, "-P", folder / "pid"]
    log = folder / "kamailio.log"
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
    try:
        for _ in range(200):
            if process.poll() is not None or answers(port):
                break
        if process.poll() is not None:
            raise RuntimeError(log.read_text(encoding="utf-8", errors="replace"))
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def _with(replaced: dict[str, str], text: str) -> str:
    for told, own in replaced.items():
        if text.count(told) != 1:
            raise ValueError(f"{told} stands {text.count(told)} times in what is deployed")
        text = text.replace(told, own)
    return text


def answers(port: int, patience_s: float = 0.1) -> bool:
    """Ask a proxy whether it lives."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.bind(("127.0.0.1", 0))
        own = asking.getsockname()[1]
        lines = [
            f"OPTIONS sip:127.0.0.1:{port} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{own};branch=z9hG4bK{time.monotonic_ns()}",
            f"From: <sip:asking@127.0.0.1:{own}>;tag=1",
            f"To: <sip:127.0.0.1:{port}>",
            f"Call-ID: {time.monotonic_ns()}",
            "CSeq: 1 OPTIONS",
            "Max-Forwards: 5",
            "Content-Length: 0",
        ]
        asking.settimeout(patience_s)
        asking.sendto("\r\n".join([*lines, "", ""]).encode(), ("127.0.0.1", port))
        try:
            return asking.recv(65_535).startswith(b"SIP/2.0 200")
        except OSError:
            time.sleep(patience_s / 4)
            return False


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def sipp(folder: Path, port: int, callers: list[str], calls: int, rate: int) -> Iterator[subprocess.Popen[bytes]]:
    """Make calls by sipp, so many a second, each by the next caller; at the end of the block all are over."""
    (folder / "calls.xml").write_text(SCENARIO, encoding="utf-8")
    (folder / "callers.csv").write_text("\n".join(["SEQUENTIAL", *callers, ""]), encoding="utf-8")
    told = {"-sf": "calls.xml", "-inf": "callers.csv", "-m": calls, "-r": rate, "-l": calls, "-i": "127.0.0.1"}
    told |= {"-cid_str": f"call-%u-of-{time.monotonic_ns() % 10**6:06d}@far.example", "-timeout": "120s"}
    words = [str(word) for pair in told.items() for word in pair]
    command = [_found("sipp") or "sipp", f"127.0.0.1:{port}", *words, "-nostdin", "-skip_rlimit"]
    log = folder / "sipp.log"
    with log.open("wb") as said:
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=said)
    try:
        yield process
        if process.wait(120) != 0:
            raise RuntimeError(log.read_text(encoding="utf-8", errors="replace"))
    finally:
        process.kill()
        process.wait()


def percentiles(seconds: list[float]) -> str:
    """Write the median, the 99th percentile and the longest in milliseconds."""
    cut = statistics.quantiles(seconds, n=100)
    return f"p50 {cut[49] * 1e3:.2f} ms, p99 {cut[98] * 1e3:.2f} ms, longest {max(seconds) * 1e3:.2f} ms"


def main() -> None:
    """Print what asking costs, at 50 calls a second."""
    from benchmarks.ours import READY, command, release
    from benchmarks.servers import serving

    if not installed():
        raise SystemExit(LACKING)
    callers = [f"+62812900{number:05d}" for number in range(1_000)]
    with tempfile.TemporaryDirectory() as kept, serving(command(release(Path(kept))), READY, Path(kept)) as server:
        for named, url in (
            ("asking nobody", None),
            ("asking Saring", f"http://127.0.0.1:{server.port}"),
            ("asking nobody", None),
        ):
            folder, far = Path(tempfile.mkdtemp(dir=kept)), FarEnd()
            with proxy(folder, far.port, url) as port:
                with sipp(folder, port, callers, 100, 50):
                    pass
                warm = len(far.invites())  # these are not counted
                with sipp(folder, port, callers, 1_000, 50):
                    pass
            took = [request.took_s for request in list(far.invites().values())[warm:]]
            scored = sum(request.suspicion is not None for request in far.invites().values())
            print(f"{named}: {len(took)} calls, {percentiles(took)}; {scored} with a suspicion")
            far.close()
        print(f"Saring itself, asked by HTTP: {percentiles(ask_by_http(server.port))}")


def ask_by_http(port: int, calls: int = 500, rate: int = 50) -> list[float]:
    """Ask a service about so many calls a second, each by a connection of its own; give the seconds that each took."""
    took, start = [], time.monotonic()
    for number in range(calls):
        time.sleep(max(0.0, start + number / rate - time.monotonic()))
        call = {"call_id": f"by http {number}", "received_at": datetime.now(UTC).isoformat(), "caller": "+62812999001"}
        asked_at, connection = time.monotonic(), HTTPConnection("127.0.0.1", port)
        connection.request("POST", "/v1/score", json.dumps(call))
        connection.getresponse().read()
        took.append(time.monotonic() - asked_at)
        connection.close()
    return took


if __name__ == "__main__":
    main()
