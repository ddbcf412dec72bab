"""What both telephone systems' peers have in common: a listener on loopback, and waiting for what the service hears."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Self

from tests.support.keyed_service import Keyed

PATIENCE_S = 20.0


class Peer(ABC):
    """Listens on loopback, and sends to whoever connected last."""

    def __init__(self) -> None:
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []

    @abstractmethod
    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speak the protocol on one connection."""

    async def raw(self, data: bytes, *, piece: int = 100_000) -> None:
        """Send bytes as they are, in pieces of so many."""
        for start in range(0, len(data), piece):
            self._writers[-1].write(data[start : start + piece])
            await self._writers[-1].drain()
            await asyncio.sleep(0)

    def cut(self) -> None:
        """End every connection."""
        for writer in self._writers:
            writer.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Listen until the end of the block."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut()
            for writer in self._writers:
                with suppress(OSError):
                    await writer.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await self.serve(reader, writer)


async def until(true: Callable[[], bool]) -> None:
    """Wait until something is true."""
    give_up = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < give_up
        await asyncio.sleep(0.01)


def hearing(service: Keyed) -> Callable[[str, str], Awaitable[dict]]:
    """Give a function that waits until the service knows something of a call, and gives all that it knows."""

    async def heard(call_id: str, name: str) -> dict:
        give_up = time.monotonic() + PATIENCE_S
        while (known := await asyncio.to_thread(service.known, call_id)).get(name) is None:
            assert time.monotonic() < give_up
            await asyncio.sleep(0.02)
        return known

    return heard
