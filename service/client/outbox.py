"""The events that the service has not taken yet, oldest first, in a file that outlives the process.

Each line is an event, or the mark that the oldest one left has been told. A line that a crash left half-written was
never promised to anybody. An event is told at least once, not exactly once: a crash between telling and marking tells
it again, and the service counts it once.
"""

import json
import logging
from collections import Counter, deque
from pathlib import Path
from typing import Any

from model.errors import StoreError
from service.client.event import Event
from service.client.line_file import LineFile, beside, put_aside

OUTBOX_LIMIT = 16 * 1024 * 1024
_TOLD = b'{"told": 1}\n'
_log = logging.getLogger("saring.client")


class Outbox:
    """The file, and in memory what is left of it. One thread may change it; any thread may look.

    Parameters
    ----------
    path : Path
        Made when it is not there. Beside it: `.lock`, held while this is open, and `.refused`, the events that the
        service will never take, with what it said of each.
    limit : int
        Bytes of the file, and of the one of refused events.

    Raises
    ------
    StoreError
        When it is in use by another client, cannot be opened, or is no outbox; it is then left as it is.
    """

    def __init__(self, path: Path, limit: int = OUTBOX_LIMIT) -> None:
        self.path, self._limit = Path(path).resolve(), limit
        self._events: deque[Event] = deque()
        self._held: Counter[str] = Counter()
        self._left = 0  # bytes of the events in memory
        self._file = LineFile(self.path)
        try:
            self._read()
        except StoreError:
            self._file.close()
            raise

    def __len__(self) -> int:
        return len(self._events)

    def holds(self, call_id: str) -> bool:
        """Say whether an event of this call is left: a later one then has to wait behind it."""
        return self._held.get(call_id, 0) > 0

    def peek(self) -> Event | None:
        """Give the oldest event that is left."""
        try:
            return self._events[0]
        except IndexError:
            return None

    def add(self, event: Event) -> None:
        """Keep an event; it is on disk when this returns.

        Raises
        ------
        StoreError
            When it is not: the outbox is full, or closed, or the disk did not take it.
        """
        line = event.line()
        if self._file.size + len(line) > self._limit and 2 * self._left < self._limit:
            self._file.replace(b"".join(event.line() for event in self._events))
        if self._file.size + len(line) > self._limit:
            raise StoreError(f"{self.path} is full: {len(self):,} events, expected at most {self._limit:,} bytes")
        self._file.append(line)
        self._push(event, len(line))

    def acknowledge(self, event: Event) -> None:
        """Mark the oldest event as told; nothing happens when it is no longer the oldest one.

        Raises
        ------
        StoreError
            When the mark is not on disk; the event is then told again after the next start.
        """
        if self.peek() is not event:
            return
        self._pop()
        if self._events:
            self._file.append(_TOLD)
        else:
            self._file.cut(0)

    def refuse(self, event: Event, **problem: Any) -> None:
        """Put an event that the service will never take into the file beside, with its problem.

        Raises
        ------
        StoreError
            When it is not on disk.
        """
        put_aside(beside(self.path, ".refused"), event.line(**problem), self._limit)

    def close(self) -> None:
        """Let go of the file; what is left in it is told by the next client that opens it."""
        self._file.close()

    def _push(self, event: Event, size: int) -> None:
        self._events.append(event)
        self._held[event.call_id] += 1
        self._left += size

    def _pop(self) -> None:
        event = self._events.popleft()
        self._left -= len(event.line())
        self._held[event.call_id] -= 1
        if not self._held[event.call_id]:
            del self._held[event.call_id]

    def _read(self) -> None:
        *lines, rest = self._file.lines()
        size = 0
        for number, line in enumerate(lines, 1):
            try:
                self._take(line)
            except (ValueError, IndexError) as error:
                if number < len(lines) or rest:
                    raise StoreError(
                        f"{self.path}: line {number} is no event, expected the outbox of a client"
                    ) from error
                rest = line
                break
            size += len(line) + 1
        if rest:
            _log.warning("%s: its last line is half-written and is put aside", self.path)
            half = json.dumps({"half_written": rest.decode(errors="replace")}).encode("ascii") + b"\n"
            try:
                put_aside(beside(self.path, ".refused"), half, self._limit)
            except StoreError as error:  # nobody was promised this line: calls matter more
                _log.error("%s", error)
        size = size if self._events else 0
        if size < self._file.size:
            self._file.cut(size)

    def _take(self, line: bytes) -> None:
        found = json.loads(line)
        if not isinstance(found, dict):
            raise ValueError("no object")
        if "told" in found:
            self._pop()
        else:
            self._push(Event.read(found), len(line) + 1)
