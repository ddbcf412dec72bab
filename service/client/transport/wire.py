"""Connections that note when something comes over them.

HTTP libraries do not tell whether a connection that ended had brought the first byte of an answer, and only a request
to which nothing came back is sent once more.
"""

import ssl
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import httpcore


@dataclass(slots=True)
class Heard:
    """Whether anything came back to a request."""

    anything: bool = False


#: Of the request that the running task sends.
heard: ContextVar[Heard] = ContextVar("heard")


class Network(httpcore.AsyncNetworkBackend):
    """Opens the connections."""

    def __init__(self) -> None:
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Open one."""
        return Wire(await self._network.connect_tcp(host, port, timeout, local_address, socket_options))


class Wire(httpcore.AsyncNetworkStream):
    """One connection."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read, and note that something came."""
        data = await self._stream.read(max_bytes, timeout)
        if data:
            heard.get().anything = True
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write."""
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close."""
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Begin TLS; a handshake that is cut leaves no open connection behind."""
        try:
            return Wire(await self._stream.start_tls(ssl_context, server_hostname, timeout))
        except BaseException:
            await self._stream.aclose()
            raise

    def get_extra_info(self, info: str) -> Any:
        """Give what is known of the connection."""
        return self._stream.get_extra_info(info)
