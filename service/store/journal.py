"""The journal: a durable queue on disk of what came in while the store could not be reached.

A record is on disk before `append` returns, and comes back after a crash until it is acknowledged. The file is a ring.
Why that loses nothing, and what it does not protect against, stands in journal_file.py.

After a write or a sync that failed nobody knows what the disk holds: neither reading it nor the next sync tell. The
first block of what failed is then written over with zeros, and until the disk takes that, nothing more is appended.
Frames are written in whole blocks, so none that is acknowledged later rests on a page of one that failed. When the
process dies first, a record that was written and not acknowledged may come back, one that was refused among them.
"""

import asyncio
import threading
from bisect import bisect_left, insort
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from itertools import islice
from pathlib import Path
from queue import Empty, SimpleQueue

from model.errors import StoreError
from service.store.journal_file import BLOCK, START, JournalFile, Place, Record, is_orphaned, size_of

MAX_RECORD_BYTES = 2**20  # of one record
MAX_BATCH = 256  # records of one commit
WIPE_CHUNK_BYTES = 2**18

PendingAppend = tuple[bytes, "Future[None]"]


class _FullError(StoreError):
    """There is no space for so many bytes."""


class Journal:
    """A durable first-in, first-out queue of records, for one process and all its threads.

    Those not yet acknowledged are also held in memory: as many bytes as the file at most.

    Parameters
    ----------
    path : Path
        Named ``journal-<something>.saring``; made when there is none.
    size : int
        Bytes to set aside when it is made; one that exists keeps its size. Each commit takes whole blocks of 4 KiB.

    Raises
    ------
    StoreError
        When it cannot be read, written or made, another process has it open, or it is not a journal.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     journal = Journal(Path(folder) / "journal-1.saring", size=65_536)
    ...     journal.append(b"a call")
    ...     journal.append(b"its end")
    ...     journal.acknowledge(1)
    ...     journal.peek()
    ...     journal.close()
    [(2, b'its end')]
    """

    def __init__(self, path: Path, size: int = 64 * 2**20) -> None:
        if size < START + BLOCK:
            raise ValueError(f"size is {size} bytes, expected at least {START + BLOCK}")
        self.path = path
        try:
            self._file = JournalFile(path, size)
        except OSError as error:
            raise StoreError(f"{path}: cannot be used as a journal: {error.strerror}") from error
        self._frames, self._records = self._file.frames, self._file.records
        self._offsets = sorted(place.offset for place in self._frames)
        self._next = self._file.number
        self._unsure: int | None = None  # where a frame may stand that must not come back
        self._writing = threading.Lock()  # held while the disk is asked
        self._reading = threading.Lock()  # held for moments only: an event loop may wait for it
        self._waiting: SimpleQueue[PendingAppend | None] = SimpleQueue()
        self._writer: threading.Thread | None = None
        self._closed = self._let_go = False

    def append(self, record: bytes) -> None:
        """Add one record, on disk when this returns; it waits as long as the disk does.

        Raises
        ------
        StoreError
            When the record is longer than 1 MiB, the journal full or closed, or the disk does not take it.
        """
        _check(record)
        self._commit([record])

    async def append_async(self, record: bytes) -> None:
        """Add one record from an event loop, on disk when this returns; those that wait are written together.

        Cancelled before it is being written, it is not added; afterwards it is.

        Raises
        ------
        StoreError
            As `append`.
        """
        _check(record)
        done: Future[None] = Future()
        with self._reading:
            if self._closed:
                raise StoreError(f"{self.path}: the journal is closed")
            if self._writer is None:
                writer = threading.Thread(target=self._write_until_closed, name="journal", daemon=True)
                writer.start()
                self._writer = writer
            self._waiting.put((record, done))
        await asyncio.wrap_future(done)

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
            When the disk does not take it, or the journal is closed. The records are then given again, though perhaps
            not after a restart.
        """
        with self._writing:
            self._check_open()
            if position >= self._next:
                raise ValueError(f"no record has position {position} yet")
            if position <= self._file.taken:
                return
            try:
                self._file.take(position)
            except OSError as error:
                raise StoreError(f"{self.path}: the disk did not take note: {error.strerror}") from error
            while self._frames and self._frames[0].last <= position:
                del self._offsets[bisect_left(self._offsets, self._frames.popleft().offset)]
            with self._reading:
                while self._records and self._records[0][0] <= position:
                    self._records.popleft()

    def wipe(self) -> bool:
        """Leave nothing in the file of what was taken: zeros on disk when this returns; False when records came in.

        It takes small steps, so that a record that is to be added waits for one of them at most.

        Raises
        ------
        StoreError
            When the disk does not take it, or the journal is closed.
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
        """Write what still waits, and let go of the file; once more, it does nothing."""
        with self._reading:
            if self._closed:
                return
            self._closed = True
            self._waiting.put(None)
        if self._writer is not None:
            self._writer.join()
        with self._writing:
            self._let_go = True
            self._file.close()

    @classmethod
    def find_orphans(cls, folder: Path) -> list[Path]:
        """Return the journals in a folder that no living process has open and that hold records, sorted by name.

        One that cannot be read is among them: opening it says why. None when there is no such folder.
        """
        return [path for path in sorted(folder.glob("journal-*.saring")) if is_orphaned(path)]

    def _check_open(self) -> None:
        if self._let_go:
            raise StoreError(f"{self.path}: the journal is closed")

    def _commit(self, records: Sequence[bytes]) -> None:
        with self._writing:
            self._check_open()
            size = size_of(records)
            offset = self._free(size)
            try:
                self._void()
                self._unsure = offset
                self._file.write(self._next, records, offset)
            except OSError as error:
                with suppress(OSError):
                    self._void()
                raise StoreError(f"{self.path}: the disk did not take it: {error.strerror}") from error
            with self._reading:
                self._records.extend(enumerate(records, self._next))
            self._next += len(records)
            self._frames.append(Place(offset, size, self._next - 1))
            insort(self._offsets, offset)
            self._unsure = None

    def _free(self, size: int) -> int:
        """Return where so many bytes may stand: behind the newest frame, or else from the beginning."""
        behind = self._frames[-1].offset + self._frames[-1].size if self._frames else START
        for offset in (behind, START):
            following = bisect_left(self._offsets, offset)
            end = self._offsets[following] if following < len(self._offsets) else self._file.capacity
            if offset + size <= end:
                return offset
        raise _FullError(f"{self.path}: the journal is full, {len(self)} records in it wait for the store")

    def _void(self) -> None:
        if self._unsure is not None:
            self._file.void(self._unsure)
            self._unsure = None

    def _write_until_closed(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch = [item for item in self._gather(first) if item[1].set_running_or_notify_cancel()]
            if batch:
                self._commit_waiting(batch)

    def _gather(self, first: PendingAppend) -> list[PendingAppend]:
        batch, size = [first], len(first[0])
        while len(batch) < MAX_BATCH and size < MAX_RECORD_BYTES:
            try:
                following = self._waiting.get_nowait()
            except Empty:
                break
            if following is None:
                self._waiting.put(None)
                break
            batch.append(following)
            size += len(following[0])
        return batch

    def _commit_waiting(self, batch: list[PendingAppend]) -> None:
        failure: Exception | None = None
        try:
            self._commit([record for record, _ in batch])
        except _FullError as error:
            if len(batch) > 1:  # some of them may still find space
                half = len(batch) // 2
                self._commit_waiting(batch[:half])
                self._commit_waiting(batch[half:])
                return
            failure = error
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever
            failure = error
        for _, done in batch:
            if failure is None:
                done.set_result(None)
            else:
                done.set_exception(failure)


def _check(record: bytes) -> None:
    if len(record) > MAX_RECORD_BYTES:
        raise StoreError(f"a record has {len(record)} bytes, the journal takes at most {MAX_RECORD_BYTES}")
