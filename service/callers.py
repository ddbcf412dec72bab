"""The callers at hand: each one's history in memory, made of the store's events when it is not."""

from collections import OrderedDict

from model.history import Caller, Event
from service.records import Checkpoint
from service.store import Store

#: After so many events a caller's state is written down, so that making it anew never takes long.
CHECKPOINT_EVERY = 64


class _AtHand:
    """A caller, and how many of its events were told in all and up to the last checkpoint."""

    __slots__ = ("caller", "checkpoint", "events")

    def __init__(self, caller: Caller, events: int, checkpoint: int) -> None:
        self.caller, self.events, self.checkpoint = caller, events, checkpoint


class Callers:
    """The most recently heard callers.

    Parameters
    ----------
    store : Store
    most : int
        How many are kept; the others are made anew from the store when they ring again.
    """

    def __init__(self, store: Store, most: int) -> None:
        self._store, self._most = store, most
        self._at_hand: OrderedDict[bytes, _AtHand] = OrderedDict()

    def get(self, number: bytes | None) -> Caller:
        """Give a caller's history by its hash; without a number always a new and empty one, that nobody keeps."""
        return Caller() if number is None else self._find(number).caller

    def add(self, number: bytes | None, event: Event | None) -> Checkpoint | None:
        """Take note of one more event of a caller; gives the checkpoint to be written with it when one is due.

        An event that adds nothing to a history is None, and counts all the same: it has a row in the store.
        """
        if number is None:
            return None
        found = self._find(number)
        found.events += 1
        if event is not None:
            found.caller.add(event)
        if found.events - found.checkpoint < CHECKPOINT_EVERY:
            return None
        found.checkpoint = found.events
        return Checkpoint(number, found.events, found.caller.state.copy(), list(found.caller.pending))

    def forget(self, number: bytes | None) -> None:
        """Drop what is at hand of a caller, so that it is made anew from what the store really holds."""
        if number is not None:
            self._at_hand.pop(number, None)

    def _find(self, number: bytes) -> _AtHand:
        found = self._at_hand.get(number)
        if found is None:
            found = self._at_hand[number] = self._made(number)
            if len(self._at_hand) > self._most:
                self._at_hand.popitem(last=False)
        else:
            self._at_hand.move_to_end(number)
        return found

    def _made(self, number: bytes) -> _AtHand:
        last = self._store.checkpoint(number)
        caller = Caller(last.state, last.pending) if last else Caller()
        included = last.included if last else 0
        events = list(self._store.events_after(number, included))
        for event in events:
            if event is not None:
                caller.add(event)
        return _AtHand(caller, included + len(events), included)
