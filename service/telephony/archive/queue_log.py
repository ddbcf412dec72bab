"""Asterisk's queue_log: what became of each call that entered a queue.

    epoch|uniqueid|queue|agent|EVENT|p1|p2|...

The meaning of p1, p2, ... depends on the event (docs/telephony.md says which are used). A caller who leaves one queue
and enters another keeps the uniqueid.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from model.calls.files.file_format import recognise
from model.errors import LogError

#: Events that say something of a call.
CALL_EVENTS = frozenset(
    {
        "ENTERQUEUE", "CONNECT", "COMPLETECALLER", "COMPLETEAGENT", "ABANDON", "EXITEMPTY", "EXITWITHTIMEOUT",
        "EXITWITHKEY", "BLINDTRANSFER", "ATTENDEDTRANSFER", "TRANSFER", "SYSCOMPAT", "AGENTDUMP", "WITHDRAW",
    }
)  # fmt: skip
_EPOCH = re.compile(r"\d{9,11}(\.\d+)?")
_FIELDS = 5


class QueueEvent(NamedTuple):
    """One line.

    Parameters
    ----------
    at_us : int
        When it was written, microseconds since 1970.
    event : str
        In capitals, as Asterisk writes it.
    values : tuple of str
        p1, p2, ...
    """

    at_us: int
    uniqueid: str
    queue: str
    agent: str
    event: str
    values: tuple[str, ...]

    def seconds(self, place: int) -> float | None:
        """Return one of `values` as seconds; None where it lacks or is no number.

        Examples
        --------
        >>> event = QueueEvent(0, "1.2", "112", "SIP/7", "COMPLETECALLER", ("12", "", "x"))
        >>> event.seconds(0), event.seconds(1), event.seconds(2), event.seconds(3)
        (12.0, None, None, None)
        """
        text = self.values[place] if place < len(self.values) else ""
        return float(text) if text.isdigit() else None


class QueueLog(NamedTuple):
    """What was read.

    Parameters
    ----------
    events : list of QueueEvent
        In order of time; lines of one second stay in the order in which they were written.
    broken : list of (str, int)
        File and line of what is no event, such as a last line that was cut.
    """

    events: list[QueueEvent]
    broken: list[tuple[str, int]]


def read_queue_log(paths: Iterable[Path]) -> QueueLog:
    """Read a queue_log and what was rotated away of it, in any order, packed by gzip or not.

    Raises
    ------
    LogError
        When a file cannot be read, or holds no line of a queue_log at all.
    """
    events: list[QueueEvent] = []
    broken: list[tuple[str, int]] = []
    for path in paths:
        found = 0
        for number, line, whole in numbered_lines(path):
            event = parse_line(line) if whole else None
            if event is None:
                broken.append((str(path), number))
            else:
                found += 1
                events.append(event)
        if not found and broken:
            raise LogError(
                f"{path}: holds no line of a queue_log, expected epoch|uniqueid|queue|agent|EVENT|..., such as "
                "1717207200|1717207195.1|112|NONE|ENTERQUEUE||0812...|1"
            )
    events.sort(key=lambda event: event.at_us)
    return QueueLog(events, broken)


def parse_line(line: str) -> QueueEvent | None:
    """Return the event of a line; None when it is none.

    Examples
    --------
    >>> parse_line("1717207200|1717207195.1|112|NONE|ENTERQUEUE||081290000001|1").values
    ('', '081290000001', '1')
    >>> parse_line("1717207200|17172")
    """
    fields = line.split("|")
    if len(fields) < _FIELDS or not _EPOCH.fullmatch(fields[0]) or not fields[4]:
        return None
    whole, _, part = fields[0].partition(".")
    at_us = int(whole) * 1_000_000 + int(part[:6].ljust(6, "0") or 0)
    return QueueEvent(at_us, fields[1], fields[2], fields[3], fields[4].upper(), tuple(fields[5:]))


def numbered_lines(path: Path) -> Iterator[tuple[int, str, bool]]:
    """Yield number, text and wholeness of each line that is not empty.

    The last line is not whole when nothing ends it: the telephone system was writing it, and any of its numbers may
    have been cut.
    """
    with recognise(path).open() as file:
        for number, raw in enumerate(file, start=1):
            line = raw.decode("utf-8", errors="replace").rstrip("\r\n")
            if line:
                yield number, line, raw.endswith(b"\n")
