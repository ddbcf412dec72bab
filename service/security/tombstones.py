"""Tombstones of erased callers: an event journaled before an erasure and delivered later must not bring them back.

A tombstone is a hash of a caller's keyed hash, with the time of the erasure. Whoever has the keyed hash, as a journal
has, finds it; by itself it reveals nothing, and nothing that was stored of the caller can be found by it.
"""

from collections.abc import Iterable
from hashlib import sha256

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from service.store.tables import tombstones


def add_tombstones(connection: Connection, hashes: Iterable[bytes], erased_at_us: int) -> None:
    """Record that a caller was erased at a time; of several times the last one stays."""
    marks = [_mark(caller) for caller in hashes]
    connection.execute(sa.delete(tombstones).where(tombstones.c.mark.in_(marks)))
    connection.execute(sa.insert(tombstones), [{"mark": mark, "erased_at_us": erased_at_us} for mark in marks])


def last_erased_at_us(connection: Connection, hashes: Iterable[bytes]) -> int:
    """Return when a caller was last erased, in microseconds since 1970, given its hashes under every live key.

    0 when never.
    """
    last = sa.select(sa.func.max(tombstones.c.erased_at_us)).where(tombstones.c.mark.in_(map(_mark, hashes)))
    return connection.execute(last).scalar() or 0


def _mark(caller: bytes) -> bytes:
    return sha256(b"saring erased" + caller).digest()
