"""Record what happens to a call after its score: it is taken, answered, ended, closed, or expires in silence."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from service.contract.problems import Conflict, Problem
from service.contract.requests import Answered, Disposition, Ended, EventRequest, Reopen
from service.intake.event_log import Append, EventLog, NoChange
from service.intake.history_cache import CallerStream
from service.queue import states
from service.queue.projection import label_change
from service.scoring.answer import ScoreReply, Warnings, score_body
from service.store.records import NO_SOURCE, Call, Kind, Source, encode_json
from service.timestamps import microseconds, rfc3339

if TYPE_CHECKING:
    from service.queue.board import Board
    from service.queue.operator_leases import OperatorLeases
    from service.scoring.triage import Triage
    from service.store.store import Store


class CallLifecycle:
    """The one place where known calls change.

    Every method appends one event, or none when it would say nothing new; `told_by` is who says so.

    Parameters
    ----------
    store : Store
    event_log : EventLog
    board : Board
    leases : OperatorLeases
    triage : Triage
        A call is scored once more when it ends.
    """

    def __init__(
        self, store: "Store", event_log: EventLog, board: "Board", leases: "OperatorLeases", triage: "Triage"
    ) -> None:
        self._store, self._event_log, self._board, self._leases, self._triage = store, event_log, board, leases, triage
        #: Is called with each call that was closed or reopened, and its label.
        self.on_closed: Callable[[str, int | None], None] = lambda *_: None

    async def record(
        self,
        call_id: str,
        request: EventRequest,
        now: datetime,
        *,
        told_by: Source = NO_SOURCE,
        warnings: Warnings | None = None,
    ) -> ScoreReply | None:
        """Record an event of a known call; returns the score of all of it when it ended.

        Parameters
        ----------
        call_id : str
        request : EventRequest
        now : datetime
        told_by : Source
        warnings : list, optional
        """
        if isinstance(request, Ended):
            return await self.record_end(call_id, request, warnings or [], now, told_by=told_by)
        if isinstance(request, Answered):
            await self.record_answer(call_id, request, now, told_by=told_by)
        elif isinstance(request, Reopen):
            await self.reopen(call_id, request.operator, now, told_by=told_by)
        else:  # what is said earlier than it is told becomes known when it is told
            await self.record_disposition(call_id, request, now, max(request.disposed_at, now), told_by=told_by)
        return None

    async def record_answer(
        self, call_id: str, request: Answered, now: datetime, *, told_by: Source = NO_SOURCE
    ) -> None:
        """Record that an operator answered a call; of several times the first one stays."""

        def decide(call: Call) -> Append | NoChange:
            if not (
                states.answer(call, request.answered_at, request.operator) or (call.answers and states.revive(call))
            ):
                return NoChange()
            body = {"answered_at": rfc3339(call.answered_at_us), "operator": request.operator}
            return Append(call, "answered", call.answered_at_us or 0, encode_json(body))

        await self._append_to_known_call(call_id, now, decide, told_by)

    async def record_end(
        self, call_id: str, request: Ended, warnings: Warnings, now: datetime, *, told_by: Source = NO_SOURCE
    ) -> ScoreReply:
        """Record the end of a call and score all of it.

        Raises
        ------
        Unknown
            When the call was never scored.
        Conflict
            When it ended before its arrival, or ended already and in another way.
        """
        asked = request.model_dump_json(exclude_none=True).encode()

        def decide(call: Call) -> Append | NoChange:
            ended_at_us = states.check_not_before_arrival(call, "ended_at", request.ended_at)
            told = (ended_at_us, request.ended_by, request.duration_s, request.silence_ratio)
            if call.ended_at_us is not None:
                if told != (call.ended_at_us, call.ended_by, call.duration_s, call.silence_ratio):
                    raise Conflict("the call has ended already, in another way", [("ended_at", "the first one told")])
                if call.asked.get("ended") == asked:
                    return NoChange(self._triage.previous_reply(call, "ended", now))
                # An imported end was never answered: say what would have been said.
                return NoChange(ScoreReply.encode(self._triage.decide(call, "ended", None, warnings, now)))
            call.ended_by, call.duration_s, call.silence_ratio = told[1:]
            was_answered = states.end(call, request.ended_at)
            reply = ScoreReply.encode(self._triage.decide(call, "ended", None, warnings, now))
            call.asked["ended"], call.answers["ended"] = asked, reply.encoded
            heard = {"answered": was_answered, "duration_s": call.duration_s, "silence_ratio": call.silence_ratio}
            return Append(call, "ended", ended_at_us, score_body(asked, reply), reply, heard)

        reply: ScoreReply = await self._append_to_known_call(call_id, now, decide, told_by)
        return reply

    async def record_disposition(
        self, call_id: str, request: Disposition, now: datetime, known_at: datetime, *, told_by: Source = NO_SOURCE
    ) -> None:
        """Record how a call was closed; a later disposition replaces an earlier one.

        Raises
        ------
        Unknown
            When the call was never scored.
        Conflict
            When it was closed before its arrival, or is not confirmed of a call that waits (`states.close`).
        """

        def decide(call: Call) -> Append | NoChange:
            states.check_not_before_arrival(call, "disposed_at", request.disposed_at)
            incident_id = request.incident_id or call.incident_id  # what is not named again stays
            told = (request.disposition, request.category, incident_id)
            if (call.disposition, call.category, call.incident_id) == told and call.disposed_at_us is not None:
                return NoChange()
            was = states.close(call, request.operator, confirmed=bool(request.confirm))
            body = request.model_dump(mode="json", exclude_none=True, exclude={"confirm", "answered_at"})
            if was is not None:
                body["was"] = was
            if request.answered_at is not None and states.answer(call, request.answered_at, request.operator):
                body["answered_at"] = rfc3339(call.answered_at_us)
            change = label_change(self._triage.release.labels, call.disposition, request.disposition)
            call.disposition, call.category, call.incident_id = told
            call.disposed_at_us = max(microseconds(known_at), call.received_at_us)
            return Append(call, "disposed", call.disposed_at_us, encode_json(body), history_columns=dict(change))

        await self._append_to_known_call(call_id, now, decide, told_by)
        self.on_closed(call_id, self._triage.release.labels.get(request.disposition))

    async def reopen(self, call_id: str, operator: str | None, now: datetime, *, told_by: Source = NO_SOURCE) -> None:
        """Bring back a call that was closed by mistake while it waited: it waits again, at its old place.

        Raises
        ------
        Unknown
        Conflict
            When it was not, or no longer can be: `states.reopen`.
        """
        closing: dict[str, Any] | None = None
        for said in await self._store.read_events(await self._event_log.find_call(call_id)):
            if said["kind"] == "reopened" or (said["kind"] == "disposed" and "was" in said["body"]):
                closing = said if said["kind"] == "disposed" else None

        def decide(call: Call) -> Append | NoChange:
            if closing is not None and "answered_at" in closing["body"]:
                call.answered_at_us = None  # it was not told by itself
            closed_s = None if closing is None else (microseconds(now) - closing["recorded_at_us"]) / 1e6
            if not states.reopen(call, closed_s):
                return NoChange()
            change = label_change(self._triage.release.labels, call.disposition, None)
            call.disposition = call.category = call.incident_id = call.disposed_at_us = None
            if not self._triage.gate.is_on(now):
                call.defer_s = 0.0  # what was taken back meanwhile
            return Append(
                call, "reopened", microseconds(now), encode_json({"operator": operator}), history_columns=dict(change)
            )

        await self._append_to_known_call(call_id, now, decide, told_by)
        self.on_closed(call_id, None)

    async def take(self, call_id: str, operator: str, now: datetime, *, told_by: Source = NO_SOURCE) -> Call:
        """Lock a waiting call to an operator; two never get the same. Taken once more it is held for longer.

        Raises
        ------
        Unknown, Conflict
        """
        call = await self._change_state(
            call_id, "taken", operator, now, lambda call: states.take(call, operator), told_by
        )
        self._leases.renew(operator)
        return call

    async def release_call(
        self,
        call_id: str,
        operator: str,
        now: datetime,
        *,
        any_operator: bool = False,
        told_by: Source = NO_SOURCE,
        why: str | None = None,
    ) -> Call:
        """Return a taken call to the queue; `why` is the reason in a word when its operator did not ask for it.

        Raises
        ------
        Unknown, Conflict
        """

        def move(call: Call) -> bool:
            return states.release(call, operator, any_operator=any_operator)

        return await self._change_state(call_id, "released", operator, now, move, told_by, why)

    async def release_calls_of(self, operator: str, why: str, now: datetime, *, told_by: Source = NO_SOURCE) -> None:
        """Release every call taken by an operator who is gone.

        Raises
        ------
        StoreError
        """
        for call in self._board.taken_calls():
            if call.operator == operator:
                with suppress(Problem):  # it has just become another's, or is over
                    await self.release_call(call.call_id, operator, now, told_by=told_by, why=why)

    async def expire(self, call_id: str, now: datetime, may_go: Callable[[Call], bool] = lambda _: True) -> None:
        """Expire a call that was silent for too long, if it still is when its turn comes."""
        await self._change_state(call_id, "left", None, now, lambda call: may_go(call) and states.expire(call))

    async def revive(self, call_id: str, now: datetime) -> None:
        """Bring back a call that another process expired while it was heard of here; not one that was erased since."""

        def decide(call: Call) -> Append | NoChange:
            if not states.revive(call):
                return NoChange()
            if call.state == states.ANSWERED:
                body = {"answered_at": rfc3339(call.answered_at_us), "operator": call.operator}
                return Append(call, "answered", call.answered_at_us or 0, encode_json(body))
            body = {"operator": None, "state": call.state, "why": "heard"}
            return Append(call, "released", microseconds(now), encode_json(body))

        with suppress(Problem):
            await self._append_to_known_call(call_id, now, decide, NO_SOURCE)

    async def _append_to_known_call(
        self, call_id: str, now: datetime, decide: Callable[[Call], Append | NoChange], told_by: Source
    ) -> Any:
        """Append an event to a call that must be known."""
        found = await self._event_log.find_call(call_id)

        def of_known(known: Call | None, _: CallerStream) -> Append | NoChange:
            outcome = decide(self._board.copy_for_change(known or found, now))
            if isinstance(outcome, NoChange):
                self._board.sync(known or found)
            return outcome

        return await self._event_log.append(call_id, found.stream, now, of_known, told_by=told_by, exists=True)

    async def _change_state(
        self,
        call_id: str,
        kind: Kind,
        operator: str | None,
        now: datetime,
        move: Callable[[Call], bool],
        told_by: Source = NO_SOURCE,
        why: str | None = None,
    ) -> Call:
        def decide(call: Call) -> Append | NoChange:
            body = {"operator": operator, "state": call.state} | ({"why": why} if why else {})
            return Append(call, kind, microseconds(now), encode_json(body), call) if move(call) else NoChange(call)

        call: Call = await self._append_to_known_call(call_id, now, decide, told_by)
        return call
