"""Keeps copies of the registry's champion and challenger in a folder: a process of its own, beside the ones that serve.

    python -m service.watch.registry_mirror models:/saring@champion FOLDER [--once]

Only this process imports MLflow. It looks every few seconds, fetches what an alias names now, checks its hashes and
lets it score a call; only then does it put it in place of the copy before, whole. Those who serve follow the copies
(`service.watch.release_reload`, `service.watch.shadow`). Whatever is in doubt stays out, and `registry.json` says why.
It ends when whoever started it does: it reads the end of its standard input.
"""

import json
import logging
import os
import select
import shutil
import sys
import tempfile
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from model.errors import ReleaseError, SaringError
from model.release.folder import MANIFEST, copy_release, read_release
from model.release.registry import CHALLENGER, Address, Registry, Version
from service.watch.registry_follower import STATE
from service.watch.release_reload import load_and_check, release_digest

LOOK_S = 3.0

log = logging.getLogger(__name__)


class Mirror:
    """Copies of what the registry's aliases name, in a folder: `champion`, and `challenger` as long as there is one.

    What is served as champion is named by an alias or by the number of a version.
    """

    def __init__(self, registry: Registry, champion: str, folder: Path) -> None:
        self._registry, self._champion, self._folder = registry, champion, folder
        self._refused: dict[str, str] = {}

    def look(self) -> dict[str, Any]:
        """Look once; return what `registry.json` then holds.

        Raises
        ------
        RegistryError, OSError
            When the registry cannot be reached; the copies stay as they are.
        """
        versions = self._registry.versions()
        named = {role: _of(versions, which) for role, which in (("champion", self._champion), (CHALLENGER, CHALLENGER))}
        if named["champion"] is None:
            self._registry.find(self._champion)  # says what there is instead
        state: dict[str, Any] = {"looked_at": datetime.now(UTC).isoformat(timespec="seconds")}
        for role, version in named.items():
            trouble = self._follow(role, version)
            about = None if version is None else {"version": version.number, "release": version.release}
            state[role] = about if about is None else about | {"refused": trouble}
        _write(self._folder / STATE, state)
        return state

    def _follow(self, role: str, version: Version | None) -> str | None:
        """Bring a copy up to date; return why that is not done."""
        copy = self._folder / role
        if version is None:
            if role == CHALLENGER:
                shutil.rmtree(copy, ignore_errors=True)
            return None
        digest = version.tags.get("manifest", "")
        if release_digest(copy) == digest and digest:
            return None
        if f"{version.number} {digest}" in self._refused:
            return self._refused[f"{version.number} {digest}"]
        scratch = Path(tempfile.mkdtemp(prefix=".fetched-", dir=self._folder))
        try:
            fetched = self._registry.fetch(version, scratch)
            if release_digest(fetched) != digest:
                raise ReleaseError(f"{MANIFEST} is not the one that was registered")
            served = self._folder / "champion"
            load_and_check(fetched, read_release(served if (served / MANIFEST).is_file() else fetched))
            copy_release(fetched, copy)
        except SaringError as error:
            trouble = str(error).replace(f"{scratch}/release", f"version {version.number}")
            self._refused[f"{version.number} {digest}"] = trouble
            log.error("the %s of the registry, version %s, is refused: %s", role, version.number, trouble)
            return trouble
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return None


def run(mirror: Mirror) -> None:
    """Look again and again, until standard input ends."""
    while True:
        try:
            mirror.look()
        except (SaringError, OSError) as error:
            log.warning("the registry cannot be looked at, the copies stay as they are: %s", error)
        if select.select([sys.stdin], [], [], LOOK_S)[0] and not os.read(sys.stdin.fileno(), 1):
            return


def _of(versions: list[Version], which: str) -> Version | None:
    return next((one for one in versions if which in one.aliases or which == str(one.number)), None)


def _write(path: Path, document: dict[str, Any]) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(document), encoding="utf-8")
    part.replace(path)


def main(address: str, folder: str, *options: str) -> int:
    """Run this process; return its exit status."""
    logging.basicConfig(level=logging.WARNING, format="saring mirror: %(message)s")
    warnings.simplefilter("ignore")
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    try:
        named = Address.of(address)
        mirror = Mirror(Registry(named.name), named.which, place)
        if "--once" in options:
            found = mirror.look()
            if found["champion"]["refused"]:
                print(f"the champion of the registry is refused: {found['champion']['refused']}", file=sys.stderr)
                return 1
        else:
            run(mirror)
    except (SaringError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
