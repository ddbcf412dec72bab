"""The board: the waiting calls in serving order, live. Its rows come by the stream; here is what is around them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from starlette.responses import Response

from model.language.catalogue import catalogue
from model.policy.guardrails import SHOWN
from service.console.catalogues.catalogue import words_of
from service.console.page import PageRoute, closing_data, data_for, page
from service.http.dependencies import json_response, principal_of, scorer_of, settings_of, shown_of
from service.http.queue_view import View, queued_call
from service.queue.states import ANSWERED, TAKEN
from service.security.api_keys import Role
from service.security.route_access import RoleRoute, require_role

#: So many reasons stand in a row.
REASONS = 3
router = APIRouter(route_class=PageRoute, include_in_schema=False)
answers = APIRouter(route_class=RoleRoute, include_in_schema=False)


@router.get("/console")
@require_role(Role.OPERATOR)
async def board_page(request: Request) -> Response:
    """Show the board."""
    words, settings = words_of(request), settings_of(request)
    zone = scorer_of(request).intake.release.time_zone
    data = data_for(
        words,
        *("nav.", "board.", "call.", "line.", "line_state.", "order.", "off.", "mine.", "keys.", "stop."),
        *("close.", "disposition.", "category."),
        **closing_data(request),
        mode=settings.mode,
        time_zone=zone,
        stale_s=settings.waiting_timeout_s / 2,
        guardrails={rule.name: catalogue(words.language)(f"guardrail.{rule.name}") for rule in SHOWN},
    )
    return page(request, "board.html", data=data, mode=settings.mode, zone=abbreviation(zone))


@answers.get("/console/mine")
@require_role(Role.OPERATOR)
async def mine(request: Request) -> Response:
    """Return the calls that whoever asks has taken or is talking to, the latest last; asking renews the lease."""
    view, who = View(words_of(request).language, REASONS), principal_of(request).name
    intake = scorer_of(request).intake
    intake.leases.renew(who)
    calls = intake.board.calls.values()
    own = [shown_of(request, call) for call in calls if call.state in (TAKEN, ANSWERED) and call.operator == who]
    return json_response(
        {"calls": [queued_call(call, view) for call in sorted(own, key=lambda call: call.changed_at_us)]}
    )


def abbreviation(zone: str) -> str:
    """Return what people call the centre's time.

    Examples
    --------
    >>> abbreviation("Asia/Jakarta")
    'WIB'
    """
    return datetime.now(UTC).astimezone(ZoneInfo(zone)).tzname() or zone
