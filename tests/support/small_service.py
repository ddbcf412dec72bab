"""An application on the service's own server, on loopback, in a thread of the test's own process."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import uvicorn

from service.server.process import OPTIONS

#: Each request of the client then has a connection of its own.
CLOSING = {"connection": "close"}


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


def raw(client: httpx.Client, data: bytes, stay_s: float = 0.0) -> bytes:
    """Send bytes as they are and hang up; the answer is what came within `stay_s` seconds."""
    with socket.create_connection((client.base_url.host, client.base_url.port)) as connection:
        connection.sendall(data)
        connection.settimeout(stay_s or 0.2)
        try:
            return connection.recv(65_536)
        except TimeoutError:
            return b""
