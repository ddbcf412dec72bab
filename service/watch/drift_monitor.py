"""Whether the calls of this service still look like those that its release was made from: looked at once an hour."""

import asyncio
import json
import logging
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from model.release.folder import Release
from service.telemetry.metrics import Metrics
from service.timestamps import microseconds, rfc3339

if TYPE_CHECKING:
    from service.intake.intake import Intake

LOOK_S = 3_600.0
#: A service that has just started has other things to do.
FIRST_S = 60.0
#: A look takes a second or two; one that takes so long is given up.
PATIENCE_S = 300.0
#: So many of what came nearest to its limit, or went beyond it, are told.
SHOWN = 5
log = logging.getLogger(__name__)


class DriftMonitor:
    """Keeps what the last look at a database found; a score that moved voids the certificate until a later look."""

    def __init__(self, intake: "Intake", metrics: Metrics, database: str) -> None:
        self._intake, self._metrics, self._database = intake, metrics, database
        self._found: dict[str, Any] | None = None
        self._at_us = 0

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        await asyncio.sleep(FIRST_S)
        while True:
            try:
                await self.check()
            except (OSError, TimeoutError, ValueError) as error:
                log.warning("drift could not be looked at: %s", error)
            await asyncio.sleep(LOOK_S)

    async def check(self) -> None:
        """Look once.

        Raises
        ------
        OSError, TimeoutError, ValueError
            When it could not be done; what was found before stays.
        """
        release, now_us = self._intake.release, microseconds(datetime.now(UTC))
        if release.profile is None:
            return
        asked = {
            "database": self._database,
            "now_us": now_us,
            "fingerprint": release.profile,
            "scorecards": {stage: card.to_json() for stage, card in release.scorecards.items()},
            "labels": dict(release.labels),
            "time_zone": release.time_zone,
        }
        found = json.loads(await _asked_of_another_process(json.dumps(asked).encode()))
        if self._intake.release is not release:
            return  # another one took over meanwhile
        if found["alarm"] and not (self._found or {}).get("alarm"):
            log.warning("%s", found["sentence"]["en"])
        self._found, self._at_us = found, now_us
        self._intake.gate.drifted = found["of_scores"]
        self._metrics.drift(sum(one["moved"] for one in found["findings"]))

    def on_release_changed(self, _: Release) -> None:
        """Record that another release is served: nothing is known of it yet."""
        self._found, self._at_us = None, 0
        self._metrics.drift(0)

    def document(self) -> dict[str, Any] | None:
        """Return what the last look found; None before there was one."""
        if self._found is None:
            return None
        told = {name: self._found[name] for name in ("calls", "days", "alarm", "sentence")}
        return told | {"at": rfc3339(self._at_us), "measures": self._found["findings"][:SHOWN]}


async def _asked_of_another_process(asked: bytes) -> bytes:
    """Have another process look, on what is left of the processor; the URL, which may hold a password, by its input."""
    process = await asyncio.create_subprocess_exec(
        *("nice", "-n", "10", sys.executable, "-P", "-m", "service.watch.drift_process"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            answer, trouble = await process.communicate(asked)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        last = trouble.decode(errors="replace").strip().rsplit("\n", 1)[-1]
        raise ValueError(last or f"it ended with {process.returncode}")
    return answer
