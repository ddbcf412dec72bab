"""Marks of erased callers: what was said before an erasure, and is told to the store later, must not bring them back.

A mark is a hash of a caller's keyed hash, with the moment of the erasure. Whoever has the keyed hash, as a journal
has, finds it; of itself it says nothing, and nothing that was stored of the caller can be found by it.
"""

from collections.abc import Iterable
from hashlib import sha256

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from service.store.tables import tombstones


def add(connection: Connection, hashes: Iterable[bytes], erased_at_us: int) -> None:
    """Note that a caller was erased at a moment; of several moments the last one stays."""
    marks = [_mark(caller) for caller in hashes]
    connection.execute(sa.delete(tombstones).where(tombstones.c.mark.in_(marks)))
    connection.execute(sa.insert(tombstones), [{"mark": mark, "erased_at_us": erased_at_us} for mark in marks])


def erased_at_us(connection: Connection, hashes: Iterable[bytes]) -> int:
    """Give when a caller was last erased, in microseconds since 1970; 0 when never.

    Parameters
    ----------
    connection : Connection
    hashes : iterable of bytes
        Of the number, under every live key.
    """
    last = sa.select(sa.func.max(tombstones.c.erased_at_us)).where(tombstones.c.mark.in_(map(_mark, hashes)))
    return connection.execute(last).scalar() or 0


def _mark(caller: bytes) -> bytes:
    return sha256(b"saring erased" + caller).digest()
