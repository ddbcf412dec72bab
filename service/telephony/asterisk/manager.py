"""Asterisk's manager interface (AMI): a client's side of one connection, and of its return after every break.

    Action: Login            lines of name and value, then an empty line
    ActionID: 1

    Response: Success        an answer, or an event by itself
    ActionID: 1

panoramisk has had no release since 2021; pystrix reads in threads that poll, and leaves a broken connection to whoever
uses it. What is spoken here is some hundred lines.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

from service.telephony.reconnecting import PeerError

log = logging.getLogger(__name__)
Message = Mapping[str, str]
#: Of a line, and of all lines of a message: more is garbage.
LONGEST_LINE, MOST_LINES = 65_536, 1_000
_BANNER = b"Asterisk Call Manager/"


class ManagerError(PeerError):
    """The manager refuses, does not answer, or does not speak its protocol."""


@dataclass
class _Pending:
    """An action that waits for its answer, or for the end of the list that it asked for."""

    listed: bool
    done: asyncio.Future[None]
    found: list[Message]

    def take(self, message: Message) -> None:
        refused = message.get("response", "").lower() == "error"
        complete = message.get("eventlist", "").lower() == "complete"
        if not complete and ("event" in message or not self.listed or refused):
            self.found.append(message)
        if complete or refused or not self.listed:
            self.end(None)

    def end(self, error: Exception | None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)


class Manager:
    """A connection that is logged in; made by `connect`.

    A message's names are in lower case: Asterisk writes some of them in two ways. Of a name that stands several times,
    such as `variable`, the values are joined by newlines.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, patience_s: float) -> None:
        self._reader, self._writer, self._patience_s = reader, writer, patience_s
        self._numbers = count(1)
        self._pending: dict[str, _Pending] = {}
        self._events: asyncio.Queue[Message | None] = asyncio.Queue()
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def connect(cls, host: str, port: int, user: str, secret: str, *, patience_s: float = 5.0) -> "Manager":
        """Connect and log in.

        Parameters
        ----------
        patience_s : float
            How long each answer may take.

        Raises
        ------
        ManagerError
            When the manager refuses the login, does not answer, or is none.
        OSError
            When nobody listens.
        """
        async with asyncio.timeout(patience_s):
            reader, writer = await asyncio.open_connection(host, port, limit=LONGEST_LINE)
            banner = await reader.readline()
        if not banner.startswith(_BANNER):
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            raise ManagerError(f"{host}:{port} is no manager interface of Asterisk")
        self = cls(reader, writer, patience_s)
        try:
            await self.ask("Login", Username=user, Secret=secret, Events="on")
        except ManagerError:
            await self.close()
            raise
        return self

    async def ask(self, action: str, **fields: str) -> Message:
        """Send an action and return its answer; a ManagerError when it is refused, or does not come."""
        return (await self._ask(action, fields, listed=False))[0]

    async def ask_list(self, action: str, **fields: str) -> list[Message]:
        """Send an action that answers with a list of events, and return these; errors as `ask`."""
        return await self._ask(action, fields, listed=True)

    async def _ask(self, action: str, fields: Message, *, listed: bool) -> list[Message]:
        number = f"saring-{next(self._numbers)}"
        pending = self._pending[number] = _Pending(listed, asyncio.get_running_loop().create_future(), [])
        lines = {"Action": action, "ActionID": number, **fields}
        text = "".join(f"{name}: {_one_line(value)}\r\n" for name, value in lines.items())
        try:
            self._writer.write(text.encode() + b"\r\n")
            async with asyncio.timeout(self._patience_s):
                await self._writer.drain()
                await pending.done
        except (TimeoutError, OSError) as error:
            raise ManagerError(f"{action} was not answered") from error
        finally:
            self._pending.pop(number, None)
        refused = next((one for one in pending.found if one.get("response", "").lower() == "error"), None)
        if refused is not None:
            raise ManagerError(f"{action} was refused: {refused.get('message', 'without a reason')}")
        return pending.found

    async def events(self) -> AsyncIterator[Message]:
        """Yield events as they come; ends when the connection does."""
        while (event := await self._events.get()) is not None:
            yield event

    async def close(self) -> None:
        """End the connection."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    async def _read(self) -> None:
        try:
            while (message := await self._message()) is not None:
                self._deliver(message)
        except (ManagerError, OSError, asyncio.LimitOverrunError, ValueError) as error:
            log.warning("the manager's connection broke: %s", error)
        finally:
            self._events.put_nowait(None)
            for pending in self._pending.values():
                pending.end(ManagerError("the connection ended"))

    def _deliver(self, message: Message) -> None:
        pending = self._pending.get(message.get("actionid", ""))
        if pending is not None:
            pending.take(message)
        elif "event" in message:
            self._events.put_nowait(message)

    async def _message(self) -> Message | None:
        """Read one message; None at the end of the connection."""
        found: dict[str, str] = {}
        for _ in range(MOST_LINES):
            raw = await self._reader.readline()
            if not raw.endswith(b"\n"):
                return None
            line = raw.decode("utf-8", errors="replace").rstrip("\r\n")
            if not line:
                if found:
                    return found
                continue
            name, colon, value = line.partition(":")
            if colon:  # a line without a name is output of a command, or garbage
                name = name.strip().lower()
                found[name] = f"{found[name]}\n{value.strip()}" if name in found else value.strip()
        raise ManagerError(f"a message of more than {MOST_LINES} lines")


def _one_line(value: str) -> str:
    r"""Return a value that cannot end its line, so that no value can add a field or an action.

    Examples
    --------
    >>> _one_line("112\r\nAction: Originate")
    '112  Action: Originate'
    """
    return "".join(letter if letter.isprintable() else " " for letter in value)
