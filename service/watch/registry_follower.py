"""Starts the registry's mirror (`service.watch.registry_mirror`) beside a service, and again when it ends."""

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from model.errors import RegistryError
from model.release.folder import MANIFEST

#: A first look fetches a release, from another machine perhaps.
PATIENCE_S = 300.0
AGAIN_S = 5.0
STATE = "registry.json"
log = logging.getLogger(__name__)


@contextmanager
def follow_registry(address: str, folder: Path) -> Iterator[Path]:
    """Keep copies of champion and challenger in a folder while the service runs; return the champion's folder.

    The address is one like models:/saring@champion. The copies stay from one start to the next.

    Raises
    ------
    RegistryError
        When there is no champion that can be served, and no copy of an earlier one either.
    """
    command = [sys.executable, "-P", "-m", "service.watch.registry_mirror", address, str(folder)]
    first = subprocess.run([*command, "--once"], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    if first.returncode:
        lines = first.stderr.strip().splitlines()
        why = lines[-1] if lines else f"the look ended with {first.returncode}"
        if not (folder / "champion" / MANIFEST).is_file():
            raise RegistryError(why)
        log.error("the copy that was served last is served again: %s", why)
    left = threading.Event()
    running: list[subprocess.Popen[bytes]] = []

    def keep() -> None:
        while not left.is_set():
            with subprocess.Popen(["nice", "-n", "10", *command], stdin=subprocess.PIPE) as process:
                running[:] = [process]
                status = process.wait()
            if not left.wait(AGAIN_S):
                log.error("the mirror of the registry ended with %s and is started again", status)

    keeper = threading.Thread(target=keep, name="mirror", daemon=True)
    keeper.start()
    try:
        yield folder / "champion"
    finally:
        left.set()
        for process in running:
            process.terminate()
        keeper.join(10.0)


def read_state(folder: Path) -> dict[str, Any] | None:
    """Return what the mirror saw last; None before it did."""
    try:
        found = json.loads((folder / STATE).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
