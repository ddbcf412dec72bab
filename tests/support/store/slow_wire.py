"""A wire between a service and its database that can be cut at the worst moment."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Wire:
    """Passes on what both ends say, until it is told otherwise.

    Parameters
    ----------
    port : int
        Where the database listens, on loopback.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        #: How many commits of events are still to reach the database without any answer coming back.
        self.commits_to_lose = 0
        #: Set while everything passes; cleared, both ends wait for ever, as when a machine stands still.
        self.passes = threading.Event()
        self.passes.set()
        self._ends: list[socket.socket] = [self._listening]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                service, _ = self._listening.accept()
                database = socket.create_connection(("127.0.0.1", self._to))
                self._ends += [service, database]
                lost = threading.Event()
                for one, other, commits in ((service, database, True), (database, service, False)):
                    threading.Thread(target=self._pass_on, args=(one, other, lost, commits), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket, lost: threading.Event, commits: bool) -> None:
        writes = False
        with suppress(OSError):
            while said := one.recv(65_536):
                self.passes.wait()
                writes = writes or b"INSERT INTO events" in said
                if commits and writes and b"COMMIT" in said and self.commits_to_lose > 0:
                    self.commits_to_lose -= 1
                    lost.set()
                elif not commits and lost.is_set():
                    break  # the database has committed, and nobody will know
                other.sendall(said)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """End every connection, and take no more."""
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@contextmanager
def wire(port: int) -> Iterator[Wire]:
    """Lay a wire to a port, and take it away."""
    laid = Wire(port)
    try:
        yield laid
    finally:
        laid.passes.set()
        laid.cut()
