"""Apply each event to its call and decide the answer.

Each event is decided without a pause, so a call never reads half of what another one adds to its caller's history;
`service.intake.event_log` appends it and then caches it.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from model.errors import StoreError
from model.history.caller_history import FIELDS, VERSION
from model.history.surge import MINUTE_US, Surge, first_minute
from model.policy.guardrails import UNATTESTED
from model.release.folder import Release
from service.contract.extra_fields import joined
from service.contract.problems import Conflict, Problem, Unknown
from service.contract.requests import Answered, Disposition, Ended, ScoreRequest
from service.intake.decision import ScoreReply, Warnings, answer_document, decide_deferral, visible_call
from service.intake.event_log import Append, EventLog, NoChange
from service.intake.history_cache import NO_ALIASES, Aliases, CallerStream
from service.intake.scoring import Scorer
from service.queue import states
from service.queue.board import Board, ExpectedWait, sort_by_queue_key
from service.queue.deferral_gate import DeferralGate, Visibility
from service.queue.holdout import Holdout
from service.queue.operations import Operations
from service.queue.operator_leases import OperatorLeases
from service.security.pseudonyms import ID_BYTES
from service.store.records import NO_SOURCE, Call, CallEvent, Kind, Source, encode_json, label_change, stream_of
from service.store.store import SURGE_US, ForeignEvent, Store
from service.timestamps import microseconds, rfc3339

#: The number is nowhere kept, and received_at stands with the call.
_NOT_STORED = {"caller", "received_at"}
_CALLS_EVER = FIELDS.index("calls_ever")


class Intake:
    """The one place where calls and their events come in.

    Parameters
    ----------
    release : Release
    store : Store
    operations : Operations
    holdout : Holdout
    callers_in_memory, calls_in_memory : int
    taken_timeout_s : float
        How long a call is held for an operator who is gone.
    on_abandoned : callable
        Called with the band of each call whose caller hung up before an operator answered.
    network_attests : bool
        Whether a past that the network did not attest puts nobody back.

    Raises
    ------
    StoreError
        When the store's histories were made in another way than this release reads them.
    """

    def __init__(
        self,
        release: Release,
        store: Store,
        operations: Operations,
        holdout: Holdout,
        *,
        callers_in_memory: int = 100_000,
        calls_in_memory: int = 20_000,
        taken_timeout_s: float = 30.0,
        on_abandoned: Callable[[str], None] = lambda _band: None,
        network_attests: bool = False,
    ) -> None:
        self.release, self.store, self.operations = release, store, operations
        self.network_attests = network_attests
        #: Are told each score that was answered, and the label of each call that was closed: `service.watch.shadow`.
        self.on_scored: Callable[[Call, str, Mapping[str, Any]], None] = lambda *_: None
        self.on_closed: Callable[[str, int | None], None] = lambda *_: None
        _check_history_version(store, release)
        self.gate = DeferralGate(release, operations)
        self.board, self.leases = Board(operations, release.policy.deferral), OperatorLeases(taken_timeout_s)
        self._scorer, self.holdout, self._on_abandoned = Scorer(release), holdout, on_abandoned
        self._scorer.warm_up()
        self.event_log = EventLog(store, self._on_committed, callers=callers_in_memory, calls=calls_in_memory)
        self._surge = _load_surge(store)
        for call in store.read_live_calls():
            self.board.put(call, foreign=True)
        if not self.gate.is_on(datetime.now(UTC)):
            self.board.cancel_deferrals()

    def adopt(self, release: Release, scorer: Scorer) -> None:
        """Score with another release from now on; keys that were given stay.

        Parameters
        ----------
        release : Release
            With the label mapping of this one: the histories rest on it.
        scorer : Scorer
            Of that release, warmed up.
        """
        self.release, self._scorer = release, scorer
        self.gate.adopt(release)
        self.board.deferral = release.policy.deferral

    async def score(
        self,
        request: ScoreRequest,
        caller: bytes | None,
        warnings: Warnings,
        now: datetime,
        told: dict[str, Any] | None = None,
        *,
        aliases: Aliases = NO_ALIASES,
        told_by: Source = NO_SOURCE,
    ) -> ScoreReply:
        """Score a call and store it; the same request again gives the same answer and counts once.

        Parameters
        ----------
        request : ScoreRequest
        caller : bytes or None
            Keyed hash of the number.
        warnings : list
        now : datetime
        told : dict, optional
            What was already answered while the store could not be reached; it is kept as the answer.
        aliases : Aliases
            What else the caller is known by.
        told_by : Teller
            As everywhere here.

        Raises
        ------
        Conflict
            When the caller or received_at of a known call would change.
        StoreError
            When the store did not take it.
        """
        received_at_us, stage = microseconds(request.received_at), request.resolved_stage()
        if caller is not None and received_at_us < self.operations.removed_before_us:
            caller = await self._caller_unless_removed(request.call_id, caller, received_at_us)
            aliases = aliases if caller is not None else NO_ALIASES
        asked = request.model_dump_json(exclude=_NOT_STORED, exclude_none=True).encode()

        def decide(known: Call | None, stream: CallerStream) -> Append | NoChange:
            kind: Kind = "scored"
            back = False
            if known is None:
                kind, call = "received", self._new_call(request.call_id, received_at_us, caller, stream, aliases)
                call.changed_at_us = microseconds(now)
            elif known.received_at_us != received_at_us or not _is_same_caller(known.caller, caller, aliases):
                name = "caller" if known.received_at_us == received_at_us else "received_at"
                raise Conflict(f"{name} of a known call cannot change", [(name, "the value of the first request")])
            else:
                # What was imported has no answers, and waits for nobody.
                back = stage != "ended" and bool(known.answers) and states.is_expired(known)
                same = known.asked.get(stage) == asked and (told is None or told == known.answer(stage))
                if same and not back:
                    self.sync_board(known)
                    return NoChange(self._previous_reply(known, stage, now))
                call = self._copy_for_change(known, now)
                if back:
                    states.revive(call)
            _merge_request(call, request, stage)
            call.extra, beyond = joined(call.extra, request.extras())
            warnings[:] = [one for one in warnings if one["field"] != "x_*"] + beyond  # it may be decided again
            reply = ScoreReply.encode(self._decide(call, stage, request.expected_wait_s, warnings, now, told, aliases))
            call.asked[stage], call.answers[stage] = asked, reply.encoded
            scored[:] = [call]
            return Append(
                call, kind, received_at_us, _score_body(asked, reply, stage, call.state if back else None), reply
            )

        scored: list[Call] = []
        stream = stream_of(caller, request.call_id)
        reply: ScoreReply = await self.event_log.append(request.call_id, stream, now, decide, told_by=told_by)
        if scored and told is None:
            self.on_scored(scored[0], stage, reply.answer)
        return reply

    async def _caller_unless_removed(self, call_id: str, caller: bytes, received_at_us: int) -> bytes | None:
        """Return whose call it is; nobody's when retention may have removed it, and its caller's history has it."""
        try:
            known = await self.event_log.find_call(call_id)
        except Unknown:
            return None if received_at_us <= await self.store.folded_until_us(caller) else caller
        return None if known.caller is None else caller

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
        told = (microseconds(request.ended_at), request.ended_by, request.duration_s, request.silence_ratio)

        def decide(call: Call) -> Append | NoChange:
            if call.ended_at_us is not None:
                if told != (call.ended_at_us, call.ended_by, call.duration_s, call.silence_ratio):
                    raise Conflict("the call has ended already, in another way", [("ended_at", "the first one told")])
                if call.asked.get("ended") == asked:
                    return NoChange(self._previous_reply(call, "ended", now))
                # An imported end was never answered: say what would have been said.
                return NoChange(ScoreReply.encode(self._decide(call, "ended", None, warnings, now)))
            call.ended_by, call.duration_s, call.silence_ratio = told[1:]
            was_answered = states.end(call, request.ended_at)
            reply = ScoreReply.encode(self._decide(call, "ended", None, warnings, now))
            call.asked["ended"], call.answers["ended"] = asked, reply.encoded
            heard = {"answered": was_answered, "duration_s": call.duration_s, "silence_ratio": call.silence_ratio}
            return Append(call, "ended", told[0], _score_body(asked, reply), reply, heard)

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
            same = (call.disposition, call.category) == (request.disposition, request.category)
            if same and call.disposed_at_us is not None:
                return NoChange()
            was = states.close(call, request.operator, confirmed=bool(request.confirm))
            body = request.model_dump(mode="json", exclude_none=True, exclude={"confirm", "answered_at"})
            if was is not None:
                body["was"] = was
            if request.answered_at is not None and states.answer(call, request.answered_at, request.operator):
                body["answered_at"] = rfc3339(call.answered_at_us)
            change = label_change(self.release.labels, call.disposition, request.disposition)
            call.disposition, call.category = request.disposition, request.category
            call.disposed_at_us = microseconds(known_at)
            return Append(call, "disposed", call.disposed_at_us, encode_json(body), history_columns=dict(change))

        await self._append_to_known_call(call_id, now, decide, told_by)
        self.on_closed(call_id, self.release.labels.get(request.disposition))

    async def reopen(self, call_id: str, operator: str | None, now: datetime, *, told_by: Source = NO_SOURCE) -> None:
        """Bring back a call that was closed by mistake while it waited: it waits again, at its old place.

        Raises
        ------
        Unknown
        Conflict
            When it was not, or no longer can be: `states.reopen`.
        """
        closing: dict[str, Any] | None = None
        for said in await self.store.read_events(await self.event_log.find_call(call_id)):
            if said["kind"] == "reopened" or (said["kind"] == "disposed" and "was" in said["body"]):
                closing = said if said["kind"] == "disposed" else None

        def decide(call: Call) -> Append | NoChange:
            if closing is not None and "answered_at" in closing["body"]:
                call.answered_at_us = None  # it was not told by itself
            closed_s = None if closing is None else (microseconds(now) - closing["recorded_at_us"]) / 1e6
            if not states.reopen(call, closed_s):
                return NoChange()
            change = label_change(self.release.labels, call.disposition, None)
            call.disposition = call.category = call.disposed_at_us = None
            if not self.gate.is_on(now):
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
        self.leases.renew(operator)
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
        for call in self.board.taken_calls():
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

    async def find_call(self, call_id: str) -> Call:
        """Return what is known of a call.

        Raises
        ------
        Unknown
        """
        return await self.event_log.find_call(call_id, refresh=self.store.shared)

    def visible_call(self, call: Call, allows: Visibility) -> Call:
        """Return a call as it may be shown now, given what the gate allows; one that is over as it was."""
        if call.state in states.OVER:
            return call
        if call.state not in states.IN_QUEUE:  # it has left the queue, and keeps its key
            allows = allows._replace(deferral=True)
        return visible_call(call, allows, self.board.calls.get(call.call_id, call).defer_s)

    def queued_calls(self, queue: str | None, allows: Visibility) -> list[Call]:
        """Return the waiting calls of a queue (or of all) as they may be shown now, in the order of their keys."""
        return sort_by_queue_key(self.visible_call(call, allows) for call in self.board.in_queue(queue))

    def sync_board(self, call: Call) -> None:
        """Record that a call was heard of again, and bring the board in line with the store.

        An event that the store was too slow for may have been kept after all, and nothing was told of it to the board.
        """
        shown = self.board.calls.get(call.call_id)
        stands = None if call.state in states.OVER else call.state
        if (None if shown is None else shown.state) == stands:
            self.board.mark_heard(call.call_id)
        else:
            self.board.put(call)

    def apply_foreign_events(self, others: list[ForeignEvent]) -> None:
        """Apply what other processes wrote."""
        for event in others:
            self.event_log.evict(event.call.call_id, event.call.stream)
            if event.kind == "received":
                self._surge.add(event.call.received_at_us, event.call.first_call)
                self.board.update_held_wait(event.call, self.board.expected_wait(event.call.queue))
            if event.kind == "taken" and event.call.operator:
                self.leases.renew(event.call.operator, local=False)
            self.board.put(event.call, foreign=True)

    def _previous_reply(self, call: Call, stage: str, now: datetime) -> ScoreReply:
        """Return the earlier answer, as it holds now."""
        board_defer_s = self.board.calls.get(call.call_id, call).defer_s
        return ScoreReply.decode(call.answers[stage]).as_of_now(
            visible_call(call, self.gate.visibility(now), board_defer_s)
        )

    async def _append_to_known_call(
        self, call_id: str, now: datetime, decide: Callable[[Call], Append | NoChange], told_by: Source
    ) -> Any:
        """Append an event to a call that must be known."""
        found = await self.event_log.find_call(call_id)

        def of_known(known: Call | None, _: CallerStream) -> Append | NoChange:
            outcome = decide(self._copy_for_change(known or found, now))
            if isinstance(outcome, NoChange):
                self.sync_board(known or found)
            return outcome

        return await self.event_log.append(call_id, found.stream, now, of_known, told_by=told_by, exists=True)

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

    def _copy_for_change(self, call: Call, now: datetime) -> Call:
        """Return a copy to be changed; a deferral that was taken back on the board stays taken back."""
        changed = call.copy_for_change(microseconds(now))
        on_board = self.board.calls.get(call.call_id)
        if on_board is not None:
            changed.defer_s = min(changed.defer_s, on_board.defer_s)
        return changed

    def _on_committed(self, said: CallEvent, call: Call) -> None:
        if said.kind == "received":
            # What is told after weeks says nothing of a surge, and a clock that begins in 1990 would count from there.
            if call.changed_at_us - call.received_at_us <= SURGE_US:
                self._surge.add(call.received_at_us, call.first_call)
        elif said.kind == "ended" and call.state == states.ABANDONED:
            self._on_abandoned(call.shown_band)
        self.board.put(call)

    def _new_call(
        self, call_id: str, received_at_us: int, caller: bytes | None, stream: CallerStream, aliases: Aliases
    ) -> Call:
        """Read history and surge, once, strictly before the call."""
        stream.caller.settle(received_at_us)
        history = stream.caller.read(received_at_us, *aliases.histories)
        first_call = caller is not None and bool(history[_CALLS_EVER] == 0.0)
        surge = self._surge.read(received_at_us)
        return Call(call_id, received_at_us, caller, history=history, surge=surge, first_call=first_call)

    def _decide(
        self,
        call: Call,
        stage: str,
        expected_wait_s: float | None,
        warnings: Warnings,
        now: datetime,
        told: dict[str, Any] | None = None,
        aliases: Aliases = NO_ALIASES,
    ) -> dict[str, Any]:
        """Score a call, decide its place, and give the answer; `told` was answered already."""
        name = self.release.name
        hashes = () if call.caller is None else (call.caller, *aliases.hashes)
        protected = self.operations.is_protected(hashes, microseconds(now))
        scored = self._scorer.score(call, stage, protected=protected)
        if stage == "ended":
            return answer_document(call, stage, scored, ExpectedWait(None, False, "unknown"), name, warnings, now)
        if self.network_attests and call.caller is not None and not (call.attestation == "A" and aliases.attested):
            scored = scored._replace(factor=0.0, guardrails=[*scored.guardrails, UNATTESTED.name])
        expected = self.board.expected_wait(call.queue, expected_wait_s)
        decide_deferral(
            call,
            scored,
            self.gate.allowed_actions(stage, now),
            holdout=self.holdout,
            held_wait_s=self.board.update_held_wait(call, expected),
            operator_free=expected.operator_free,
            settings=self.release.policy.deferral,
        )
        call.release = name
        if told is not None:
            call.shown_band, call.defer_s, call.held_out = told["band"], min(call.defer_s, told["defer_s"]), False
            return told
        return answer_document(call, stage, scored, expected, name, warnings, now)


def _is_same_caller(known: bytes | None, caller: bytes | None, aliases: Aliases) -> bool:
    """Whether a call has the caller that is told now; under a key that is not held here nobody can say otherwise."""
    if known is None or caller is None:
        return known is caller
    told = {one[:ID_BYTES]: one for one in (caller, *aliases.hashes)}
    return told.get(known[:ID_BYTES], known) == known


def _score_body(asked: bytes, reply: ScoreReply, stage: str | None = None, state: str | None = None) -> bytes:
    """Return the body of a score event: request and answer, both encoded already, and the state that it revived."""
    named = b"".join(
        b'"%s":"%s",' % (name, value.encode()) for name, value in ((b"stage", stage), (b"state", state)) if value
    )
    return b'{%s"request":%s,"answer":%s}' % (named, asked, reply.encoded)


def _merge_request(call: Call, request: ScoreRequest, stage: str) -> None:
    """Add what a request says to what is known; what it does not say stays."""
    for name in ("line", "attestation", "centre", "queue"):
        value = getattr(request, name)
        if value is not None:
            setattr(call, name, value)
    if stage == "opening":
        call.opening_duration_s, call.opening_silence_ratio = request.duration_s, request.silence_ratio
    elif stage == "ended" and call.ended_at_us is None:  # the conversation so far; its end is told elsewhere
        call.duration_s, call.silence_ratio = request.duration_s, request.silence_ratio


def _check_history_version(store: Store, release: Release) -> None:
    made_by = {
        "history version": VERSION,
        "label mapping": ",".join(f"{name}={label}" for name, label in sorted(release.labels.items())),
    }
    for name, value in made_by.items():
        stored = store.ensure_fact(name, value)
        if stored != value:
            raise StoreError(f"its histories were made with {name} {stored}, this release has {value}: saring rebuild")


def _load_surge(store: Store) -> Surge:
    minutes = store.calls_by_minute()
    surge = Surge(first_minute(minutes[0][0] * MINUTE_US) if minutes else None)
    for minute, count, first_calls in minutes:
        surge.add(minute * MINUTE_US, first_call=False, calls=count - first_calls)
        surge.add(minute * MINUTE_US, first_call=True, calls=first_calls)
    return surge
