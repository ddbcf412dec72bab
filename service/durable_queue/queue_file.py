"""The file of a durable queue: slots that say how far it was acknowledged, then frames of records, in blocks of 4 KiB.

    block 0 .. 7      slots: how many were written before it, identity of the file, number of the last one acknowledged
    block 8 ..        frames: CRC-32, identity, bytes, number of the first record; then length and bytes of each

Why nothing is lost, and nothing that was acknowledged comes back:

- A frame begins and ends on blocks of its own and is one commit, whole or not there. No later write, torn or failed,
  touches a block of a frame that is needed. One that a stop left in part is voided when the file is opened: the end of
  a later frame may be the very bytes that it lacks.
- Numbers count up through the whole life of the file, however often its space is used anew, and no two records ever
  have the same: each opening begins beyond all that those before it could give. A record is there when it stands in a
  whole frame and its number lies beyond the last one acknowledged; the space of a frame is used anew only when that is
  on disk, or when a newer frame repeats its records. So stale bytes are never records, at whatever moment the machine
  stops. Every block is looked at: a frame that is broken hides no other.
- The slots are written in turn. A torn one leaves the one before, under which no frame was overwritten yet.
- The identity is random and stands in every frame, so no bytes of a record can look like one.

What it does not protect against: a disk that says "written" too early, tears more than 4 KiB or rots; a full disk
under a file system that copies on writing or compresses (btrfs, ZFS), where no space can be set aside; network disks
without flock. The bytes of a record stay in the file after it was acknowledged, until others are written over them or
the file is wiped; below the file, the disk may still have what was written over.
"""

import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from struct import Struct
from typing import NamedTuple
from zlib import crc32

from model.errors import StoreError

BLOCK = 4096
SLOTS = 8  # more than two: the newest one that can be read may never have been synced
START = SLOTS * BLOCK
PATIENCE_S = 0.1  # whoever looks for what was left behind holds a file for a moment

#: The identity of slots, in every file of this format.
FORMAT = b"saring journal 1"
_CRC = Struct("<I")  # of all that follows
_HEAD = Struct("<16sIQ")  # identity, bytes that follow, number
_HEAD_BYTES = _CRC.size + _HEAD.size
_LENGTH = Struct("<I")
_ACKNOWLEDGED = Struct("<16sQ")

Record = tuple[int, bytes]  # its number, and what it says


class Frame(NamedTuple):
    """Where a frame stands, in bytes, and the numbers of its first and last record."""

    offset: int
    size: int
    first: int
    last: int


class _Content(NamedTuple):
    """What a file holds: its newest slot, in order all not acknowledged yet, and where frames are not whole."""

    identity: bytes
    slot: int
    acknowledged: int
    frames: list[Frame]
    records: list[Record]
    broken: list[int]


class QueueFile:
    """An open file, locked for as long as it is. Not for several threads at once.

    Parameters
    ----------
    path : Path
        Made when there is none, readable to its owner only.
    size : int
        Bytes to set aside when it is made; one that exists keeps its size.

    Attributes
    ----------
    frames : list of Frame
    records : list of Record
        What it held when it was opened and nobody had acknowledged, in order.
    number : int
        Records are numbered from here on.
    acknowledged : int
        The number of the last record acknowledged.
    capacity : int
        Bytes of the file, in whole blocks.

    Raises
    ------
    StoreError, OSError
        When it is open already or is no queue; when the disk does not let it be read, written or made.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._fd = _open_locked(path)
        try:
            content = _read(self._fd, path) or _make(self._fd, path, size)
            self._identity, self._slot, self.acknowledged, self.frames, self.records, broken = content
            for offset in broken:
                self.void(offset)
            self.acknowledge(self.acknowledged)
            last = self.frames[-1].last if self.frames else self.acknowledged
            self.number = max(last, self._slot << 32) + 1
            self.capacity = os.fstat(self._fd).st_size // BLOCK * BLOCK
        except BaseException:
            os.close(self._fd)
            raise

    def write(self, number: int, records: Sequence[bytes], offset: int) -> None:
        """Write a frame to disk; raises OSError when the disk does not take it, and then nobody knows what it holds."""
        body = b"".join(part for record in records for part in (_LENGTH.pack(len(record)), record))
        _write(self._fd, _framed(self._identity, number, body), offset)

    def void(self, offset: int) -> None:
        """Make sure on disk that no frame stands here."""
        _write(self._fd, bytes(BLOCK), offset)

    def acknowledge(self, number: int) -> None:
        """Note on disk that all up to this number are acknowledged; after an OSError the same slot is written again."""
        slot = self._slot + 1
        _write(self._fd, _framed(FORMAT, slot, _ACKNOWLEDGED.pack(self._identity, number)), slot % SLOTS * BLOCK)
        self._slot, self.acknowledged = slot, number

    def wipe(self, offset: int, size: int) -> None:
        """Write zeros to disk over a part of the frames that nobody needs; nothing when it is zeros already."""
        kept = os.pread(self._fd, size, offset)
        if kept != bytes(len(kept)):
            _write(self._fd, bytes(len(kept)), offset)

    def close(self) -> None:
        """Let go of it; in a process that was forked off, the lock stays its parent's."""
        os.close(self._fd)


