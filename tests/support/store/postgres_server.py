"""A real PostgreSQL server, from the package pgserver: in a folder of its own, on loopback, gone afterwards."""

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

#: PostgreSQL refuses to run as root; this user is on every machine that has one.
NOBODY = "nobody"
PR_SET_PDEATHSIG = 1
LOGINS = """\
local all all trust
host all guarded 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
"""
#: A commit is written before it is acknowledged, so that it outlives the server, though not the machine.
OPTIONS = {"listen_addresses": "127.0.0.1", "fsync": "off", "max_connections": "200", "deadlock_timeout": "100ms"}


def end_with_parent() -> None:
    """Let a process that is being started end when the tests are killed (on Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)


@contextmanager
def running() -> Iterator["PostgresServer"]:
    """Run a server, and leave nothing of it behind."""
    folder = Path(tempfile.mkdtemp(prefix="saring-pg-"))
    try:
        server = PostgresServer(folder)
        server.start()
        try:
            server.run("postgres", "CREATE ROLE guarded LOGIN SUPERUSER PASSWORD 'right'")
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


class PostgresServer:
    """A server that runs from `start` to `stop`; in between it may be stopped and started at will.

    Its superuser is `postgres`, without a password. The role `guarded` has the password `right`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._as: dict[str, Any] = (
            {"user": NOBODY, "group": pwd.getpwnam(NOBODY).pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
        )
        self._bin = self._programs()
        self._server: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        if self._as:
            shutil.chown(self.folder, NOBODY)
        options = ["-U", "postgres", "-E", "UTF8", "--locale=C", "-A", "trust", "--no-sync"]
        made = self._command("initdb", "-D", str(self.data), *options)
        subprocess.run(made, check=True, capture_output=True, cwd=self.folder, **self._as)
        (self.data / "pg_hba.conf").write_text(LOGINS)
        self._databases = count(1)

    @property
    def data(self) -> Path:
        """Where its files are."""
        return self.folder / "data"

    def url(self, database: str, user: str = "postgres") -> str:
        """Give the URL of a database."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str) -> psycopg.Connection[Any]:
        """Open a session in which every statement stands for itself."""
        return psycopg.connect(self.url(database), autocommit=True)

    def run(self, database: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement in a session of its own, and give its rows."""
        with self.connect(database) as connection:
            found = connection.execute(statement.encode(), values or None)
            return found.fetchall() if found.description else []

    def throw_out(self, database: str) -> None:
        """End every session of a database."""
        sessions = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        self.run("postgres", sessions, database)

    @contextmanager
    def database(self) -> Iterator[str]:
        """Make an empty database, give its URL, and drop it in the end, whoever still uses it."""
        name = f"saring_{next(self._databases)}"
        self.run("postgres", f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            self.run("postgres", f"DROP DATABASE {name} WITH (FORCE)")

    def start(self) -> None:
        """Start, and wait until it answers."""
        options = [part for name, value in OPTIONS.items() for part in ("-c", f"{name}={value}")]
        command = self._command(
            "postgres", "-D", str(self.data), "-p", str(self.port), "-k", str(self.folder), *options
        )
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, preexec_fn=end_with_parent, **self._as
            )
        for _ in range(600):
            try:
                self.run("postgres", "SELECT 1")
            except psycopg.OperationalError:
                assert self._server.poll() is None, (self.folder / "log").read_text()
                time.sleep(0.05)
            else:
                return
        raise TimeoutError((self.folder / "log").read_text())

    def stop(self, how: int = signal.SIGINT) -> None:
        """Stop: SIGINT throws everybody out, SIGQUIT is as if it had crashed."""
        if self._server is not None:
            self._server.send_signal(how)
            self._server.wait(30)
            self._server = None

    def _command(self, program: str, *arguments: str) -> list[str]:
        return [str(self._bin / program), *arguments]

    def _programs(self) -> Path:
        """Give the folder of the programs; a copy when they lie where the server's user may not go."""
        found = find_spec("pgserver")
        assert found is not None
        assert found.origin is not None
        package = Path(found.origin).parent
        programs = package / "pginstall" / "bin"
        try:
            subprocess.run([programs / "postgres", "--version"], check=True, capture_output=True, cwd="/", **self._as)
        except (PermissionError, subprocess.CalledProcessError):
            self.folder.chmod(0o755)
            for name in ("pgserver/pginstall", "pgserver.libs"):
                if (package.parent / name).exists():
                    shutil.copytree(package.parent / name, self.folder / name, symlinks=True)
            return self.folder / "pgserver" / "pginstall" / "bin"
        return programs
