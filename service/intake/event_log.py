"""Append events to the streams of callers, with optimistic concurrency and a cache of recent streams and calls.

An event is decided on a copy of its call and appended right after the last event of its stream that is cached here;
only then is the cache updated. When another process appended first (`VersionConflict`), stream and call are read again
and the event is decided once more. So the same code serves one process on a file and many on one database.

A cached call may never be older than its stream, or what another process wrote of it would be overwritten. So a stream
is read before its calls, and a call counts as cached only as long as the stream does that it was read with.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from model.errors import StoreError
from model.history.caller_history import Caller
from service.contract.problems import Problem, Unknown
from service.intake.history_cache import CallerStream, HistoryCache, restore_stream
from service.queue.states import OVER
from service.store.event_streams import VersionConflict
from service.store.records import NO_SOURCE, Call, CallEvent, Kind, Source
from service.timestamps import microseconds

if TYPE_CHECKING:
    from service.store.store import Store

#: An event is retried for so long while other processes keep appending first.
RETRY_FOR_S = 30.0
PAUSE_S = 0.02


@dataclass(slots=True)
class Append:
    """An event to append with its changed call, and the reply once both are on disk."""

    call: Call
    kind: Kind
    known_at_us: int
    body: bytes
    reply: Any = None
    history_columns: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NoChange:
    """The reply when there is nothing to append."""

    reply: Any = None


Decide = Callable[[Call | None, CallerStream], Append | NoChange]


class EventLog:
    """Appends events, and caches the streams of callers and their calls.

    Parameters
    ----------
    store : Store
    on_committed : callable
        Called with each event that is on disk, and its call.
    callers, calls : int
        How many of the most recently used callers, and of the calls that are over, are cached. A call that is not over
        always is.
    """

    def __init__(
        self, store: "Store", on_committed: Callable[[CallEvent, Call], None], *, callers: int, calls: int
    ) -> None:
        self._store, self._on_committed = store, on_committed
        self._streams = HistoryCache(callers)
        #: With the stream that each was read with. More events follow of a call that is not over.
        self._live: dict[str, tuple[Call, CallerStream]] = {}
        self._over: dict[str, tuple[Call, CallerStream]] = {}
        self._max_over = calls
        self._locks: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()
        #: Appended by this process since it last began to read what the others wrote: by call, the version of its
        #: last event, and the call after it.
        self.recently_appended: dict[str, tuple[int, Call]] = {}

    async def find_call(self, call_id: str, *, refresh: bool = False) -> Call:
        """Return a call, from the store when it is not cached or `refresh` is set.

        Raises
        ------
        Unknown
            When there is none.
        StoreError
        """
        entry = None if refresh else self._cached_call(call_id)
        if entry is not None:
            return entry[0]
        if refresh:
            call = await self._store.read_call(call_id)
        else:
            call, last, later = await self._store.read_call_and_stream(call_id)
            if call is not None and self._streams.get(call.stream) is None:
                stream = restore_stream(last, later)
                self._streams.put(call.stream, stream)
                self._cache_call(call, stream)
        if call is None:
            raise _unknown_call()
        return call

    async def append(
        self,
        call_id: str,
        stream: bytes,
        now: datetime,
        decide: Decide,
        *,
        told_by: Source = NO_SOURCE,
        exists: bool = False,
    ) -> Any:
        """Decide an event and append it right after the last one of its stream.

        Parameters
        ----------
        call_id : str
        stream : bytes
        now : datetime
        decide : callable
            Takes the call (None when it is new) and its stream; returns an `Append` or a `NoChange`. It runs without a
            pause, and again when what it was given turns out to be stale.
        told_by : Source
        exists : bool
            Whether the call must be known already.

        Returns
        -------
        Any
            The reply, once what it rests on is on disk.

        Raises
        ------
        Problem
            What `decide` raises; `Unknown` when the call must exist and does not.
        StoreError
            When the store failed; the event may have been stored or not.
        """
        lock = self._locks.get(stream)
        if lock is None:
            lock = self._locks[stream] = asyncio.Lock()
        async with lock:
            until_s = 0.0
            while True:
                cached, entry = self._streams.get(stream), self._cached_call(call_id)
                known = entry[0] if entry is not None and entry[1] is cached else None
                if cached is None or known is None:
                    # In a file of its own, what is not cached is first taken for new; if not, there is a conflict.
                    read = exists or until_s > 0.0 or self._store.shared
                    cached, known = await self._load(call_id, stream, cached, read=read)
                if (exists and known is None) or (known is not None and known.stream != stream):
                    break
                try:
                    outcome = decide(known, cached)
                except Problem:
                    if await self._is_current(stream, cached):
                        raise
                else:
                    if isinstance(outcome, Append):
                        event = CallEvent(stream, cached.version + 1, call_id, outcome.kind,
                                          outcome.call.received_at_us, outcome.known_at_us,
                                          microseconds(told_by.at or now), outcome.body, told_by=told_by.name,
                                          **outcome.history_columns)  # fmt: skip
                        if await self._write(outcome.call, event, cached, new=known is None):
                            return outcome.reply
                    elif await self._is_current(stream, cached):
                        return outcome.reply
                # The cache was behind the store.
                self._streams.evict(stream)
                clock_s = asyncio.get_running_loop().time()
                if not until_s:
                    until_s = clock_s + RETRY_FOR_S
                    continue
                if clock_s > until_s:
                    raise StoreError("other processes were always there before")
                # Once more: several add to this stream just now. Who has lost often waits no longer than who has once.
                await asyncio.sleep(random.uniform(0.0, PAUSE_S))
        if known is None:
            raise _unknown_call()
        # Its caller's number was hashed under another key: it belongs to another stream.
        return await self.append(call_id, known.stream, now, decide, told_by=told_by, exists=exists)

    def __contains__(self, call_id: str) -> bool:
        """Return whether a call is cached."""
        return self._cached_call(call_id) is not None

    def is_cached(self, stream: bytes) -> bool:
        """Return whether a stream is cached, so that its events are known to exist."""
        return stream in self._streams

    def has_cached_call(self, call_id: str) -> bool:
        """Return whether a call is cached, so that it is known to exist."""
        return self._cached_call(call_id) is not None

    def cached_call(self, call_id: str) -> Call | None:
        """Return a call as it is cached; None when it is not."""
        entry = self._cached_call(call_id)
        return None if entry is None else entry[0]

    def evict(self, call_id: str, stream: bytes) -> None:
        """Evict a call and its stream, so that they are read from the store again."""
        self._live.pop(call_id, None)
        self._over.pop(call_id, None)
        self._streams.evict(stream)

    def evict_all(self) -> None:
        """Evict everything."""
        self._live.clear()
        self._over.clear()
        self._streams.evict_all()

    async def _load(
        self, call_id: str, stream: bytes, cached: CallerStream | None, *, read: bool
    ) -> tuple[CallerStream, Call | None]:
        """Read what is not cached, the stream before the call; without `read`, take it for new."""
        call = None
        if cached is None:
            if read:
                last, later, call = await self._store.read_stream_and_call(stream, call_id)
                cached = restore_stream(last, later)
            else:
                cached = CallerStream(Caller())
            self._streams.put(stream, cached)
        elif read:
            call = await self._store.read_call(call_id)
        if call is not None:
            self._cache_call(call, cached)
        return cached, call

    async def _is_current(self, stream: bytes, cached: CallerStream) -> bool:
        return not self._store.shared or await self._store.stream_version(stream) == cached.version

    async def _write(self, call: Call, event: CallEvent, cached: CallerStream, *, new: bool) -> bool:
        """Write an event; False on a version conflict."""
        checkpoint = cached.checkpoint(event)

        def update_cache() -> None:
            if self._streams.get(event.stream) is not cached:
                self._streams.evict(event.stream)  # it was read again while nobody knew whether this would be written
            cached.add(event, checkpoint)
            self._cache_call(call, cached)
            if self._store.shared:
                self.recently_appended[call.call_id] = (event.version, call)
            self._on_committed(event, call)

        try:
            await self._store.write(event, call, new=new, checkpoint=checkpoint, on_commit=update_cache)
        except VersionConflict:
            return False
        except BaseException:
            self.evict(call.call_id, event.stream)  # it may have been written or not
            raise
        return True

    def _cache_call(self, call: Call, stream: CallerStream) -> None:
        entry, other = (self._over, self._live) if call.state in OVER else (self._live, self._over)
        other.pop(call.call_id, None)
        entry[call.call_id] = (call, stream)
        if len(self._over) > self._max_over:
            self._over.pop(next(iter(self._over)))

    def _cached_call(self, call_id: str) -> tuple[Call, CallerStream] | None:
        return self._live.get(call_id) or self._over.get(call_id)


def _unknown_call() -> Unknown:
    # Which one it was stands in the path already, and may be a number.
    return Unknown("no such call is known here", [("call_id", "a call that was scored before")])
