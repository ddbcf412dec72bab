"""FastAGI, the protocol by which a dialplan asks: a server's side of one connection.

    agi_network_script: ring            variables, one a line, then an empty line
    agi_uniqueid: 1717207195.1

    SET VARIABLE QUEUE_PRIO "-1717207195"      a command of ours
    200 result=1                               its answer

No library is taken: pystrix, which is alive, reads without a deadline and without a bound, and a call would wait as
long as whoever connects likes.
"""

import asyncio
import re
from collections.abc import Mapping

from model.errors import SaringError

#: Of one line, and lines of variables; Asterisk's own limits are below both.
LONGEST_LINE, MOST_VARIABLES = 8_192, 200
_RESULT = re.compile(r"200 result=(-?\d+)(?: \((.*)\))?")


class AgiError(SaringError):
    """The other side does not speak the protocol, has hung up, or refuses a command."""


class AgiSession:
    """One connection of a dialplan.

    Parameters
    ----------
    variables : mapping of str to str
        What it said of its channel, `agi_` left out.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, variables: Mapping[str, str]
    ) -> None:
        self._reader, self._writer, self.variables = reader, writer, variables

    @classmethod
    async def open(cls, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> "AgiSession":
        """Read what the dialplan says of its channel.

        Raises
        ------
        AgiError
            When that is not what a dialplan says.
        """
        variables: dict[str, str] = {}
        for _ in range(MOST_VARIABLES):
            line = await _line(reader)
            if not line:
                return cls(reader, writer, variables)
            name, colon, value = line.partition(":")
            if not colon or not name.startswith("agi_"):
                raise AgiError("a line that is no variable of a dialplan, expected agi_...: value")
            variables[name.removeprefix("agi_")] = value.strip()
        raise AgiError(f"more than {MOST_VARIABLES} variables")

    async def set_variable(self, name: str, value: str) -> None:
        """Set a variable of the channel; an AgiError when it has hung up."""
        await self._command(f"SET VARIABLE {name} {quoted(value)}")

    async def expand(self, expression: str) -> str:
        """Return what an expression of the dialplan is in the channel, such as `${CHANNEL(linkedid)}`; else empty."""
        return await self._command(f"GET FULL VARIABLE {quoted(expression)}")

    async def _command(self, command: str) -> str:
        self._writer.write(command.encode() + b"\n")
        await self._writer.drain()
        line = await _line(self._reader)
        if line.startswith("HANGUP"):
            line = await _line(self._reader)
        found = _RESULT.fullmatch(line)
        if found is None:
            raise AgiError(f"{command.split()[0]} was answered by {line[:3]!r}, expected 200")
        return found[2] or ""


def quoted(value: str) -> str:
    r"""Return a value as one argument of a command: no character of it ends the argument or the line.

    Examples
    --------
    >>> print(quoted('a "b"'), quoted("one\ntwo"))
    "a \"b\"" "one two"
    """
    text = "".join(letter if letter.isprintable() else " " for letter in value)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


async def _line(reader: asyncio.StreamReader) -> str:
    try:
        raw = await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError:
        raise AgiError("the connection ended") from None
    except asyncio.LimitOverrunError:
        raise AgiError(f"a line of more than {LONGEST_LINE} bytes") from None
    return raw.decode("utf-8", errors="replace").rstrip("\r\n")
