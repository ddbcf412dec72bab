"""Makes, rotates, revokes and lists API keys in the database."""

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from model.errors import SaringError, StoreError
from service.security.api_keys import ID_BYTES, PREFIX, ROLES, SECRET_BYTES, Role
from service.store.database import driver_message
from service.store.tables import access_keys, decisions
from service.timestamps import EPOCH, microseconds, rfc3339

NAME_LENGTH = 100


#: The first statement of a change: it waits for the others, so that two commands cannot both find a name free.
_ALONE = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "LOCK TABLE access_keys IN SHARE ROW EXCLUSIVE MODE"}


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key as people see it afterwards: without its secret."""

    key_id: str
    name: str
    role: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    def state(self, now: datetime) -> str:
        """Return whether the key opens anything: live, expired or revoked."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "live"


def create_key(
    engine: Engine, name: str, role: str, now: datetime, expires_at: datetime | None = None, *, who: str = "command"
) -> str:
    """Make a key and give it: `saring_<key_id>_<secret>`. It cannot be shown again.

    Parameters
    ----------
    engine : Engine
    name : str
        Who holds it; 1 to 100 printable characters, not the name of another live key.
    role : str
        One of `Role`.
    now : datetime
    expires_at : datetime, optional
        From this moment on the key opens nothing; without it the key stays until it is revoked.
    who : str
        Who decided it.

    Raises
    ------
    SaringError
        When one of them makes no sense.
    StoreError
        When the database did not take it.
    """
    if not (name.strip() == name and 1 <= len(name) <= NAME_LENGTH and name.isprintable()):
        raise SaringError(f"name: {name!r}, expected 1 to {NAME_LENGTH} printable characters, no space around them")
    if role not in ROLES:
        raise SaringError(f"role: {role!r}, expected one of {', '.join(Role)}")
    if expires_at is not None and expires_at <= now:
        raise SaringError(f"expires_at: {expires_at.isoformat()}, expected a time after now, {now.isoformat()}")
    now_us, expires_us = microseconds(now), None if expires_at is None else microseconds(expires_at)
    with _changing(engine) as connection:
        if _newest(connection, name, now_us) is not None:
            raise SaringError(f"name: {name!r} has a live key, expected another name; or rotate or revoke that key")
        return _add(connection, name, role, now_us, expires_us, {"at_us": now_us, "who": who}, {"did": "create"})


def rotate_key(engine: Engine, key_id: str, now: datetime, grace: timedelta, *, who: str = "command") -> str:
    """Make a new key of the same name and role and give it; the old one opens for `grace` more.

    A key that was made for some time is followed by one for as long; a grace never prolongs the old one. Only the
    newest live key of a name can be rotated, so that one name never has a tree of them.

    Raises
    ------
    SaringError
        When there is no such live key, or it was rotated before, or grace is negative.
    StoreError
        When the database did not take it.
    """
    if grace < timedelta(0):
        raise SaringError(f"grace: {grace}, expected none or some time")
    now_us = microseconds(now)
    with _changing(engine) as connection:
        old = _row(connection, key_id)
        newest = _newest(connection, old["name"], now_us)
        if not _live(old, now_us) or newest is None:
            raise SaringError(f"key_id: {key_id} is no longer live, expected a live key")
        if newest != key_id:
            raise SaringError(f"key_id: {key_id} was rotated already, expected {newest}, which came after it")
        until_us = old["expires_at_us"]
        ends_us = now_us + grace // timedelta(microseconds=1)
        ends_us = ends_us if until_us is None else min(until_us, ends_us)
        change = sa.update(access_keys).where(access_keys.c.key_id == key_id).values(expires_at_us=ends_us)
        connection.execute(change)
        # Strictly later, whatever the clock says, so that the newest of a name is always one.
        made_us = max(now_us, old["created_at_us"] + 1)
        expires_us = None if until_us is None else made_us + until_us - old["created_at_us"]
        did = {"did": "rotate", "replaces": key_id, "replaced_until": rfc3339(ends_us)}
        return _add(connection, old["name"], old["role"], made_us, expires_us, {"at_us": now_us, "who": who}, did)


