"""Journal what the store did not take in time, and deliver it to the store again.

Events of a call with pending records, or of another call of its caller, are journaled too, so that they stay in order;
other calls go on as usual. Only while the store fails, or answers nobody in time, does everything go through the
journal. Delivery is at least once: the intake is idempotent, so a repeated event counts once.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json, to_json

from model.errors import StoreError
from service.intake.delivery import RecordDelivery
from service.security.pseudonyms import Pseudonyms
from service.store.journal import Journal
from service.telemetry.logs import RateLimit
from service.telemetry.metrics import Metrics
from service.timestamps import microseconds, rfc3339

if TYPE_CHECKING:
    from service.intake.intake import Intake

#: When so many calls one after another had no answer in time, and for so long none had, the store is taken to be out
#: of reach. A pause of a busy machine is shorter.
FAILURES_IN_A_ROW, FAILING_FOR_S = 20, 1.0
STORE_TIMEOUT_S = 5.0
BACKOFF_S = (0.05, 2.0)
#: So many records are taken from a journal at once, and of so few calls the store is told at once: a call that comes
#: in meanwhile does not wait long for its turn.
BATCH_RECORDS, CONCURRENT_CALLS = 64, 8
_FINAL_KINDS = ("ended", "disposed")
log = logging.getLogger(__name__)


class Redelivery:
    """The journals of a process, and their delivery to the store.

    Parameters
    ----------
    intake : Intake
    pseudonyms : Pseudonyms
    journals : sequence of Journal
        This process's own first, then those orphaned by processes that died. Without one nothing is journaled.
    metrics : Metrics
    """

    def __init__(
        self,
        intake: "Intake",
        pseudonyms: Pseudonyms,
        journals: Sequence[Journal],
        metrics: Metrics,
    ) -> None:
        self.intake, self.metrics = intake, metrics
        self._delivery = RecordDelivery(intake, pseudonyms, metrics, self._is_over)
        self._own_journal = journals[0] if journals else None
        self._orphans_first = (*journals[1:], *journals[:1])
        #: By journal, up to which record the store may have been told: by an earlier process, or in vain.
        self._tried_until = [0] * len(self._orphans_first)
        self._pending_records: Counter[str] = Counter()
        #: By call with a pending score, when it counts as arrived: what is said of it next has the same place.
        self._arrivals: dict[str, int] = {}
        for place, journal in enumerate(self._orphans_first):
            for self._tried_until[place], record in journal.peek(len(journal)):
                self._count_pending(from_json(record), 1)
        self._may_log = RateLimit()
        self._failures = self._appending = 0
        self._last_success_s = 0.0
        #: Whether everything goes through the journal.
        self.store_down = any(len(journal) for journal in journals)
        self._work = asyncio.Event()
        # Also when all is well: a process that died may have told all that its journal held, and not wiped it.
        self._work.set()
        metrics.store_up(up=True)

    def pending(self) -> int:
        """Return the number of records not yet delivered."""
        return self._appending + sum(len(journal) for journal in self._orphans_first)

    def is_drained(self) -> bool:
        """Return whether everything journaled has been delivered."""
        return not self.store_down and not self.pending()

    @property
    def behind(self) -> bool:
        """Whether the store is out of reach, or records are pending."""
        return self.store_down or bool(self._pending_records)

    def must_journal(self, call_id: str, *hashes: bytes | None) -> bool:
        """Return whether an event of a call, or a new call of a caller, has to be journaled to stay in order."""
        if self.store_down or not self._pending_records:
            return self.store_down
        return call_id in self._pending_records or any(
            one.hex() in self._pending_records for one in hashes if one is not None
        )

    def has_pending(self, call_id: str) -> bool:
        """Return whether a call has records that are not yet delivered."""
        return call_id in self._pending_records

    def pending_arrival_us(self, call_id: str) -> int | None:
        """Return when a call whose score is pending counts as arrived; None when none is."""
        return self._arrivals.get(call_id)

    def record_success(self) -> None:
        """Record that the store answered in time."""
        self._failures, self._last_success_s = 0, time.monotonic()

    def record_failure(self, error: Exception) -> str:
        """Record that the store failed or was too slow, and return the reason in one word."""
        slow = isinstance(error, TimeoutError)
        self._failures += 1
        nobody = self._failures >= FAILURES_IN_A_ROW and time.monotonic() - self._last_success_s >= FAILING_FOR_S
        if not self.store_down and (not slow or nobody):
            log.warning("calls are answered without a score: %s", str(error) or "the store answers nobody in time")
            self.store_down = True
        self._work.set()
        return "slow" if slow else "store"

    async def journal(
        self,
        kind: str,
        call_id: str,
        now: datetime,
        said: dict[str, Any],
        more: dict[str, Any],
        within_s: float,
        *,
        tried: bool,
    ) -> bool:
        """Append a request to the journal; False when that failed or took too long.

        Parameters
        ----------
        kind, call_id : str
        now : datetime
        said, more : dict
            The request, and what else is to be known of it.
        within_s : float
        tried : bool
            Whether the store was asked to take it, and may have done so.
        """
        self.intake.board.mark_heard(call_id)
        if self._own_journal is None:
            self.metrics.not_kept()
            return False
        record = {"kind": kind, "call_id": call_id, "at": rfc3339(microseconds(now)), "said": said, **more}
        record |= {"tried": tried, "kept_at": rfc3339(microseconds(datetime.now(UTC)))}
        self._appending += 1
        self._count_pending(record, 1)
        try:
            async with asyncio.timeout(within_s):
                await self._own_journal.append_async(to_json(record, inf_nan_mode="null"))
        except (StoreError, TimeoutError) as error:
            self.metrics.not_kept()
            if self._may_log():
                log.error("neither the store nor the journal took an event: %s", str(error) or "not in time")
            self._count_pending(record, -1)
            return False
        finally:
            self._appending -= 1
            self._work.set()
        self.metrics.journal_kept()
        self.metrics.journal_holds(len(self._own_journal))
        return True

    async def run(self) -> None:
        """Deliver what the journals hold, whenever there is work, until cancelled."""
        pause_s = BACKOFF_S[0]
        while True:
            await self._work.wait()
            try:
                done = await self._redeliver_batch()
            except Exception as error:  # noqa: BLE001 - whatever it is, the journal is told again until it succeeds
                self.metrics.store_up(up=False)
                log.warning("the store is out of reach: %s", str(error) or "not in time")
                await asyncio.sleep(pause_s)
                pause_s = min(2.0 * pause_s, BACKOFF_S[1])
                continue
            pause_s, self.store_down = BACKOFF_S[0], False
            # Looked at once more: something may have been kept while the store was being asked.
            if done and not self._appending and not any(len(journal) for journal in self._orphans_first):
                self._pending_records.clear()
                self._arrivals.clear()
                self._delivery.forget_erased()
                self._work.clear()
                self.metrics.store_up(up=True)
                await self.wipe()

    async def wipe(self) -> None:
        """Wipe delivered records from the journal files, so that an erased caller is gone from them too."""
        for journal in self._orphans_first:
            try:
                await asyncio.to_thread(journal.wipe)
            except StoreError as error:
                log.error("what the journal held of callers may still be read in its file: %s", error)

    async def _redeliver_batch(self) -> bool:
        """Deliver the oldest records of a journal; True when there are none and the store answers."""
        for place, journal in enumerate(self._orphans_first):
            records = journal.peek(BATCH_RECORDS)
            by_call: dict[str, list[dict[str, Any]]] = {}
            for position, record in records:
                told = from_json(record)
                told["tried"] = told.get("tried", True) or position <= self._tried_until[place]
                by_call.setdefault(told["call_id"], []).append(told)
            self._tried_until[place] = max(self._tried_until[place], records[-1][0] if records else 0)
            calls = list(by_call.values())
            async with asyncio.timeout(STORE_TIMEOUT_S):
                for start in range(0, len(calls), CONCURRENT_CALLS):
                    await asyncio.gather(*map(self._delivery.deliver, calls[start : start + CONCURRENT_CALLS]))
            if records:
                await asyncio.to_thread(journal.acknowledge, records[-1][0])
                for of_call in by_call.values():
                    for told in of_call:
                        self._count_pending(told, -1)
                self.metrics.journal_drained(len(records))
                self.metrics.journal_holds(sum(map(len, self._orphans_first)))
                return False
        async with asyncio.timeout(STORE_TIMEOUT_S):
            await self.intake.store.stream_version(b"")
        return True

    def _count_pending(self, record: dict[str, Any], by: int) -> None:
        """Count a pending record, or one delivered, for its call and, with a score, for its caller."""
        arrived_at = record.get("answer", {}).get("arrived_at")
        if arrived_at is not None:
            self._arrivals.setdefault(record["call_id"], microseconds(datetime.fromisoformat(arrived_at)))
        for name in (record["call_id"], record.get("caller")):
            if name is not None:
                self._pending_records[name] += by
                if self._pending_records[name] <= 0:
                    del self._pending_records[name]
                    self._arrivals.pop(name, None)

    def _is_over(self, call_id: str) -> bool:
        """Whether the journals have the end of a call."""
        name = to_json(call_id)
        kept = (record for journal in self._orphans_first for _, record in journal.peek(len(journal)) if name in record)
        over = False
        for told in map(from_json, kept):
            if told["call_id"] == call_id:
                over = told["kind"] in _FINAL_KINDS or (over and told["kind"] != "reopened")
        return over
