"""Cache the streams of recent callers: their histories in memory, restored from the store's events otherwise.

A stream is all the events of one caller, or of one call that shows no number; such a call has an empty history.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from model.history.caller_history import Caller, Event
from service.store.records import CallEvent, Checkpoint

#: A caller's state is checkpointed after so many events, so that restoring it never takes long.
CHECKPOINT_EVERY = 64


class Aliases(NamedTuple):
    """What else a caller is known by while number keys are rotated.

    Parameters
    ----------
    hashes : sequence of bytes
        Hashes of the number under the other live keys.
    histories : tuple of Caller
        Histories under those of them that this service does not merge.
    attested : bool
        Whether the network attested the number in each of its calls of the last months, as far as that was asked.
    """

    hashes: Sequence[bytes] = ()
    histories: tuple[Caller, ...] = ()
    attested: bool = False


NO_ALIASES = Aliases()


class CallerStream:
    """A caller's history, how many events it has had in all, and how many up to the last checkpoint."""

    __slots__ = ("caller", "checkpoint_version", "version")

    def __init__(self, caller: Caller, length: int = 0, checkpointed: int = 0) -> None:
        self.caller, self.version, self.checkpoint_version = caller, length, checkpointed

    def checkpoint(self, said: CallEvent) -> Checkpoint | None:
        """Return the checkpoint to write with the next event; None when none is due."""
        if said.version - self.checkpoint_version < CHECKPOINT_EVERY:
            return None
        event = said.history_event()
        pending = [*self.caller.pending, event] if event else list(self.caller.pending)
        return Checkpoint(said.stream, said.version, self.caller.state.copy(), pending)

    def add(self, said: CallEvent, checkpoint: Checkpoint | None) -> None:
        """Add an event that is on disk."""
        self.version = said.version
        event = said.history_event()
        if event is not None:
            self.caller.add(event)
        if checkpoint is not None:
            self.checkpoint_version = said.version


class HistoryCache:
    """The most recently used streams.

    Parameters
    ----------
    max_size : int
        How many are cached; the others are restored from the store when they ring again.
    """

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._streams: OrderedDict[bytes, CallerStream] = OrderedDict()

    def get(self, stream: bytes) -> CallerStream | None:
        """Return a stream; None when it is not cached."""
        found = self._streams.get(stream)
        if found is not None:
            self._streams.move_to_end(stream)
        return found

    def put(self, stream: bytes, found: CallerStream) -> None:
        """Cache a stream."""
        self._streams[stream] = found
        if len(self._streams) > self._max_size:
            self._streams.popitem(last=False)

    def __contains__(self, stream: bytes) -> bool:
        """Whether a stream with at least one event is cached."""
        found = self._streams.get(stream)
        return found is not None and found.version > 0

    def evict(self, stream: bytes) -> None:
        """Evict a stream, so that it is restored from what the store really holds."""
        self._streams.pop(stream, None)

    def evict_all(self) -> None:
        """Evict everything."""
        self._streams.clear()


def restore_stream(last: Checkpoint | None, events: list[Event | None]) -> CallerStream:
    """Restore a stream from its last checkpoint and its later events."""
    caller = Caller(last.state, last.pending) if last else Caller()
    included = last.version if last else 0
    for event in events:
        if event is not None:
            caller.add(event)
    return CallerStream(caller, included + len(events), included)
