"""A shift as it went: the calls an operator took, how long they had waited, how they were closed and corrected."""

from collections import Counter
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, Request
from pydantic_core import from_json
from sqlalchemy.engine import Connection
from starlette.responses import Response

from model.errors import StoreError
from model.language.numbers import format_duration
from service.console.catalogues.catalogue import words_of
from service.console.page import PageRoute, closing_data, data_for, looks, now_us, page, refused
from service.http.dependencies import principal_of, scorer_of
from service.http.problem_responses import store_unavailable
from service.queue.states import waiting_since_us
from service.security.api_keys import Role
from service.security.pseudonyms import short_pseudonym
from service.security.route_access import require_role
from service.store.tables import calls, events

SHIFT_US = 12 * 3_600_000_000
#: A call that is closed within the shift may have rung before it.
BEFORE_US = 2 * 3_600_000_000
MAX_SHOWN = 200
_KINDS = ("taken", "released", "answered", "disposed", "reopened")
router = APIRouter(route_class=PageRoute, include_in_schema=False)


@dataclass
class Handled:
    """One call of the shift: its row of the table `calls`, and when and by whom it was first taken or answered.

    Closings are (known_at_us, who, disposition, category), in their order; all but the first are corrections.
    """

    row: dict[str, Any]
    taken_us: int | None = None
    by: str | None = None
    closings: list[tuple[int, str | None, str, str | None]] = field(default_factory=list)

    @property
    def wait_s(self) -> float | None:
        """How long it had waited; None when nobody took it."""
        if self.taken_us is None:
            return None
        since_us = waiting_since_us(self.row["received_at_us"], self.row["arrived_at_us"], self.taken_us)
        return max(0, self.taken_us - since_us) / 1e6

    @property
    def arrived_at_us(self) -> int:
        """When it arrived here."""
        return int(self.row["arrived_at_us"] or self.row["received_at_us"])

    @property
    def corrected(self) -> bool:
        """Whether it was closed in another way later."""
        return len({closing[2:] for closing in self.closings}) > 1


@router.get("/console/shift")
@require_role(Role.OPERATOR)
async def shift_page(request: Request) -> Response:
    """Show the last twelve hours: the operator's own calls; to an admin everybody's, too."""
    words, who = words_of(request), principal_of(request)
    since_us = now_us() - SHIFT_US
    try:
        handled = await scorer_of(request).intake.store.in_thread(lambda connection: since(connection, since_us))
    except StoreError as error:
        return refused(request, store_unavailable(error))
    own = [one for one in handled if who.name in (one.by, *(closing[1] for closing in one.closings))]
    everybody = Counter(one.by for one in handled if one.by)
    data = data_for(words, "close.", "disposition.", "category.", "shift.", **closing_data(request))
    return page(
        request,
        "shift.html",
        since_us=since_us,
        own=summed(own, who.name),
        centre=summed(handled),
        operators=[(name, summed(handled, name)) for name in sorted(everybody)] if who.role is Role.ADMIN else [],
        shown=own[:MAX_SHOWN],
        corrected=[one for one in (handled if who.role is Role.ADMIN else own) if one.corrected],
        looks=looks(words),
        short=short_pseudonym,
        duration=lambda seconds: format_duration(seconds, language=words.language) if seconds is not None else "–",
        data=data | {"time_zone": scorer_of(request).intake.release.time_zone},
    )


def summed(handled: list[Handled], who: str | None = None) -> dict[str, Any]:
    """Count the calls that somebody, or anybody, took and closed; `wait_s` is the median of those taken."""
    taken = [one for one in handled if one.by and who in (None, one.by)]
    waits = [one.wait_s for one in taken if one.wait_s is not None]
    closed = [one for one in handled if any(who in (None, closing[1]) for closing in one.closings)]
    return {
        "taken": len(taken),
        "wait_s": median(waits) if waits else None,
        "closed": len(closed),
        "genuine": sum(one.closings[-1][2] in ("genuine", "duplicate") for one in closed),
        "open": sum(not one.closings for one in taken),
        "corrected": sum(one.corrected for one in closed),
    }


def since(connection: Connection, since_us: int) -> list[Handled]:
    """Read the calls that rang or were closed since, and what operators did with them; the latest first."""
    received = sa.select(calls).where(calls.c.received_at_us >= since_us - BEFORE_US)
    disposed = sa.select(calls).where(calls.c.disposed_at_us >= since_us)
    found = {
        row["call_id"]: Handled(dict(row))
        for query in (received, disposed)
        for row in connection.execute(query).mappings()
    }
    of_them = sa.union(received.with_only_columns(calls.c.call_id), disposed.with_only_columns(calls.c.call_id))
    said = (
        sa.select(events.c.call_id, events.c.kind, events.c.known_at_us, events.c.body)
        .where(events.c.call_id.in_(of_them), events.c.kind.in_(_KINDS))
        .order_by(events.c.call_id, events.c.nth)
    )
    for call_id, kind, known_at_us, written in connection.execute(said):
        _add(found[call_id], kind, known_at_us, from_json(written))
    recent = [
        one
        for one in found.values()
        if max(one.taken_us or 0, *(closing[0] for closing in one.closings), 0) >= since_us
    ]
    return sorted(recent, key=lambda one: (one.arrived_at_us, one.row["call_id"]), reverse=True)


def _add(one: Handled, kind: str, known_at_us: int, body: dict[str, Any]) -> None:
    who = body.get("operator")
    if kind in ("released", "reopened"):
        one.taken_us = one.by = None
        if kind == "reopened":
            one.closings.clear()
    elif kind == "disposed":
        one.closings.append((known_at_us, who, body["disposition"], body.get("category")))
    elif one.taken_us is None:
        one.taken_us, one.by = known_at_us, who
    else:
        one.by = one.by or who
