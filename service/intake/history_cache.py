"""The chains at hand: each caller's history in memory, made of the store's events when it is not.

A chain is all the events of one caller, or of one call that shows no number; such a call has an empty history.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from model.history.caller_history import Caller, Event
from service.store.records import Checkpoint, Said

#: After so many events a caller's state is written down, so that making it anew never takes long.
CHECKPOINT_EVERY = 64


class Aliases(NamedTuple):
    """By what else a caller is known while keys are rotated.

    Parameters
    ----------
    hashes : sequence of bytes
        Of the number, under the other live keys.
    pasts : tuple of Caller
        What is kept under those of them that this service does not move.
    attested : bool
        Whether the network attested the number in each of its calls of the last months, as far as that was asked.
    """

    hashes: Sequence[bytes] = ()
    pasts: tuple[Caller, ...] = ()
    attested: bool = False


NO_OTHERS = Aliases()


class Chain:
    """A caller's history, how many events it has had in all, and how many up to the last checkpoint."""

    __slots__ = ("caller", "checkpointed", "length")

    def __init__(self, caller: Caller, length: int = 0, checkpointed: int = 0) -> None:
        self.caller, self.length, self.checkpointed = caller, length, checkpointed

    def checkpoint(self, said: Said) -> Checkpoint | None:
        """Give the checkpoint that is to be written with the next event; None when none is due."""
        if said.nth - self.checkpointed < CHECKPOINT_EVERY:
            return None
        event = said.event()
        pending = [*self.caller.pending, event] if event else list(self.caller.pending)
        return Checkpoint(said.chain, said.nth, self.caller.state.copy(), pending)

    def add(self, said: Said, checkpoint: Checkpoint | None) -> None:
        """Take note of an event that is on disk."""
        self.length = said.nth
        event = said.event()
        if event is not None:
            self.caller.add(event)
        if checkpoint is not None:
            self.checkpointed = said.nth


class Callers:
    """The most recently heard chains.

    Parameters
    ----------
    most : int
        How many are kept; the others are made anew from the store when they ring again.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._at_hand: OrderedDict[bytes, Chain] = OrderedDict()

    def get(self, chain: bytes) -> Chain | None:
        """Give a chain; None when it is not at hand."""
        found = self._at_hand.get(chain)
        if found is not None:
            self._at_hand.move_to_end(chain)
        return found

    def put(self, chain: bytes, found: Chain) -> None:
        """Keep a chain at hand."""
        self._at_hand[chain] = found
        if len(self._at_hand) > self._most:
            self._at_hand.popitem(last=False)

    def __contains__(self, chain: bytes) -> bool:
        """Whether a chain with at least one event is at hand."""
        found = self._at_hand.get(chain)
        return found is not None and found.length > 0

    def forget(self, chain: bytes) -> None:
        """Drop what is at hand of a chain, so that it is made anew from what the store really holds."""
        self._at_hand.pop(chain, None)

    def forget_all(self) -> None:
        """Drop all that is at hand."""
        self._at_hand.clear()


def made(last: Checkpoint | None, events: list[Event | None]) -> Chain:
    """Make a chain of its last checkpoint and its later events."""
    caller = Caller(last.state, last.pending) if last else Caller()
    included = last.included if last else 0
    for event in events:
        if event is not None:
            caller.add(event)
    return Chain(caller, included + len(events), included)
