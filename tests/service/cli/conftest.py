"""What the tests of the command share: how it is run in this process, which takes none of the seconds of a start."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from service.cli.main import main


@pytest.fixture
def run_here(monkeypatch, capsys, tmp_path) -> Callable[..., subprocess.CompletedProcess]:
    """A function that runs the command in a folder: as its process would, but in this one."""

    def run_here(*words: object, folder: Path = tmp_path) -> subprocess.CompletedProcess:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setattr(sys, "argv", ["saring", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return subprocess.CompletedProcess(words, ended.value.code or 0, out, err)

    return run_here
