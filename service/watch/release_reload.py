"""Takes up a new release while the service runs, and keeps the old one on any doubt.

A release folder that is replaced (`saring train --out` swaps it in whole) is noticed by its manifest. It is read and
checked, and scores a call at every stage, before it decides anything; otherwise the log says why and nothing changes.
"""

import asyncio
import logging
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from model.errors import ReleaseError
from model.history.caller_history import VERSION
from model.release.folder import MANIFEST, Release, read_release
from service.scoring.scorer import Scorer

if TYPE_CHECKING:
    from service.intake.intake import Intake

LOOK_S = 2.0
log = logging.getLogger(__name__)


class ReleaseReloader:
    """Follows a release folder; `adopted` is told when another release was taken up."""

    def __init__(self, intake: "Intake", folder: Path, adopted: Callable[[Release], None] = lambda _: None) -> None:
        self._intake, self._folder, self._adopted = intake, folder, adopted
        self._seen = release_digest(folder)
        #: Why the last release that came was not taken up; None when it was.
        self.refused: str | None = None

    async def check(self) -> None:
        """Take up what stands in the folder when it has changed."""
        digest = await asyncio.to_thread(release_digest, self._folder)
        if digest is None or digest == self._seen:
            return
        self._seen = digest
        try:
            release, scorer = await asyncio.to_thread(load_and_check, self._folder, self._intake.release)
        except ReleaseError as error:
            self.refused = str(error)
            log.error("a new release is refused, %s goes on: %s", self._intake.release.name, error)
            return
        self.refused = None
        log.warning("release %s takes over from %s", release.name, self._intake.release.name)
        self._intake.triage.adopt(release, scorer)
        self._adopted(release)


def load_and_check(folder: Path, before: Release) -> tuple[Release, Scorer]:
    """Read a release and try it.

    Raises
    ------
    ReleaseError
        When it cannot be read, does not score, or reads the histories in another way than the one before.
    """
    release = read_release(folder)
    if release.labels != before.labels or release.manifest["history_version"] != VERSION:
        raise ReleaseError(f"{folder}: counts dispositions in another way; stop the service and run saring rebuild")
    scorer = Scorer(release)
    try:
        scorer.warm_up()
    except (ArithmeticError, IndexError, TypeError, ValueError) as error:
        raise ReleaseError(f"{folder}: does not score a call: {error}") from error
    return release, scorer


def release_digest(folder: Path) -> str | None:
    """Return what tells one release of a folder from another; None when there is none."""
    try:
        return sha256((folder / MANIFEST).read_bytes()).hexdigest()
    except OSError:
        return None
