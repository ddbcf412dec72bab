"""The events that the service has not taken yet, oldest first, in a file that outlives the process.

An event is told at least once, not exactly once: a crash between telling and marking tells it again, and the service
counts it once.
"""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from model.errors import StoreError
from service.client.event import Event
from service.client.outbox_of_lines import open_queue
from service.durable_queue.queue_file import BLOCK, START, sync_folder

OUTBOX_LIMIT = 16 * 2**20
#: No file is smaller, whatever the limit: a few dozen events.
LEAST_BYTES = START + 2 * BLOCK


class Outbox:
    """A durable queue of events. One thread may change it; any thread may look.

    Parameters
    ----------
    path : Path
        Made when it is not there. Beside it: `.refused`, the events that the service will never take, with what it
        said of each. A file of lines, as clients kept before, is read and replaced.
    limit : int
        Bytes of the file, which are set aside when it is made, and of the one of refused events.

    Raises
    ------
    StoreError
        When it is in use by another client, cannot be opened, or is no outbox; it is then left as it is.
    """

    def __init__(self, path: Path, limit: int = OUTBOX_LIMIT) -> None:
        self.path, self._limit = Path(path).resolve(), limit
        self._queue = open_queue(self.path, max(limit, LEAST_BYTES))
        self._oldest: tuple[int, Event] | None = None
        self._told = 0  # the position of the last event told, also when the disk did not take note
        try:
            events = [_event(record) for _, record in self._queue.peek(len(self._queue))]
        except ValueError as error:
            self._queue.close()
            raise StoreError(f"{self.path}: holds what is no event, expected the outbox of a client") from error
        self._left, self._held = len(events), Counter(event.call_id for event in events)

    def __len__(self) -> int:
        return self._left

    def holds(self, call_id: str) -> bool:
        """Say whether an event of this call is left: a later one then has to wait behind it."""
        return self._held.get(call_id, 0) > 0

    def peek(self) -> Event | None:
        """Give the oldest event that is left."""
        records = self._queue.peek(1)
        if records and records[0][0] <= self._told:
            records = [later for later in self._queue.peek(len(self._queue)) if later[0] > self._told]
        if not records:
            return None
        position, record = records[0]
        if self._oldest is None or self._oldest[0] != position:
            self._oldest = position, _event(record)
        return self._oldest[1]

    def add(self, event: Event) -> None:
        """Keep an event; it is on disk when this returns.

        Raises
        ------
        StoreError
            When it is not: the outbox is full, or closed, or the disk did not take it.
        """
        self._queue.append(event.line())
        self._held[event.call_id] += 1
        self._left += 1

    def acknowledge(self, event: Event) -> None:
        """Mark the oldest event as told; nothing happens when it is no longer the oldest one.

        Raises
        ------
        StoreError
            When the mark is not on disk; the event is then told again after the next start.
        """
        if self.peek() is not event or self._oldest is None:
            return
        self._told = self._oldest[0]
        self._left -= 1
        self._held[event.call_id] -= 1
        if not self._held[event.call_id]:
            del self._held[event.call_id]
        self._queue.acknowledge(self._told)
        if not self._queue:
            self._queue.wipe()

    def refuse(self, event: Event, **problem: Any) -> None:
        """Put an event that the service will never take into the file beside, with its problem.

        Raises
        ------
        StoreError
            When it is not on disk, or the file would be larger than the limit.
        """
        path, line = self.path.with_name(f"{self.path.name}.refused"), event.line(**problem)
        try:
            with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "ab", buffering=0) as file:
                if file.seek(0, os.SEEK_END) + len(line) > self._limit:
                    raise StoreError(f"{path} is full, expected that somebody reads and removes it")
                file.write(line)
                os.fsync(file.fileno())
            sync_folder(path)
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}") from error

    def close(self) -> None:
        """Let go of the file; what is left in it is told by the next client that opens it."""
        self._queue.close()


def _event(record: bytes) -> Event:
    return Event.read(json.loads(record))
