"""A real Chromium for the tests and pictures of the console: found, or Debian's package installed where that may be."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LACKING = "the tests of the console need Chromium: install it, such as with `apt-get install chromium`"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> str:
    """Return the path of a Chromium, installing Debian's as root when there is none.

    Raises
    ------
    RuntimeError
        When there is none and none can be installed; it says what to do.
    """
    found = _found()
    if found is None:
        install("chromium")
        found = _found()
    if found is None:
        raise RuntimeError(LACKING)
    return found


def install(package: str) -> None:
    """Install a package of Debian's where that may be done: as root, and where there is apt-get."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": False}
    silent = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-q"], env=silent, timeout=300, **quiet)
    command = ["apt-get", "install", "-q", "-y", "--no-install-recommends", package]
    subprocess.run(command, env=silent, timeout=900, **quiet)


@contextmanager
def browser() -> Iterator[Browser]:
    """Run a Chromium without a window."""
    path = chromium()
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield running
        finally:
            running.close()


def _found() -> str | None:
    given = os.environ.get("CHROMIUM")
    if given and Path(given).is_file():
        return given
    return next((path for path in map(shutil.which, NAMES) if path), None)
