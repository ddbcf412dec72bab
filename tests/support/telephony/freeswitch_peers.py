"""FreeSWITCH's side of the event socket, written from its documentation: a dialplan that asks, and one with events."""

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import quote

from tests.support.telephony.peer import Peer


@dataclass
class Channel:
    """A channel whose dialplan runs `socket`: its data, and what is set in it."""

    data: dict[str, str]
    variables: dict[str, str] = field(default_factory=dict)

    async def socket(self, port: int, *, piece: int = 100_000, hang_up_after: int = 1_000) -> None:
        """Ask a server of outbound sockets, and hang up after so many commands."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        commands = 0
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                lines = (await reader.readuntil(b"\n\n")).decode().strip().split("\n")
                commands += 1
                if commands > hang_up_after:
                    break
                reply = {"Content-Type": "command/reply", "Reply-Text": "+OK\n"}
                if lines[0] == "connect":
                    reply |= self.data
                for line in lines:
                    if line.startswith("execute-app-arg: "):
                        name, _, value = line.removeprefix("execute-app-arg: ").partition("=")
                        self.variables[name] = value
                text = "".join(f"{name}: {quote(value)}\n" for name, value in reply.items()) + "\n"
                for start in range(0, len(text), piece):
                    writer.write(text.encode()[start : start + piece])
                    await writer.drain()
                    await asyncio.sleep(0)
        writer.close()


class FakeEventSocket(Peer):
    """An event socket on loopback."""

    def __init__(self, password: str = "ClueCon") -> None:
        super().__init__()
        self.password, self.asked = password, []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Ask for the password, and take note of each command."""
        writer.write(b"Content-Type: auth/request\n\n")
        while True:
            command = (await reader.readuntil(b"\n\n")).decode().strip()
            right = not command.startswith("auth ") or command == f"auth {self.password}"
            reply = "+OK accepted" if right else "-ERR invalid"
            writer.write(f"Content-Type: command/reply\nReply-Text: {reply}\n\n".encode())
            await writer.drain()
            self.asked.append(command)

    async def say(self, name: str, *, piece: int = 100_000, **fields: str) -> None:
        """Send an event as JSON; an underscore in a field's name stands for a hyphen, but after `variable`."""
        event = {"Event-Name": name}
        for field_name, value in fields.items():
            ours = field_name if field_name.startswith("variable_") else field_name.replace("_", "-")
            event[ours] = value
        body = json.dumps(event).encode()
        await self.raw(f"Content-Length: {len(body)}\nContent-Type: text/event-json\n\n".encode() + body, piece=piece)
