"""Callers who are probably many people: a number that is not valid, or a name, by which many telephones call.

A trunk, a pilot number or a word that is shown in place of numbers is one caller with everybody's past, and nothing
else would say so. What this process has seen since it was started is kept in its memory, by the hash of the caller; a
valid number is never looked at.

A person calls from one kind of line, and hardly ever with two calls at once (docs/log.md has figures). What it does not
find: a few people who ring rarely, and never at once, all from one kind of line.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from service.security.pseudonyms import short_pseudonym
from service.timestamps import rfc3339

if TYPE_CHECKING:
    from service.contract.requests import ScoreRequest
    from service.intake.intake import Intake

#: So many kinds of line, centres, or calls at once are more than one person has.
LINES, CENTRES, AT_ONCE = 2, 3, 3
#: So many callers are watched, those last heard of.
MOST_WATCHED, MOST_SHOWN = 10_000, 20
#: Of each, so many calls are remembered to see how many of them are not over.
MOST_AT_ONCE = 20
#: Nobody knows what kind of line these are.
_NO_KIND = (None, "unknown", "withheld")


@dataclass(slots=True)
class Watched:
    """What was seen of one caller; times are microseconds since 1970."""

    shape: str
    since_us: int
    calls: int = 0
    lines: set[str] = field(default_factory=set)
    centres: set[str] = field(default_factory=set)
    at_once: int = 1
    last_calls: deque[str] = field(default_factory=lambda: deque(maxlen=MOST_AT_ONCE))

    @property
    def is_many(self) -> bool:
        """Whether one person cannot be all of it."""
        return len(self.lines) >= LINES or len(self.centres) >= CENTRES or self.at_once >= AT_ONCE


class MergedCallers:
    """Watches callers who have no valid number.

    Parameters
    ----------
    intake : Intake
        Has the calls that are not over, and knows when a caller was erased.
    on_change : callable
        Is told how many of them are probably many people, whenever that changes.
    """

    def __init__(self, intake: "Intake", on_change: Callable[[int], None]) -> None:
        self._intake, self._on_change = intake, on_change
        self._watched: OrderedDict[bytes, Watched] = OrderedDict()
        self._many = 0
        self._erased = intake.operations.erased

    def watch(self, caller: bytes, shape: str, request: "ScoreRequest", now_us: int) -> None:
        """Take in a call of a caller whose number is not valid, or who is a pseudonym; each call counts once."""
        live = self._intake.board.calls
        if request.call_id in live or request.resolved_stage() == "ended":
            return
        self._forget_erased()
        one = self._watched.setdefault(caller, Watched(shape, now_us))
        self._watched.move_to_end(caller)
        was_many = one.is_many
        one.calls += 1
        one.last_calls.append(request.call_id)
        if request.line not in _NO_KIND:
            one.lines.add(str(request.line))
        if request.centre is not None and len(one.centres) < CENTRES:
            one.centres.add(request.centre)
        # Not every call that is not over is looked at: a country's board has thousands.
        one.at_once = max(one.at_once, 1 + sum(call_id in live for call_id in one.last_calls))
        dropped = self._watched.popitem(last=False)[1] if len(self._watched) > MOST_WATCHED else None
        many = self._many + one.is_many - was_many - (dropped is not None and dropped.is_many)
        if many != self._many:
            self._many = many
            self._on_change(many)

    def document(self) -> list[dict[str, Any]]:
        """Return those who are probably many people, the busiest first, without their numbers."""
        self._forget_erased()
        found = sorted((item for item in self._watched.items() if item[1].is_many), key=lambda item: -item[1].calls)
        return [
            {
                "caller": short_pseudonym(caller),
                "shape": one.shape,
                "calls": one.calls,
                "lines": sorted(one.lines),
                "centres": len(one.centres),
                "at_once": one.at_once,
                "since": rfc3339(one.since_us),
                "last_call": one.last_calls[-1],
            }
            for caller, one in found[:MOST_SHOWN]
        ]

    def _forget_erased(self) -> None:
        """Forget everybody once anybody was erased: whom, only the store was told."""
        if self._intake.operations.erased != self._erased:
            self._erased = self._intake.operations.erased
            self._watched.clear()
            self._many = 0
            self._on_change(0)
