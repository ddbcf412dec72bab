"""What was said while the store did not answer in time: kept in the journal, and told to the store again.

What is said of a call that the journal holds, or of another call of its caller, goes to the journal too, so that
nothing overtakes what was said before; the other calls go on. Only while the store fails, or answers nobody in time,
does everything go through the journal. Telling twice does no harm: the intake counts the same thing once.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic_core import from_json, to_json

from model.errors import StoreError
from service.contract.problems import Problem, Unknown
from service.contract.requests import Answered, Body, Disposition, Ended, Reopen, ScoreRequest
from service.intake.history_cache import NO_OTHERS
from service.intake.intake import Intake
from service.intake.rekeying import gathered
from service.security.pseudonyms import Pseudonyms
from service.security.tombstones import erased_at_us
from service.store.journal import Journal
from service.store.records import Teller
from service.telemetry.logs import Seldom
from service.telemetry.metrics import Metrics
from service.timestamps import microseconds, rfc3339

#: When so many calls one after another had no answer in time, and for so long none had, the store is taken to be out
#: of reach. A pause of a busy machine is shorter.
MISSED, MISSED_S = 20, 1.0
PATIENCE_S = 5.0
PAUSES_S = (0.05, 2.0)
#: So many records are taken from a journal at once, and of so few calls the store is told at once: a call that comes
#: in meanwhile does not wait long for its turn.
AT_ONCE, CALLS_AT_ONCE = 64, 8
#: A call of which nothing more was said for so long waits no more.
LONGEST_WAIT = timedelta(hours=1)
_LAST = ("ended", "disposed")
_EVENTS: dict[str, type[Body]] = {"answered": Answered, "ended": Ended, "disposed": Disposition, "reopened": Reopen}
#: What a request says that does not stand in its event.
_NOT_KEPT = ("received_at", "confirm", "answered_at")
log = logging.getLogger(__name__)


class Retelling:
    """The journals of a process, and the way from them to the store.

    Parameters
    ----------
    intake : Intake
    pseudonyms : Pseudonyms
    journals : sequence of Journal
        This process's own first, then what processes that died have left. Without one nothing is kept.
    metrics : Metrics
    tell : callable
        Tells the intake of an event of a known call: kind, call_id, request, now, and whose key told of it.
    """

    def __init__(
        self,
        intake: Intake,
        pseudonyms: Pseudonyms,
        journals: Sequence[Journal],
        metrics: Metrics,
        tell: Callable[[str, str, Any, datetime, Teller], Awaitable[Any]],
    ) -> None:
        self.intake, self.pseudonyms, self.metrics, self._tell = intake, pseudonyms, metrics, tell
        self._own = journals[0] if journals else None
        self._left_first = (*journals[1:], *journals[:1])
        #: By journal, up to which record the store may have been told: by an earlier process, or in vain.
        self._asked = [0] * len(self._left_first)
        self._held: Counter[str] = Counter()
        for place, journal in enumerate(self._left_first):
            for self._asked[place], record in journal.first(len(journal)):
                self._hold(from_json(record), 1)
        #: Calls that were dropped, since their caller was erased after they were kept.
        self._erased: set[str] = set()
        self._may_log = Seldom()
        self._missed = self._keeping = 0
        self._well_at_s = 0.0
        #: Whether everything goes through the journal.
        self.down = any(len(journal) for journal in journals)
        self._trouble = asyncio.Event()
        # Also when all is well: a process that died may have told all that its journal held, and not wiped it.
        self._trouble.set()
        metrics.store_is(up=True)

    def left(self) -> int:
        """Give how many records the store has not been told yet."""
        return self._keeping + sum(len(journal) for journal in self._left_first)

    def all_told(self) -> bool:
        """Say whether the store was told all that was ever kept."""
        return not self.down and not self.left()

    @property
    def behind(self) -> bool:
        """Whether the store is out of reach, or has not been told everything yet."""
        return self.down or bool(self._held)

    def takes(self, call_id: str, *hashes: bytes | None) -> bool:
        """Say whether what is said of a call, or a new call of a caller, has to go through the journal."""
        if self.down or not self._held:
            return self.down
        return call_id in self._held or any(one.hex() in self._held for one in hashes if one is not None)

    def holds(self, call_id: str) -> bool:
        """Say whether something that was said of a call still has to be told."""
        return call_id in self._held

    def went_well(self) -> None:
        """Take note that the store did its part in time."""
        self._missed, self._well_at_s = 0, time.monotonic()

    def failed(self, error: Exception) -> str:
        """Take note that the store did not do its part, and say why in a word."""
        slow = isinstance(error, TimeoutError)
        self._missed += 1
        nobody = self._missed >= MISSED and time.monotonic() - self._well_at_s >= MISSED_S
        if not self.down and (not slow or nobody):
            log.warning("calls are answered without a score: %s", str(error) or "the store answers nobody in time")
            self.down = True
        self._trouble.set()
        return "slow" if slow else "store"

    async def keep(
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
        """Keep what was said in the journal; False when that did not succeed in time.

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
        self.intake.board.hear(call_id)
        if self._own is None:
            self.metrics.not_kept()
            return False
        record = {"kind": kind, "call_id": call_id, "at": rfc3339(microseconds(now)), "said": said, **more}
        record |= {"tried": tried, "kept_at": rfc3339(microseconds(datetime.now(UTC)))}
        self._keeping += 1
        self._hold(record, 1)
        try:
            async with asyncio.timeout(within_s):
                await self._own.keep(to_json(record, inf_nan_mode="null"))
        except (StoreError, TimeoutError) as error:
            self.metrics.not_kept()
            if self._may_log():
                log.error("neither the store nor the journal took an event: %s", str(error) or "not in time")
            self._hold(record, -1)
            return False
        finally:
            self._keeping -= 1
            self._trouble.set()
        self.metrics.journal_kept()
        self.metrics.journal_holds(len(self._own))
        return True

    async def run(self) -> None:
        """Tell the store what the journals hold, whenever there was trouble, until cancelled."""
        pause_s = PAUSES_S[0]
        while True:
            await self._trouble.wait()
            try:
                done = await self._some()
            except Exception as error:  # noqa: BLE001 - whatever it is, the journal is told again until it succeeds
                self.metrics.store_is(up=False)
                log.warning("the store is out of reach: %s", str(error) or "not in time")
                await asyncio.sleep(pause_s)
                pause_s = min(2.0 * pause_s, PAUSES_S[1])
                continue
            pause_s, self.down = PAUSES_S[0], False
            # Looked at once more: something may have been kept while the store was being asked.
            if done and not self._keeping and not any(len(journal) for journal in self._left_first):
                self._held.clear()
                self._erased.clear()
                self._trouble.clear()
                self.metrics.store_is(up=True)
                await self.wipe()

    async def wipe(self) -> None:
        """Leave nothing in the journals of what the store was told; whoever is erased there must be gone here, too."""
        for journal in self._left_first:
            try:
                await asyncio.to_thread(journal.wipe)
            except StoreError as error:
                log.error("what the journal held of callers may still be read in its file: %s", error)

    async def _some(self) -> bool:
        """Tell the store the oldest records of a journal; True when there are none and the store answers."""
        for place, journal in enumerate(self._left_first):
            records = journal.first(AT_ONCE)
            by_call: dict[str, list[dict[str, Any]]] = {}
            for position, record in records:
                told = from_json(record)
                told["tried"] = told.get("tried", True) or position <= self._asked[place]
                by_call.setdefault(told["call_id"], []).append(told)
            self._asked[place] = max(self._asked[place], records[-1][0] if records else 0)
            calls = list(by_call.values())
            async with asyncio.timeout(PATIENCE_S):
                for start in range(0, len(calls), CALLS_AT_ONCE):
                    await asyncio.gather(*map(self._retell_all, calls[start : start + CALLS_AT_ONCE]))
            if records:
                await asyncio.to_thread(journal.taken, records[-1][0])
                for of_call in by_call.values():
                    for told in of_call:
                        self._hold(told, -1)
                self.metrics.journal_drained(len(records))
                self.metrics.journal_holds(sum(map(len, self._left_first)))
                return False
        async with asyncio.timeout(PATIENCE_S):
            await self.intake.store.length(b"")
        return True

    def _hold(self, record: dict[str, Any], by: int) -> None:
        """Count a record that waits (or waits no longer) for its call and, with a score, for its caller."""
        for name in (record["call_id"], record.get("caller")):
            if name is not None:
                self._held[name] += by
                if self._held[name] <= 0:
                    del self._held[name]

    async def _retell_all(self, records: Sequence[dict[str, Any]]) -> None:
        """Tell what was said of one call, in its order."""
        for record in records:
            await self._retell(record)

    async def _was_told(self, record: dict[str, Any], now_us: int, at_us: int) -> bool:
        """Whether the store was told this very record before, or a later disposition of the same call.

        The process died, or the store failed, before the journal took note. To tell it once more would be a change.
        """
        try:
            call = await self.intake.find(record["call_id"])
        except Unknown:
            return False
        if call.changed_at_us < now_us:
            return False
        kind, said = record["kind"], {name: value for name, value in record["said"].items() if name not in _NOT_KEPT}
        body = said if kind != "score" else {"request": said, "answer": record["answer"] | {"durable": True}}
        told = any(
            (one["recorded_at_us"] == at_us and body.items() <= one["body"].items())
            # The same disposition twice left nothing the second time; told again, it would undo what came after it.
            or (kind == "disposed" and one["kind"] in ("disposed", "reopened") and one["recorded_at_us"] > at_us)
            for one in await self.intake.store.said(call)
        )
        if told:  # the call may have been read before it was
            self.intake.known.forget(call.call_id, call.chain)
            self.intake.show(await self.intake.find(call.call_id))
        return told

    async def _was_erased(self, record: dict[str, Any]) -> bool:
        """Whether the caller was erased after this was kept, or this is said of a call that was dropped for it.

        What may still wait is told all the same, and begins a new history: an erasure takes no live call.
        """
        call_id, caller = record["call_id"], record.get("caller")
        if caller is None:
            return call_id in self._erased
        hashes = [bytes.fromhex(one) for one in (caller, *record.get("older", ()))]
        erased_us = await self.intake.store.in_thread(lambda connection: erased_at_us(connection, hashes))
        kept_at = datetime.fromisoformat(record.get("kept_at", record["at"]))
        if microseconds(kept_at) >= erased_us:
            return False
        if datetime.now(UTC) - kept_at < LONGEST_WAIT and not self._is_over(call_id):
            return False
        self._erased.add(call_id)
        return True

    def _is_over(self, call_id: str) -> bool:
        """Whether the journals have the end of a call."""
        name = to_json(call_id)
        kept = (record for journal in self._left_first for _, record in journal.first(len(journal)) if name in record)
        over = False
        for told in map(from_json, kept):
            if told["call_id"] == call_id:
                over = told["kind"] in _LAST or (over and told["kind"] != "reopened")
        return over

    async def _retell(self, record: dict[str, Any]) -> None:
        kind, call_id, now = record["kind"], record["call_id"], datetime.fromisoformat(record["at"])
        at = record.get("recorded_at")
        told_by = Teller(record.get("told_by"), datetime.fromisoformat(at) if at else None)
        if record["tried"] and await self._was_told(record, microseconds(now), microseconds(told_by.at or now)):
            return
        if await self._was_erased(record):
            return
        try:
            if kind == "score":
                request = ScoreRequest.model_validate_json(to_json(record["said"]))
                caller = bytes.fromhex(record["caller"]) if record["caller"] else None
                aliases = NO_OTHERS
                if caller:
                    hashes = [caller, *map(bytes.fromhex, record.get("older", []))]
                    # Another key may be in use since; what was kept before a rotation has one hash alone.
                    caller = next((one for one in hashes if one.startswith(self.pseudonyms.in_use)), caller)
                    hashes.remove(caller)
                    aliases = await gathered(self.intake, self.pseudonyms, hashes, caller)
                told = record["answer"] | {"durable": True}
                await self.intake.score(request, caller, told["warnings"], now, told, aliases=aliases, told_by=told_by)
                if caller and not caller.startswith(self.pseudonyms.in_use):
                    self.intake.known.forget_all()  # whoever rings under the key in use is looked for under this one
            else:
                said = _EVENTS[kind].model_validate_json(to_json(record["said"]))
                await self._tell(kind, call_id, said, now, told_by)
        except (Problem, ValueError) as problem:
            log.error("the journal held an event that cannot be kept: %s of a call: %s", kind, type(problem).__name__)
            self.metrics.degraded("refused")
