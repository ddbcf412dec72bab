"""The reception: keeps the deadline, whatever the store does, and loses nothing by it.

A score is tried for most of its deadline. When the store cannot take it by then, the call is answered as unscored and
not deferred, and what was said goes to the journal. As long as the journal holds anything, everything goes through
it, so that nothing overtakes what was said before; it is told to the store again, in its order, as soon as the store
answers. Telling twice does no harm: the intake counts the same thing once.
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json, to_json

from model.calls import normal_number
from model.errors import StoreError
from model.history import empty, merge
from service.answers import Warnings, degraded
from service.callers import made
from service.intake import Intake
from service.journal import Journal
from service.problems import Problem, Unavailable
from service.pseudonyms import Pseudonyms
from service.records import microseconds, rfc3339
from service.rekey import moved
from service.schemas import Answered, Body, Disposition, Ended, ScoreRequest
from service.telemetry import Metrics

#: Shares of the deadline: for the store, and then for the journal.
TRIED, KEPT = 0.6, 0.35
PATIENCE_S = 5.0
PAUSES_S = (0.05, 2.0)
AT_ONCE = 100
_EVENTS: dict[str, type[Body]] = {"answered": Answered, "ended": Ended, "disposed": Disposition}
log = logging.getLogger(__name__)


class Reception:
    """Where what is said of calls arrives.

    Parameters
    ----------
    intake : Intake
    pseudonyms : Pseudonyms
    journals : sequence of Journal
        This process's own first, then what processes that died have left. Without one, what the store does not take
        is not kept, and the answers say so.
    metrics : Metrics
    deadline_s : float
    """

    def __init__(
        self,
        intake: Intake,
        pseudonyms: Pseudonyms,
        journals: Sequence[Journal],
        metrics: Metrics,
        deadline_s: float,
    ) -> None:
        self.intake, self.pseudonyms, self.metrics = intake, pseudonyms, metrics
        self.journal = journals[0] if journals else None
        self._left_first = (*journals[1:], *journals[:1])
        self._deadline_s = deadline_s
        self._keeping = 0
        self._trouble = asyncio.Event()
        self.down = any(len(journal) for journal in journals)
        # Also when all is well: a process that died may have told all that its journal held, and not wiped it.
        self._trouble.set()
        metrics.store_is(up=True)

    def hashes_of(self, number: str) -> list[bytes]:
        """Give the hashes of a number under every live key, the current one first; empty when it shows none."""
        normal = normal_number(number, self.intake.release.region)
        return [] if normal is None else [self.pseudonyms.hash(normal), *self.pseudonyms.older(normal)]

    async def history_of(self, number: str, as_of_us: int) -> tuple[bytes | None, NDArray[np.float64]]:
        """Give a caller's hash and history; an empty one when nothing is known.

        Raises
        ------
        StoreError
        """
        hashes = self.hashes_of(number)
        history = empty()
        for chain in hashes:
            history = merge(history, made(*await self.intake.store.chain(chain)).caller.read(as_of_us))
        return (hashes[0] if hashes else None), history

    async def score(
        self, request: ScoreRequest, warnings: Warnings, now: datetime, *, among: int = 1
    ) -> dict[str, Any]:
        """Score a call, or say in time that it could not be.

        Parameters
        ----------
        request : ScoreRequest
        warnings : list
        now : datetime
        among : int
            How many are scored at once: a batch has more time.

        Raises
        ------
        Problem
            When the request cannot be carried out.
        """
        normal = normal_number(request.caller, self.intake.release.region)
        caller = None if normal is None else self.pseudonyms.hash(normal)
        reason = "journal"
        if not self.down:
            try:
                async with asyncio.timeout(TRIED * self._deadline_s * (1.0 + among / 20.0)):
                    if normal is not None and len(self.pseudonyms.key_ids) > 1:
                        await moved(self.intake, self.pseudonyms.older(normal), self.pseudonyms.hash(normal))
                    answer = await self.intake.score(request, caller, warnings, now)
                self._count(answer, warnings)
                return answer
            except (StoreError, TimeoutError) as error:
                reason = self._fell(error)
        answer = degraded(request, self.intake.release.name, warnings, now)
        self.metrics.degraded(reason)
        older = [] if normal is None else self.pseudonyms.older(normal)
        record = {"caller": caller.hex() if caller else None, "older": [one.hex() for one in older], "answer": answer}
        said = request.model_dump(mode="json", exclude={"caller"}, exclude_none=True)
        answer["durable"] = await self._journalled("score", request.call_id, now, said, record)
        return answer

    async def answered(self, call_id: str, request: Answered, now: datetime) -> bool:
        """Keep that an operator took up a call; False when it went to the journal instead of the store."""
        return await self._told("answered", call_id, request, now) is not None

    async def ended(self, call_id: str, request: Ended, warnings: Warnings, now: datetime) -> dict[str, Any]:
        """Keep the end of a call and score the whole of it, or say in time that it could not be scored."""
        answer: dict[str, Any] | None = await self._told("ended", call_id, request, now, warnings)
        if answer is None:
            of_nothing = ScoreRequest.model_construct(call_id=call_id, received_at=request.ended_at, stage="ended")
            return degraded(of_nothing, self.intake.release.name, warnings, now) | {"durable": True}
        self._count(answer, warnings)
        return answer

    async def disposed(self, call_id: str, request: Disposition, now: datetime) -> bool:
        """Keep how a call was closed; False when it went to the journal instead of the store."""
        return await self._told("disposed", call_id, request, now) is not None

    async def drain(self) -> None:
        """Tell the store what the journal holds, whenever there was trouble, until cancelled."""
        pause_s = PAUSES_S[0]
        while True:
            await self._trouble.wait()
            try:
                done = await self._drained()
            except (StoreError, TimeoutError) as error:
                self.metrics.store_is(up=False)
                log.warning("the store is out of reach: %s", error)
                await asyncio.sleep(pause_s)
                pause_s = min(2.0 * pause_s, PAUSES_S[1])
                continue
            pause_s = PAUSES_S[0]
            # Looked at once more: something may have been kept while the store was being asked.
            if done and not self._keeping and not any(len(journal) for journal in self._left_first):
                self.down = False
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

    async def _told(
        self, kind: str, call_id: str, request: Any, now: datetime, warnings: Warnings | None = None
    ) -> Any:
        """Tell an event of a known call; None when it is in the journal."""
        if not self.down:
            try:
                async with asyncio.timeout(TRIED * self._deadline_s):
                    return await self._tell(kind, call_id, request, now, warnings or [])
            except (StoreError, TimeoutError) as error:
                self.metrics.degraded(self._fell(error))
        said = request.model_dump(mode="json", exclude_none=True)
        if not await self._journalled(kind, call_id, now, said, {}):
            raise Unavailable("neither the store nor the journal took it; tell it again")
        return None

    async def _tell(self, kind: str, call_id: str, request: Any, now: datetime, warnings: Warnings) -> Any:
        if kind == "answered":
            await self.intake.answered(call_id, request, now)
            return True
        if kind == "ended":
            return await self.intake.ended(call_id, request, warnings, now)
        # What was said earlier than it was told became known when it was told.
        await self.intake.disposed(call_id, request, now, max(request.disposed_at, now))
        return True

    def _count(self, answer: dict[str, Any], warnings: Warnings) -> None:
        guardrails, held_out = answer["guardrails"], answer["held_out"]
        self.metrics.scored(answer["stage"], answer["band"], answer["defer_s"], held_out, guardrails, warnings)

    def _fell(self, error: Exception) -> str:
        """Take note that the store did not do its part, and say why in a word."""
        if not self.down:
            log.warning("calls are answered without a score: %s", str(error) or "the store did not answer in time")
        self.down = True
        self._trouble.set()
        return "slow" if isinstance(error, TimeoutError) else "store"

    async def _journalled(
        self, kind: str, call_id: str, now: datetime, said: dict[str, Any], more: dict[str, Any]
    ) -> bool:
        """Keep what was said in the journal; False when that did not succeed in time."""
        if self.journal is None:
            return False
        record = {"kind": kind, "call_id": call_id, "at": rfc3339(microseconds(now)), "said": said, **more}
        self._keeping += 1
        try:
            async with asyncio.timeout(KEPT * self._deadline_s):
                await self.journal.keep(to_json(record, inf_nan_mode="null"))
        except (StoreError, TimeoutError) as error:
            log.error("the journal did not take an event: %s", str(error) or "not in time")
            return False
        finally:
            self._keeping -= 1
            self.down = True
            self._trouble.set()
        self.metrics.journal_kept()
        self.metrics.journal_holds(len(self.journal))
        return True

    async def _drained(self) -> bool:
        """Tell the store the oldest records of the journal; True when there are none and the store answers."""
        for journal in self._left_first:
            records = journal.first(AT_ONCE)
            for _, record in records:
                async with asyncio.timeout(PATIENCE_S):
                    await self._retell(from_json(record))
            if records:
                await asyncio.to_thread(journal.taken, records[-1][0])
                self.metrics.journal_drained(len(records))
                self.metrics.journal_holds(sum(map(len, self._left_first)))
                return False
        async with asyncio.timeout(PATIENCE_S):
            await self.intake.store.length(b"")
        return True

    async def _retell(self, record: dict[str, Any]) -> None:
        kind, call_id, now = record["kind"], record["call_id"], datetime.fromisoformat(record["at"])
        try:
            if kind == "score":
                request = ScoreRequest.model_validate_json(to_json(record["said"]))
                caller = bytes.fromhex(record["caller"]) if record["caller"] else None
                if caller and record.get("older"):
                    await moved(self.intake, [bytes.fromhex(one) for one in record["older"]], caller)
                told = record["answer"] | {"durable": True}
                await self.intake.score(request, caller, told["warnings"], now, told)
                if caller and not caller.startswith(self.pseudonyms.current):
                    self.intake.known.forget_all()  # whoever rings under the current key is looked for under this one
            else:
                said = _EVENTS[kind].model_validate_json(to_json(record["said"]))
                await self._tell(kind, call_id, said, now, [])
        except Problem as problem:
            log.error("the journal held an event that cannot be kept: %s of a call: %s", kind, type(problem).__name__)
            self.metrics.degraded("refused")
