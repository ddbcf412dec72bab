"""A centre: the services of one store, asked over HTTP; each may be stopped, killed and started."""

import http.client
import json
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import psycopg
from psycopg.rows import dict_row

from service.security.key_store import create_key
from service.store.database import connect
from tests.support.processes import CHECKOUT, Process, all_told, stop_all, until
from tests.support.walk.wall_clock import WallClock

PATIENCE_S = 20.0
#: A waiting call of which nothing is heard for so long leaves the queue, and an answered one; and for so long one is
#: kept that an operator has taken who is gone.
WAITING_S, ANSWERED_S, TAKEN_S = 10.0, 60.0, 10.0
OPERATORS = ("rina", "budi", "sari")
#: Looks for bytes in files that a service has open: another process does, whose locks are its own.
SEARCH = """
import sys, pathlib
words = [bytes.fromhex(line) for line in sys.stdin.read().split()]
for path in sys.argv[1:]:
    held = pathlib.Path(path).read_bytes() if pathlib.Path(path).is_file() else b""
    for word in words:
        if word in held:
            print(pathlib.Path(path).name, word.hex())
"""


class Reply(NamedTuple):
    """What a service answered; status 0 when it did not, so that what was asked was done or not."""

    status: int
    said: Any

    @property
    def durable(self) -> bool:
        """Whether it was acknowledged for good."""
        return self.status == 200 and bool(self.said.get("durable", True))


class Centre:
    """One store and its services.

    Parameters
    ----------
    folder : Path
        For the files of the services.
    release : Path
    database : str
        URL of an empty SQLite file or PostgreSQL database.
    count : int
        How many services.
    """

    def __init__(self, folder: Path, release: Path, database: str, count: int) -> None:
        self.folder, self.database, self._release = folder, database, release
        self.file = Path(database.removeprefix("sqlite:///")) if database.startswith("sqlite") else None
        self.clocks = [WallClock(folder / f"clock-of-{number}") for number in range(count)]
        self.processes: list[Process] = []
        self.keys: dict[str, str] = {}
        self._own = threading.local()
        self._lines: list[http.client.HTTPConnection] = []

    @property
    def count(self) -> int:
        """How many services there are."""
        return len(self.clocks)

    def open(self) -> None:
        """Start all services, and make a key for everybody."""
        self.processes = [self._process(number) for number in range(self.count)]
        for process in self.processes:
            process.ready()
        engine, now = connect(self.database), datetime.now(UTC)
        self.keys = {name: create_key(engine, name, "operator", now) for name in OPERATORS}
        self.keys |= {role: create_key(engine, role, role, now) for role in ("intake", "admin")}
        engine.dispose()
        for number in range(self.count):
            until(lambda number=number: self.ask(number, "admin", "GET", "/v1/operations").status == 200)

    def close(self) -> None:
        """Stop every service, whatever state it is in."""
        stop_all(self.processes)
        for line in self._lines:
            line.close()

    def restart(self, number: int, how: int = signal.SIGTERM) -> None:
        """Stop a service, or kill it, and start it again on the same files."""
        self.processes[number].stop(how)
        self.processes[number] = self._process(number).ready()

    def _process(self, number: int) -> Process:
        return Process(
            self.folder,
            f"service {number}",
            self._release,
            self.database,
            environment=self.clocks[number].environment,
            insecure_local=False,
            mode="board",
            random_share=0.0,
            waiting_timeout_s=WAITING_S,
            answered_timeout_s=ANSWERED_S,
            taken_timeout_s=TAKEN_S,
            deadline_ms=4_000,
        )

    def ask(self, number: int, who: str, method: str, path: str, said: dict[str, Any] | None = None) -> Reply:
        """Ask a service with somebody's key, over a connection that this thread keeps."""
        port, lines = self.processes[number].port, self._own.__dict__.setdefault("lines", {})
        if (number, port) not in lines:
            lines[number, port] = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
            self._lines.append(lines[number, port])
        line, sent = lines[number, port], {"Authorization": f"Bearer {self.keys[who]}"}
        body = None if said is None else json.dumps(said)
        for attempt in (1, 2):
            fresh = line.sock is None
            try:
                line.request(method, path, body, sent)
                answer = line.getresponse()
                return Reply(answer.status, json.loads(answer.read()))
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                line.close()  # idle for long, it was hung up: all that is said of a call may be told again
                if fresh or attempt == 2:
                    break
            except (OSError, http.client.HTTPException, ValueError):
                line.close()
                break
        return Reply(0, None)

    def tell(self, number: int, who: str, kind: str, call_id: str, said: dict[str, Any]) -> Reply:
        """Tell something of a call."""
        path = "/v1/score" if kind == "score" else f"/v1/calls/{quote(call_id)}/{kind}"
        return self.ask(number, who, "POST", path, said)

    def queue(self, number: int) -> dict[str, Any] | None:
        """Give what a board shows; None while its service does not answer."""
        reply = self.ask(number, "admin", "GET", "/v1/queue")
        return reply.said if reply.status == 200 else None

    def told(self) -> bool:
        """Say whether every service is ready, and its store was told all that its journal held."""
        return all(all_told(process.url) for process in self.processes)

    def command(self, *words: object) -> subprocess.CompletedProcess[str]:
        """Run a command beside the services."""
        named = ("--database", self.database) if words[:2] != ("keys", "rotate-numbers") else ()
        line = [sys.executable, "-m", "service.cli.main", *map(str, words), *named]
        return subprocess.run(line, cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False)

    def rows(self, statement: str) -> list[dict[str, Any]]:
        """Read from the store itself, in a session that cannot write and leaves a SQLite file as it is."""
        if self.file is None:
            with psycopg.connect(self.database, autocommit=True, row_factory=dict_row) as connection:
                return connection.execute(statement.encode()).fetchall()
        connection = sqlite3.connect(f"file:{self.file}?mode=ro", uri=True, timeout=10.0)
        try:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(statement)]
        finally:
            connection.close()

    def traces(self, words: Sequence[bytes]) -> list[str]:
        """Give where any of these bytes still stand: in journals and files of SQLite, or in PostgreSQL's rows."""
        paths = [str(path) for path in self.folder.glob("journal of */*")]
        if self.file is not None:
            paths += [f"{self.file}{end}" for end in ("", "-wal", "-journal")]
        given = "\n".join(word.hex() for word in words)
        search = [sys.executable, "-c", SEARCH, *paths]
        found = subprocess.run(search, input=given, capture_output=True, text=True, check=True).stdout.splitlines()
        if self.file is None:
            for table in self.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
                for row in self.rows(f"SELECT t::text AS row FROM {table['tablename']} t"):
                    text = row["row"]
                    found += [
                        f"{table['tablename']} {word.hex()}"
                        for word in words
                        if word.hex() in text or (word.isascii() and word.decode() in text)
                    ]
        return found

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the store, so that nothing can be written."""
        if self.file is None:
            with psycopg.connect(self.database) as connection:
                connection.execute("LOCK TABLE calls IN EXCLUSIVE MODE")
                yield
                connection.rollback()
            return
        hold = "import sqlite3,sys; c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)\n"
        hold += "c.execute('BEGIN IMMEDIATE'); print(flush=True); sys.stdin.read()"
        with subprocess.Popen(
            [sys.executable, "-c", hold, self.file], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            yield
