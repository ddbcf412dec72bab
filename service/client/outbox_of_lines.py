"""An outbox as clients kept it before: lines, each an event or the mark that the oldest one left was told."""

import json
import logging
import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from model.errors import StoreError
from service.client.event import Event
from service.durable_queue.durable_queue import DurableQueue
from service.durable_queue.queue_file import FORMAT, sync_folder

#: So many events are moved by one commit.
BATCH = 50
_log = logging.getLogger("saring.client")


def open_queue(path: Path, size: int) -> DurableQueue:
    """Open the queue of an outbox; a file of lines is replaced by a queue of what is left in it, or stays as it is.

    Raises
    ------
    StoreError
        When it is in use, also by a client of before, or holds a line that is no event; or as `DurableQueue`.
    """
    lock = path.with_name(f"{path.name}.lock")
    if not (lock.exists() or _is_of_lines(path)):
        return DurableQueue(path, size)
    try:
        with _held(path, lock):
            queue = _converted(path, size) if _is_of_lines(path) else DurableQueue(path, size)
            lock.unlink()
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    return queue


def _converted(path: Path, size: int) -> DurableQueue:
    content = path.read_bytes()
    events = iter(_left(path, content))
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    queue = DurableQueue(new, max(size, 2 * len(content)))
    try:
        while batch := list(islice(events, BATCH)):
            queue.append(*batch)
        new.replace(path)
        sync_folder(path)
    except (OSError, StoreError):
        queue.close()
        raise
    queue.path = path
    return queue


def _left(path: Path, content: bytes) -> deque[bytes]:
    """Return the lines of the events that are left."""
    *lines, rest = content.split(b"\n")
    left: deque[bytes] = deque()
    for number, line in enumerate(lines, 1):
        try:
            found = json.loads(line)
            if "told" in found:
                left.popleft()
            else:
                Event.read(found)
                left.append(line)
        except (ValueError, IndexError, AttributeError, TypeError) as error:
            if number < len(lines) or rest:
                raise StoreError(f"{path}: line {number} is no event, expected the outbox of a client") from error
            rest = line
    if rest:  # by a crash, and nobody was promised it
        _log.warning("%s: its last line is half-written and is left out: %r", path, rest)
    return left


def _is_of_lines(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            begin = file.read(4 + len(FORMAT))
    except FileNotFoundError:
        return False
    return begin.startswith(b"{") and not begin.endswith(FORMAT)


@contextmanager
def _held(path: Path, lock: Path) -> Iterator[None]:
    """Hold the lock that a client of before holds for as long as it has the outbox open."""
    import fcntl  # not on every system, and a client without an outbox needs none

    fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise StoreError(f"{path} is in use by another process or client; each needs its own") from None
    finally:
        os.close(fd)
