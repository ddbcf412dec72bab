"""The board: the waiting calls in serving order, live."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.access import Role
from service.console.pages import PageRoute, page
from service.guard import allow

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/console")
@allow(Role.OPERATOR)
async def board_page(request: Request) -> Response:
    """Show the board; its rows come by the stream."""
    return page(request, "board.html")
