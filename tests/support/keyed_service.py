"""The service as it stands on a network: nobody gets in without a key, and connections have their limits."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import sqlalchemy as sa
import uvicorn
from fastapi import FastAPI

from service.security.api_keys import Role
from service.security.key_store import create_key
from service.server.application import create_app, open_parts
from service.server.process import OPTIONS
from service.settings import Settings

NOBODY = "nobody"
WHOEVER = (NOBODY, *Role)


@dataclass
class Keyed:
    """A running service, a key of each role, and what a test asks it by.

    Parameters
    ----------
    client : httpx.Client
        Without a key.
    app : FastAPI
        Inside of the guard.
    engine : Engine
        Of the store.
    """

    client: httpx.Client
    keys: dict[str, str]
    app: FastAPI
    engine: sa.Engine

    @property
    def port(self) -> int:
        """Where it listens on loopback."""
        assert self.client.base_url.port is not None
        return self.client.base_url.port

    def by(self, who: str) -> dict[str, str]:
        """Give the header of a role; none of nobody."""
        return {} if who == NOBODY else {"Authorization": f"Bearer {self.keys[who]}"}

    def ask(self, who: str, method: str, path: str, **more) -> httpx.Response:
        """Ask with the key of a role."""
        return self.client.request(method, path, headers=self.by(who) | more.pop("headers", {}), **more)

    def head(self, who: str, method: str, path: str, *lines: str) -> bytes:
        """Write the head of a request with the key of a role."""
        first = [f"{method} {path} HTTP/1.1", "Host: localhost"]
        own = [f"{name}: {value}" for name, value in self.by(who).items()]
        return "\r\n".join([*first, *own, *lines, "", ""]).encode("latin-1")

    def raw(self, *parts: bytes, pause_s: float = 0.0, patience_s: float = 10.0) -> bytes:
        """Send bytes as they are, and give all that comes until the service closes or says no more."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=patience_s) as connection:
            answered = b""
            try:
                for part in parts:
                    connection.sendall(part)
                    time.sleep(pause_s)
                while more := connection.recv(65_536):
                    answered += more
            except OSError:  # it was closed while there was more to send
                pass
        return answered


@contextmanager
def keyed(folder: Path, release: Path, **changes) -> Iterator[Keyed]:
    """Run it on loopback, on a SQLite file in a folder."""
    chosen = {
        "release": release,
        "database": f"sqlite:///{folder / 'saring.db'}",
        "key_file": folder / "saring.key",
        "journal": folder / "journal",
        "journal_mib": 1,
        "mode": "board",
        "deadline_ms": 10_000,  # two busy cores are no fault of the store
    }
    settings = Settings(**chosen | changes)
    with open_parts(settings) as parts:
        engine = parts.intake.store.engine
        keys = {role.value: create_key(engine, role.value, role, datetime.now(UTC)) for role in Role}
        guarded = create_app(parts, settings)
        config = uvicorn.Config(guarded, **OPTIONS | {"port": 0, "timeout_graceful_shutdown": 1})
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            port = server.servers[0].sockets[0].getsockname()[1]
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30.0) as client:
                yield Keyed(client, keys, inner(guarded), engine)
        finally:
            server.should_exit = True
            thread.join()


def inner(app: object) -> FastAPI:
    """Give what stands within the layers around an application."""
    while not isinstance(app, FastAPI):
        app = getattr(app, "app", None) or app._app
    return app
