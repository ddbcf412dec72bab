"""Answer every call within its deadline, whatever the store does, and lose nothing.

Most of the deadline is for the store. When it fails or is too slow, the call is answered as unscored and not deferred
(fail open), and the request goes to the journal, from which `service.intake.redelivery` delivers it to the store later.
"""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.calls.phone_numbers import NOBODY, normalise_number, read_caller
from model.errors import StoreError
from model.history.caller_history import Caller
from service.contract.extra_fields import LAST_DIGITS
from service.contract.number_masks import NumberMasks, digits_of, may_contain_number
from service.contract.problems import Unavailable
from service.contract.requests import Disposition, Ended, EventRequest, ScoreRequest
from service.intake.adaptive_limiter import AdaptiveLimiter
from service.intake.history_cache import NO_ALIASES, restore_stream
from service.intake.rekeying import gather_aliases
from service.queue import states
from service.scoring.answer import ScoreReply, Warnings, fallback_answer
from service.scoring.merged_callers import MergedCallers
from service.security.pseudonyms import Pseudonyms, last_digits
from service.store.records import NO_SOURCE, Source
from service.telemetry.sender_clocks import SenderClocks, clock_warnings
from service.timestamps import microseconds, rfc3339

if TYPE_CHECKING:
    from service.intake.redelivery import Redelivery

#: Shares of the deadline: for the store, and then for the journal.
STORE_SHARE, JOURNAL_SHARE = 0.6, 0.35
#: So far back the calls of a number must have been attested: by then a call weighs an eighth.
ATTESTATION_PERIOD = timedelta(days=90)
#: So many calls may wait for the store at once in any case, and at most for each second of the deadline.
MIN_CONCURRENT, MAX_CONCURRENT_PER_S = 8, 1_200.0


class Recorded(NamedTuple):
    """Whether the store took an event, or else the journal; and the score of all of a call that ended."""

    stored: bool
    score: ScoreReply | None = None


