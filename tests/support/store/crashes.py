"""A service that is told of calls from several sides until something breaks, and what must be in its store then."""

import json
import os
import random
import resource
import shutil
import sqlite3
import subprocess
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.call_histories import saring
from tests.support.processes import all_told, until

HOT = "+6281200000000"
SIDES = 4


class Told:
    """What was told of calls: what was acknowledged as durable, and all that was ever tried."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, str, dict[str, Any]]] = []
        self.tried: Counter[tuple[str, str]] = Counter()
        self.refused: list[str] = []
        self.degraded = 0
        self.lost = 0
        self._lock = threading.Lock()

    def grows(self, by: int, seconds: float = 10.0) -> None:
        """Wait until so much more was acknowledged."""
        ends, enough = time.monotonic() + seconds, len(self.kept) + by
        while len(self.kept) < enough and time.monotonic() < ends:
            time.sleep(0.002)

    def fails(self, by: int, seconds: float = 20.0) -> None:
        """Wait until so much more was acknowledged from the journal."""
        ends, enough = time.monotonic() + seconds, self.degraded + by
        while self.degraded < enough and time.monotonic() < ends:
            time.sleep(0.002)

    def tell(self, client: httpx.Client, kind: str, call_id: str, said: dict[str, Any]) -> dict[str, Any] | None:
        """Tell one thing; gives the answer, None when there was none."""
        path = {"score": "/v1/score", "disposed": f"/v1/calls/{call_id}/disposition"}.get(kind)
        with self._lock:
            self.tried[kind, call_id] += 1
        try:
            answer = client.post(path or f"/v1/calls/{call_id}/{kind}", json=said)
        except httpx.HTTPError:
            return None
        found: dict[str, Any] = answer.json()
        with self._lock:
            if answer.status_code == 404 and kind != "score":
                pass  # the score that came before was never answered
            elif answer.status_code == 503:
                self.lost += 1  # nothing was acknowledged, and it says: tell it again
            elif answer.status_code != 200:
                self.refused.append(f"{answer.status_code} {answer.text}")
            elif found["durable"]:
                self.kept.append((kind, call_id, said))
                self.degraded += found["degraded"]
            else:
                self.lost += 1
        return found


def live(client: httpx.Client, told: Told, call_id: str, chance: random.Random) -> bool:
    """Tell the life of one call, some of it twice and some of it changed; False when nobody answered any more."""
    now = datetime.now(UTC)
    caller = chance.choice([HOT, None, f"+62812000001{chance.randrange(40):02}"])
    asked = {"call_id": call_id, "received_at": now.isoformat(), "caller": caller, "x_note": call_id}
    heard = asked | {"duration_s": chance.randrange(20) + 0.5, "silence_ratio": 0.25}
    steps = [("score", asked)]
    steps += [("score", asked)] * chance.randrange(2) + [("score", heard)] * chance.randrange(3)
    if chance.random() < 0.5:
        steps.append(("score", heard | {"silence_ratio": 0.75}))
    if chance.random() < 0.7:
        steps.append(("answered", {"answered_at": (now + timedelta(milliseconds=1)).isoformat()}))
    over = {"ended_at": (now + timedelta(milliseconds=2)).isoformat(), "duration_s": chance.randrange(60) + 0.0}
    steps += [("ended", over)] * (1 + chance.randrange(2))
    for disposition in chance.choice((["prank"], ["prank", "genuine"], ["silent", "silent", "prank", "genuine"])):
        steps.append(("disposed", {"disposition": disposition, "disposed_at": over["ended_at"]}))
    return all(told.tell(client, kind, call_id, said) is not None for kind, said in steps)


@contextmanager
def load(url: str, told: Told, name: str, seed: int) -> Iterator[None]:
    """Tell of calls from several sides at once, as fast as they are answered."""
    stop = threading.Event()

    def tell(side: int) -> None:
        chance = random.Random(f"{seed} {side}")
        with httpx.Client(base_url=url, timeout=20.0) as client:
            number = 0
            while not stop.is_set() and live(client, told, f"{name} {side} {number}", chance):
                number += 1

    threads = [threading.Thread(target=tell, args=(side,)) for side in range(SIDES)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a SQLite file, so that nobody else can write it."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=10.0)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
    finally:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        connection.close()


@contextmanager
def full(disk: Path, process: subprocess.Popen) -> Iterator[None]:
    """Leave no space for a store: on a disk of its own for all, else for one process, by a limit of its files."""
    filler = disk / "filler"
    if os.path.ismount(disk):
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))
    else:
        size = max(path.stat().st_size for path in disk.iterdir())
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (max(size, 2**20), resource.RLIM_INFINITY))
    try:
        yield
    finally:
        filler.unlink(missing_ok=True)
        if process.poll() is None:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[Path]:
    """Give a folder on a small disk of its own where this user may mount one, else an ordinary one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", folder]
    mounted = (
        shutil.which("mount") is not None and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    )
    try:
        yield folder
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def read_only(*paths: Path) -> Iterator[None]:
    """Let nobody write files, not even those who have them open; skips where that cannot be done."""
    done = (
        subprocess.run(["chattr", "+i", *paths], capture_output=True, check=False) if shutil.which("chattr") else None
    )
    if done is None or done.returncode:
        pytest.skip("files can be made read-only for root and for open files only by root, on some file systems")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", *paths], check=True)


