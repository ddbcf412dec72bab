"""Short-lived signed tokens, for what cannot send a header: a picture, a stream of events.

A token says for what (its scope), for whom (its subject) and until when, and proves that this service said so. It does
not hide its subject, cannot be taken back before it ends, and is good for whoever holds it: keep its life short.
"""

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

SECRET_BYTES = 32
#: 128 bits of an HMAC-SHA-256: nobody guesses it within the life of a token, and an address stays short.
MAC_BYTES = 16
_HEAD = 8 + MAC_BYTES
_FORM = re.compile(r"[A-Za-z0-9_-]{32,}")


class Tokens:
    """Issues and checks tokens.

    Parameters
    ----------
    secret : bytes
        At least 32 random bytes, the same on every machine of a service. It may serve other ends too: the tokens are
        signed with a key derived from it.

    Examples
    --------
    >>> tokens = Tokens(bytes(32))
    >>> token = tokens.issue("badge", "call-1", now_us=0, life_s=60)
    >>> tokens.check(token, "badge", now_us=59_999_999), tokens.check(token, "badge", now_us=60_000_000)
    ('call-1', None)
    >>> tokens.check(token, "stream", now_us=0) is None
    True
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < SECRET_BYTES:
            raise ValueError(f"the secret of the tokens has {len(secret)} bytes, expected at least {SECRET_BYTES}")
        self._key = hmac.digest(secret, b"saring tokens 1", "sha256")

    def issue(self, scope: str, subject: str, now_us: int, life_s: float) -> str:
        """Make a token: 32 characters and the subject, safe in any part of a URL.

        Parameters
        ----------
        scope : str
            What it is good for, such as "badge" or "stream".
        subject : str
            The call_id of a badge, the key_id of a stream.
        now_us : int
            Microseconds since 1970.
        life_s : float
            More than 0.
        """
        if not life_s > 0:
            raise ValueError(f"life_s is {life_s}, expected more than 0")
        until, told = (now_us + round(life_s * 1e6)).to_bytes(8, "big"), subject.encode()
        return _written(until + self._mac(scope, until, told) + told)

    def check(self, token: str, scope: str, now_us: int) -> str | None:
        """Give the subject of a token; None when it is not one of this scope, was changed, or has ended."""
        if not _FORM.fullmatch(token) or len(token) % 4 == 1:
            return None
        raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        until, mac, told = raw[:8], raw[8:_HEAD], raw[_HEAD:]
        # Base64 can write the same bytes in several ways; a token has one.
        genuine = hmac.compare_digest(mac, self._mac(scope, until, told)) and _written(raw) == token
        return told.decode() if genuine and now_us < int.from_bytes(until, "big") else None

    def ends_us(self, token: str) -> int:
        """Give when a token that was found good ends, in microseconds since 1970."""
        return int.from_bytes(urlsafe_b64decode(token[:12])[:8], "big")

    def _mac(self, scope: str, until: bytes, told: bytes) -> bytes:
        name = scope.encode()  # its length comes first, so that no other scope and subject sign the same bytes
        return hmac.digest(self._key, len(name).to_bytes(4, "big") + name + until + told, "sha256")[:MAC_BYTES]


def _written(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