def revoke_key(engine: Engine, key_id: str, now: datetime, *, who: str = "command") -> None:
    """End a key now; one that is revoked stays as it is.

    Raises
    ------
    SaringError
        When there is no such key.
    StoreError
        When the database did not take it.
    """
    now_us = microseconds(now)
    with _changing(engine) as connection:
        row = _row(connection, key_id)
        if row["revoked_at_us"] is None:
            change = sa.update(access_keys).where(access_keys.c.key_id == key_id).values(revoked_at_us=now_us)
            connection.execute(change)
            body = {"did": "revoke", "key_id": key_id, "name": row["name"], "role": row["role"]}
            _decide(connection, {"at_us": now_us, "who": who}, body)


def list_keys(engine: Engine) -> list[KeyInfo]:
    """Return every key that ever was, the oldest first, without secrets.

    Raises
    ------
    StoreError
        When the table cannot be read.
    """
    return [
        KeyInfo(
            row["key_id"],
            row["name"],
            row["role"],
            EPOCH + timedelta(microseconds=row["created_at_us"]),
            _time(row["expires_at_us"]),
            _time(row["revoked_at_us"]),
        )
        for row in read_key_rows(engine)
    ]


def read_key_rows(engine: Engine) -> list[Mapping[str, Any]]:
    """Read the table, for `ApiKeys`.

    Raises
    ------
    StoreError
        When it cannot be read.
    """
    try:
        with engine.connect() as connection:
            query = sa.select(access_keys).order_by(access_keys.c.created_at_us, access_keys.c.key_id)
            return [dict(row) for row in connection.execute(query).mappings()]
    except SQLAlchemyError as error:
        raise StoreError(f"the access keys cannot be read: {driver_message(error)}") from error


@contextmanager
def _changing(engine: Engine) -> Iterator[Connection]:
    """Run one change of the keys at a time, in a transaction."""
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(_ALONE[engine.dialect.name])
            yield connection
    except SQLAlchemyError as error:
        raise StoreError(f"the change of the access keys was not kept: {driver_message(error)}") from error


def _row(connection: Connection, key_id: str) -> Mapping[str, Any]:
    row = connection.execute(sa.select(access_keys).where(access_keys.c.key_id == key_id)).mappings().first()
    if row is None:
        # What was given is not shown: it may be a whole key, pasted by mistake.
        raise SaringError(f"key_id: no such key, expected {2 * ID_BYTES} characters as `saring keys list` shows them")
    return dict(row)


def _newest(connection: Connection, name: str, now_us: int) -> str | None:
    query = sa.select(access_keys).where(access_keys.c.name == name).order_by(access_keys.c.created_at_us.desc())
    return next((row["key_id"] for row in connection.execute(query).mappings() if _live(dict(row), now_us)), None)


def _live(row: Mapping[str, Any], now_us: int) -> bool:
    return row["revoked_at_us"] is None and (row["expires_at_us"] is None or now_us < row["expires_at_us"])


def _add(
    connection: Connection,
    name: str,
    role: str,
    made_us: int,
    expires_us: int | None,
    decided: dict[str, Any],
    did: dict[str, Any],
) -> str:
    key_id, secret = secrets.token_hex(ID_BYTES), secrets.token_urlsafe(SECRET_BYTES)
    row = {
        "key_id": key_id,
        "name": name,
        "role": str(role),
        "digest": sha256(secret.encode()).digest(),
        "created_at_us": made_us,
        "expires_at_us": expires_us,
    }
    connection.execute(sa.insert(access_keys), row)
    body = did | {"key_id": key_id, "name": name, "role": str(role), "expires_at": rfc3339(expires_us)}
    _decide(connection, decided, body)
    return f"{PREFIX.decode()}{key_id}_{secret}"


def _decide(connection: Connection, decided: dict[str, Any], body: dict[str, Any]) -> None:
    connection.execute(sa.insert(decisions), decided | {"kind": "key", "body": json.dumps(body)})


def _time(time_us: int | None) -> datetime | None:
    return None if time_us is None else EPOCH + timedelta(microseconds=time_us)
