"""Services as they really run: each a process of its own, all on one database, with one key file between them."""

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

import httpx

from service.security.key_store import create_key
from service.store.database import connect
from tests.support.store.postgres_server import end_with_parent

CHECKOUT = Path(__file__).parents[2]


class Process:
    """One service process.

    Parameters
    ----------
    folder : Path
        For the key file that all share, and for its own journal and log.
    name : str
    release : Path, optional
        None when the settings name a registry.
    database : str
    port : int, optional
        A free one by default.
    environment : mapping, optional
        More of its environment than the settings.
    files : int, optional
        How many files it may open.
    certfile, keyfile : str, optional
        For TLS.
    host : str
        The address that it listens on.
    **settings
        As in `service.settings`; the deadline is long unless it is given, since two busy cores are no fault of the
        store.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        release: Path | None,
        database: str,
        port: int | None = None,
        environment: Mapping[str, str] | None = None,
        files: int | None = None,
        certfile: str | None = None,
        keyfile: str | None = None,
        host: str = "127.0.0.1",
        **settings: object,
    ) -> None:
        self.port = port or free_port()
        scheme = "http" if certfile is None else "https"
        self.url, self.log = f"{scheme}://{host}:{self.port}", folder / f"{name}.log"
        chosen = {"deadline_ms": 10_000, "journal_mib": 4, "insecure_local": True} | settings
        own = {"key_file": folder / "saring.key", "journal": folder / f"journal of {name}"}
        named = {f"SARING_{key.upper()}": str(value) for key, value in (own | chosen).items()}
        command = ["serve", "--database", database, "--host", host, "--port", str(self.port)]
        command += ["--release", str(release)] if release is not None else []
        command += ["--certfile", certfile, "--keyfile", str(keyfile)] if certfile is not None else []

        def begin() -> None:
            end_with_parent()
            if files is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "service.cli.main", *command],
                stdout=log,
                stderr=log,
                cwd=CHECKOUT,
                env={**os.environ, **named, **(environment or {})},
                preexec_fn=begin,
            )

    def ready(self) -> Self:
        """Wait until it answers."""
        for _ in range(1_200):
            assert self.process.poll() is None, self.log.read_text()
            try:
                if httpx.get(f"{self.url}/readyz", timeout=5.0, verify=False).status_code == 200:
                    return self
            except httpx.HTTPError:
                pass
            time.sleep(0.05)
        raise TimeoutError(self.log.read_text())

    def stop(self, how: int = signal.SIGTERM) -> int:
        """Stop it, and give its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(30)


@contextmanager
def processes(count: int, folder: Path, release: Path, database: str, **settings: object) -> Iterator[list[Process]]:
    """Run several services on one database, started all at once."""
    started = [Process(folder, f"service {number}", release, database, **settings) for number in range(count)]
    try:
        yield [process.ready() for process in started]
    finally:
        stop_all(started)


def stop_all(started: Sequence[Process]) -> None:
    """Stop processes all at once; one that does not end in time is killed, and fails the test."""
    for process in started:
        process.process.terminate()
    late = []
    for process in started:
        try:
            process.process.wait(30)
        except subprocess.TimeoutExpired:
            process.stop(signal.SIGKILL)
            late.append(process.log)
    assert late == []


class Group(NamedTuple):
    """Services on one database, and the keys with which they may be asked."""

    processes: list[Process]
    database: str
    folder: Path
    keys: dict[str, str]

    def client(self, number: int, role: str = "admin") -> httpx.Client:
        """Give a client of one of them."""
        headers = {"Authorization": f"Bearer {self.keys[role]}"}
        return httpx.Client(base_url=self.processes[number].url, headers=headers, timeout=30.0)


@contextmanager
def group(count: int, folder: Path, release: Path, database: str, **settings: object) -> Iterator[Group]:
    """Run several services on an empty database, and make the keys with which they may be asked."""
    chosen = {"insecure_local": False, "mode": "board", "replay": True} | settings
    with processes(count, folder, release, database, **chosen) as started:
        engine, now = connect(database), datetime.now(UTC)
        keys = {f"operator {n}": create_key(engine, f"operator {n}", "operator", now) for n in range(12)}
        keys |= {role: create_key(engine, role, role, now) for role in ("intake", "admin")}
        engine.dispose()
        found = Group(started, database, folder, keys)
        for number in range(count):
            with found.client(number) as client:
                until(lambda client=client: client.get("/v1/operations").status_code == 200)  # it has read of the keys
        yield found


def free_port() -> int:
    """Give a port on loopback that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def all_told(url: object) -> bool:
    """Say whether a service is there and ready, and its store was told all that the journal held."""
    with suppress(httpx.HTTPError):
        said = httpx.get(f"{str(url).rstrip('/')}/readyz", timeout=10.0)
        return said.status_code == 200 and said.json()["journal"] == 0
    return False


def until(found: Callable[[], Any], patience_s: float = 10.0) -> Any:
    """Ask again and again until there is something, and give it."""
    ends = time.monotonic() + patience_s
    while not (value := found()):
        assert time.monotonic() < ends
        time.sleep(0.02)
    return value
