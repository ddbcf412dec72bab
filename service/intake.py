"""Takes in what is said of calls, in the order in which it is said: history, score, store, answer.

Each method runs without a pause up to the moment at which it hands its event to the store, so what one call reads of
its caller's history is never half of what another one is adding.
"""

import asyncio
from datetime import datetime
from typing import Any

import numpy as np

from model.calls import normal_number
from model.errors import StoreError
from model.history import FIELDS, VERSION
from model.policy import Band
from model.release import Release
from model.surge import MINUTE_US, Surge, first_minute
from service.callers import Callers
from service.problems import Conflict, Unknown
from service.pseudonyms import Pseudonyms
from service.records import Call, Kind, Said, label_change, microseconds, rfc3339
from service.schemas import Answered, Disposition, Ended, ScoreRequest
from service.scoring import Scored, Scorer
from service.store import Store

_CALLS_EVER = FIELDS.index("calls_ever")
Warnings = list[dict[str, str]]


class Intake:
    """The one place where calls come in.

    Parameters
    ----------
    release : Release
    store : Store
    pseudonyms : Pseudonyms
    callers_in_memory, calls_in_memory : int

    Raises
    ------
    StoreError
        When the store's histories were made in another way than this release reads them.
    """

    def __init__(
        self, release: Release, store: Store, pseudonyms: Pseudonyms, callers_in_memory: int, calls_in_memory: int
    ) -> None:
        self.release, self.store = release, store
        self._scorer, self._pseudonyms = Scorer(release), pseudonyms
        self._scorer.warm_up()
        self._callers = Callers(store, callers_in_memory)
        self._calls: dict[str, Call] = {}
        self._writing: dict[str, asyncio.Future[None]] = {}
        self._most_calls = calls_in_memory
        self._surge = _surge_of(store)
        made_by = {
            "history version": VERSION,
            "label mapping": ",".join(f"{name}={label}" for name, label in sorted(release.labels.items())),
            "key of the callers' hash": pseudonyms.key_id,
        }
        for name, value in made_by.items():
            stored = store.fact(name, value)
            if stored != value:
                raise StoreError(f"its histories were made with {name} {stored}, this service has {value}")

    async def score(self, request: ScoreRequest, warnings: Warnings, now: datetime) -> dict[str, Any]:
        """Score a call and keep it; the same request again gives the same answer and counts once.

        Raises
        ------
        Conflict
            When the caller or received_at of a known call would change.
        StoreError
            When the store did not take it; the answer is then `degraded`'s.
        """
        number = normal_number(request.caller, self.release.region)
        caller = self._pseudonyms.hash(number) if number is not None else None
        received_at_us, stage = microseconds(request.received_at), request.at()
        asked = request.model_dump(mode="json", exclude={"caller", "received_at"}, exclude_none=True)
        call = self._find(request.call_id)
        kind: Kind = "scored"
        if call is None:
            kind = "received"
            call = self._receive(request.call_id, received_at_us, caller)
        elif (call.received_at_us, call.caller) != (received_at_us, caller):
            field = "caller" if call.received_at_us == received_at_us else "received_at"
            raise Conflict(f"{field} of a known call cannot change", [(field, "the value of the first request")])
        elif call.asked.get(stage) == asked:
            await self._written(call)
            return dict(call.answers[stage])
        _take_in(call, request, stage)
        scored = self._scorer.score(call, stage)
        answer = _answer(call, stage, scored, self.release.name, request.expected_wait_s, warnings, now)
        call.asked[stage], call.answers[stage] = asked, answer
        await self._keep(call, kind, received_at_us, now, {"stage": stage, "request": asked, "answer": answer})
        return answer

    async def answered(self, call_id: str, request: Answered, now: datetime) -> None:
        """Keep that an operator took up a call; of several times the first one stays."""
        call = self._known(call_id)
        if call.answered_at_us is None:
            call.answered_at_us = microseconds(request.answered_at)
            body = {"answered_at": rfc3339(call.answered_at_us), "operator": request.operator}
            await self._keep(call, "answered", call.answered_at_us, now, body)

    async def ended(self, call_id: str, request: Ended, warnings: Warnings, now: datetime) -> dict[str, Any]:
        """Keep the end of a call and score the whole of it.

        Raises
        ------
        Unknown
            When the call was never scored.
        Conflict
            When it ended before its arrival, or ended already and in another way.
        """
        call = self._known(call_id)
        asked = request.model_dump(mode="json", exclude_none=True)
        ended_at_us = _not_before(call, "ended_at", request.ended_at)
        if call.ended_at_us is not None:
            told = (ended_at_us, request.ended_by, request.duration_s, request.silence_ratio)
            if told != (call.ended_at_us, call.ended_by, call.duration_s, call.silence_ratio):
                raise Conflict("the call has ended already, in another way", [("ended_at", "the first one told")])
            await self._written(call)
            if call.asked.get("ended") == asked:
                return dict(call.answers["ended"])
            # An imported end was never answered: say what would have been said.
            scored = self._scorer.score(call, "ended")
            return _answer(call, "ended", scored, self.release.name, None, warnings, now)
        call.ended_at_us, call.ended_by = ended_at_us, request.ended_by
        call.duration_s, call.silence_ratio = request.duration_s, request.silence_ratio
        answer = _answer(call, "ended", self._scorer.score(call, "ended"), self.release.name, None, warnings, now)
        call.asked["ended"], call.answers["ended"] = asked, answer
        answered = call.answered_at_us is not None or call.duration_s is not None
        heard = {"answered": answered, "duration_s": call.duration_s, "silence_ratio": call.silence_ratio}
        await self._keep(call, "ended", ended_at_us, now, {"request": asked, "answer": answer}, **heard)
        return answer

    async def disposed(self, call_id: str, request: Disposition, now: datetime, known_at: datetime) -> None:
        """Keep how a call was closed; said again, it corrects what was said before.

        Raises
        ------
        Unknown
            When the call was never scored.
        Conflict
            When it was closed before its arrival.
        """
        call = self._known(call_id)
        _not_before(call, "disposed_at", request.disposed_at)
        same = (call.disposition, call.category) == (request.disposition, request.category)
        if same and call.disposed_at_us is not None:
            await self._written(call)
            return
        change = label_change(self.release.labels, call.disposition, request.disposition)
        body = request.model_dump(mode="json", exclude_none=True)
        call.disposition, call.category = request.disposition, request.category
        call.disposed_at_us = microseconds(known_at)
        await self._keep(call, "disposed", call.disposed_at_us, now, body, **change)

    def find(self, call_id: str) -> Call:
        """Give what is known of a call.

        Raises
        ------
        Unknown
        """
        return self._known(call_id)

    def _receive(self, call_id: str, received_at_us: int, caller: bytes | None) -> Call:
        """Read history and surge, once, strictly before the call; from here on the call is part of both."""
        past = self._callers.get(caller)
        past.settle(received_at_us)
        history = past.read(received_at_us)
        first_call = caller is not None and history[_CALLS_EVER] == 0.0
        call = Call(
            call_id,
            received_at_us,
            caller,
            history=history,
            surge=self._surge.read(received_at_us),
            first_call=bool(first_call),
        )
        self._surge.add(received_at_us, call.first_call)
        self._calls[call_id] = call
        if len(self._calls) > self._most_calls:
            self._calls.pop(next(iter(self._calls)))
        return call

    async def _keep(
        self, call: Call, kind: Kind, known_at_us: int, now: datetime, body: dict[str, Any], **adds: Any
    ) -> None:
        said = Said(call.call_id, call.caller, kind, call.received_at_us, known_at_us, microseconds(now), body, **adds)
        checkpoint = self._callers.add(call.caller, said.event())
        writing = asyncio.ensure_future(self.store.write(said, call, checkpoint))
        self._writing[call.call_id] = writing
        try:
            await asyncio.shield(writing)
        except StoreError:
            # What is in memory is ahead of the disk: go back to what the disk holds.
            self._calls.pop(call.call_id, None)
            self._callers.forget(call.caller)
            raise
        finally:
            if self._writing.get(call.call_id) is writing:
                del self._writing[call.call_id]

    async def _written(self, call: Call) -> None:
        """Wait until what was said of a call before is on disk: the same request again promises no less."""
        writing = self._writing.get(call.call_id)
        if writing is not None:
            await asyncio.shield(writing)

    def _find(self, call_id: str) -> Call | None:
        call = self._calls.get(call_id)
        if call is None:
            call = self.store.call(call_id)
            if call is not None:
                self._calls[call_id] = call
        return call

    def _known(self, call_id: str) -> Call:
        call = self._find(call_id)
        if call is None:
            raise Unknown(f"no call {call_id!r} is known here", [("call_id", "a call that was scored before")])
        return call


