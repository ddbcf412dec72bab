"""A durable first-in, first-out queue; why it loses nothing, and what it does not protect against, is in queue_file.py.

Records that are added one by one do not take a block each: a commit repeats those of the newest frame, elsewhere, for
as long as they fit into one block together.

After a write or a sync that failed nobody knows what the disk holds: neither reading it nor the next sync tell. The
first block of what failed is then written over with zeros, and until the disk takes that, nothing more is appended.
Frames are written in whole blocks, so none that is acknowledged later rests on a page of one that failed. When the
process dies first, a record that was written and not acknowledged may come back, one that was refused among them.
"""

import threading
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from model.errors import StoreError
from service.durable_queue.queue_file import BLOCK, START, Frame, QueueFile, Record, size_of

MAX_RECORD_BYTES = 2**20
WIPE_CHUNK_BYTES = 2**18


class QueueFullError(StoreError):
    """There is no space for so many bytes."""


class DurableQueue:
    """The queue, for one process and all its threads.

    Records not yet acknowledged are also held in memory: as many bytes as the file at most.

    Parameters
    ----------
    path : Path
        Made when there is none.
    size : int
        Bytes to set aside when it is made; one that exists keeps its size.

    Raises
    ------
    StoreError
        When it cannot be read, written or made, is open already, or is no queue.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     queue = DurableQueue(Path(folder) / "calls", size=65_536)
    ...     queue.append(b"a call", b"its end")
    ...     queue.acknowledge(1)
    ...     queue.peek()
    ...     queue.close()
    [(2, b'its end')]
    """

    def __init__(self, path: Path, size: int = 64 * 2**20) -> None:
        if size < START + BLOCK:
            raise ValueError(f"size is {size} bytes, expected at least {START + BLOCK}")
        self.path = path
        try:
            self._file = QueueFile(path, size)
        except OSError as error:
            raise StoreError(f"{path}: cannot be opened: {error.strerror}") from error
        self._frames, self._records = deque(self._file.frames), deque(self._file.records)
        #: Where these frames begin and end, sorted.
        self._used = sorted((frame.offset, frame.offset + frame.size) for frame in self._frames)
        #: The end of the ring so far, and the block just before it in which a frame stood that the newest one repeats.
        self._end = self._frames[-1].offset + self._frames[-1].size if self._frames else START
        self._spare: int | None = None
        self._next = self._file.number
        self._unsure: int | None = None  # where a frame may stand that must not come back
        self._writing = threading.Lock()  # held while the disk is asked
        self._reading = threading.Lock()  # held for moments only: an event loop may wait for it
        self._closed = False

    def append(self, *records: bytes) -> None:
        """Add records, all of them or none, on disk when this returns; it waits as long as the disk does.

        Raises
        ------
        QueueFullError
        StoreError
            When a record is longer than 1 MiB, the queue closed, or the disk does not take them.
        """
        for record in records:
            self._check_length(record)
        with self._writing:
            self._check_open()
            first, content = self._with_newest(records)
            size = size_of(content)
            offset = self._free(size)
            try:
                self._void()
                self._unsure = offset
                self._file.write(first, content, offset)
            except OSError as error:
                with suppress(OSError):
                    self._void()
                raise StoreError(f"{self.path}: the disk did not take it: {error.strerror}") from error
            with self._reading:
                self._records.extend(enumerate(records, self._next))
            if offset != self._spare:
                self._end = offset + size
            self._spare = None
            if first < self._next:
                self._spare = self._frames[-1].offset
                self._forget(self._frames.pop())
            self._next += len(records)
            self._frames.append(Frame(offset, size, first, self._next - 1))
            insort(self._used, (offset, offset + size))
            self._unsure = None

    def __len__(self) -> int:
        """Return the number of records not yet acknowledged."""
        return len(self._records)

    def peek(self, most: int = 100) -> list[Record]:
        """Return the oldest records not yet acknowledged with their positions, in order; never waits for the disk."""
        with self._reading:
            return list(islice(self._records, most))

    def acknowledge(self, position: int) -> None:
        """Drop all records up to and including this position: one small write, on disk when this returns.

        Raises
        ------
        ValueError
            When no record had this position yet.
        StoreError
            When the disk does not take it, or the queue is closed. The records are then given again, though perhaps
            not after a restart.
        """
        with self._writing:
            self._check_open()
            if position >= self._next:
                raise ValueError(f"no record has position {position} yet")
            if position <= self._file.acknowledged:
                return
            try:
                self._file.acknowledge(position)
            except OSError as error:
                raise StoreError(f"{self.path}: the disk did not take note: {error.strerror}") from error
            while self._frames and self._frames[0].last <= position:
                self._forget(self._frames.popleft())
            with self._reading:
                while self._records and self._records[0][0] <= position:
                    self._records.popleft()

    def wipe(self) -> bool:
        """Leave nothing in the file of what was acknowledged: zeros on disk; False when records came in meanwhile.

        It takes small steps, so that a record that is to be added waits for one of them at most.

        Raises
        ------
        StoreError
            When the disk does not take it, or the queue is closed.
        """
        number = self._next
        for offset in range(START, self._file.capacity, WIPE_CHUNK_BYTES):
            with self._writing:
                self._check_open()
                if self._frames or self._next != number:
                    return False
                try:
                    self._file.wipe(offset, WIPE_CHUNK_BYTES)
                except OSError as error:
                    raise StoreError(f"{self.path}: cannot be wiped: {error.strerror}") from error
        return True

    def close(self) -> None:
        """Let go of the file, at which nobody may be writing; once more, it does nothing.

        It asks for no lock: a process that was forked off may have inherited one that nobody lets go of.
        """
        if not self._closed:
            self._closed = True
            self._file.close()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"{self.path} is closed")

    def _check_length(self, record: bytes) -> None:
        if len(record) > MAX_RECORD_BYTES:
            raise StoreError(f"a record has {len(record)} bytes, {self.path} takes at most {MAX_RECORD_BYTES}")

    def _with_newest(self, records: Sequence[bytes]) -> tuple[int, Sequence[bytes]]:
        """Put the records of the newest frame before others, if all fit into one block; return the first's number."""
        if self._frames and self._frames[-1].last + 1 == self._next:
            newest = self._frames[-1]
            first = max(newest.first, self._file.acknowledged + 1)
            repeated = [record for _, record in islice(reversed(self._records), self._next - first)][::-1]
            if size_of([*repeated, *records]) == BLOCK:
                return first, [*repeated, *records]
        return self._next, records

    def _free(self, size: int) -> int:
        """Return where so many bytes may stand: in the spare block, behind what was written, or from the beginning."""
        behind = self._frames[-1].offset + self._frames[-1].size if self._frames else START
        for offset in (self._spare, self._end, behind, START):
            if offset is not None:
                following = bisect_left(self._used, (offset, 0))
                before_ends = self._used[following - 1][1] if following else START
                next_begins = self._used[following][0] if following < len(self._used) else self._file.capacity
                if before_ends <= offset <= next_begins - size:
                    return offset
        raise QueueFullError(f"{self.path} is full: {len(self)} records wait in it")

    def _forget(self, frame: Frame) -> None:
        del self._used[bisect_left(self._used, (frame.offset, 0))]

    def _void(self) -> None:
        if self._unsure is not None:
            self._file.void(self._unsure)
            self._unsure = None
