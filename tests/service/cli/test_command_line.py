"""What a command is given, and what its child processes take from the folder it was started in."""

import asyncio
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from service.watch import drift_monitor


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a module that tells whoever imports it."""
    (tmp_path / "json.py").write_text("import pathlib\npathlib.Path('imported').touch()\nraise ImportError\n")
    return tmp_path


def test_a_look_for_drift_takes_no_module_from_the_working_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with suppress(ValueError):  # nothing is asked of it
        asyncio.run(drift_monitor._asked_of_another_process(b"{}"))
    assert not (folder / "imported").exists()


def test_following_a_registry_takes_no_module_from_the_working_folder(folder):
    command = [Path(sys.executable).with_name("saring"), "serve", "--registry", "models:/none@champion"]
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=120, check=False)
    assert done.returncode == 1
    assert not (folder / "imported").exists()


def test_the_database_of_every_command_can_stand_in_the_environment(
    tmp_path, release_folder, city, monkeypatch, run_here
):
    from model.calls.call_log import write_log

    monkeypatch.setenv("SARING_DATABASE", "sqlite:///elsewhere.db")
    write_log(city.calls.head(20), tmp_path / "calls.parquet")
    told = run_here("import", "--calls", "calls.parquet", "--release", release_folder)
    assert "20 calls added" in told.stdout
    assert (tmp_path / "elsewhere.db").is_file()


@pytest.mark.parametrize("command", [("keys", "list"), ("rebuild",), ("export", "--out", "x.parquet")])
def test_a_password_on_a_command_line_is_pointed_out(run_here, command):
    done = run_here(*command, "--database", "postgresql://saring:secret@127.0.0.1:9/saring")
    assert "SARING_DATABASE" in done.stderr
    assert "secret" not in done.stdout + done.stderr