def check(database: Path, told: Told) -> None:
    """See that all that was acknowledged is in the store, none of it twice, and that the histories follow from it."""
    assert not told.refused, told.refused[:5]
    with sqlite3.connect(database) as connection:
        connection.row_factory = sqlite3.Row
        said: dict[str, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
        for row in connection.execute("SELECT call_id, kind, body FROM events ORDER BY chain, nth"):
            said[row["call_id"]].append((row["kind"], json.loads(row["body"])))
        closed = dict(connection.execute("SELECT call_id, disposition FROM calls").fetchall())
    last: dict[str, str] = {}
    for kind, call_id, what in told.kept:
        assert has(said[call_id], kind, what), (kind, call_id, what, said[call_id])
        if kind == "disposed":
            last[call_id] = what["disposition"]
    for call_id, events in said.items():
        assert [kind for kind, _ in events].count("received") == 1
        for once in ("answered", "ended"):
            assert [kind for kind, _ in events].count(once) <= 1
        bodies = [json.dumps(body, sort_keys=True) for kind, body in events if kind in ("received", "scored")]
        assert len(set(bodies)) == len(bodies), (call_id, bodies)
        given = [body["disposition"] for kind, body in events if kind == "disposed"]
        assert len(given) <= told.tried["disposed", call_id], (call_id, given)
        assert all(one != other for one, other in pairwise(given)), (call_id, given)
        # What was tried last and not answered may be there, too.
        attempts = told.tried["disposed", call_id] - sum(k == "disposed" and c == call_id for k, c, _ in told.kept)
        assert attempts or closed[call_id] == last.get(call_id), (call_id, closed[call_id], last.get(call_id), events)
    status, proof = saring("rebuild", "--database", f"sqlite:///{database}")
    assert status == 0, proof


def has(events: list[tuple[str, dict[str, Any]]], kind: str, what: dict[str, Any]) -> bool:
    """Whether what was told is among a call's events."""
    if kind == "score":
        asked = {name: value for name, value in what.items() if name not in ("caller", "received_at")}
        return any(body.get("request") == asked for one, body in events if one in ("received", "scored"))
    if kind == "disposed":
        return any(body["disposition"] == what["disposition"] for one, body in events if one == "disposed")
    return any(one == kind for one, _ in events)


def ready(url: str) -> None:
    """Wait until the store was told everything."""
    until(lambda: all_told(url), 40.0)
