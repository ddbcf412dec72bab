"""Access keys: who may call. A key is shown once, when it is made; the database keeps its SHA-256.

A password needs a slow hash because people choose it and others can guess it. The secret of a key is 256 random bits:
nobody can try so many, so one SHA-256 is enough, and checking a key costs a microsecond on every request.
"""

import hmac
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any

ID_BYTES, SECRET_BYTES = 5, 32
PREFIX = b"saring_"
_ID = slice(7 + len(PREFIX), 7 + len(PREFIX) + 2 * ID_BYTES)  # behind `Bearer `
_SECRET = _ID.stop + 1
_HEADER_LENGTH = _SECRET + len(secrets.token_urlsafe(SECRET_BYTES))


class Role(StrEnum):
    """What the holder of a key is here for. An admin may do everything."""

    INTAKE = "intake"
    OPERATOR = "operator"
    SCIENTIST = "scientist"
    ADMIN = "admin"


ROLES: frozenset[str] = frozenset(Role)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls."""

    key_id: str
    name: str
    role: Role


class ApiKeys:
    """The live keys as a process holds them: their digests, never a key. `read_key_rows(engine)` gives their rows.

    Examples
    --------
    >>> ApiKeys().authenticate(b"Bearer saring_0123456789_" + b"a" * 43, now_us=0) is None
    True
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        self._held: dict[bytes, _Held] = {}
        self.load(rows)

    def load(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Replace what is held, at once for everybody who asks; a revoked key is from then on as if unknown."""
        held = {}
        for row in rows:
            # A role of a newer version gives no access here.
            if row["revoked_at_us"] is None and row["role"] in ROLES:
                principal = Principal(row["key_id"], row["name"], Role(row["role"]))
                until_us = _NEVER if row["expires_at_us"] is None else row["expires_at_us"]
                held[principal.key_id.encode()] = _Held(bytes(row["digest"]), until_us, principal)
        self._held = held

    def names(self, now_us: int) -> set[str]:
        """Return the names of those whose keys open something."""
        return {held.principal.name for held in self._held.values() if held.principal and now_us < held.until_us}

    def __len__(self) -> int:
        """How many keys are held."""
        return len(self._held)

    def authenticate(self, header: bytes | None, now_us: int) -> Principal | None:
        """Return the principal of an Authorization header.

        Parameters
        ----------
        header : bytes or None
            `Bearer saring_<key_id>_<secret>`; the scheme in any case, one space, nothing around it.
        now_us : int
            Microseconds since 1970.

        Returns
        -------
        Principal or None
            None for no header, one of another form, and a key that is unknown, wrong, expired or revoked.
        """
        if header is None or len(header) != _HEADER_LENGTH or header[:7].lower() != b"bearer ":
            return None
        # An unknown key is compared too, with what no secret gives, so that time does not tell which ids there are.
        held = self._held.get(header[_ID], _NOBODY)
        same = hmac.compare_digest(sha256(header[_SECRET:]).digest(), held.digest)
        well_formed = header[7 : _ID.start] == PREFIX and header[_SECRET - 1] == 95  # _
        return held.principal if same and well_formed and now_us < held.until_us else None

    def principal_of(self, key_id: str, now_us: int) -> Principal | None:
        """Return the holder of a key that was checked before, such as at the start of a stream; None once it ended."""
        held = self._held.get(key_id.encode(errors="replace"), _NOBODY)
        return held.principal if now_us < held.until_us else None


@dataclass(frozen=True, slots=True)
class _Held:
    digest: bytes
    until_us: int
    principal: Principal | None


_NEVER = 2**63
_NOBODY = _Held(secrets.token_bytes(32), 0, None)
