"""FreeSWITCH's event socket (ESL): headers, an empty line, and a body where Content-Length says so.

Inbound, we connect, give the password and ask for events. Outbound, a dialplan's `socket` connects to us, and we
command its channel. genesis, which is alive, needs Redis, JWT and two exporters of telemetry, and no Python later than
3.12.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from urllib.parse import unquote

from service.telephony.reconnecting import PeerError

Headers = Mapping[str, str]
LONGEST_LINE, MOST_HEADERS, LONGEST_BODY = 65_536, 2_000, 1_000_000


class EventSocketError(PeerError):
    """The other side refuses, hangs up, or does not speak the protocol."""


class EventSocket:
    """One connection, whoever opened it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def log_in(cls, host: str, port: int, password: str, *, patience_s: float = 5.0) -> "EventSocket":
        """Connect to a FreeSWITCH and give the password.

        Raises
        ------
        EventSocketError
            When it is refused, or what listens is no event socket.
        OSError, TimeoutError
            When nobody listens or answers.
        """
        async with asyncio.timeout(patience_s):
            self = cls(*await asyncio.open_connection(host, port, limit=LONGEST_LINE))
            try:
                greeting, _ = await self.read()
                if greeting.get("content-type") != "auth/request":
                    raise EventSocketError(f"{host}:{port} is no event socket of FreeSWITCH")
                await self.command(f"auth {one_line(password)}")
            except (EventSocketError, OSError):
                await self.close()
                raise
        return self

    async def command(self, *lines: str) -> Headers:
        """Send a command of one or several lines, and return the headers of its reply; refused is an error."""
        self._writer.write("".join(f"{one_line(line)}\n" for line in lines).encode() + b"\n")
        await self._writer.drain()
        while True:
            headers, _ = await self.read()
            if headers.get("content-type") in ("command/reply", "api/response") or "reply-text" in headers:
                break
        if headers.get("reply-text", "").startswith("-ERR"):
            raise EventSocketError(f"{lines[0].split()[0]} was refused")
        return headers

    async def events(self) -> AsyncIterator[Headers]:
        """Yield events that were asked for as JSON; ends when the connection does."""
        while True:
            try:
                headers, body = await self.read()
            except EventSocketError:
                return
            if headers.get("content-type") == "text/event-json":
                try:
                    event = json.loads(body)
                except ValueError:
                    continue
                if isinstance(event, dict):
                    yield {str(name).lower(): str(value) for name, value in event.items()}

    async def read(self) -> tuple[Headers, bytes]:
        """Read one message: its headers, in lower case and decoded, and its body."""
        headers: dict[str, str] = {}
        for _ in range(MOST_HEADERS):
            line = await self._line()
            if not line:
                if headers:
                    break
                continue
            name, colon, value = line.partition(":")
            if colon:
                headers[name.strip().lower()] = unquote(value.strip())
        else:
            raise EventSocketError(f"a message of more than {MOST_HEADERS} headers")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > LONGEST_BODY:
            raise EventSocketError("a message whose length makes no sense")
        try:
            return headers, await self._reader.readexactly(int(length))
        except asyncio.IncompleteReadError:
            raise EventSocketError("the connection ended") from None

    async def close(self) -> None:
        """End the connection."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            return

    async def _line(self) -> str:
        try:
            raw = await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            raise EventSocketError("the connection ended") from None
        except asyncio.LimitOverrunError:
            raise EventSocketError(f"a line of more than {LONGEST_LINE} bytes") from None
        return raw.decode("utf-8", errors="replace").rstrip("\r\n")


def one_line(text: str) -> str:
    r"""Return a text that cannot end its line, so that no value can add a command.

    Examples
    --------
    >>> one_line("a\n\napi shutdown")
    'a  api shutdown'
    """
    return "".join(letter if letter.isprintable() else " " for letter in text)
