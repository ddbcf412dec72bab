"""What is known of calls and callers here: as the store holds it, or behind it and never ahead.

An event is decided on a copy of its call, written right after the last event of its chain that is known here, and only
then remembered. When another process was there before (`Changed`), what is at hand is read anew and the event is
decided once more. So the same lines serve one process on a file and many on one database.

A call may never be further behind than its chain: what another process said of it would be written over. So a chain is
read before its calls, and a call counts as at hand only as long as the very chain does that it was read with.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from weakref import WeakValueDictionary

from model.errors import StoreError
from model.history.caller_history import Caller
from service.contract.problems import Problem, Unknown
from service.intake.history_cache import Callers, Chain, made
from service.queue.states import OVER
from service.store.records import NOBODY, Call, Kind, Said, Teller
from service.store.store import Store
from service.store.writer import Changed
from service.timestamps import microseconds

#: So long an event is decided again and again while other processes are always there before.
PATIENCE_S = 30.0
PAUSE_S = 0.02


@dataclass(slots=True)
class Told:
    """What is to be kept of an event, and what is answered once it is on disk."""

    call: Call
    kind: Kind
    known_at_us: int
    body: bytes
    answer: Any = None
    adds: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered when there is nothing to keep."""

    answer: Any = None


Decide = Callable[[Call | None, Chain], Told | Answer]


