"""One exchange with the service: a POST, and the JSON object that is its answer, or why there is none.

What is covered: a service that is absent, hangs, drips, resets, redirects, answers garbage or without end; all of it
ends at the moment that is given. What is not: a name server that hangs holds one of a few threads until it gives up.
"""

import asyncio
import json
import socket
import ssl
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import httpcore

from service.client.transport.wire import Heard, Network, heard

#: Bytes of an answer; a long one, with all its reasons, has a tenth of this.
ANSWER_LIMIT = 65_536
#: The service closes a connection that was idle for 5 s: be first.
KEEP_ALIVE_S = 4.0
#: A service that restarts refuses connections for a moment.
REFUSED_PAUSE_S = 0.01
_DETAIL_LENGTH = 300
#: Not about what was sent: these may well take the same request later.
_NOT_FINAL = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
_BUSY = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


class UnansweredError(Exception):
    """There is no answer that can be used.

    Parameters
    ----------
    why : str
        What follows "the service".
    untouched : bool
        Whether nothing came back, so that the same may be sent once more.
    """

    def __init__(self, why: str, *, untouched: bool = False) -> None:
        super().__init__(why)
        self.untouched = untouched


class RefusedError(Exception):
    """The service answered with a status of 400 to 499."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"refused it with {status}: {detail}")
        self.status, self.detail = status, detail

    @property
    def final(self) -> bool:
        """Whether the same request would be refused for ever."""
        return self.status not in _NOT_FINAL

    @property
    def busy(self) -> bool:
        """Whether the service asks to be left alone for a while."""
        return self.status in _BUSY


class Exchange:
    """The service at one address, over connections that are kept open.

    No proxy, cookie, redirect or setting of the environment takes part. To be used within one event loop.

    Parameters
    ----------
    url : httpcore.URL
        Its target is where the paths begin.
    key : str or None
        Printable ASCII.
    tls : ssl.SSLContext or None
        For https.
    """

    def __init__(self, url: httpcore.URL, key: str | None, tls: ssl.SSLContext | None) -> None:
        self._url, self._key = url, key
        host = b"[%b]" % url.host if b":" in url.host else url.host
        self._headers: list[tuple[bytes | str, bytes | str]] = [
            ("Host", host if url.port is None else b"%b:%d" % (host, url.port)),
            ("Content-Type", "application/json"),
            ("Accept-Encoding", "identity"),
        ]
        if key is not None:
            self._headers.append(("Authorization", f"Bearer {key}"))
        self._pool = httpcore.AsyncConnectionPool(
            tls,
            max_connections=None,  # a call does not wait for those that hang
            max_keepalive_connections=20,
            keepalive_expiry=KEEP_ALIVE_S,
            network_backend=Network(),
        )

    async def post(self, path: str, body: bytes, until: float) -> dict[str, Any]:
        """Send a JSON body; once more if the connection ended before anything came back.

        Parameters
        ----------
        path : str
            Percent-encoded.
        body : bytes
        until : float
            The moment of the loop's clock (`time.monotonic`) at which it is given up, wherever it is.

        Raises
        ------
        UnansweredError, RefusedError
        """
        try:
            async with asyncio.timeout_at(until):
                try:
                    return await self._once(path, body)
                except UnansweredError as error:
                    if not error.untouched:
                        raise
                await asyncio.sleep(REFUSED_PAUSE_S)
                return await self._once(path, body)
        except TimeoutError:
            raise UnansweredError("did not answer in time") from None

    async def _once(self, path: str, body: bytes) -> dict[str, Any]:
        url, came = self._at(path), Heard()
        heard.set(came)
        try:
            async with self._pool.stream("POST", url, headers=self._headers, content=body) as response:
                return await self._read(response)
        except httpcore.ConnectError as error:
            raise UnansweredError(f"cannot be connected to ({error})", untouched=True) from None
        except httpcore.NetworkError as error:
            raise UnansweredError(f"broke off ({type(error).__name__})", untouched=not came.anything) from None
        except httpcore.ProtocolError as error:
            if came.anything:
                raise UnansweredError(f"answered something else than whole HTTP ({type(error).__name__})") from None
            raise UnansweredError("broke off before an answer", untouched=True) from None

    def _at(self, path: str) -> httpcore.URL:
        target = self._url.target + path.encode("ascii")
        return httpcore.URL(scheme=self._url.scheme, host=self._url.host, port=self._url.port, target=target)

    async def _read(self, response: httpcore.Response) -> dict[str, Any]:
        status = response.status
        if 400 <= status < 500:
            raise RefusedError(status, await self._detail(response))
        if not 200 <= status < 300:
            raise UnansweredError(f"answered with {status}")
        document = await _document(response, "application/json")
        if document is None:
            raise UnansweredError("answered something else than a JSON object")
        return document

    async def _detail(self, response: httpcore.Response) -> str:
        document = await _document(response, "application/problem+json", "application/json")
        detail = str((document or {}).get("detail") or "no detail")
        if self._key is not None:
            detail = detail.replace(self._key, "(key)")  # whoever answers may repeat what it was sent
        return "".join(c for c in detail if c.isprintable())[:_DETAIL_LENGTH]

    async def warm_up(self) -> None:
        """Load what the first exchange would otherwise load within its deadline."""
        with socket.socket() as nobody, suppress(OSError, httpcore.NetworkError, TimeoutError):
            nobody.bind(("127.0.0.1", 0))  # and no listen: a connection is refused, whatever else runs here
            async with asyncio.timeout(1.0):
                await self._pool.request("POST", f"http://127.0.0.1:{nobody.getsockname()[1]}/")

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.aclose()


async def _document(response: httpcore.Response, *media_types: str) -> dict[str, Any] | None:
    """Read a JSON object of a limited size; None when the body is none."""
    headers = {name.lower(): value.decode("latin-1").strip().lower() for name, value in response.headers}
    # A compressed answer of a few bytes could unpack to gigabytes; none was asked for.
    if headers.get(b"content-encoding", "identity") != "identity":
        return None
    if headers.get(b"content-type", "").partition(";")[0].strip() not in media_types:
        return None
    body = bytearray()
    async for chunk in response.aiter_stream():
        body += chunk
        if len(body) > ANSWER_LIMIT:
            return None
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
