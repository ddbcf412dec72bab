"""The OpenAPI document: what an integrator reads before writing a line.

FastAPI describes the routes, `RoleRoute` who may call them. Here is what holds everywhere, and the bodies that routes
read by themselves. It is the same for everybody who has a key, of any role.
"""

from functools import lru_cache
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from pydantic_core import to_json
from starlette.responses import Response

from service.contract.answers import Beat, DeferralChange
from service.contract.centre_requests import Erase, Number, Operate, Take, TokenFor
from service.contract.requests import Answered, Batch, Disposition, Ended, Reopen, ScoreRequest
from service.security.api_keys import Role
from service.security.route_access import RoleRoute, require_role

router = APIRouter(route_class=RoleRoute)
_ABOUT = """\
Tell Saring of each call as it arrives, and serve the smallest `queue_key` first. It never drops or answers a call: all
it may do is let one wait longer, by at most 300 seconds, and when anything is wrong it does nothing.

**Who may call.** `Authorization: Bearer KEY`, with a key of one of the roles intake, operator, scientist and admin.

**Bodies** are JSON in UTF-8, at most 64 KiB (a batch 8 MiB), whatever the header Content-Type says. What is required
must be right. Anything else that makes no sense is taken as not known and pointed out in `warnings`: a call is never
lost to the queue over an optional number. Of a name that comes twice the last one counts. Fields of your own are
named `x_*`.

**Values** of calls are read as people and programs write them: words in any casing; a number also as a text, with a
point or a comma (`1.234` and `1,234` could be either, and are taken as not known); a caller also as an integer; a time
also with a blank for the `T`, and with `+07` or `+0700`. A byte order mark before the body is ignored.

**Times** are RFC 3339 with an offset; those in answers are in UTC with microseconds. A call is placed by `arrived_at`:
`received_at`, unless your clock is ahead or too far behind; then by when it was first heard of here.

**Numbers** of callers are hashed with a key as soon as they are read; people see a short pseudonym.

**Problems** are RFC 9457 documents (`application/problem+json`) that name the field. A path that is not here answers
with 404, a method that is not here with 405. Every answer has the header `X-Request-ID`: yours, when it has 1 to 64
letters, digits, dots, dashes or underscores, else a new one.
"""
_TAGS = [
    {"name": "calls", "description": "What is said of a call, from its first ring to its disposition."},
    {"name": "queue", "description": "What operators see, and how a call is theirs."},
    {"name": "centre", "description": "What the centre decides, and how the service is."},
]
#: Bodies that routes read by themselves, and what the stream sends.
_READ_BY_ROUTES: tuple[type[BaseModel], ...] = (
    *(ScoreRequest, Batch, Answered, Ended, Disposition, Reopen),
    *(Take, Number, Erase, Operate, TokenFor),
    *(Beat, DeferralChange),
)
_SECURITY_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An access key, `saring_<key_id>_<secret>`, as `saring keys create` shows it once.",
    },
    "token": {
        "type": "apiKey",
        "in": "query",
        "name": "token",
        "description": "A short-lived token of /v1/tokens, for what cannot send a header.",
    },
}


@router.get("/openapi.json", include_in_schema=False)
@require_role(*Role)
async def openapi(request: Request) -> Response:
    """Return the document, encoded once: it has 100 KB, and anybody without a key may ask for it again and again."""
    return Response(_written(request.app), media_type="application/json")


@lru_cache(1)
def _written(app: FastAPI) -> bytes:
    return to_json(app.openapi())


def complete_openapi(app: FastAPI, root_path: str) -> None:
    """Complete the OpenAPI document of an app, which stands under a path."""
    app.description, app.openapi_tags = _ABOUT, _TAGS
    app.servers = [{"url": root_path}] if root_path else []
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        schema = plain()
        components = schema["components"]
        if "securitySchemes" not in components:
            components["securitySchemes"] = _SECURITY_SCHEMES
            _, found = models_json_schema(
                [(model, "validation") for model in _READ_BY_ROUTES],
                ref_template="#/components/schemas/{model}",
            )
            components["schemas"] = dict(sorted((components["schemas"] | found["$defs"]).items()))
        return schema

    app.openapi = openapi  # type: ignore[method-assign]
