"""Callers without their numbers: a keyed hash for the store, a short pseudonym for people.

The keys are in a file of their own, outside the database, the current one first. A rotated key stays in the file until
no caller is stored under it any more, so that its callers keep their history.
"""

import hmac
import os
import secrets
from base64 import b32encode
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from model.errors import SaringError

KEY_BYTES = 32
ID_BYTES = 4
#: No digits, of which a number could be read, and letters that nobody takes for one.
_LETTERS = str.maketrans("0123456789abcdef", "bcdfghjklmnpqrst")
_HEAD = "# Saring: keys of the hash of callers' numbers, the current one first. Without them no history can be read.\n"
_HEAD_OF_SECRETS = "# Saring: what sessions and tokens are signed with. Without it everybody signs in again.\n"


class Pseudonyms:
    """Turns normalised numbers into keyed hashes (HMAC-SHA-256), each with the id of its key in front.

    A plain hash of a telephone number is found by trying all numbers; with a key that the database does not hold
    it is not.

    Parameters
    ----------
    keys : sequence of bytes
        The current one first; at least 32 bytes each.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) < KEY_BYTES for key in keys):
            raise ValueError(f"expected one or more keys of the callers' hash, of at least {KEY_BYTES} bytes")
        # Keyed once and copied for each number: also, the one-shot function lets go of Python's lock each time.
        self._keys = {key_id(key): hmac.new(key, digestmod="sha256") for key in keys}
        self.current = next(iter(self._keys))
        #: Under which numbers are hashed: the newest that every service on the history holds
        #: (`service.maintenance.number_keys`).
        self.in_use = self.current
        #: For the random share, which changes with it.
        self.secret = keys[0]

    @property
    def key_ids(self) -> tuple[bytes, ...]:
        """The ids of all live keys, the current one first."""
        return tuple(self._keys)

    def hash(self, number: str) -> bytes:
        """Return the keyed hash of a normalised number: the id of the key in use and 32 bytes."""
        return self._hash(self.in_use, number)

    def others(self, number: str) -> list[bytes]:
        """Return its hashes under the other live keys, the newest first; empty when none was ever rotated."""
        return [self._hash(name, number) for name in self.key_ids if name != self.in_use]

    def name(self, kind: str, text: str, letters: int) -> str:
        """Return a pseudonym in letters for a text that must not be stored; it stays until the oldest key is dropped.

        The oldest key is the one that every service has, also while keys are rotated.
        """
        keyed = self._keys[self.key_ids[-1]].copy()
        keyed.update(f"{kind}\0{text}".encode())  # no number has a NUL in it
        return keyed.hexdigest()[:letters].translate(_LETTERS)

    def _hash(self, name: bytes, number: str) -> bytes:
        keyed = self._keys[name].copy()
        keyed.update(number.encode())
        return name + keyed.digest()


def key_id(key: bytes) -> bytes:
    """Return the id of a key, which never begins with a zero byte: such a stream is that of a call without a number."""
    return b"k" + sha256(b"saring key id" + key).digest()[: ID_BYTES - 1]


def last_digits(number: str, most: int) -> str | None:
    """Return the last digits of a number; None when that would be more than half of it, or none are asked for.

    Examples
    --------
    >>> last_digits("+6281234567890", 4), last_digits("110", 2), last_digits("+6281234567890", 0)
    ('7890', None, None)
    """
    digits = number.lstrip("+")
    return digits[-most:] if 0 < most <= len(digits) / 2 else None


def short_pseudonym(caller: bytes | None) -> str | None:
    """Return the name that people see for a caller.

    Examples
    --------
    >>> short_pseudonym(b"k123" + bytes(32)), short_pseudonym(None)
    ('AAAA-AAAA', None)
    """
    if caller is None:
        return None
    text = b32encode(caller[ID_BYTES : ID_BYTES + 5]).decode()
    return f"{text[:4]}-{text[4:]}"


def full_pseudonym(caller: bytes | None) -> str | None:
    """Return a name for a caller that no other one has; its first two groups are what people see.

    Examples
    --------
    >>> full_pseudonym(b"k123" + bytes(32)), full_pseudonym(None)
    ('AAAA-AAAA-AAAA-AAAA-AAAA-AAAA', None)
    """
    if caller is None:
        return None
    text = b32encode(caller[ID_BYTES : ID_BYTES + 15]).decode()
    return "-".join(text[place : place + 4] for place in range(0, len(text), 4))


def read_keys(path: Path, head: str = _HEAD) -> list[bytes]:
    """Read the keys, making one that only this user can read when there is no file; `head` is what then stands first.

    Raises
    ------
    SaringError
        When the file holds something else.
    OSError
        When it can neither be read nor made.
    """
    if not path.exists():
        _make(path, head)
    lines = [line.split() for line in path.read_text(encoding="ascii", errors="replace").splitlines()]
    try:
        keys = [bytes.fromhex(line[1]) for line in lines if line and not line[0].startswith("#")]
    except (IndexError, ValueError):
        keys = []
    if not keys or any(len(key) < KEY_BYTES for key in keys):
        raise SaringError(f"{path}: is not a file of keys, expected lines of a date and {2 * KEY_BYTES} hex digits")
    return keys


def read_secrets(path: Path) -> list[bytes]:
    """Read what sessions and tokens are signed with, as `read_keys` reads the other keys."""
    return read_keys(path, _HEAD_OF_SECRETS)


def rotate_number_key(path: Path) -> bytes:
    """Put a new key before the others, and give its id; callers are moved to it as they ring."""
    read_keys(path)
    lines = [line for line in path.read_text(encoding="ascii").splitlines(keepends=True) if not line.startswith("#")]
    key = secrets.token_bytes(KEY_BYTES)
    _replace(path, [_line(key), *lines])
    return key_id(key)


def drop_number_key(path: Path, name: bytes) -> None:
    """Take a key out of the file for good."""
    lines = [line for line in path.read_text(encoding="ascii").splitlines(keepends=True) if not line.startswith("#")]
    _replace(path, [line for line in lines if line.strip() and key_id(bytes.fromhex(line.split()[1])) != name])


def _line(key: bytes) -> str:
    return f"{datetime.now(UTC):%Y-%m-%d} {key.hex()}\n"


def _make(path: Path, head: str) -> None:
    """Make a file with one key, whole or not at all: another process may make it, or read it, at the same moment."""
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    try:
        _write(beside, head, [_line(secrets.token_bytes(KEY_BYTES))], flags=os.O_EXCL)
        with suppress(FileExistsError):
            os.link(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    _sync_folder(path)


def _replace(path: Path, lines: Sequence[str]) -> None:
    beside = path.with_name(path.name + ".new")
    _write(beside, _HEAD, lines, flags=os.O_TRUNC)
    beside.replace(path)
    _sync_folder(path)


def _write(path: Path, head: str, lines: Sequence[str], flags: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(head)
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    """Make sure that the name is on disk, too: a key that callers are stored under and that is gone is a lost past."""
    folder = os.open(path.absolute().parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