class Known:
    """The calls and callers at hand, and the way in which an event is added to them.

    Parameters
    ----------
    store : Store
    kept : callable
        Is told each event that is on disk, and its call.
    callers, calls : int
        How many of the most recently used callers, and of the calls that are over, are kept at hand. A call that is
        not over always is.
    """

    def __init__(self, store: Store, kept: Callable[[Said, Call], None], *, callers: int, calls: int) -> None:
        self._store, self._kept = store, kept
        self._callers = Callers(callers)
        #: With the chain that each was read with. Of a call that is not over more is to be heard.
        self._live: dict[str, tuple[Call, Chain]] = {}
        self._over: dict[str, tuple[Call, Chain]] = {}
        self._most_over = calls
        self._turns: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()
        #: What this process kept since it last began to read what the others wrote: by call, the place of the last
        #: event in its chain, and the call after it.
        self.own: dict[str, tuple[int, Call]] = {}

    async def call(self, call_id: str, *, anew: bool = False) -> Call:
        """Give a call, from the store when it is not at hand or `anew` is asked for.

        Raises
        ------
        Unknown
            When there is none.
        StoreError
        """
        mine = None if anew else self._mine(call_id)
        if mine is not None:
            return mine[0]
        if anew:
            call = await self._store.call(call_id)
        else:
            call, last, later = await self._store.call_and_chain(call_id)
            if call is not None and self._callers.get(call.chain) is None:
                chain = made(last, later)
                self._callers.put(call.chain, chain)
                self._remember(call, chain)
        if call is None:
            raise _unknown()
        return call

    async def tell(
        self,
        call_id: str,
        chain: bytes,
        now: datetime,
        decide: Decide,
        *,
        told_by: Teller = NOBODY,
        exists: bool = False,
    ) -> Any:
        """Decide an event and keep it, right after the last one of its chain.

        Parameters
        ----------
        call_id : str
        chain : bytes
        now : datetime
        decide : callable
            Is given the call (None when it is new) and its chain, and says what to keep and to answer. It runs
            without a pause, and again when what it was given turns out to be old.
        told_by : Teller
        exists : bool
            Whether the call must be known already.

        Returns
        -------
        Any
            The answer, once what it rests on is on disk.

        Raises
        ------
        Problem
            What `decide` raises; `Unknown` when the call must exist and does not.
        StoreError
            When the store did not take it; it may have been kept or not.
        """
        turn = self._turns.get(chain)
        if turn is None:
            turn = self._turns[chain] = asyncio.Lock()
        async with turn:
            until_s = 0.0
            while True:
                at_hand, mine = self._callers.get(chain), self._mine(call_id)
                known = mine[0] if mine is not None and mine[1] is at_hand else None
                if at_hand is None or known is None:
                    # In a file of its own, what is not at hand is first taken for new, as most is: it says when not.
                    looks = exists or until_s > 0.0 or self._store.shared
                    at_hand, known = await self._look(call_id, chain, at_hand, looks=looks)
                if (exists and known is None) or (known is not None and known.chain != chain):
                    break
                try:
                    outcome = decide(known, at_hand)
                except Problem:
                    if await self._is_last(chain, at_hand):
                        raise
                else:
                    if isinstance(outcome, Told):
                        said = Said(chain, at_hand.length + 1, call_id, outcome.kind, outcome.call.received_at_us,
                                    outcome.known_at_us, microseconds(told_by.at or now), outcome.body,
                                    told_by=told_by.name, **outcome.adds)  # fmt: skip
                        if await self._keep(outcome.call, said, at_hand, new=known is None):
                            return outcome.answer
                    elif await self._is_last(chain, at_hand):
                        return outcome.answer
                # What is at hand was behind the store.
                self._callers.forget(chain)
                clock_s = asyncio.get_running_loop().time()
                if not until_s:
                    until_s = clock_s + PATIENCE_S
                    continue
                if clock_s > until_s:
                    raise StoreError("other processes were always there before")
                # Once more: several add to this chain just now. Who has lost often waits no longer than who has once.
                await asyncio.sleep(random.uniform(0.0, PAUSE_S))
        if known is None:
            raise _unknown()
        # Its caller's number was hashed under another key: it belongs to another chain.
        return await self.tell(call_id, known.chain, now, decide, told_by=told_by, exists=exists)

    def __contains__(self, call_id: str) -> bool:
        """Say whether a call is at hand."""
        return self._mine(call_id) is not None

    def at_hand(self, chain: bytes) -> bool:
        """Say whether a chain is at hand, so that its events are known to exist."""
        return chain in self._callers

    def holds(self, call_id: str) -> bool:
        """Say whether a call is at hand, so that it is known to exist."""
        return self._mine(call_id) is not None

    def forget(self, call_id: str, chain: bytes) -> None:
        """Drop what is at hand of a call and its chain: it is read anew from the store."""
        self._live.pop(call_id, None)
        self._over.pop(call_id, None)
        self._callers.forget(chain)

    def forget_all(self) -> None:
        """Drop all that is at hand."""
        self._live.clear()
        self._over.clear()
        self._callers.forget_all()

    async def _look(
        self, call_id: str, chain: bytes, at_hand: Chain | None, *, looks: bool
    ) -> tuple[Chain, Call | None]:
        """Read what is not at hand, the chain before the call; without `looks`, take it for new."""
        call = None
        if at_hand is None:
            if looks:
                last, later, call = await self._store.chain_and_call(chain, call_id)
                at_hand = made(last, later)
            else:
                at_hand = Chain(Caller())
            self._callers.put(chain, at_hand)
        elif looks:
            call = await self._store.call(call_id)
        if call is not None:
            self._remember(call, at_hand)
        return at_hand, call

    async def _is_last(self, chain: bytes, at_hand: Chain) -> bool:
        return not self._store.shared or await self._store.length(chain) == at_hand.length

    async def _keep(self, call: Call, said: Said, at_hand: Chain, *, new: bool) -> bool:
        """Write an event, and then remember it; False when another one was there before."""
        checkpoint = at_hand.checkpoint(said)
        try:
            await self._store.write(said, call, new=new, checkpoint=checkpoint)
        except Changed:
            return False
        except BaseException:
            self.forget(call.call_id, said.chain)  # it may have been kept or not
            raise
        at_hand.add(said, checkpoint)
        self._remember(call, at_hand)
        if self._store.shared:
            self.own[call.call_id] = (said.nth, call)
        self._kept(said, call)
        return True

    def _remember(self, call: Call, chain: Chain) -> None:
        mine, other = (self._over, self._live) if call.state in OVER else (self._live, self._over)
        other.pop(call.call_id, None)
        mine[call.call_id] = (call, chain)
        if len(self._over) > self._most_over:
            self._over.pop(next(iter(self._over)))

    def _mine(self, call_id: str) -> tuple[Call, Chain] | None:
        return self._live.get(call_id) or self._over.get(call_id)


def _unknown() -> Unknown:
    # Which one it was stands in the path already, and may be a number.
    return Unknown("no such call is known here", [("call_id", "a call that was scored before")])
