"""Monitors a certificate while it is served: the e-values, the random share and the base rate, from the store.

It looks once a minute at the calls closed as genuine since the release was first served, or since a person switched
deferral on again after an alarm. When the promise has become untenable it pulls the switch, as a person would.
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from model.certification.monitor import Monitor, eligible_calls
from model.release.folder import Release
from service.queue.operations import record_decision
from service.store.tables import calls
from service.telemetry.metrics import Metrics
from service.timestamps import microseconds, rfc3339

if TYPE_CHECKING:
    from service.intake.intake import Intake

LOOK_S = 60.0
MONTH_S = 30 * 86_400.0
#: The base rate is that of the last days, once enough calls were closed.
BASE_DAYS, ENOUGH_CLOSED = 30, 100
#: A flagged call that nobody answered and a genuine one of the same number within an hour are one missed caller.
SAME_CALLER_US = 3_600_000_000
log = logging.getLogger(__name__)


class Genuine(NamedTuple):
    """A call closed as genuine, as the monitor takes it."""

    call_id: str
    received_at_us: int
    disposed_at_us: int
    caller: bytes | None
    flagged: bool
    held_out: bool


class CertificateMonitor:
    """The monitor of the release that is served."""

    def __init__(self, intake: "Intake", metrics: Metrics) -> None:
        self._intake, self._metrics = intake, metrics
        self._monitors = self._new()
        self.since_us = 0
        self.on_release_changed(intake.release)

    def on_release_changed(self, release: Release) -> None:
        """Record the release that is served from now on."""
        self._metrics.certificate(release.certificate.expires_at)
        self._metrics.release(release.name)

    async def check(self) -> None:
        """Take in what became known, and switch deferral off when the promise has become untenable."""
        intake, now = self._intake, datetime.now(UTC)
        fingerprint = intake.release.certificate.fingerprint
        if fingerprint not in intake.operations.releases:
            await self._decide("release", {"fingerprint": fingerprint, "release": intake.release.name})
            intake.operations.releases[fingerprint] = microseconds(now)
        switch = intake.operations.switch
        self.since_us = max(intake.operations.releases[fingerprint], switch.at_us if switch.on else 0)
        labels = [name for name, label in intake.release.labels.items() if label == 0]
        found = await intake.store.in_thread(lambda connection: genuine_calls(connection, labels, self.since_us))
        intake.gate.base_rate = await intake.store.in_thread(
            lambda connection: base_rate(connection, intake.release.labels, now)
        )
        monitors = self._new()
        if monitors:
            for name, chosen in (("all", found), ("random_share", [call for call in found if call.held_out])):
                feed(monitors[name], chosen, self.since_us, microseconds(now))
        self._monitors = monitors
        document = self.document()
        self._metrics.monitor(document["e_value"], document["e_value_random_share"], alarmed=document["alarmed"])
        if document["alarmed"] and switch.on:
            log.error("the monitor switches deferral and flags off: more genuine callers are marked than promised")
            reason = "more genuine callers are marked than the certificate promises"
            await self._decide("switch", {"on": False, "reason": reason})

    def document(self) -> dict[str, Any]:
        """Return what the monitor sees."""
        every, share = self._monitors.get("all"), self._monitors.get("random_share")
        return {
            "e_value": every.e_value() if every else 1.0,
            "e_value_random_share": share.e_value() if share else 1.0,
            "alarm_at": 1.0 / every.delta if every else None,
            "genuine_callers": sum(every.ones) + sum(every.zeros) if every else 0,
            "genuine_callers_marked": sum(every.ones) if every else 0,
            "alarmed": any(monitor.alarmed for monitor in self._monitors.values()) or self._by_monitor(),
            "since": rfc3339(self.since_us) if self.since_us else None,
            "base_rate": self._intake.gate.base_rate,
        }

    def _by_monitor(self) -> bool:
        switch = self._intake.operations.switch
        return not switch.on and switch.who == "monitor"

    def _new(self) -> dict[str, Monitor]:
        """Return monitors that have seen nothing; none for a release that flags nobody."""
        certificate = self._intake.release.certificate
        alphas = [proof.flag.alpha for proof in certificate.stages if proof.flag.threshold is not None]
        if not alphas:
            return {}
        return {name: Monitor(max(alphas), certificate.delta) for name in ("all", "random_share")}

    async def _decide(self, kind: str, body: dict[str, Any]) -> None:
        now_us = microseconds(datetime.now(UTC))
        await self._intake.store.in_thread(
            lambda connection: record_decision(connection, "monitor", kind, body, now_us)
        )


def genuine_calls(connection: Connection, dispositions: Sequence[str], since_us: int) -> list[Genuine]:
    """Read the calls received since a moment and closed as genuine."""
    before = calls.alias("before")
    missed = sa.exists().where(
        before.c.caller == calls.c.caller,
        before.c.received_at_us < calls.c.received_at_us,
        before.c.received_at_us >= calls.c.received_at_us - SAME_CALLER_US,
        before.c.silent_band == "likely_prank",
        before.c.answered_at_us.is_(None),
    )
    query = sa.select(
        calls.c.call_id,
        calls.c.received_at_us,
        calls.c.disposed_at_us,
        calls.c.caller,
        sa.or_(calls.c.silent_band == "likely_prank", missed),
        calls.c.held_out,
    ).where(calls.c.received_at_us >= since_us, calls.c.disposition.in_(dispositions))
    return [Genuine(one[0], one[1], one[2], one[3], bool(one[4]), bool(one[5])) for one in connection.execute(query)]


def feed(monitor: Monitor, found: Sequence[Genuine], since_us: int, now_us: int) -> None:
    """Feed a monitor the callers that it takes, in its order."""
    codes = {caller: code for code, caller in enumerate({call.caller for call in found if call.caller is not None})}
    places = eligible_calls(
        np.array([call.received_at_us / 1e6 for call in found]),
        np.array([call.disposed_at_us / 1e6 for call in found]),
        np.array([-1 if call.caller is None else codes[call.caller] for call in found], dtype=np.int64),
        [call.call_id for call in found],
        now_us / 1e6,
    )
    for place in places:
        month = int((found[place].received_at_us - since_us) / 1e6 // MONTH_S)
        monitor.update(int(found[place].flagged), month)


def base_rate(connection: Connection, labels: Any, now: datetime) -> float | None:
    """Return the share of recently closed calls that were not genuine; None when too few were closed."""
    since_us = microseconds(now - timedelta(days=BASE_DAYS))
    query = (
        sa.select(calls.c.disposition, sa.func.count())
        .where(calls.c.received_at_us >= since_us, calls.c.disposition.in_(list(labels)))
        .group_by(calls.c.disposition)
    )
    counts: dict[str | None, int] = {row[0]: row[1] for row in connection.execute(query)}
    closed = sum(counts.values())
    if closed < ENOUGH_CLOSED:
        return None
    return sum(count for name, count in counts.items() if labels[name or ""] == 1) / closed
