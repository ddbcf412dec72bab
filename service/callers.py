"""The callers at hand: each one's history in memory, made of the store's events when it is not."""

from collections import OrderedDict

from model.history import Caller
from service.store import Store


class Callers:
    """The most recently heard callers.

    Parameters
    ----------
    store : Store
    most : int
        How many are kept; the others are made anew from their events when they ring again.
    """

    def __init__(self, store: Store, most: int) -> None:
        self._store, self._most = store, most
        self._at_hand: OrderedDict[bytes, Caller] = OrderedDict()

    def get(self, caller: bytes | None) -> Caller:
        """Give a caller's history; without a number always a new and empty one, that nobody keeps."""
        if caller is None:
            return Caller()
        known = self._at_hand.get(caller)
        if known is None:
            said = self._store.said_of_caller(caller)
            known = Caller(pending=[event for event in (one.event() for one in said) if event is not None])
            self._at_hand[caller] = known
            if len(self._at_hand) > self._most:
                self._at_hand.popitem(last=False)
        else:
            self._at_hand.move_to_end(caller)
        return known

    def forget(self, caller: bytes | None) -> None:
        """Drop what is at hand of a caller, so that it is made anew from what the store really holds."""
        if caller is not None:
            self._at_hand.pop(caller, None)
