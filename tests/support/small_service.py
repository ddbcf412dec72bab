"""A service in the test's own process: its settings, its parts without a server, an application on the real server."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn

from service.server.application import Parts, open_parts
from service.server.process import OPTIONS
from service.settings import Settings
from service.watch.tasks import BackgroundTasks

#: Each request of the client then has a connection of its own.
CLOSING = {"connection": "close"}


def settings_in(folder: Path, release: Path, **changes) -> Settings:
    """Give the settings of a service whose files, a SQLite store among them, are in a folder."""
    chosen = {
        "release": release,
        "database": f"sqlite:///{folder / 'saring.db'}",
        "key_file": folder / "saring.key",
        "journal": folder / "journal",
        "journal_mib": 1,
        "deadline_ms": 10_000,  # two busy cores are no fault of the store
    }
    return Settings(**chosen | changes)


@contextmanager
def beside(
    folder: Path, release: Path, database: str, *, journal: str = "journal beside", **settings: float
) -> Iterator[tuple[Parts, Callable[[], BackgroundTasks]]]:
    """Open the parts of a service and serve nothing; the second makes its background tasks, inside an event loop."""
    chosen = settings_in(folder, release, database=database, journal=folder / journal, **settings)
    with open_parts(chosen) as parts:
        yield parts, lambda: BackgroundTasks(parts.intake, parts.keys, parts.metrics, chosen)


@contextmanager
def running(app: Callable, headers: dict[str, str] = CLOSING, **options: object) -> Iterator[httpx.Client]:
    """Serve an application; `options` are uvicorn's."""
    server = uvicorn.Server(uvicorn.Config(app, **OPTIONS | {"port": 0, "timeout_graceful_shutdown": 1} | options))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        with httpx.Client(base_url=url, timeout=30.0, headers=headers) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


def raw(client: httpx.Client, *parts: bytes, pause_s: float = 0.0, patience_s: float = 10.0) -> bytes:
    """Send bytes as they are, and give all that comes until the service closes or says no more."""
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=patience_s) as connection:
        answered = b""
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause_s)
            while more := connection.recv(65_536):
                answered += more
        except OSError:  # it was closed while there was more to send, or it says no more
            pass
    return answered
