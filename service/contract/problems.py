"""What goes wrong with a request, told as RFC 9457 problem details that name the field.

Problem
├── Malformed       400   not JSON, or no Host
├── Unauthorized    401   no key, or none that opens anything
├── Forbidden       403   not with this role, or not from there
├── Unknown         404   no such call
├── Conflict        409   what is known of a call may not change so
├── TooLarge        413
├── Misdirected     421   meant for another host
├── Invalid         422   a field is missing, of a wrong type or absurd
├── TooMany         429   of what takes room as long as it lasts
└── Unavailable     503   the store did not take it
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.responses import Response

from service.contract.extra_fields import printable_name
from service.contract.fields import validation_message

MEDIA_TYPE = "application/problem+json"
#: So many fields are named one by one.
MAX_FIELDS = 20
#: Parts of a request that FastAPI names in front of a parameter.
_PARTS = frozenset(("query", "path", "header"))
_DETAILS = {
    HTTPStatus.NOT_FOUND: "there is nothing at this path, expected one of /openapi.json",
    HTTPStatus.METHOD_NOT_ALLOWED: "this path does not take that method, expected one of the header Allow",
}


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it so
    """A request that cannot be carried out.

    Parameters
    ----------
    detail : str
        One sentence for whoever sent the request.
    fields : sequence of (field, expected) pairs, optional
    """

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    headers: ClassVar[Mapping[str, str] | None] = None

    def __init__(self, detail: str, fields: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(detail)
        self.detail, self.fields = detail, fields

    def document(self) -> dict[str, Any]:
        """Return the members of the problem document."""
        document: dict[str, Any] = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
        }
        if self.fields:
            document["errors"] = [{"field": field, "detail": detail} for field, detail in self.fields]
        return document

    def response(self) -> Response:
        """Make the answer."""
        return Response(to_json(self.document()), self.status.value, self.headers, MEDIA_TYPE)


class Malformed(Problem):
    """A body that is not JSON, or a request that does not say for which host it is."""

    status = HTTPStatus.BAD_REQUEST


class Unauthorized(Problem):
    """A request of nobody: without a key, or with one that opens nothing, whatever the cause."""

    status = HTTPStatus.UNAUTHORIZED
    headers: ClassVar[Mapping[str, str] | None] = {"WWW-Authenticate": "Bearer"}

    def __init__(self) -> None:
        super().__init__("this takes an access key that is live, expected the header `Authorization: Bearer KEY`")


class Forbidden(Problem):
    """A request of somebody whose role may not, or from where nobody may."""

    status = HTTPStatus.FORBIDDEN


class Misdirected(Problem):
    """A request for a host that this service is not."""

    status = HTTPStatus.MISDIRECTED_REQUEST


class Unknown(Problem):
    """A call that this service does not know."""

    status = HTTPStatus.NOT_FOUND


class Conflict(Problem):
    """A change to what may not change."""

    status = HTTPStatus.CONFLICT


class TooLarge(Problem):
    """A body beyond the limit."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class Invalid(Problem):
    """Fields that are missing, of a wrong type or absurd."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY

    @classmethod
    def of(cls, found: Sequence[Any]) -> Problem:
        """Turn what pydantic found (its `errors()`) into one problem; a body that is not JSON is `Malformed`."""
        if any(item["type"] == "json_invalid" for item in found):
            return invalid_json(found[0]["msg"])
        fields = [(_field(item["loc"]), validation_message(item)) for item in found[:MAX_FIELDS]]
        if len(found) > MAX_FIELDS:
            fields.append(("(body)", f"{len(found) - MAX_FIELDS:,} more fields make no sense"))
        return cls("; ".join(f"{field}: {detail}" for field, detail in fields), fields)


class TooMany(Problem):
    """More of something than there is room for."""

    status = HTTPStatus.TOO_MANY_REQUESTS


class Unavailable(Problem):
    """The store did not take what was to be kept."""

    status = HTTPStatus.SERVICE_UNAVAILABLE


async def problem_response(request: Request, error: Exception) -> Response:
    """Answer a problem, or an error of the framework, with a problem document."""
    if isinstance(error, HTTPException):
        status, headers = HTTPStatus(error.status_code), dict(error.headers or {})
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = _allowed(request) or headers.get("Allow", "")
        document = {
            "type": "about:blank",
            "title": status.phrase,
            "status": status.value,
            "detail": _DETAILS.get(status, status.phrase),
        }
        return Response(to_json(document), status.value, headers, MEDIA_TYPE)
    if isinstance(error, RequestValidationError):
        found = error.errors()
        error = Invalid.of(found)
        if all(item["loc"][0] == "path" for item in found):
            error = Unknown(error.detail, error.fields)  # nothing has such a name
    if not isinstance(error, Problem):
        error = internal_error()
    return error.response()


def refusal(status: HTTPStatus, detail: str) -> bytes:
    """Write a whole answer, for what is refused before there is a request; the connection ends by it."""
    document = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}
    body = to_json(document)
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}"
    return f"{head}\r\nconnection: close\r\n\r\n".encode() + body


def internal_error() -> Problem:
    """Return the problem of an unexpected error."""
    return Problem("Something is wrong in this service; its log says what.")


def invalid_json(detail: str) -> Problem:
    """Return the problem of a body that is not JSON; `detail` gives the position of the error, not the text there."""
    return Malformed(detail, [("(body)", "JSON, in UTF-8 and without a content coding")])


def _field(place: Sequence[str | int]) -> str:
    """Write where something is wrong; a name that was sent may be a number, or mean something to a terminal."""
    if place and place[0] in _PARTS:
        place = place[1:]
    return ".".join(printable_name(str(part)) for part in place) or "(body)"


def _allowed(request: Request) -> str:
    """List the methods of the path that was asked for, of all its routes: each knows only its own."""
    context = request.scope.get("fastapi", {}).get("effective_route_context")
    path = getattr(context, "path_format", None)
    routes = iter_route_contexts(request.app.routes)
    return ", ".join(
        sorted({method for route in routes if route.path_format == path for method in route.methods or ()})
    )
