"""The reception: keeps the deadline, whatever the store does, and loses nothing by it.

A score is tried for most of its deadline. When the store cannot take it by then, the call is answered as unscored and
not deferred, and what was said goes to the journal (`service.intake.redelivery`), from where the store is told later.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.calls.phone_numbers import normal_number
from model.errors import StoreError
from model.history.caller_history import Caller
from service.contract.extra_fields import LAST_DIGITS
from service.contract.number_masks import Masks, digits_of, may_tell
from service.contract.problems import Unavailable
from service.contract.requests import Answered, Disposition, Ended, Reopen, ScoreRequest
from service.intake.adaptive_limiter import Room
from service.intake.decision import Reply, Warnings, degraded
from service.intake.history_cache import NO_OTHERS, made
from service.intake.intake import Intake
from service.intake.redelivery import Retelling
from service.intake.rekeying import gathered
from service.security.pseudonyms import Pseudonyms, last_digits
from service.store.journal import Journal
from service.store.records import NOBODY, Teller
from service.telemetry.metrics import Metrics
from service.timestamps import microseconds, rfc3339

#: Shares of the deadline: for the store, and then for the journal.
TRIED, KEPT = 0.6, 0.35
#: So far back the calls of a number must have been attested: by then a call weighs an eighth.
ATTESTED_FOR = timedelta(days=90)
#: So many calls may wait for the store at once in any case, and at most for each second of the deadline.
LEAST_WAITING, MOST_WAITING_PER_S = 8, 1_200.0


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
    digits : int
        How many last digits of a number are kept with its call.
    """

    def __init__(
        self,
        intake: Intake,
        pseudonyms: Pseudonyms,
        journals: Sequence[Journal],
        metrics: Metrics,
        deadline_s: float,
        digits: int = 0,
    ) -> None:
        self.intake, self.pseudonyms, self.metrics = intake, pseudonyms, metrics
        self.retelling = Retelling(intake, pseudonyms, journals, metrics, self._tell)
        self.masks = Masks(pseudonyms.name, lambda: intake.release.region)
        self._deadline_s, self._digits = deadline_s, digits
        self._room = Room(LEAST_WAITING, int(MOST_WAITING_PER_S * deadline_s))

    @property
    def down(self) -> bool:
        """Whether the store is out of reach, or has not been told everything yet."""
        return self.retelling.behind

    async def named(self, call_id: str) -> str:
        """Give the name under which a call is kept, given what it is called by those who tell of it.

        Nothing was said here of its caller's number: when nobody remembers the call and the store does not say in
        time, only a call_id that reads as a number is taken to hold one.
        """
        name = self.masks.call_id(call_id)
        if name != call_id or not may_tell(call_id):
            return name
        names = (call_id, self.masks.name_of(call_id))
        found = next((one for one in names if self._remembers(one)), None)
        if found is None and not self.retelling.down:
            with suppress(StoreError, TimeoutError):
                async with asyncio.timeout(KEPT * self._deadline_s):
                    found = await self.intake.store.first_known(names)
        return found or call_id

    def hashes_of(self, number: str) -> list[bytes]:
        """Give the hashes of a number under every live key, the one in use first; empty when it shows none."""
        normal = normal_number(number, self.intake.release.region)
        return [] if normal is None else [self.pseudonyms.hash(normal), *self.pseudonyms.others(normal)]

    async def history_of(self, number: str, as_of_us: int) -> tuple[list[bytes], NDArray[np.float64]]:
        """Give a caller's hashes and history; an empty one when nothing is known.

        Raises
        ------
        StoreError
        """
        hashes = self.hashes_of(number)
        pasts = [made(*await self.intake.store.chain(chain)).caller for chain in hashes]
        return hashes, Caller().read(as_of_us, *pasts)

    async def score(
        self,
        request: ScoreRequest,
        warnings: Warnings,
        now: datetime,
        *,
        told_by: Teller = NOBODY,
        among: int = 1,
    ) -> Reply:
        """Score a call, or say in time that it could not be.

        Parameters
        ----------
        request : ScoreRequest
        warnings : list
        now : datetime
        told_by : Teller
            As everywhere here.
        among : int
            How many are scored at once: a batch has more time.

        Raises
        ------
        Problem
            When the request cannot be carried out.
        """
        name = self._name_of(request)
        if name != request.call_id:
            detail = f"holds a number, which is never kept; the call is kept as {name} and found by either"
            warnings.append({"field": "call_id", "detail": detail})
            of_name = request.model_copy(update={"call_id": name})
            reply = await self.score(of_name, warnings, now, told_by=told_by, among=among)
            return reply.about(request.call_id)
        normal = normal_number(request.caller, self.intake.release.region)
        caller = None if normal is None else self.pseudonyms.hash(normal)
        others = [] if normal is None else self.pseudonyms.others(normal)
        if self._digits or LAST_DIGITS in request.extras():
            seen = None if normal is None else last_digits(normal, self._digits)
            request = request.model_copy(update={LAST_DIGITS: seen})
        reason, tried = "journal", False
        if not self.retelling.takes(request.call_id, caller, *others):
            # A batch has more time, and comes as one.
            tried = among > 1 or self._room.enter()
            if not tried:
                reason = "busy"
        if tried:
            in_time = True  # what is refused says nothing of the store
            try:
                async with asyncio.timeout(TRIED * self._deadline_s * (1.0 + among / 20.0)):
                    aliases = NO_OTHERS
                    if caller is not None and others:
                        aliases = await gathered(self.intake, self.pseudonyms, others, caller)
                    if caller is not None and self.intake.network_attests:
                        since_us = microseconds(request.received_at - ATTESTED_FOR)
                        hashes = (caller, *others)
                        attested = await self.intake.store.attested(hashes, since_us, request.call_id)
                        aliases = aliases._replace(attested=attested)
                    reply = await self.intake.score(request, caller, warnings, now, aliases=aliases, told_by=told_by)
                self.retelling.went_well()
                self._count(reply.answer, warnings)
                return reply
            except (StoreError, TimeoutError) as error:
                reason, in_time = self.retelling.failed(error), False
            finally:
                if among == 1:
                    self._room.leave(in_time=in_time)
        answer = degraded(request, self.intake.release.name, warnings, now)
        self.metrics.degraded(reason)
        record = {"caller": caller.hex() if caller else None, "older": [one.hex() for one in others], "answer": answer,
                  **_kept(told_by)}  # fmt: skip
        said = request.model_dump(mode="json", exclude={"caller"}, exclude_none=True)
        within_s = KEPT * self._deadline_s
        answer["durable"] = await self.retelling.keep(
            "score", request.call_id, now, said, record, within_s, tried=tried
        )
        return Reply.of(answer)

    async def answered(self, call_id: str, request: Answered, now: datetime, *, told_by: Teller = NOBODY) -> bool:
        """Keep that an operator took up a call; False when it went to the journal instead of the store."""
        return await self._told("answered", call_id, request, now, told_by) is not None

    async def ended(
        self, call_id: str, request: Ended, warnings: Warnings, now: datetime, *, told_by: Teller = NOBODY
    ) -> Reply:
        """Keep the end of a call and score the whole of it, or say in time that it could not be scored."""
        reply: Reply | None = await self._told("ended", call_id, request, now, told_by, warnings)
        if reply is None:
            of_nothing = ScoreRequest.model_construct(call_id=call_id, received_at=request.ended_at, stage="ended")
            return Reply.of(degraded(of_nothing, self.intake.release.name, warnings, now) | {"durable": True})
        self._count(reply.answer, warnings)
        return reply

    async def disposed(self, call_id: str, request: Disposition, now: datetime, *, told_by: Teller = NOBODY) -> bool:
        """Keep how a call was closed; False when it went to the journal instead of the store."""
        return await self._told("disposed", call_id, request, now, told_by) is not None

    async def reopened(self, call_id: str, request: Reopen, now: datetime, *, told_by: Teller = NOBODY) -> bool:
        """Bring back a call that was closed by mistake; False when that went to the journal instead of the store."""
        return await self._told("reopened", call_id, request, now, told_by) is not None

    def _name_of(self, request: ScoreRequest) -> str:
        digits, call_id = digits_of(request.caller), request.call_id
        if not digits and may_tell(call_id):  # its caller's number may have been told before, and not now
            other = self.masks.name_of(call_id)
            if self._remembers(other):
                return other
        return self.masks.call_id(call_id, digits)

    def _remembers(self, call_id: str) -> bool:
        return call_id in self.intake.known or call_id in self.intake.board.calls or self.retelling.holds(call_id)

    async def _told(
        self,
        kind: str,
        call_id: str,
        request: Any,
        now: datetime,
        told_by: Teller,
        warnings: Warnings | None = None,
    ) -> Any:
        """Tell an event of a known call; None when it is in the journal, which takes only what the store will take."""
        intake = self.intake
        exists = intake.known.holds(call_id) or call_id in intake.board.calls or self.retelling.holds(call_id)
        tried = not self.retelling.takes(call_id)
        if tried:
            try:
                async with asyncio.timeout(TRIED * self._deadline_s):
                    answer = await self._tell(kind, call_id, request, now, told_by, warnings)
                self.retelling.went_well()
                return answer
            except (StoreError, TimeoutError) as error:
                self.metrics.degraded(self.retelling.failed(error))
        if not exists:
            raise Unavailable("the store is out of reach, and no such call is known without it; tell it again")
        said = request.model_dump(mode="json", exclude_none=True)
        within_s = KEPT * self._deadline_s
        if not await self.retelling.keep(kind, call_id, now, said, _kept(told_by), within_s, tried=tried):
            raise Unavailable("neither the store nor the journal took it; tell it again")
        return None

    async def _tell(
        self,
        kind: str,
        call_id: str,
        request: Any,
        now: datetime,
        told_by: Teller,
        warnings: Warnings | None = None,
    ) -> Any:
        if kind == "answered":
            await self.intake.answered(call_id, request, now, told_by=told_by)
            return True
        if kind == "ended":
            return await self.intake.ended(call_id, request, warnings or [], now, told_by=told_by)
        if kind == "reopened":
            await self.intake.reopened(call_id, request.operator, now, told_by=told_by)
            return True
        # What was said earlier than it was told became known when it was told.
        await self.intake.disposed(call_id, request, now, max(request.disposed_at, now), told_by=told_by)
        return True

    def _count(self, answer: dict[str, Any], warnings: Warnings) -> None:
        guardrails, held_out = answer["guardrails"], answer["held_out"]
        self.metrics.scored(answer["stage"], answer["band"], answer["defer_s"], held_out, guardrails, warnings)


def _kept(told_by: Teller) -> dict[str, Any]:
    """Give who told of something as a journal keeps it."""
    return {"told_by": told_by.name, "recorded_at": rfc3339(microseconds(told_by.at)) if told_by.at else None}
