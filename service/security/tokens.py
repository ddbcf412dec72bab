"""Short-lived signed tokens, for what cannot send a header: a picture, a stream of events, the console's cookie.

A token says for what (its scope), whose key it stands for and until when, and proves that this service said so. It is
good for whoever holds it, as long as that key is live and the session in which it was asked for has not been ended.
"""

import re
from collections.abc import Sequence
from hashlib import sha384
from typing import NamedTuple

from itsdangerous import BadData, URLSafeSerializer

SECRET_BYTES = 32
#: Nothing else, so that a token is written in one way alone; the 48 bytes of a signature fill their 64 characters.
_FORM = re.compile(r"[A-Za-z0-9_.-]+")


class Grant(NamedTuple):
    """What a token says: whose key it stands for, until when (microseconds since 1970), and perhaps of which call.

    `session` is the name of the sign-in in which it was asked for, and when that ends.
    """

    key_id: str
    until_us: int
    session: tuple[str, int] | None = None
    call_id: str | None = None


class Tokens:
    """Issues and checks tokens.

    Parameters
    ----------
    secrets : sequence of bytes
        At least 32 random bytes each, the same on every machine of a service; the first one signs, all are known.

    Examples
    --------
    >>> tokens = Tokens([bytes(32)])
    >>> token = tokens.issue("badge", Grant("0123456789", until_us=60_000_000, call_id="call 1"))
    >>> tokens.check(token, "badge", now_us=59_999_999).call_id
    'call 1'
    >>> tokens.check(token, "badge", now_us=60_000_000) is tokens.check(token, "stream", now_us=0) is None
    True
    """

    def __init__(self, secrets: Sequence[bytes]) -> None:
        if not secrets or any(len(secret) < SECRET_BYTES for secret in secrets):
            raise ValueError(f"expected secrets of at least {SECRET_BYTES} bytes to sign tokens with")
        self._secrets = list(reversed(secrets))

    def issue(self, scope: str, grant: Grant) -> str:
        """Make a token, safe in any part of a URL, that is good for one thing, such as "badge" or "stream"."""
        token = self._signing(scope).dumps(grant)
        return token if isinstance(token, str) else token.decode()

    def check(self, token: str, scope: str, now_us: int) -> Grant | None:
        """Return what a token says; None when it is not one of this scope, was changed, or has ended."""
        if not _FORM.fullmatch(token):
            return None
        try:
            key_id, until_us, session, call_id = self._signing(scope).loads(token)
        except BadData:
            return None
        grant = Grant(key_id, until_us, None if session is None else (session[0], session[1]), call_id)
        return grant if now_us < until_us else None

    def _signing(self, scope: str) -> URLSafeSerializer:
        how = {"digest_method": sha384, "key_derivation": "hmac"}
        return URLSafeSerializer(self._secrets, salt=f"saring {scope}", signer_kwargs=how)
