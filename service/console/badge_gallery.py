"""The badge sheet: every state of the badge, light and dark, and how another system's page shows it."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.console.page import PageRoute, page
from service.queue.badge import LOOKS, badge_svg
from service.security.route_access import public

#: What the badges of the sheet say; no call's.
SHOWN = {"like_emergencies": 10, "not_clear": 100, "prank_like": 1000}
router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/console/badge")
@public
async def sheet_page(request: Request) -> Response:
    """Show every state. It tells of no call, so whoever builds a page that shows the badge may look."""
    states = [(state, SHOWN.get(state)) for state in LOOKS]
    return page(request, "sheet.html", states=states, picture=badge_svg, service=str(request.base_url).rstrip("/"))
