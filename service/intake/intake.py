"""Takes in what is said of calls: what each event makes of its call, and what is answered.

Each event is decided without a pause, so what one call reads of its caller's history is never half of what another one
is adding; `service.intake.event_log` keeps it and then remembers it.
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
from service.intake.decision import Reply, Warnings, answer_of, place, shown
from service.intake.event_log import Answer, Known, Told
from service.intake.history_cache import NO_OTHERS, Aliases, Chain
from service.intake.scoring import Scorer
from service.queue import states
from service.queue.board import Board, Expected, in_order
from service.queue.deferral_gate import Allows, Gate
from service.queue.holdout import RandomShare
from service.queue.operations import Operations
from service.queue.operator_leases import Leases
from service.security.pseudonyms import ID_BYTES
from service.store.records import NOBODY, Call, Kind, Said, Teller, chain_of, json_of, label_change
from service.store.store import SURGE_US, Following, Store
from service.timestamps import microseconds, rfc3339

#: The number is nowhere kept, and received_at stands with the call.
_NOT_ASKED = {"caller", "received_at"}
_CALLS_EVER = FIELDS.index("calls_ever")


class Intake:
    """The one place where calls come in.

    Parameters
    ----------
    release : Release
    store : Store
    operations : Operations
    share : RandomShare
    callers_in_memory, calls_in_memory : int
    taken_timeout_s : float
        How long a call is held for an operator who is gone.
    abandoned : callable
        Is told the band of each call whose caller hung up before an operator answered.
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
        share: RandomShare,
        *,
        callers_in_memory: int = 100_000,
        calls_in_memory: int = 20_000,
        taken_timeout_s: float = 30.0,
        abandoned: Callable[[str], None] = lambda _band: None,
        network_attests: bool = False,
    ) -> None:
        self.release, self.store, self.operations = release, store, operations
        self.network_attests = network_attests
        #: Are told each score that was answered, and the label of each call that was closed: `service.watch.shadow`.
        self.seen: Callable[[Call, str, Mapping[str, Any]], None] = lambda *_: None
        self.closed: Callable[[str, int | None], None] = lambda *_: None
        _check_same_histories(store, release)
        self.gate = Gate(release, operations)
        self.board, self.leases = Board(operations, release.policy.deferral), Leases(taken_timeout_s)
        self._scorer, self.share, self._abandoned = Scorer(release), share, abandoned
        self._scorer.warm_up()
        self.known = Known(store, self._kept, callers=callers_in_memory, calls=calls_in_memory)
        self._surge = _surge_of(store)
        for call in store.live():
            self.board.put(call)
        if not self.gate.defers(datetime.now(UTC)):
            self.board.take_back()

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
        aliases: Aliases = NO_OTHERS,
        told_by: Teller = NOBODY,
    ) -> Reply:
        """Score a call and keep it; the same request again gives the same answer and counts once.

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
        received_at_us, stage = microseconds(request.received_at), request.at()
        if caller is not None and received_at_us < self.operations.removed_before_us:
            caller = await self._counts_for(request.call_id, caller, received_at_us)
            aliases = aliases if caller is not None else NO_OTHERS
        asked = request.model_dump_json(exclude=_NOT_ASKED, exclude_none=True).encode()

        def decide(known: Call | None, chain: Chain) -> Told | Answer:
            kind: Kind = "scored"
            back = False
            if known is None:
                kind, call = "received", self._received(request.call_id, received_at_us, caller, chain, aliases)
                call.changed_at_us = microseconds(now)
            elif known.received_at_us != received_at_us or not _same(known.caller, caller, aliases):
                name = "caller" if known.received_at_us == received_at_us else "received_at"
                raise Conflict(f"{name} of a known call cannot change", [(name, "the value of the first request")])
            else:
                # What was imported has no answers, and waits for nobody.
                back = stage != "ended" and bool(known.answers) and states.let_go(known)
                same = known.asked.get(stage) == asked and (told is None or told == known.answer(stage))
                if same and not back:
                    self.show(known)
                    return Answer(self._again(known, stage, now))
                call = self._changed(known, now)
                if back:
                    states.heard(call)
            _take_in(call, request, stage)
            call.extra, beyond = joined(call.extra, request.extras())
            warnings[:] = [one for one in warnings if one["field"] != "x_*"] + beyond  # it may be decided again
            reply = Reply.of(self._decided(call, stage, request.expected_wait_s, warnings, now, told, aliases))
            call.asked[stage], call.answers[stage] = asked, reply.written
            scored[:] = [call]
            return Told(call, kind, received_at_us, _scored(asked, reply, stage, call.state if back else None), reply)

        scored: list[Call] = []
        chain = chain_of(caller, request.call_id)
        reply: Reply = await self.known.tell(request.call_id, chain, now, decide, told_by=told_by)
        if scored and told is None:
            self.seen(scored[0], stage, reply.answer)
        return reply

    async def _counts_for(self, call_id: str, caller: bytes, received_at_us: int) -> bytes | None:
        """Give whose call it is; nobody's when retention may have removed it, and its caller's history has it."""
        try:
            known = await self.known.call(call_id)
        except Unknown:
            return None if received_at_us <= await self.store.folded_until_us(caller) else caller
        return None if known.caller is None else caller

    async def answered(self, call_id: str, request: Answered, now: datetime, *, told_by: Teller = NOBODY) -> None:
        """Keep that an operator took up a call; of several times the first one stays."""

        def decide(call: Call) -> Told | Answer:
            if not (
                states.answered(call, request.answered_at, request.operator) or (call.answers and states.heard(call))
            ):
                return Answer()
            body = {"answered_at": rfc3339(call.answered_at_us), "operator": request.operator}
            return Told(call, "answered", call.answered_at_us or 0, json_of(body))

        await self._tell_of_known(call_id, now, decide, told_by)

    async def ended(
        self, call_id: str, request: Ended, warnings: Warnings, now: datetime, *, told_by: Teller = NOBODY
    ) -> Reply:
        """Keep the end of a call and score the whole of it.

        Raises
        ------
        Unknown
            When the call was never scored.
        Conflict
            When it ended before its arrival, or ended already and in another way.
        """
        asked = request.model_dump_json(exclude_none=True).encode()
        told = (microseconds(request.ended_at), request.ended_by, request.duration_s, request.silence_ratio)

        def decide(call: Call) -> Told | Answer:
            if call.ended_at_us is not None:
                if told != (call.ended_at_us, call.ended_by, call.duration_s, call.silence_ratio):
                    raise Conflict("the call has ended already, in another way", [("ended_at", "the first one told")])
                if call.asked.get("ended") == asked:
                    return Answer(self._again(call, "ended", now))
                # An imported end was never answered: say what would have been said.
                return Answer(Reply.of(self._decided(call, "ended", None, warnings, now)))
            call.ended_by, call.duration_s, call.silence_ratio = told[1:]
            was_answered = states.ended(call, request.ended_at)
            reply = Reply.of(self._decided(call, "ended", None, warnings, now))
            call.asked["ended"], call.answers["ended"] = asked, reply.written
            heard = {"answered": was_answered, "duration_s": call.duration_s, "silence_ratio": call.silence_ratio}
            return Told(call, "ended", told[0], _scored(asked, reply), reply, heard)

        reply: Reply = await self._tell_of_known(call_id, now, decide, told_by)
        return reply

    async def disposed(
        self, call_id: str, request: Disposition, now: datetime, known_at: datetime, *, told_by: Teller = NOBODY
    ) -> None:
        """Keep how a call was closed; said again, it corrects what was said before.

        Raises
        ------
        Unknown
            When the call was never scored.
        Conflict
            When it was closed before its arrival, or is not confirmed of a call that waits (`life.closed`).
        """

        def decide(call: Call) -> Told | Answer:
            states.not_before(call, "disposed_at", request.disposed_at)
            same = (call.disposition, call.category) == (request.disposition, request.category)
            if same and call.disposed_at_us is not None:
                return Answer()
            was = states.closed(call, request.operator, confirmed=bool(request.confirm))
            body = request.model_dump(mode="json", exclude_none=True, exclude={"confirm", "answered_at"})
            if was is not None:
                body["was"] = was
            if request.answered_at is not None and states.answered(call, request.answered_at, request.operator):
                body["answered_at"] = rfc3339(call.answered_at_us)
            change = label_change(self.release.labels, call.disposition, request.disposition)
            call.disposition, call.category = request.disposition, request.category
            call.disposed_at_us = microseconds(known_at)
            return Told(call, "disposed", call.disposed_at_us, json_of(body), adds=dict(change))

        await self._tell_of_known(call_id, now, decide, told_by)
        self.closed(call_id, self.release.labels.get(request.disposition))

    async def reopened(self, call_id: str, operator: str | None, now: datetime, *, told_by: Teller = NOBODY) -> None:
        """Bring back a call that was closed by mistake while it waited: it waits again, at its old place.

        Raises
        ------
        Unknown
        Conflict
            When it was not, or no longer can be: `life.reopened`.
        """
        closing: dict[str, Any] | None = None
        for said in await self.store.said(await self.known.call(call_id)):
            if said["kind"] == "reopened" or (said["kind"] == "disposed" and "was" in said["body"]):
                closing = said if said["kind"] == "disposed" else None

        def decide(call: Call) -> Told | Answer:
            if closing is not None and "answered_at" in closing["body"]:
                call.answered_at_us = None  # it was not told by itself
            closed_s = None if closing is None else (microseconds(now) - closing["recorded_at_us"]) / 1e6
            if not states.reopened(call, closed_s):
                return Answer()
            change = label_change(self.release.labels, call.disposition, None)
            call.disposition = call.category = call.disposed_at_us = None
            if not self.gate.defers(now):
                call.defer_s = 0.0  # what was taken back meanwhile
            return Told(call, "reopened", microseconds(now), json_of({"operator": operator}), adds=dict(change))

        await self._tell_of_known(call_id, now, decide, told_by)
        self.closed(call_id, None)

    async def taken(self, call_id: str, operator: str, now: datetime, *, told_by: Teller = NOBODY) -> Call:
        """Lock a waiting call to an operator; two never get the same. Taken once more it is held for longer.

        Raises
        ------
        Unknown, Conflict
        """
        call = await self._moved(call_id, "taken", operator, now, lambda call: states.taken(call, operator), told_by)
        self.leases.renew(operator)
        return call

    async def released(
        self,
        call_id: str,
        operator: str,
        now: datetime,
        *,
        any_operator: bool = False,
        told_by: Teller = NOBODY,
        why: str | None = None,
    ) -> Call:
        """Give a taken call back to the queue; `why` is a word for when its operator did not ask for it.

        Raises
        ------
        Unknown, Conflict
        """

        def move(call: Call) -> bool:
            return states.released(call, operator, any_operator=any_operator)

        return await self._moved(call_id, "released", operator, now, move, told_by, why)

    async def give_back(self, operator: str, why: str, now: datetime, *, told_by: Teller = NOBODY) -> None:
        """Give back every call that an operator has taken who is there no longer.

        Raises
        ------
        StoreError
        """
        for call in self.board.taken():
            if call.operator == operator:
                with suppress(Problem):  # it has just become another's, or is over
                    await self.released(call.call_id, operator, now, told_by=told_by, why=why)

    async def left(self, call_id: str, now: datetime, may_go: Callable[[Call], bool] = lambda _: True) -> None:
        """Let a call go of which nothing was heard for too long, if it still may go when its turn comes."""
        await self._moved(call_id, "left", None, now, lambda call: may_go(call) and states.left(call))

    async def find(self, call_id: str) -> Call:
        """Give what is known of a call.

        Raises
        ------
        Unknown
        """
        return await self.known.call(call_id, anew=self.store.shared)

    def shown(self, call: Call, allows: Allows) -> Call:
        """Give a call as it may be shown now, given what the gate allows; one that is over as it was."""
        if call.state in states.OVER:
            return call
        if call.state not in states.IN_QUEUE:  # it has left the queue, and keeps its key
            allows = allows._replace(deferral=True)
        return shown(call, allows, self.board.calls.get(call.call_id, call).defer_s)

    def queue(self, queue: str | None, allows: Allows) -> list[Call]:
        """Give the waiting calls of a queue (or of all) as they may be shown now, in the order of their keys."""
        return in_order(self.shown(call, allows) for call in self.board.in_queue(queue))

    def show(self, call: Call) -> None:
        """Take note that a call was heard of again, and see that it stands on the board as in the store.

        An event that the store was too slow for may have been kept after all, and nothing was told of it to the board.
        """
        shown = self.board.calls.get(call.call_id)
        stands = None if call.state in states.OVER else call.state
        if (None if shown is None else shown.state) == stands:
            self.board.hear(call.call_id)
        else:
            self.board.put(call)

    def follow(self, others: list[Following]) -> None:
        """Take note of what other processes wrote."""
        for event in others:
            self.known.forget(event.call.call_id, event.call.chain)
            if event.kind == "received":
                self._surge.add(event.call.received_at_us, event.call.first_call)
                self.board.hold(event.call, self.board.expected(event.call.queue))
            if event.kind == "taken" and event.call.operator:
                self.leases.renew(event.call.operator, here=False)
            self.board.put(event.call)

    def _again(self, call: Call, stage: str, now: datetime) -> Reply:
        """Give what was answered before, as it holds now."""
        board_defer_s = self.board.calls.get(call.call_id, call).defer_s
        return Reply.again(call.answers[stage]).as_of_now(shown(call, self.gate.allows(now), board_defer_s))

    async def _tell_of_known(
        self, call_id: str, now: datetime, decide: Callable[[Call], Told | Answer], told_by: Teller
    ) -> Any:
        """Tell an event of a call that must be known."""
        found = await self.known.call(call_id)

        def of_known(known: Call | None, _: Chain) -> Told | Answer:
            outcome = decide(self._changed(known or found, now))
            if isinstance(outcome, Answer):
                self.show(known or found)
            return outcome

        return await self.known.tell(call_id, found.chain, now, of_known, told_by=told_by, exists=True)

    async def _moved(
        self,
        call_id: str,
        kind: Kind,
        operator: str | None,
        now: datetime,
        move: Callable[[Call], bool],
        told_by: Teller = NOBODY,
        why: str | None = None,
    ) -> Call:
        def decide(call: Call) -> Told | Answer:
            body = {"operator": operator, "state": call.state} | ({"why": why} if why else {})
            return Told(call, kind, microseconds(now), json_of(body), call) if move(call) else Answer(call)

        call: Call = await self._tell_of_known(call_id, now, decide, told_by)
        return call

    def _changed(self, call: Call, now: datetime) -> Call:
        """Give a copy to be changed; a deferral that was taken back on the board stays taken back."""
        changed = call.changed(microseconds(now))
        on_board = self.board.calls.get(call.call_id)
        if on_board is not None:
            changed.defer_s = min(changed.defer_s, on_board.defer_s)
        return changed

    def _kept(self, said: Said, call: Call) -> None:
        if said.kind == "received":
            # What is told after weeks says nothing of a surge, and a clock that begins in 1990 would count from there.
            if call.changed_at_us - call.received_at_us <= SURGE_US:
                self._surge.add(call.received_at_us, call.first_call)
        elif said.kind == "ended" and call.state == states.ABANDONED:
            self._abandoned(call.shown_band)
        self.board.put(call)

    def _received(
        self, call_id: str, received_at_us: int, caller: bytes | None, chain: Chain, aliases: Aliases
    ) -> Call:
        """Read history and surge, once, strictly before the call."""
        chain.caller.settle(received_at_us)
        history = chain.caller.read(received_at_us, *aliases.pasts)
        first_call = caller is not None and bool(history[_CALLS_EVER] == 0.0)
        surge = self._surge.read(received_at_us)
        return Call(call_id, received_at_us, caller, history=history, surge=surge, first_call=first_call)

    def _decided(
        self,
        call: Call,
        stage: str,
        expected_wait_s: float | None,
        warnings: Warnings,
        now: datetime,
        told: dict[str, Any] | None = None,
        aliases: Aliases = NO_OTHERS,
    ) -> dict[str, Any]:
        """Score a call, decide its place, and give the answer; `told` was answered already."""
        name = self.release.name
        hashes = () if call.caller is None else (call.caller, *aliases.hashes)
        protected = self.operations.protects(hashes, microseconds(now))
        scored = self._scorer.score(call, stage, protected=protected)
        if stage == "ended":
            return answer_of(call, stage, scored, Expected(None, False, "unknown"), name, warnings, now)
        if self.network_attests and call.caller is not None and not (call.attestation == "A" and aliases.attested):
            scored = scored._replace(factor=0.0, guardrails=[*scored.guardrails, UNATTESTED.name])
        expected = self.board.expected(call.queue, expected_wait_s)
        place(
            call,
            scored,
            self.gate.acts(stage, now),
            share=self.share,
            held_s=self.board.hold(call, expected),
            free=expected.operator_free,
            settings=self.release.policy.deferral,
        )
        call.release = name
        if told is not None:
            call.shown_band, call.defer_s, call.held_out = told["band"], min(call.defer_s, told["defer_s"]), False
            return told
        return answer_of(call, stage, scored, expected, name, warnings, now)


def _same(known: bytes | None, caller: bytes | None, aliases: Aliases) -> bool:
    """Whether a call has the caller that is told now; under a key that is not held here nobody can say otherwise."""
    if known is None or caller is None:
        return known is caller
    told = {one[:ID_BYTES]: one for one in (caller, *aliases.hashes)}
    return told.get(known[:ID_BYTES], known) == known


def _scored(asked: bytes, reply: Reply, stage: str | None = None, state: str | None = None) -> bytes:
    """Put down what was asked and answered, both written already, and the state to which it brought the call back."""
    named = b"".join(
        b'"%s":"%s",' % (name, value.encode()) for name, value in ((b"stage", stage), (b"state", state)) if value
    )
    return b'{%s"request":%s,"answer":%s}' % (named, asked, reply.written)


def _take_in(call: Call, request: ScoreRequest, stage: str) -> None:
    """Add what a request says to what is known; what it does not say stays."""
    for name in ("line", "attestation", "centre", "queue"):
        value = getattr(request, name)
        if value is not None:
            setattr(call, name, value)
    if stage == "opening":
        call.opening_duration_s, call.opening_silence_ratio = request.duration_s, request.silence_ratio
    elif stage == "ended" and call.ended_at_us is None:  # the conversation so far; its end is told elsewhere
        call.duration_s, call.silence_ratio = request.duration_s, request.silence_ratio


def _check_same_histories(store: Store, release: Release) -> None:
    made_by = {
        "history version": VERSION,
        "label mapping": ",".join(f"{name}={label}" for name, label in sorted(release.labels.items())),
    }
    for name, value in made_by.items():
        stored = store.fact(name, value)
        if stored != value:
            raise StoreError(f"its histories were made with {name} {stored}, this release has {value}: saring rebuild")


def _surge_of(store: Store) -> Surge:
    minutes = store.minutes()
    surge = Surge(first_minute(minutes[0][0] * MINUTE_US) if minutes else None)
    for minute, count, first_calls in minutes:
        surge.add(minute * MINUTE_US, first_call=False, calls=count - first_calls)
        surge.add(minute * MINUTE_US, first_call=True, calls=first_calls)
    return surge
