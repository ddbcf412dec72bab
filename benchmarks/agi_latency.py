"""What asking costs a call: dialplans that come 50 a second and run AGI() at ring, beside a server that asks nobody.

python -m benchmarks.agi_latency          some 40 seconds; 99th percentiles in milliseconds
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.ours import READY, command, release
from benchmarks.servers import serving
from service.client import AsyncClient
from service.telephony.asterisk.place_server import PlaceServer

RATE, SECONDS = 50, 15


async def dialplan(port: int, number: int) -> float:
    """Run AGI() as a channel does, and return the milliseconds that it took."""
    started = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    uniqueid = f"{int(time.time())}.{number}"
    said = {
        "network_script": "ring",
        "uniqueid": uniqueid,
        "callerid": f"+6281{number:09}",
        "channel": f"PJSIP/{number}",
    }
    writer.write("".join(f"agi_{name}: {value}\n" for name, value in said.items()).encode() + b"\n")
    while line := await reader.readline():
        writer.write(f"200 result=1 ({uniqueid}|)\n".encode() if line.startswith(b"GET") else b"200 result=1\n")
    writer.close()
    return (time.perf_counter() - started) * 1e3


async def nobody(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a dialplan without asking anybody."""
    await reader.readuntil(b"\n\n")
    writer.write(b"SET VARIABLE QUEUE_PRIO -1\n")
    await reader.readline()
    writer.close()


async def measure(serve: Callable[[], "asyncio.Future[asyncio.Server]"]) -> np.ndarray:
    """Let dialplans come at the rate, whatever becomes of those before."""
    server = await serve()
    port = server.sockets[0].getsockname()[1]
    tasks = []
    start = time.perf_counter()
    for number in range(RATE * SECONDS):
        await asyncio.sleep(max(0.0, start + number / RATE - time.perf_counter()))
        tasks.append(asyncio.create_task(dialplan(port, number)))
    found = np.array(await asyncio.gather(*tasks))
    server.close()
    return found


async def both(url: str) -> tuple[np.ndarray, np.ndarray]:
    """Measure with nobody asked, and with the service."""
    alone = await measure(lambda: asyncio.start_server(nobody, "127.0.0.1", 0))
    client = AsyncClient(url, deadline_s=0.25)
    asked = await measure(lambda: PlaceServer(client).serve("127.0.0.1", 0))
    await client.aclose()
    return alone, asked


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with serving(command(release(folder)), READY, folder) as server:
            alone, asked = asyncio.run(both(f"http://127.0.0.1:{server.port}"))
    for what, found in (("nobody is asked", alone), ("Saring is asked", asked)):
        p50, p99 = np.percentile(found, [50, 99])
        print(f"{what}: p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {found.max():.1f} ms of {len(found)} calls")
    print(f"added at the 99th percentile: {np.percentile(asked, 99) - np.percentile(alone, 99):.1f} ms (10 to reach)")


if __name__ == "__main__":
    sys.exit(main())
