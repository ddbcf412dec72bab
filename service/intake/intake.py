"""Take in calls: score each, append it to its caller's stream, and keep the board in line with the store.

Each event is decided without a pause, so a call never reads half of what another one adds to its caller's history;
`service.intake.event_log` appends it and then caches it.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from model.errors import StoreError
from model.history.caller_history import FIELDS, VERSION
from model.history.surge import MINUTE_US, SURGE_US, Surge, first_minute
from model.policy.arrival import CLOCK_TOLERANCE_S, arrival_us
from model.release.folder import Release
from service.contract.problems import Conflict, Unknown
from service.contract.requests import ScoreRequest
from service.intake.event_log import Append, EventLog, NoChange
from service.intake.history_cache import NO_ALIASES, Aliases, CallerStream
from service.intake.lifecycle import CallLifecycle
from service.queue import states
from service.queue.board import Board, sort_by_queue_key
from service.queue.deferral_gate import Visibility
from service.queue.holdout import Holdout
from service.queue.operations import Operations
from service.queue.operator_leases import OperatorLeases
from service.queue.projection import merge_request
from service.scoring.answer import ScoreReply, Warnings, score_body, visible_call
from service.scoring.triage import Triage
from service.security.pseudonyms import ID_BYTES
from service.store.call_reading import ForeignEvent
from service.store.records import NO_SOURCE, Call, CallEvent, Kind, Source, stream_of
from service.telemetry.sender_clocks import clock_warnings
from service.timestamps import microseconds, rfc3339

if TYPE_CHECKING:
    from service.store.store import Store

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
    clock_tolerance_s : float
        How far behind a sender's clock may be and is believed all the same.

    Raises
    ------
    StoreError
        When the store's histories were made in another way than this release reads them.
    """

    def __init__(
        self,
        release: Release,
        store: "Store",
        operations: Operations,
        holdout: Holdout,
        *,
        callers_in_memory: int = 100_000,
        calls_in_memory: int = 20_000,
        taken_timeout_s: float = 30.0,
        on_abandoned: Callable[[str], None] = lambda _band: None,
        network_attests: bool = False,
        clock_tolerance_s: float = CLOCK_TOLERANCE_S,
    ) -> None:
        self.store, self.operations, self._on_abandoned = store, operations, on_abandoned
        self.clock_tolerance_s = clock_tolerance_s
        #: Is called with each call that was scored, the stage and the answer.
        self.on_scored: Callable[[Call, str, Mapping[str, Any]], None] = lambda *_: None
        _check_history_version(store, release)
        self.board, self.leases = Board(operations, release.policy.deferral), OperatorLeases(taken_timeout_s)
        self.triage = Triage(release, operations, holdout, self.board, network_attests=network_attests)
        self.gate = self.triage.gate
        self.event_log = EventLog(store, self._on_committed, callers=callers_in_memory, calls=calls_in_memory)
        self.lifecycle = CallLifecycle(store, self.event_log, self.board, self.leases, self.triage)
        self._surge = _load_surge(store)
        for call in store.read_live_calls():
            self.board.put(call, foreign=True)
        if not self.gate.is_on(datetime.now(UTC)):
            self.board.cancel_deferrals()

    @property
    def release(self) -> Release:
        """The release that scores."""
        return self.triage.release

    async def score(
        self,
        request: ScoreRequest,
        caller: bytes | None,
        warnings: Warnings,
        now: datetime,
        *,
        given: dict[str, Any] | None = None,
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
        given : dict, optional
            The answer that was given while the store could not be reached; it stands.
        aliases : Aliases
            What else the caller is known by.
        told_by : Source

        Raises
        ------
        Conflict
            When the caller or received_at of a known call would change.
        StoreError
            When the store did not take it.
        """
        received_at_us, stage = microseconds(request.received_at), request.resolved_stage()
        arrived_at_us = self.arrival_us(request, now, told_by, given)
        if caller is not None and received_at_us < self.operations.removed_before_us:
            caller = await self._caller_unless_removed(request.call_id, caller, received_at_us)
            aliases = aliases if caller is not None else NO_ALIASES
        appended: Call | None = None
        asked = request.model_dump_json(exclude=_NOT_STORED, exclude_none=True).encode()

        def decide(known: Call | None, stream: CallerStream) -> Append | NoChange:
            nonlocal appended
            kind: Kind = "scored"
            back = False
            if known is None:
                kind, call = "received", self._new_call(request.call_id, received_at_us, caller, stream, aliases)
                call.changed_at_us = microseconds(now)
                call.arrived_at_us = arrived_at_us
            elif known.received_at_us != received_at_us or not _is_same_caller(known.caller, caller, aliases):
                name = "caller" if known.received_at_us == received_at_us else "received_at"
                raise Conflict(f"{name} of a known call cannot change", [(name, "the value of the first request")])
            else:
                # What was imported has no answers, and waits for nobody.
                back = stage != "ended" and bool(known.answers) and states.is_expired(known)
                same = known.asked.get(stage) == asked and (given is None or given == known.answer(stage))
                if same and not back:
                    self.board.sync(known)
                    return NoChange(self.triage.previous_reply(known, stage, now))
                call = self.board.copy_for_change(known, now)
                if back:
                    states.revive(call)
            ignored = merge_request(call, vars(request), stage, request.extras())
            off = clock_warnings(call.received_at_us, call.arrived_at_us, self.clock_tolerance_s)
            # It may be decided again.
            warnings[:] = [one for one in warnings if one["field"] not in ("x_*", "received_at")] + off + ignored
            reply = ScoreReply.encode(
                self.triage.decide(
                    call,
                    stage,
                    request.expected_wait_s,
                    warnings,
                    now,
                    other_hashes=aliases.hashes,
                    attested=aliases.attested,
                    given=given,
                )
            )
            call.asked[stage], call.answers[stage] = asked, reply.encoded
            appended = call
            corrected = kind == "received" and arrived_at_us != received_at_us
            body = score_body(
                asked,
                reply,
                stage=stage,
                state=call.state if back else None,
                arrived_at=rfc3339(arrived_at_us) if corrected else None,
            )
            return Append(call, kind, received_at_us, body, reply)

        stream = stream_of(caller, request.call_id)
        reply: ScoreReply = await self.event_log.append(request.call_id, stream, now, decide, told_by=told_by)
        if appended is not None and given is None:
            self.on_scored(appended, stage, reply.answer)
        return reply

    def arrival_us(
        self, request: ScoreRequest, now: datetime, told_by: Source, given: Mapping[str, Any] | None = None
    ) -> int:
        """Return when a call counts as arrived that is heard of now for the first time, or was answered before.

        In a replayed log, and in an answer that stands in a journal of before, that is received_at.
        """
        received_at_us = microseconds(request.received_at)
        if given is not None and "arrived_at" in given:
            return microseconds(datetime.fromisoformat(given["arrived_at"]))
        if given is not None or told_by.at is not None:
            return received_at_us
        heard_at_us = microseconds(now) - round(told_by.kept_s * 1e6)
        return arrival_us(received_at_us, heard_at_us, self.clock_tolerance_s)

    async def _caller_unless_removed(self, call_id: str, caller: bytes, received_at_us: int) -> bytes | None:
        """Return whose call it is; nobody's when retention may have removed it, and its caller's history has it."""
        try:
            known = await self.event_log.find_call(call_id)
        except Unknown:
            return None if received_at_us <= await self.store.folded_until_us(caller) else caller
        return None if known.caller is None else caller

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


def _is_same_caller(known: bytes | None, caller: bytes | None, aliases: Aliases) -> bool:
    """Whether a call has the caller that is told now; under a key that is not held here nobody can say otherwise."""
    if known is None or caller is None:
        return known is caller
    told = {one[:ID_BYTES]: one for one in (caller, *aliases.hashes)}
    return told.get(known[:ID_BYTES], known) == known


def _check_history_version(store: "Store", release: Release) -> None:
    made_by = {
        "history version": VERSION,
        "label mapping": ",".join(f"{name}={label}" for name, label in sorted(release.labels.items())),
    }
    for name, value in made_by.items():
        stored = store.ensure_fact(name, value)
        if stored != value:
            raise StoreError(f"its histories were made with {name} {stored}, this release has {value}: saring rebuild")


def _load_surge(store: "Store") -> Surge:
    since_us, minutes = store.calls_by_minute()
    surge = Surge(None if since_us is None else first_minute(since_us))
    for minute, count, first_calls in minutes:
        surge.add(minute * MINUTE_US, first_call=False, calls=count - first_calls)
        surge.add(minute * MINUTE_US, first_call=True, calls=first_calls)
    return surge
