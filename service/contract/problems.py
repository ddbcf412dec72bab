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

from pydantic_core import to_json
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it so
    """A request that cannot be carried out: why, in one sentence, and pairs of a field and what was expected of it."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    headers: ClassVar[Mapping[str, str] | None] = None

    def __init__(self, detail: str, fields: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(detail)
        self.detail, self.fields = detail, fields

    def document(self) -> dict[str, Any]:
        """Return the problem document."""
        return problem_document(self.status, self.detail, self.fields)

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


class TooMany(Problem):
    """More of something than there is room for."""

    status = HTTPStatus.TOO_MANY_REQUESTS


class Unavailable(Problem):
    """The store did not take what was to be kept."""

    status = HTTPStatus.SERVICE_UNAVAILABLE


def problem_document(status: HTTPStatus, detail: str, fields: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
    """Return the members of a problem document."""
    document: dict[str, Any] = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}
    if fields:
        document["errors"] = [{"field": field, "detail": detail} for field, detail in fields]
    return document


def refusal(status: HTTPStatus, detail: str) -> bytes:
    """Write a whole answer, for what is refused before there is a request; the connection ends by it."""
    body = to_json(problem_document(status, detail))
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}"
    return f"{head}\r\nconnection: close\r\n\r\n".encode() + body
