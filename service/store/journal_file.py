"""The file of a journal: slots that say how far it was taken, then frames of records, in blocks of 4 KiB.

    block 0 .. 7      slots: how many were written before it, identity of the file, number of the last record taken
    block 8 ..        frames: CRC-32, identity, bytes, number of the first record; then length and bytes of each

Why nothing acknowledged is lost, and nothing that was taken comes back:

- A frame begins and ends on blocks of its own and is one commit, whole or not there. No later write, torn or failed,
  touches a block of an earlier one.
- Numbers count up through the whole life of the file, however often its space is used anew, and no two frames ever have
  the same: each opening begins beyond all that those before it could give. A frame holds records when it is whole and
  its numbers lie beyond the last one taken; its space is used anew only when that is on disk. So stale bytes are never
  records, at whatever moment the machine stops. Every block is looked at: a frame that is broken hides no other.
- The slots are written in turn. A torn one leaves the one before, under which no frame was overwritten yet.
- The identity is random and stands in every frame, so no bytes of a record can look like one.

What it does not protect against: a disk that says "written" too early, tears more than 4 KiB or rots; a full disk
under a file system that copies on writing or compresses (btrfs, ZFS), where no space can be set aside; network disks
without flock. The bytes of a record stay in the file after it was taken, until others are written over them or the
journal is wiped; below the file, the disk may still have what was written over.
"""

import fcntl
import os
import secrets
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from struct import Struct
from typing import NamedTuple
from zlib import crc32

from model.errors import StoreError

BLOCK = 4096
SLOTS = 8  # more than two: the newest one that can be read may never have been synced
START = SLOTS * BLOCK
PATIENCE_S = 0.1  # whoever looks for what was left behind holds a file for a moment

_SLOT = b"saring journal 1"  # the identity of slots, in every file of this format
_CRC = Struct("<I")  # of all that follows
_HEAD = Struct("<16sIQ")  # identity, bytes that follow, number
_HEAD_BYTES = _CRC.size + _HEAD.size
_LENGTH = Struct("<I")
_TAKEN = Struct("<16sQ")

Record = tuple[int, bytes]  # its number, and what it says


class Place(NamedTuple):
    """Where a frame stands, in bytes, and the number of its last record."""

    offset: int
    size: int
    last: int


class _Content(NamedTuple):
    """What a file holds: its newest slot, and in order all that was not taken yet."""

    identity: bytes
    slot: int
    taken: int
    frames: list[Place]
    records: list[Record]


class JournalFile:
    """An open journal, locked for as long as it is. Not for several threads at once.

    Parameters
    ----------
    path : Path
        Made when there is none.
    size : int
        Bytes to set aside when it is made; one that exists keeps its size.

    Attributes
    ----------
    frames, records : deque
        What it held when it was opened and nobody had taken, in order; for the journal to keep up.
    number : int
        Records are numbered from here on.
    taken : int
        The number of the last record taken.
    capacity : int
        Bytes of the file, in whole blocks.

    Raises
    ------
    StoreError
        When another process has it open, or it is not a journal.
    OSError
        When the disk does not let it be read, written or made.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._file = _alone(path)
        try:
            content = _read(self._file, path) or _make(self._file, path, size)
            self._identity, self._slot, self.taken = content.identity, content.slot, content.taken
            self.frames, self.records = deque(content.frames), deque(content.records)
            self.take(self.taken)
            last = self.frames[-1].last if self.frames else self.taken
            self.number = max(last, self._slot << 32) + 1
            self.capacity = os.fstat(self._file).st_size // BLOCK * BLOCK
        except BaseException:
            os.close(self._file)
            raise

    def write(self, number: int, records: Sequence[bytes], offset: int) -> None:
        """Write a frame to disk; raises OSError when the disk does not take it, and then nobody knows what it holds."""
        body = b"".join(part for record in records for part in (_LENGTH.pack(len(record)), record))
        _write(self._file, _framed(self._identity, number, body), offset)

    def void(self, offset: int) -> None:
        """Make sure on disk that no frame stands here."""
        _write(self._file, bytes(BLOCK), offset)

    def take(self, number: int) -> None:
        """Write to disk that all up to this number are taken; after an OSError the same slot is written again."""
        body = _TAKEN.pack(self._identity, number)
        slot = self._slot + 1
        _write(self._file, _framed(_SLOT, slot, body), slot % SLOTS * BLOCK)
        self._slot, self.taken = slot, number

    def wipe(self, offset: int, size: int) -> None:
        """Write zeros to disk over a part of the frames, which must all be taken; nothing when it is zeros already."""
        kept = os.pread(self._file, size, offset)
        if kept != bytes(len(kept)):
            _write(self._file, bytes(len(kept)), offset)

    def close(self) -> None:
        """Let go of it."""
        os.close(self._file)


def size_of(records: Sequence[bytes]) -> int:
    """Return the bytes of a frame of records, in whole blocks.

    Examples
    --------
    >>> size_of([b"a" * 2000]), size_of([b"a" * 2000, b"b" * 2100])
    (4096, 8192)
    """
    return _whole_blocks(_HEAD_BYTES + sum(_LENGTH.size + len(record) for record in records))


def is_orphaned(path: Path) -> bool:
    """Return whether no process has this journal open and it holds records, or cannot be read."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(file, fcntl.LOCK_UN)  # reading takes longer than whoever wants to open it waits
        content = _read(file, path)
        return content is not None and bool(content.records)
    except BlockingIOError:
        return False
    except (OSError, StoreError):
        return True
    finally:
        os.close(file)


