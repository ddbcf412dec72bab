"""Accepts connections: a limited number in all and of one peer, and over TLS only from whoever speaks soon.

uvicorn counts connections only once a request is whole, and not by peer. It asks its event loop for a server, and
`Loop` gives it this one: `uvicorn.run(..., loop="service.server.listener:Loop")`.

What this does not protect against: many peers together. A firewall knows more of them.
"""

import asyncio
import resource
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address

import uvloop

from service.contract.problems import refusal

#: The most connections of one process, and of these of one peer. A proxy in front of it is one peer.
MAX_CONNECTIONS, PEER_SHARE = 2_048, 0.25
#: Share of the files a process may open that connections get; the store and the journal need the rest.
FILE_SHARE = 0.8
#: Bytes of one connection that the system holds, of answers that nobody reads and of requests that come at once: by
#: default up to four million of each.
SEND_BUFFER, RECEIVE_BUFFER = 262_144, 131_072
#: Milliseconds after which a peer that acknowledges nothing is taken to be gone: without power, or cut off.
GONE_MS = 20_000
#: Seconds in which TLS has to begin, and to end.
HANDSHAKE_S = 5.0
#: Seconds until another try when no connection can be accepted.
RETRY_S = 0.1


class Loop(uvloop.Loop):
    """uvloop's own event loop, but for how its servers accept."""

    async def create_server(  # type: ignore[override] # what uvicorn asks for, of all that a loop can do
        self,
        protocol_factory: Callable[[], asyncio.Protocol],
        host: str | None = None,
        port: int | None = None,
        *,
        sock: socket.socket | None = None,
        ssl: ssl.SSLContext | None = None,
        backlog: int = 100,
    ) -> "Listener":
        """Begin to accept at an address, or at a socket that is bound."""
        if sock is None:
            family = socket.AF_INET6 if host and ":" in host else socket.AF_INET
            sock = socket.create_server((host or "", port or 0), family=family)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # whatever it accepts has the same
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # a system has it or not
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GONE_MS)
        sock.listen(backlog)
        sock.setblocking(False)
        return Listener(self, protocol_factory, sock, ssl)


class Listener:
    """Stands for an `asyncio.Server`, as far as uvicorn uses one."""

    def __init__(
        self,
        loop: Loop,
        protocol_factory: Callable[[], asyncio.Protocol],
        listening: socket.socket,
        context: ssl.SSLContext | None,
    ) -> None:
        self._loop, self._factory, self._context = loop, protocol_factory, context
        self.sockets = [listening]
        self._accepted: list[tuple[str, socket.socket]] = []
        self._handshakes: set[asyncio.Task[None]] = set()
        self._accepting = loop.create_task(self._accept(listening))

    def close(self) -> None:
        """Accept no more."""
        for task in (self._accepting, *self._handshakes):
            task.cancel()
        for listening in self.sockets:
            listening.close()

    async def wait_closed(self) -> None:
        """Nothing is left to wait for: uvicorn has ended the connections."""

    async def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                accepted, (host, *_) = await self._loop.sock_accept(listening)
            except OSError:  # it has gone again, or there are no files left
                await asyncio.sleep(RETRY_S)
                continue
            peer, most = peer_of(host), connection_limit()
            self._accepted = [one for one in self._accepted if one[1].fileno() >= 0]
            if len(self._accepted) >= most:
                self._refuse(accepted, "too many connections are open; try again")
            elif sum(one[0] == peer for one in self._accepted) >= PEER_SHARE * most:
                self._refuse(accepted, "too many connections of this address are open; close some, or try again")
            else:
                self._accepted.append((peer, accepted))
                task = self._loop.create_task(self._start_protocol(accepted))
                self._handshakes.add(task)
                task.add_done_callback(self._handshakes.discard)

    async def _start_protocol(self, accepted: socket.socket) -> None:
        seconds = HANDSHAKE_S if self._context else None
        with suppress(OSError):  # no TLS, or not in time; the loop has closed it
            await self._loop.connect_accepted_socket(
                self._factory,
                accepted,
                ssl=self._context,
                ssl_handshake_timeout=seconds,
                ssl_shutdown_timeout=seconds,
            )

    def _refuse(self, accepted: socket.socket, detail: str) -> None:
        if self._context is None:
            with suppress(OSError):
                accepted.send(refusal(HTTPStatus.SERVICE_UNAVAILABLE, detail))
        accepted.close()


def peer_of(host: str) -> str:
    """Return the peer that an address belongs to: one IPv6 customer has at least 64 bits.

    Examples
    --------
    >>> peer_of("192.0.2.1"), peer_of("::ffff:192.0.2.1"), peer_of("2001:db8:0:1:2:3:4:5")
    ('192.0.2.1', '192.0.2.1', '2001:db8:0:1::')
    """
    address = ip_address(host.partition("%")[0])
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or IPv6Address(int(address) >> 64 << 64))
    return str(address)


def connection_limit() -> int:
    """Return how many connections this process may have."""
    return min(MAX_CONNECTIONS, int(FILE_SHARE * resource.getrlimit(resource.RLIMIT_NOFILE)[0]))


def raise_file_limit() -> None:
    """Take as many files as the system lets this process take, as far as connections can use them."""
    least, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = int(MAX_CONNECTIONS / FILE_SHARE) + 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(least, min(wanted, most)), most))
