"""A file of lines that one process appends to; a line counts once it is on disk, to its end."""

import os
from contextlib import suppress
from pathlib import Path

from model.errors import StoreError


class LineFile:
    """The file, locked for as long as it is open.

    Parameters
    ----------
    path : Path
        Made when it is not there, readable to its owner only; the lock is a file of its own beside it.

    Raises
    ------
    StoreError
        When another one has it open, or it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock_fd = self._fd = -1
        try:
            self._lock_fd = _locked(beside(path, ".lock"))
            self._fd = _opened(path)
            self.size = os.fstat(self._fd).st_size
        except BlockingIOError as error:
            raise StoreError(f"{path} is in use by another client, expected a file of its own for each") from error
        except OSError as error:
            self.close()
            raise _failed(path, error) from error

    def lines(self) -> list[bytes]:
        """Read all lines; the last one is what follows the last line's end, mostly nothing."""
        try:
            return self.path.read_bytes().split(b"\n")
        except OSError as error:
            raise _failed(self.path, error) from error

    def append(self, line: bytes) -> None:
        """Write a line with its end; it is on disk when this returns.

        Raises
        ------
        StoreError
            When it is not; the file is then as it was before, or closed.
        """
        if self._fd < 0:
            raise StoreError(f"{self.path} is closed")
        try:
            _write(self._fd, line)
        except OSError as error:
            try:
                self.cut(self.size)  # half a line must not stand before the next one
            except StoreError:
                self.close()
            raise _failed(self.path, error) from error
        self.size += len(line)

    def cut(self, size: int) -> None:
        """Keep the first bytes only.

        Raises
        ------
        StoreError
        """
        try:
            os.ftruncate(self._fd, size)
            os.fsync(self._fd)
        except OSError as error:
            raise _failed(self.path, error) from error
        self.size = size

    def replace(self, content: bytes) -> None:
        """Put other lines in the place of all; a crash leaves either the old or the new ones.

        Raises
        ------
        StoreError
            When it did not come to that; the old ones are still there.
        """
        new = beside(self.path, ".new")
        fd = -1
        try:
            new.unlink(missing_ok=True)
            fd = _opened(new)
            _write(fd, content)
            new.replace(self.path)
            _sync_folder(self.path)
        except OSError as error:
            if fd >= 0:
                os.close(fd)
            raise _failed(self.path, error) from error
        os.close(self._fd)
        self._fd, self.size = fd, len(content)

    def close(self) -> None:
        """Let go of file and lock; in a process that was forked off, the lock stays its parent's."""
        for fd in (self._fd, self._lock_fd):
            if fd >= 0:
                with suppress(OSError):
                    os.close(fd)
        self._fd = self._lock_fd = -1


def put_aside(path: Path, line: bytes, limit: int) -> None:
    """Append one line to a file that is not held open; it is on disk when this returns.

    Raises
    ------
    StoreError
        When it is not, or the file would be larger than `limit` bytes.
    """
    try:
        fd = _opened(path)
        try:
            if os.fstat(fd).st_size + len(line) > limit:
                raise StoreError(f"{path} is full, expected that somebody reads and removes it")
            _write(fd, line)
        finally:
            os.close(fd)
    except OSError as error:
        raise _failed(path, error) from error


def beside(path: Path, ending: str) -> Path:
    """Name a file that belongs to another one."""
    return path.with_name(path.name + ending)


def _failed(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path}: {error.strerror}")


def _opened(path: Path) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    _sync_folder(path)
    return fd


def _locked(path: Path) -> int:
    import fcntl  # not on every system, and a client without an outbox needs none

    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return fd


def _write(fd: int, content: bytes) -> None:
    written = 0
    while written < len(content):
        written += os.write(fd, content[written:])
    os.fsync(fd)


def _sync_folder(path: Path) -> None:
    """Make sure that the name of a file is on disk too."""
    fd = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