class FailOpenScorer:
    """Scores calls and records their events within the deadline, failing open to first come, first served.

    Parameters
    ----------
    redelivery : Redelivery
        Takes what the store does not take in time, and has the intake and the metrics.
    pseudonyms : Pseudonyms
    deadline_s : float
    digits : int
        How many last digits of a number are kept with its call.
    """

    def __init__(self, redelivery: "Redelivery", pseudonyms: Pseudonyms, deadline_s: float, digits: int = 0) -> None:
        self.redelivery, self.intake, self.metrics = redelivery, redelivery.intake, redelivery.metrics
        self.pseudonyms = pseudonyms
        self.merged = MergedCallers(self.intake, self.metrics.merged_callers)
        self.masks = NumberMasks(pseudonyms.name, lambda: self.intake.release.region)
        self.clocks = SenderClocks(self.intake.clock_tolerance_s, self.metrics.clock_off)
        self._deadline_s, self._digits = deadline_s, digits
        self._limiter = AdaptiveLimiter(MIN_CONCURRENT, int(MAX_CONCURRENT_PER_S * deadline_s))

    @property
    def degraded(self) -> bool:
        """Whether the store is out of reach, or events still wait in the journal."""
        return self.redelivery.behind

    async def stored_call_id(self, call_id: str) -> str:
        """Return the call_id under which a call is stored, given the one that its sender uses.

        Nothing was said here of its caller's number: when nobody remembers the call and the store does not say in
        time, only a call_id that reads as a number is taken to hold one.
        """
        name = self.masks.mask_call_id(call_id)
        if name != call_id or not may_contain_number(call_id):
            return name
        names = (call_id, self.masks.call_name(call_id))
        found = next((one for one in names if self._is_known_here(one)), None)
        if found is None and not self.redelivery.store_down:
            with suppress(StoreError, TimeoutError):
                async with asyncio.timeout(JOURNAL_SHARE * self._deadline_s):
                    found = await self.intake.store.first_known(names)
        return found or call_id

    def hashes_of(self, number: str) -> list[bytes]:
        """Return the hashes of a number under every live key, the one in use first; empty when it shows none."""
        normal = normalise_number(number, self.intake.release.numbering)
        return [] if normal is None else [self.pseudonyms.hash(normal), *self.pseudonyms.others(normal)]

    async def history_of(self, number: str, as_of_us: int) -> tuple[list[bytes], NDArray[np.float64]]:
        """Return a caller's hashes and history; an empty one when nothing is known.

        Raises
        ------
        StoreError
        """
        hashes = self.hashes_of(number)
        pasts = [restore_stream(*await self.intake.store.read_stream(stream)).caller for stream in hashes]
        return hashes, Caller().read(as_of_us, *pasts)

    async def score(
        self,
        request: ScoreRequest,
        warnings: Warnings,
        now: datetime,
        *,
        told_by: Source = NO_SOURCE,
        among: int = 1,
    ) -> ScoreReply:
        """Score a call, or say in time that it could not be.

        Parameters
        ----------
        request : ScoreRequest
        warnings : list
        now : datetime
        told_by : Source
        among : int
            How many are scored at once: a batch has more time.

        Raises
        ------
        Problem
            When the request cannot be carried out.
        """
        name = self._stored_call_id_of(request)
        if name != request.call_id:
            detail = f"holds a number, which is never kept; the call is kept as {name} and found by either"
            warnings.append({"field": "call_id", "detail": detail})
            of_name = request.model_copy(update={"call_id": name})
            reply = await self.score(of_name, warnings, now, told_by=told_by, among=among)
            return reply.with_call_id(request.call_id)
        normal, shape = NOBODY if request.caller is None else read_caller(request.caller, self.intake.release.numbering)
        caller = None if normal is None else self.pseudonyms.hash(normal)
        if caller is not None and shape != "valid":
            self.merged.watch(caller, shape, request, microseconds(now))
        others = [] if normal is None else self.pseudonyms.others(normal)
        if self._digits or LAST_DIGITS in request.extras():
            seen = None if normal is None else last_digits(normal, self._digits)
            request = request.model_copy(update={LAST_DIGITS: seen})
        reason, tried = "journal", False
        if not self.redelivery.must_journal(request.call_id, caller, *others):
            # A batch has more time, and comes as one.
            tried = among > 1 or self._limiter.try_acquire()
            if not tried:
                reason = "busy"
        if tried:
            in_time = True  # what is refused says nothing of the store
            try:
                async with asyncio.timeout(STORE_SHARE * self._deadline_s * (1.0 + among / 20.0)):
                    aliases = NO_ALIASES
                    if caller is not None and others:
                        aliases = await gather_aliases(self.intake, self.pseudonyms, others, caller)
                    if caller is not None and self.intake.triage.network_attests:
                        since_us = microseconds(request.received_at - ATTESTATION_PERIOD)
                        hashes = (caller, *others)
                        attested = await self.intake.store.is_attested(hashes, since_us, request.call_id)
                        aliases = aliases._replace(attested=attested)
                    reply = await self.intake.score(request, caller, warnings, now, aliases=aliases, told_by=told_by)
                self.redelivery.record_success()
                self._count_score(reply.answer, warnings)
                self._note_clock(request, now, told_by)
                return reply
            except (StoreError, TimeoutError) as error:
                reason, in_time = self.redelivery.record_failure(error), False
            finally:
                if among == 1:
                    self._limiter.release(in_time=in_time)
        arrived_at_us = self._note_clock(request, now, told_by)
        off = clock_warnings(microseconds(request.received_at), arrived_at_us, self.intake.clock_tolerance_s)
        warnings[:] = [one for one in warnings if one["field"] != "received_at"] + off  # the store may have begun
        answer = fallback_answer(request, arrived_at_us, self.intake.release.name, warnings, now)
        self.metrics.degraded(reason)
        record = {"caller": caller.hex() if caller else None, "older": [one.hex() for one in others], "answer": answer,
                  **_source_record(told_by)}  # fmt: skip
        said = request.model_dump(mode="json", exclude={"caller"}, exclude_none=True)
        within_s = JOURNAL_SHARE * self._deadline_s
        answer["durable"] = await self.redelivery.journal(
            "score", request.call_id, now, said, record, within_s, tried=tried
        )
        return ScoreReply.encode(answer)

    async def record(
        self,
        call_id: str,
        request: EventRequest,
        now: datetime,
        *,
        told_by: Source = NO_SOURCE,
        warnings: Warnings | None = None,
    ) -> Recorded:
        """Record an event of a known call, or else journal it; the journal takes only valid events.

        Raises
        ------
        Problem
            When the event cannot be; `Unavailable` when neither took it.
        """
        intake = self.intake
        exists = (
            intake.event_log.has_cached_call(call_id)
            or call_id in intake.board.calls
            or self.redelivery.has_pending(call_id)
        )
        tried = not self.redelivery.must_journal(call_id)
        if tried:
            try:
                async with asyncio.timeout(STORE_SHARE * self._deadline_s):
                    reply = await intake.lifecycle.record(call_id, request, now, told_by=told_by, warnings=warnings)
                self.redelivery.record_success()
                if reply is not None:
                    self._count_score(reply.answer, warnings or [])
                return Recorded(True, reply)
            except (StoreError, TimeoutError) as error:
                self.metrics.degraded(self.redelivery.record_failure(error))
        if not exists:
            raise Unavailable("the store is out of reach, and no such call is known without it; tell it again")
        if isinstance(request, Disposition):
            request = self._decide_confirmation(call_id, request)
        said = request.model_dump(mode="json", exclude_none=True)
        within_s = JOURNAL_SHARE * self._deadline_s
        if not await self.redelivery.journal(
            request.KIND, call_id, now, said, _source_record(told_by), within_s, tried=tried
        ):
            raise Unavailable("neither the store nor the journal took it; tell it again")
        if not isinstance(request, Ended):
            return Recorded(False)
        unscored = ScoreRequest.model_construct(call_id=call_id, received_at=request.ended_at, stage="ended")
        arrived_at_us = self._known_arrival_us(call_id) or microseconds(request.ended_at)
        answer = fallback_answer(unscored, arrived_at_us, intake.release.name, warnings or [], now)
        return Recorded(False, ScoreReply.encode(answer | {"durable": True}))

    def _stored_call_id_of(self, request: ScoreRequest) -> str:
        digits, call_id = digits_of(request.caller), request.call_id
        if not digits and may_contain_number(call_id):  # its caller's number may have been told before, and not now
            other = self.masks.call_name(call_id)
            if self._is_known_here(other):
                return other
        return self.masks.mask_call_id(call_id, digits)

    def _is_known_here(self, call_id: str) -> bool:
        return (
            call_id in self.intake.event_log
            or call_id in self.intake.board.calls
            or self.redelivery.has_pending(call_id)
        )

    def _decide_confirmation(self, call_id: str, request: Disposition) -> Disposition:
        """Return a disposition as it goes to the journal: acknowledged by then, it is not refused any more.

        Raises
        ------
        Conflict
            When the call waits on the board here, and that has to be confirmed (`states.close`).
        """
        call = self.intake.board.calls.get(call_id)
        if call is not None:
            states.close(call.copy_for_change(call.changed_at_us), request.operator, confirmed=bool(request.confirm))
        return request.model_copy(update={"confirm": True})

    def _known_arrival_us(self, call_id: str) -> int | None:
        """Return when a call counts as arrived that is known here, without the store; None when it is not."""
        call = self.intake.event_log.cached_call(call_id) or self.intake.board.calls.get(call_id)
        return self.redelivery.pending_arrival_us(call_id) if call is None else call.arrived_at_us

    def _note_clock(self, request: ScoreRequest, now: datetime, told_by: Source) -> int:
        """Return when the call counts as arrived, having taken note of its sender's clock, but for a replayed log."""
        arrived_at_us = self._known_arrival_us(request.call_id)
        if arrived_at_us is None:
            arrived_at_us = self.intake.arrival_us(request, now, told_by)
        if told_by.at is None:
            sender = ", ".join(name for name in (told_by.name, request.centre) if name)
            self.clocks.note(sender, (microseconds(request.received_at) - arrived_at_us) / 1e6, now)
        return arrived_at_us

    def _count_score(self, answer: dict[str, Any], warnings: Warnings) -> None:
        guardrails, held_out = answer["guardrails"], answer["held_out"]
        self.metrics.scored(answer["stage"], answer["band"], answer["defer_s"], held_out, guardrails, warnings)


def _source_record(told_by: Source) -> dict[str, Any]:
    """Return the source of an event as a journal record has it."""
    return {"told_by": told_by.name, "recorded_at": rfc3339(microseconds(told_by.at)) if told_by.at else None}
