"""Callers without their numbers: a keyed hash for the store, a short pseudonym for people."""

import hmac
import os
import secrets
from base64 import b32encode
from hashlib import sha256
from pathlib import Path

KEY_BYTES = 32


class Pseudonyms:
    """Turns normalised numbers into keyed hashes (HMAC-SHA-256).

    A plain hash of a telephone number is found by trying all numbers; with a key that the database does not hold
    it is not.

    Parameters
    ----------
    key : bytes
        At least 32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < KEY_BYTES:
            raise ValueError(f"the key of the callers' hash has {len(key)} bytes, expected at least {KEY_BYTES}")
        self._key = key
        self.key_id = sha256(b"saring key id" + key).hexdigest()[:8]

    def hash(self, number: str) -> bytes:
        """Give the keyed hash of a normalised number: 32 bytes."""
        return hmac.digest(self._key, number.encode(), "sha256")


def short(caller: bytes | None) -> str | None:
    """Give the name that people see for a caller.

    Examples
    --------
    >>> short(bytes(32)), short(None)
    ('AAAA-AAAA', None)
    """
    if caller is None:
        return None
    text = b32encode(caller[:5]).decode()
    return f"{text[:4]}-{text[4:]}"


def read_key(path: Path) -> bytes:
    """Read the key, making one that only this user can read when there is none.

    Raises
    ------
    OSError
        When the file can neither be read nor made.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_bytes()
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())
    return path.read_bytes()