def size_of(records: Sequence[bytes]) -> int:
    """Return the bytes of a frame of records, in whole blocks.

    Examples
    --------
    >>> size_of([b"a" * 2000]), size_of([b"a" * 2000, b"b" * 2100])
    (4096, 8192)
    """
    size = _HEAD_BYTES + sum(_LENGTH.size + len(record) for record in records)
    return size + -size % BLOCK


def is_orphaned(path: Path) -> bool:
    """Return whether no process has this file open and it holds records, or cannot be read."""
    import fcntl

    try:
        with _opened(path) as fd:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(fd, fcntl.LOCK_UN)  # reading takes longer than whoever wants to open it waits
            content = _read(fd, path)
            return content is not None and bool(content.records)
    except (FileNotFoundError, BlockingIOError):
        return False
    except (OSError, StoreError):
        return True


def count_pending(path: Path) -> int:
    """Count the records not yet acknowledged of a file that another process may have open; 0 when there is no file."""
    with suppress(FileNotFoundError), _opened(path) as fd:
        content = _read(fd, path)
        return len(content.records) if content else 0
    return 0


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _open_locked(path: Path) -> int:
    """Open a file, making it when there is none, and lock it."""
    import fcntl  # not on every system, and a client without an outbox needs none

    until = time.monotonic() + PATIENCE_S
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(fd), path.stat()):
                return fd
        except FileNotFoundError:
            pass  # removed by whoever had it open: what is written to it now would be gone
        except BlockingIOError:
            if time.monotonic() > until:
                os.close(fd)
                raise StoreError(f"{path} is in use by another process or client; each needs its own") from None
            time.sleep(0.01)
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _make(fd: int, path: Path, size: int) -> _Content:
    """Make an empty queue of a new file: all of it on disk, and the first slot still to be written."""
    try:
        os.ftruncate(fd, 0)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(fd, 0, size)
        for offset in range(0, size, 2**20):  # a block that was written before is synced in half the time
            _write(fd, bytes(min(2**20, size - offset)), offset, sync=False)
        os.fsync(fd)
        sync_folder(path)
    except OSError:
        path.unlink()  # or a full disk would be fuller for it
        raise
    return _Content(secrets.token_bytes(16), -1, 0, [], [], [])


def sync_folder(path: Path) -> None:
    """Make sure that the name of a file is on disk too."""
    with _opened(path.absolute().parent) as folder:
        os.fsync(folder)


def _read(fd: int, path: Path) -> _Content | None:
    """Read what a file holds; None of one that is new, or whose making was cut short."""
    end = os.fstat(fd).st_size
    slots = [slot for at in range(SLOTS) if (slot := _unframed(fd, at * BLOCK, FORMAT, end))]
    if not slots:
        # Blocks 1 to 8 are empty until something is acknowledged; block 0 may be torn, once the file is that long.
        rest = os.pread(fd, START, BLOCK)
        if any(rest) or (len(rest) < START and any(os.pread(fd, BLOCK, 0))):
            raise StoreError(f"{path}: is no durable queue, or its head is damaged; move it away to start anew")
        return None
    newest, body = max(slots)
    identity, acknowledged = _ACKNOWLEDGED.unpack(body)
    found: list[tuple[Frame, list[bytes]]] = []
    broken = []
    for offset in range(START, end, BLOCK):
        if frame := _unframed(fd, offset, identity, end):
            records = _split(frame[1])
            found.append((Frame(offset, size_of(records), frame[0], frame[0] + len(records) - 1), records))
        elif os.pread(fd, len(identity), offset + _CRC.size) == identity:
            broken.append(offset)
    # Newest first: an older frame may hold what a newer one repeats.
    found.sort(key=lambda item: (item[0].last, -item[0].first), reverse=True)
    numbered: dict[int, bytes] = {}
    frames: list[Frame] = []
    for place, records in found:
        new = {number: record for number, record in enumerate(records, place.first) if number > acknowledged}
        if new.keys() - numbered.keys():
            frames.append(place)
            numbered |= new
    return _Content(identity, newest, acknowledged, frames[::-1], sorted(numbered.items()), broken)


def _framed(identity: bytes, number: int, body: bytes) -> bytes:
    framed = _HEAD.pack(identity, len(body), number) + body
    frame = _CRC.pack(crc32(framed)) + framed
    return frame + bytes(-len(frame) % BLOCK)


def _unframed(fd: int, offset: int, identity: bytes, end: int) -> tuple[int, bytes] | None:
    """Read the number and the body of a frame; None when no whole one stands here."""
    head = os.pread(fd, _HEAD_BYTES, offset)
    if len(head) < _HEAD_BYTES or head[_CRC.size : _CRC.size + len(identity)] != identity:
        return None
    _, size, number = _HEAD.unpack_from(head, _CRC.size)
    if offset + _HEAD_BYTES + size > end:
        return None
    body = os.pread(fd, size, offset + _HEAD_BYTES)
    whole = crc32(body, crc32(head[_CRC.size :])) == _CRC.unpack_from(head)[0]
    return (number, body) if whole else None


def _split(body: bytes) -> list[bytes]:
    records, at = [], 0
    while at < len(body):
        begin = at + _LENGTH.size
        at = begin + _LENGTH.unpack_from(body, at)[0]
        records.append(body[begin:at])
    return records


def _write(fd: int, data: bytes, offset: int, *, sync: bool = True) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written
    if sync:
        getattr(os, "fdatasync", os.fsync)(fd)
