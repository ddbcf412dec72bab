"""One exchange with the service: a POST, and the JSON object that is its answer, or why there is none.

What is covered: a service that is absent, hangs, drips, resets, redirects, answers garbage or without end; all of it
ends at the moment that is given. What is not: a name server that hangs holds one of a few threads until it gives up.
"""

import asyncio
import json
import socket
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    import ssl

    import httpcore

#: Bytes of an answer; a long one, with all its reasons, has a tenth of this.
ANSWER_LIMIT = 65_536
#: The service closes a connection that was idle for 5 s: be first.
KEEP_ALIVE_S = 4.0
#: Before the second try: a service that restarts refuses connections for a moment.
RETRY_PAUSE_S = 0.01
_DETAIL_LENGTH = 300
#: Not about what was sent: these may well take the same request later.
_NOT_FINAL = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
_BUSY = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


class UnansweredError(Exception):
    """There is no answer that can be used; the message is what follows "the service"."""


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
    url : httpx.URL
        Its path is where the paths begin.
    key : str or None
        Printable ASCII.
    tls : ssl.SSLContext
    """

    def __init__(self, url: httpx.URL, key: str | None, tls: "ssl.SSLContext") -> None:
        self._key = key
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        self._client = httpx.AsyncClient(
            base_url=url,
            headers=headers,
            verify=tls,
            trust_env=False,
            timeout=None,  # httpx has time-outs for each read; the deadline is around it all
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            # A call does not wait for those that hang.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=KEEP_ALIVE_S),
        )

    async def post(
        self, path: str, body: bytes, until: float, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Send a JSON body; once more if the connection broke, since the service counts what it hears twice once.

        Parameters
        ----------
        path : str
            Percent-encoded.
        body : bytes
        until : float
            The moment of the loop's clock (`time.monotonic`) at which it is given up, wherever it is.
        headers : mapping, optional
            Beside those of every request.

        Raises
        ------
        UnansweredError, RefusedError
        """
        try:
            async with asyncio.timeout_at(until):
                try:
                    return await self._once(path, body, headers)
                except (httpx.NetworkError, httpx.RemoteProtocolError):
                    await asyncio.sleep(RETRY_PAUSE_S)
                return await self._once(path, body, headers)
        except TimeoutError:
            raise UnansweredError("did not answer in time") from None
        except httpx.ConnectError as error:
            raise UnansweredError(f"cannot be connected to ({error})") from None
        except httpx.TransportError as error:
            raise UnansweredError(f"broke off ({type(error).__name__})") from None

    async def _once(self, path: str, body: bytes, headers: Mapping[str, str] | None) -> dict[str, Any]:
        opened: list[httpcore.AsyncNetworkStream] = []

        async def note(event: str, info: dict[str, Any]) -> None:
            if event == "connection.connect_tcp.complete":
                opened.append(info["return_value"])

        try:
            async with self._client.stream(
                "POST", path, content=body, headers=headers, extensions={"trace": note}
            ) as response:
                return await self._read(response)
        except asyncio.CancelledError:
            for stream in opened:  # httpcore leaves one open whose TLS handshake is cancelled
                await stream.aclose()
            raise

    async def _read(self, response: httpx.Response) -> dict[str, Any]:
        status = response.status_code
        if 400 <= status < 500:
            raise RefusedError(status, await self._detail(response))
        if not 200 <= status < 300:
            raise UnansweredError(f"answered with {status}")
        document = await _document(response, "application/json")
        if document is None:
            raise UnansweredError("answered something else than a JSON object")
        return document

    async def _detail(self, response: httpx.Response) -> str:
        document = await _document(response, "application/problem+json", "application/json")
        detail = str((document or {}).get("detail") or "no detail")
        if self._key is not None:
            detail = detail.replace(self._key, "(key)")  # whoever answers may repeat what it was sent
        return "".join(c for c in detail if c.isprintable())[:_DETAIL_LENGTH]

    async def warm_up(self) -> None:
        """Load what the first exchange would otherwise load within its deadline."""
        with socket.socket() as nobody, suppress(httpx.TransportError):
            nobody.bind(("127.0.0.1", 0))  # and no listen: a connection is refused, whatever else runs here
            await self._client.post(f"http://127.0.0.1:{nobody.getsockname()[1]}/", timeout=1.0)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()


async def _document(response: httpx.Response, *media_types: str) -> dict[str, Any] | None:
    """Read a JSON object of a limited size; None when the body is none."""
    # A compressed answer of a few bytes could unpack to gigabytes; none was asked for.
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        return None
    if response.headers.get("content-type", "").partition(";")[0].strip().lower() not in media_types:
        return None
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > ANSWER_LIMIT:
            return None
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
