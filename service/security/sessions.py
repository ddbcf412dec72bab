"""Who has signed in at the console: a signed cookie that stands for an access key, for a shift at most.

The cookie holds no key, only whose it is; it opens as much as that key does and ends with it, when it is revoked as
well. Scripts cannot read it, and no page of another site can use it: it counts only in a request that comes from a page
of this very host. What it does not protect against: somebody at a screen that was left signed in.
"""

import secrets
from collections.abc import Callable, Iterator
from typing import NamedTuple

from service.security.api_keys import ApiKeys, Principal
from service.security.tokens import Grant, Tokens

#: A long shift.
SESSION_S = 12 * 3600.0
#: A browser takes the first name over TLS only, from nobody but this very host, and for all its paths; the second
#: over TLS only, and the third in any case.
COOKIES = ("__Host-saring", "__Secure-saring", "saring")
_SCOPE = "console"


class Session(NamedTuple):
    """One sign-in: who, its own name, and when it ends, in microseconds since 1970."""

    principal: Principal
    name: str
    until_us: int

    @property
    def grant(self) -> Grant:
        """What a token says that is issued in it, and is good as long as it lasts."""
        return Grant(self.principal.key_id, self.until_us, (self.name, self.until_us))


class Sessions:
    """The sessions of a service: what a cookie says is all there is, so any process knows it, also after a restart.

    `signed_out` returns whether a session of this name was ended before its time.
    """

    def __init__(self, tokens: Tokens, keys: ApiKeys, signed_out: Callable[[str], bool] = lambda _: False) -> None:
        self._tokens, self._keys, self._signed_out = tokens, keys, signed_out

    def begin(self, key: str, now_us: int) -> tuple[Principal, str] | None:
        """Return who an access key belongs to, and the value of a cookie; None for a key that opens nothing."""
        principal = self._keys.authenticate(b"Bearer " + key.encode(), now_us)
        if principal is None:
            return None
        until_us = now_us + round(SESSION_S * 1e6)
        grant = Grant(principal.key_id, until_us, (secrets.token_hex(8), until_us))
        return principal, self._tokens.issue(_SCOPE, grant)

    def from_cookie(self, header: bytes, now_us: int) -> Session | None:
        """Return the session of a header Cookie; None when there is none that is live."""
        for value in _values(header):  # another service of this host may have one of the names for itself
            grant = self._tokens.check(value, _SCOPE, now_us)
            principal = None if grant is None else self.holder(grant, now_us)
            if principal and grant and grant.session:
                return Session(principal, *grant.session)
        return None

    def holder(self, grant: Grant, now_us: int) -> Principal | None:
        """Return for whom a token stands; None once its key is not live any more or its session has ended."""
        if grant.session is not None:
            name, until_us = grant.session
            if now_us >= until_us or self._signed_out(name):
                return None
        return self._keys.principal_of(grant.key_id, now_us)


def strip_session_cookie(header: bytes) -> bytes:
    """Return a header Cookie without what opens something.

    Examples
    --------
    >>> strip_session_cookie(b"saring=abc; saring-language=id")
    b'saring-language=id'
    """
    names = tuple(f"{name}=".encode() for name in COOKIES)
    return b"; ".join(pair for pair in _pairs(header) if not pair.startswith(names))


def _values(header: bytes) -> Iterator[str]:
    """Give the values of our cookies; of a name that comes twice none."""
    for name in COOKIES:
        start = f"{name}=".encode()
        found = [pair for pair in _pairs(header) if pair.startswith(start)]
        if len(found) == 1:
            yield found[0][len(start) :].decode("latin-1")


def _pairs(header: bytes) -> list[bytes]:
    return [pair.strip() for pair in header.split(b";")]
