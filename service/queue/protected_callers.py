"""The protected list: callers who are never deferred, such as hospitals and schools, with a reason and an end."""

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from service.queue.operations import record_decision
from service.security.pseudonyms import short_pseudonym
from service.store.tables import protected
from service.timestamps import rfc3339


class Protected(NamedTuple):
    """One caller on the list."""

    caller: str
    reason: str
    expires_at_us: int


def add_protected(
    connection: Connection, hashes: Sequence[bytes], reason: str, expires_at_us: int, now_us: int, who: str
) -> None:
    """Add a caller to the list, replacing an earlier entry; the note of `who` did it has neither number nor hash.

    First of the number's hashes is the one by which the service knows it now, then all others it may be stored under.
    """
    connection.execute(sa.delete(protected).where(protected.c.chain.in_(hashes)))
    row = {"chain": hashes[0], "reason": reason, "expires_at_us": expires_at_us}
    connection.execute(sa.insert(protected).values(row))
    body = {"did": "add", "reason": reason, "expires_at": rfc3339(expires_at_us)}
    record_decision(connection, who, "protect", body, now_us)


def remove_protected(connection: Connection, hashes: Sequence[bytes], now_us: int, who: str) -> bool:
    """Take a caller off the list; False when it is not there."""
    gone = connection.execute(sa.delete(protected).where(protected.c.chain.in_(hashes))).rowcount
    if gone:
        record_decision(connection, who, "protect", {"did": "remove"}, now_us)
    return bool(gone)


def list_protected(connection: Connection) -> list[Protected]:
    """Return the list, those first who leave it first; people see pseudonyms."""
    query = sa.select(protected).order_by(protected.c.expires_at_us, protected.c.chain)
    return [
        Protected(short_pseudonym(row.chain) or "", row.reason, row.expires_at_us) for row in connection.execute(query)
    ]