def count_pending(path: Path) -> int:
    """Count the records not yet taken of a journal that another process may have open; 0 when there is no such file.

    Raises
    ------
    StoreError, OSError
        When it cannot be read.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        content = _read(file, path)
        return len(content.records) if content else 0
    finally:
        os.close(file)


def _alone(path: Path) -> int:
    """Open a file, making it when there is none, and lock it."""
    until = time.monotonic() + PATIENCE_S
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file), path.stat()):
                return file
        except FileNotFoundError:
            pass  # removed by whoever had it open: what is written to it now would be gone
        except BlockingIOError:
            if time.monotonic() > until:
                os.close(file)
                raise StoreError(f"{path}: another process has this journal open; each needs its own") from None
            time.sleep(0.01)
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _make(file: int, path: Path, size: int) -> _Content:
    """Make an empty journal of a new file: all of it on disk, and the first slot still to be written."""
    try:
        os.ftruncate(file, 0)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file, 0, size)
        for offset in range(0, size, 2**20):  # a block that was written before is synced in half the time
            _write(file, bytes(min(2**20, size - offset)), offset, sync=False)
        os.fsync(file)
        folder = os.open(path.absolute().parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError:
        path.unlink()  # or a full disk would be fuller for it
        raise
    return _Content(secrets.token_bytes(16), -1, 0, [], [])


def _read(file: int, path: Path) -> _Content | None:
    """Read what a file holds; None of one that is new, or whose making was cut short."""
    end = os.fstat(file).st_size
    slots = [slot for at in range(SLOTS) if (slot := _unframed(file, at * BLOCK, _SLOT, end))]
    if not slots:
        # Blocks 1 to 8 are empty until something is acknowledged; block 0 may be torn, once the file is that long.
        rest = os.pread(file, START, BLOCK)
        if any(rest) or (len(rest) < START and any(os.pread(file, BLOCK, 0))):
            raise StoreError(f"{path}: is not a journal, or its head is damaged; move it away to start anew")
        return None
    newest, body = max(slots)
    identity, taken = _TAKEN.unpack(body)
    found: list[tuple[int, int, list[bytes]]] = []
    for offset in range(START, end, BLOCK):
        frame = _unframed(file, offset, identity, end)
        if frame is not None:
            records = _split(frame[1])
            if frame[0] + len(records) - 1 > taken:
                found.append((frame[0], offset, records))
    found.sort()
    frames = [Place(offset, size_of(records), number + len(records) - 1) for number, offset, records in found]
    numbered = [record for number, _, records in found for record in enumerate(records, number)]
    return _Content(identity, newest, taken, frames, [record for record in numbered if record[0] > taken])


def _framed(identity: bytes, number: int, body: bytes) -> bytes:
    framed = _HEAD.pack(identity, len(body), number) + body
    return (_CRC.pack(crc32(framed)) + framed).ljust(_whole_blocks(_HEAD_BYTES + len(body)), b"\0")


def _unframed(file: int, offset: int, identity: bytes, end: int) -> tuple[int, bytes] | None:
    """Read the number and the body of a frame; None when no whole one stands here."""
    head = os.pread(file, _HEAD_BYTES, offset)
    if len(head) < _HEAD_BYTES or head[_CRC.size : _CRC.size + len(identity)] != identity:
        return None
    _, size, number = _HEAD.unpack_from(head, _CRC.size)
    if offset + _HEAD_BYTES + size > end:
        return None
    body = os.pread(file, size, offset + _HEAD_BYTES)
    whole = crc32(body, crc32(head[_CRC.size :])) == _CRC.unpack_from(head)[0]
    return (number, body) if whole else None


def _split(body: bytes) -> list[bytes]:
    records, at = [], 0
    while at < len(body):
        begin = at + _LENGTH.size
        at = begin + _LENGTH.unpack_from(body, at)[0]
        records.append(body[begin:at])
    return records


def _whole_blocks(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _write(file: int, data: bytes, offset: int, *, sync: bool = True) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written
    if sync:
        getattr(os, "fdatasync", os.fsync)(file)