def degraded(request: ScoreRequest, release: str, warnings: Warnings, now: datetime) -> dict[str, Any]:
    """Give the answer that puts nobody back: what is said when the store did not take a call."""
    received_at_us = microseconds(request.received_at)
    call = Call(request.call_id, received_at_us)
    answer = _answer(call, request.at(), None, release, request.expected_wait_s, warnings, now)
    return answer | {"durable": False, "degraded": True}


def _answer(
    call: Call,
    stage: str,
    scored: Scored | None,
    release: str,
    expected_wait_s: float | None,
    warnings: Warnings,
    now: datetime,
) -> dict[str, Any]:
    # No certificate is watched over here yet, so nobody is put back and nobody is marked.
    return {
        "call_id": call.call_id,
        "stage": stage,
        "prank_likelihood": scored.likelihood if scored else None,
        "band": (scored.band if scored else Band.UNSCORED).id,
        "defer_factor": scored.factor if scored else 0.0,
        "defer_s": 0.0,
        "queue_key": rfc3339(call.received_at_us),
        "queue_key_epoch": call.received_at_us / 1e6,
        "expected_wait_s": expected_wait_s,
        "expected_wait_source": "unknown" if expected_wait_s is None else "request",
        "reasons": scored.reasons if scored else [],
        "guardrails": scored.guardrails if scored else [],
        "held_out": call.held_out,
        "release": release,
        "scored_at": rfc3339(microseconds(now)),
        "durable": True,
        "degraded": False,
        "warnings": warnings,
    }


