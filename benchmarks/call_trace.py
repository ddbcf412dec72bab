"""One call's walk: the functions of the project that a score enters, in order, as the interpreter sees them.

`python -m benchmarks.call_trace` prints the table of docs/house.md.
"""

import asyncio
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import uvicorn

from benchmarks.ours import release
from service.server.application import create_app, open_parts
from service.server.process import OPTIONS
from service.settings import Settings

ROOT = Path(__file__).parent.parent
ROOMS = ("model", "service")
#: Calls before those that are traced, and of these so many.
WARM, CALLS = 3, 6


class CallTrace:
    """Records which functions of `model` and `service` are entered, in every thread."""

    def __init__(self) -> None:
        #: By file, its functions, both in the order in which they were first entered.
        self.visits: dict[str, dict[str, None]] = {}
        self._on = False

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> None:
        """Record a call; the profile function of every thread."""
        if not self._on or event != "call":
            return
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in ROOMS:
            name = frame.f_code.co_qualname.replace(".<locals>", "")
            if "<" not in name:  # neither a lambda nor a comprehension
                self.visits.setdefault(str(path.relative_to(ROOT)), {}).setdefault(name)

    @contextmanager
    def recording(self) -> Iterator[dict[str, dict[str, None]]]:
        """Record inside the block."""
        self.visits, self._on = {}, True
        try:
            yield self.visits
        finally:
            self._on = False


async def trace(folder: Path, served: Path) -> list[dict[str, dict[str, None]]]:
    """Score some calls over HTTP, one after another, and return what each entered; the service was warm."""
    recorder, traces = CallTrace(), []
    threading.setprofile(recorder)  # of the threads that the store starts
    sys.setprofile(recorder)
    files = {"key_file": folder / "saring.key", "journal": folder / "journal"}
    settings = Settings(
        release=served, database=f"sqlite:///{folder / 'saring.db'}", insecure_local=True, deadline_ms=5_000, **files
    )
    with open_parts(settings) as parts:
        server = uvicorn.Server(uvicorn.Config(create_app(parts, settings), port=0, **OPTIONS))
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            for number in range(WARM + CALLS):
                said = {
                    "call_id": f"c{number}",
                    "received_at": datetime.now(UTC).isoformat(),
                    "caller": "+6281234567890",
                }
                with recorder.recording() as visits:
                    assert not (await client.post("/v1/score", json=said)).json()["degraded"]
                traces.append(visits)
        server.should_exit = True
        await serving
    sys.setprofile(None)
    return traces[WARM:]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        first, *others = asyncio.run(trace(Path(folder), release(Path(folder))))
    # What only some of them entered is of a background task.
    visits = {file: [name for name in names if all(name in other.get(file, ()) for other in others)]
              for file, names in first.items()}  # fmt: skip
    visits = {file: names for file, names in visits.items() if names}
    rooms = {Path(file).parent for file in visits}
    print(f"{len(visits)} files in {len(rooms)} rooms\n\n| | file | functions |\n|---|---|---|")
    for place, (file, names) in enumerate(visits.items(), 1):
        print(f"| {place} | `{file}` | {', '.join(f'`{name}`' for name in names)} |")


if __name__ == "__main__":
    main()
