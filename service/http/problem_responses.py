"""Problem documents: what was found wrong with a request, as an answer, and what the OpenAPI document says of each."""

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.responses import Response

from model.errors import StoreError
from service.contract.fields import printable_name, validation_message
from service.contract.problems import MEDIA_TYPE, Invalid, Malformed, Problem, Unavailable, Unknown, problem_document

log = logging.getLogger(__name__)

#: So many fields are named one by one.
MAX_FIELDS = 20
#: Parts of a request that FastAPI names in front of a parameter.
_PARTS = frozenset(("query", "path", "header"))
_DETAILS = {
    HTTPStatus.NOT_FOUND: "there is nothing at this path, expected one of /openapi.json",
    HTTPStatus.METHOD_NOT_ALLOWED: "this path does not take that method, expected one of the header Allow",
}
_TEXTS: dict[int, tuple[str, ...]] = {
    400: ("The body is not JSON, or the header Host names no host", "(body)", "JSON, in UTF-8"),
    401: ("No access key or token that is live",),
    403: ("Not with this role",),
    404: ("No such call is known", "call_id", "a call that was scored before"),
    409: ("It contradicts what is known of the call", "received_at", "the value of the first request"),
    413: ("The body is too large", "(body)", "at most 65,536 bytes"),
    421: ("Meant for another host",),
    422: ("A field is missing or makes no sense; the field is named", "call_id", "Field required"),
    429: ("Too many at once",),
    503: ("The store did not take it, or cannot be read: ask again",),
}


async def problem_response(request: Request, error: Exception) -> Response:
    """Answer a problem, or an error of the framework or of the store, with a problem document."""
    if isinstance(error, HTTPException):
        status, headers = HTTPStatus(error.status_code), dict(error.headers or {})
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = _allowed_methods(request) or headers.get("Allow", "")
        document = problem_document(status, _DETAILS.get(status, status.phrase))
        return Response(to_json(document), status.value, headers, MEDIA_TYPE)
    if isinstance(error, RequestValidationError):
        found = error.errors()
        error = problem_of(found)
        if all(item["loc"][0] == "path" for item in found):
            error = Unknown(error.detail, error.fields)  # nothing has such a name
    if isinstance(error, StoreError):
        error = store_unavailable(error)
    if not isinstance(error, Problem):
        error = Problem("Something is wrong in this service; its log says what.")
    return error.response()


def store_unavailable(error: StoreError) -> Unavailable:
    """Return the problem of a failed store; the cause is only logged, since it may name hosts, users and values."""
    log.warning("the store failed a request: %s", error)
    return Unavailable("the store did not take it, or cannot be read; ask again")


def problem_of(found: Sequence[Any]) -> Problem:
    """Turn what pydantic found (its `errors()`) into one problem; a body that is not JSON is `Malformed`."""
    if any(item["type"] == "json_invalid" for item in found):
        return invalid_json(found[0]["msg"])
    fields = [(_field(item["loc"]), validation_message(item)) for item in found[:MAX_FIELDS]]
    if len(found) > MAX_FIELDS:
        fields.append(("(body)", f"{len(found) - MAX_FIELDS:,} more fields make no sense"))
    return Invalid("; ".join(f"{field}: {detail}" for field, detail in fields), fields)


def invalid_json(detail: str) -> Problem:
    """Return the problem of a body that is not JSON; `detail` gives the position of the error, not the text there."""
    return Malformed(detail, [("(body)", "JSON, in UTF-8 and without a content coding")])


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the problems that a route may answer with."""
    return {status: _describe(HTTPStatus(status), *_TEXTS[status]) for status in (400, 421, *statuses)}


def _describe(status: HTTPStatus, text: str, field: str = "", expected: str = "") -> dict[str, Any]:
    example = problem_document(status, f"{field}: {expected}" if field else text, [(field, expected)] if field else ())
    schema = {"$ref": "#/components/schemas/ProblemDocument"}
    return {"description": text, "content": {MEDIA_TYPE: {"schema": schema, "example": example}}}


def _field(place: Sequence[str | int]) -> str:
    """Write where something is wrong; a name that was sent may be a number, or mean something to a terminal."""
    if place and place[0] in _PARTS:
        place = place[1:]
    return ".".join(printable_name(str(part)) for part in place) or "(body)"


def _allowed_methods(request: Request) -> str:
    """List the methods of the path that was asked for, of all its routes: each knows only its own."""
    included = request.scope.get("fastapi", {}).get("effective_route_context")
    path = getattr(included or request.scope.get("route"), "path_format", None)
    routes = iter_route_contexts(request.app.routes)
    return ", ".join(
        sorted({method for route in routes if route.path_format == path for method in route.methods or ()})
    )
