"""Asterisk's side of its two protocols, written from their documentation: a dialplan that asks, and a manager."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from tests.support.telephony.peer import Peer


@dataclass
class Dialplan:
    """A channel that runs AGI(): what it says of itself, and what is set in it."""

    variables: dict[str, str] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)

    async def agi(self, port: int, script: str, *, piece: int = 10_000, hang_up_after: int = 1_000) -> None:
        """Ask a FastAGI server, in pieces of so many bytes, and hang up after so many commands."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        about = {"network": "yes", "network_script": script, "request": f"agi://127.0.0.1/{script}", **self.said}
        text = "".join(f"agi_{name}: {value}\n" for name, value in about.items()) + "\n"
        for start in range(0, len(text), piece):
            writer.write(text.encode()[start : start + piece])
            await writer.drain()
            await asyncio.sleep(0)
        with suppress(ConnectionError):
            while line := (await reader.readline()).decode().strip():
                self.commands.append(line)
                if len(self.commands) > hang_up_after:
                    break
                writer.write(self._result(line).encode())
        writer.close()

    def _result(self, line: str) -> str:
        verb, _, rest = line.partition(" VARIABLE ")
        if verb == "SET":
            name, _, value = rest.partition(" ")
            self.variables[name] = value.strip('"')
            return "200 result=1\n"
        if verb == "GET FULL":
            text = rest.strip('"')
            for name, value in {"CHANNEL(linkedid)": self.said["uniqueid"], **self.variables}.items():
                text = text.replace(f"${{{name}}}", value)
            return f"200 result=1 ({text.replace('${SARING_RECEIVED_AT}', '')})\n"
        return "510 Invalid or unknown command\n"


class FakeManager(Peer):
    """A manager interface on loopback; `answers` says what becomes of an action, by its name."""

    def __init__(self, secret: str = "secret") -> None:
        super().__init__()
        self.secret, self.actions = secret, []
        self.answers: dict[str, Callable[[dict[str, str]], str]] = {}
        self.logins = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Greet, and answer each action."""
        writer.write(b"Asterisk Call Manager/9.0.0\r\n")
        while True:
            raw = (await reader.readuntil(b"\r\n\r\n")).decode()
            action = dict(line.split(": ", 1) for line in raw.strip().split("\r\n"))
            self.actions.append(action)
            writer.write(self._answer(action).encode())
            await writer.drain()

    def _answer(self, action: dict[str, str]) -> str:
        number = f"ActionID: {action['ActionID']}\r\n"
        name = action["Action"]
        if name in self.answers:
            return self.answers[name](action).replace("\n", "\r\n").replace("%ID%\r\n", number) + "\r\n"
        if name == "Login":
            self.logins += 1
            if action["Secret"] != self.secret:
                return f"Response: Error\r\n{number}Message: Authentication failed\r\n\r\n"
        if name == "Status":
            start = f"Response: Success\r\n{number}EventList: start\r\n\r\n"
            return start + f"Event: StatusComplete\r\n{number}EventList: Complete\r\nListItems: 0\r\n\r\n"
        return f"Response: Success\r\n{number}Message: done\r\n\r\n"

    async def say(self, event: str, *, piece: int = 10_000, **fields: str) -> None:
        """Send an event to whoever is connected, in pieces of so many bytes."""
        text = (
            f"Event: {event}\r\nPrivilege: call,all\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields.items()) + "\r\n"
        )
        await self.raw(text.encode(), piece=piece)
