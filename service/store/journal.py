"""The journal: a durable queue of what came in while the store could not be reached, written by group commit."""

import asyncio
import threading
from concurrent.futures import Future
from pathlib import Path
from queue import Empty, SimpleQueue

from model.errors import StoreError
from service.durable_queue.durable_queue import DurableQueue, QueueFullError
from service.durable_queue.queue_file import is_orphaned

MAX_BATCH_RECORDS = 256
MAX_BATCH_BYTES = 2**20

PendingAppend = tuple[bytes, "Future[None]"]


class Journal(DurableQueue):
    """A durable queue in a file ``journal-<something>.saring``, which an event loop may add to.

    Parameters
    ----------
    path : Path
    size : int
        As of `DurableQueue`.

    Raises
    ------
    StoreError
    """

    def __init__(self, path: Path, size: int = 64 * 2**20) -> None:
        super().__init__(path, size)
        self._waiting: SimpleQueue[PendingAppend | None] = SimpleQueue()
        self._writer: threading.Thread | None = None
        self._closing = False

    async def append_async(self, record: bytes) -> None:
        """Add one record from an event loop, on disk when this returns; those that wait are written together.

        Cancelled before it is being written, it is not added; afterwards it is.

        Raises
        ------
        StoreError
            As `append`.
        """
        self._check_length(record)
        done: Future[None] = Future()
        with self._reading:
            if self._closing:
                raise StoreError(f"{self.path} is closed")
            if self._writer is None:
                self._writer = threading.Thread(target=self._write_until_closed, name="journal", daemon=True)
                self._writer.start()
            self._waiting.put((record, done))
        await asyncio.wrap_future(done)

    def close(self) -> None:
        """Write what still waits, and let go of the file; once more, it does nothing."""
        with self._reading:
            if not self._closing:
                self._closing = True
                self._waiting.put(None)
        if self._writer is not None:
            self._writer.join()
        with self._writing:
            super().close()

    @classmethod
    def find_orphans(cls, folder: Path) -> list[Path]:
        """Return the journals in a folder that no living process has open and that hold records, sorted by name.

        One that cannot be read is among them: opening it says why. None when there is no such folder.
        """
        return [path for path in sorted(folder.glob("journal-*.saring")) if is_orphaned(path)]

    def _write_until_closed(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch = [item for item in self._gather(first) if item[1].set_running_or_notify_cancel()]
            if batch:
                self._commit(batch)

    def _gather(self, first: PendingAppend) -> list[PendingAppend]:
        batch, size = [first], len(first[0])
        while len(batch) < MAX_BATCH_RECORDS and size < MAX_BATCH_BYTES:
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

    def _commit(self, batch: list[PendingAppend]) -> None:
        """Write a batch, or the halves of it: of one that does not fit some records may still find space."""
        failure: Exception | None = None
        try:
            self.append(*(record for record, _ in batch))
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever
            if isinstance(error, QueueFullError) and len(batch) > 1:
                half = len(batch) // 2
                self._commit(batch[:half])
                self._commit(batch[half:])
                return
            failure = error
        for _, done in batch:
            if failure is None:
                done.set_result(None)
            else:
                done.set_exception(failure)
