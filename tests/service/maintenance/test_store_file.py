"""The file of the store: whoever else opens it, by whatever name, and who may read it."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx

from tests.support.call_histories import read, saring
from tests.support.processes import CHECKOUT, processes, until
from tests.support.store.erasures import OTHER, call, erase, take_place


def test_after_an_erasure_over_http_the_service_keeps_its_store_whoever_else_opens_it(tmp_path, release_folder):
    path = tmp_path / "saring.db"
    command = [sys.executable, "-m", "service.cli.main", "switch", "off", "--reason", "a drill", "--database"]
    with processes(1, tmp_path, release_folder, f"sqlite:///{path}") as (one,):
        with httpx.Client(base_url=one.url, timeout=30.0) as client:
            take_place(client, "mine")
            assert erase(client).status_code == 200
            subprocess.run([*command, f"sqlite:///{path}"], check=True, cwd=CHECKOUT, stdout=subprocess.DEVNULL)
            open_files = [str(file.readlink()) for file in Path(f"/proc/{one.process.pid}/fd").iterdir()]
            assert f"{path}-wal" in open_files
            assert [name for name in open_files if name.endswith("(deleted)")] == []
            until(lambda: not client.get("/v1/operations").json()["switch"]["on"], 2.0)
            told = [f"call {n}" for n in range(100)]
            assert all(client.post("/v1/score", json=call(call_id, OTHER)).json()["durable"] for call_id in told)
        one.stop(signal.SIGKILL)
    kept = {row[0] for row in read(tmp_path, "SELECT call_id FROM calls")}
    assert kept == set(told)


def test_no_process_opens_a_store_past_sqlite_while_it_has_it_open(serving, tmp_path, release_folder):
    """Closing such a file drops every lock that the process has on it."""
    path, opened, over = str(tmp_path / "saring.db"), list[str](), threading.Event()

    def seen(event: str, values: tuple[Any, ...]) -> None:  # it stays until this process ends
        if event == "open" and not over.is_set() and str(values[0]) == path:
            opened.append(path)

    with serving(tmp_path, release_folder) as client:
        sys.addaudithook(seen)
        take_place(client, "mine")
        assert erase(client).status_code == 200
        assert client.get("/metrics").status_code == 200
    over.set()
    assert opened == []


def test_a_file_by_another_name_is_the_same_file(serving, tmp_path, release_folder):
    (tmp_path / "link.db").symlink_to(tmp_path / "saring.db")
    names = [f"sqlite:///{tmp_path / 'link.db'}", f"sqlite:///file:{tmp_path / 'saring.db'}?uri=true"]
    words = ("serve", "--port", 1, "--release", release_folder, "--database")
    own = {"journal": tmp_path / "another", "key_file": tmp_path / "saring.key", "insecure_local": True}
    with serving(tmp_path, release_folder):
        for name in names:
            status, said = saring(*words, name, **own)
            assert status == 1
            assert "is in use by another process" in said or "expected sqlite:///FILE" in said


def test_nobody_else_can_read_the_store_and_what_is_exported(serving, tmp_path, release_folder):
    before = os.umask(0o022)
    try:
        with serving(tmp_path, release_folder) as client:
            take_place(client, "mine")
            made = [path for path in tmp_path.iterdir() if path.name.startswith("saring.db")]
            assert {path.name for path in made} == {"saring.db", "saring.db-wal", "saring.db-shm", "saring.db.lock"}
            for ending in ("csv", "parquet"):
                out, database = tmp_path / f"log.{ending}", f"sqlite:///{tmp_path / 'saring.db'}"
                assert saring("export", "--out", out, "--database", database)[0] == 0
                made += [out, tmp_path / f"log.corrections.{ending}"]
            assert {path.name: oct(path.stat().st_mode & 0o777) for path in made} == {
                path.name: "0o600" for path in made
            }
    finally:
        os.umask(before)