def _take_in(call: Call, request: ScoreRequest, stage: str) -> None:
    """Add what a request says to what is known; what it does not say stays."""
    for name in ("line", "centre", "queue"):
        value = getattr(request, name)
        if value is not None:
            setattr(call, name, value)
    if stage == "opening":
        call.opening_duration_s, call.opening_silence_ratio = request.duration_s, request.silence_ratio
    elif stage == "ended" and call.ended_at_us is None:  # the conversation so far; its end is told elsewhere
        call.duration_s, call.silence_ratio = request.duration_s, request.silence_ratio
    call.extra.update(request.extras())


def _not_before(call: Call, field: str, time: datetime) -> int:
    time_us = microseconds(time)
    if time_us < call.received_at_us:
        raise Conflict(f"{field} lies before received_at", [(field, "a time not before received_at")])
    return time_us


def _surge_of(store: Store) -> Surge:
    minutes = store.minutes()
    surge = Surge(first_minute(minutes[0][0] * MINUTE_US) if minutes else None)
    for minute, count, first_calls in minutes:
        surge.add(minute * MINUTE_US, first_call=False, calls=count - first_calls)
        surge.add(minute * MINUTE_US, first_call=True, calls=first_calls)
    return surge


def history_of(call: Call) -> dict[str, float]:
    """Give the history that a call was scored with, field by field."""
    return dict(zip(FIELDS, np.asarray(call.history).tolist(), strict=True))
