"""What the routes have in common: reading a body once, with its warnings, and answering."""

from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from fastapi import Path, Request
from pydantic import BaseModel, ValidationError
from pydantic_core import to_json
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from service.access import Principal
from service.documents import ProblemDocument
from service.problems import Invalid, TooLarge
from service.reception import Reception
from service.schemas import parse
from service.settings import Settings

T = TypeVar("T", bound=BaseModel)
CallIdInPath = Annotated[str, Path(min_length=1, max_length=200)]
AS_RECORDED = {
    "name": "Saring-Clock",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "enum": ["as-recorded"]},
    "description": "`as-recorded` takes now from the event itself, for a log that is replayed.",
}
_TEXTS = {
    400: "Not JSON, or no Host",
    401: "No access key or token that is live",
    403: "Not with this role",
    404: "Not known here",
    409: "What may not change",
    413: "Too large",
    421: "Meant for another host",
    422: "A field is missing or makes no sense",
    429: "Too many at once",
    503: "The store did not take it",
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the problems that a route may answer with."""
    schema = {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}
    return {
        status: {
            "model": ProblemDocument,
            "description": _TEXTS[status],
            "content": {"application/problem+json": schema},
        }
        for status in (400, 421, *statuses)
    }


def takes(schema: type[BaseModel], example: dict[str, Any] | None = None, *, clocked: bool = False) -> dict[str, Any]:
    """Describe a body that the endpoint reads by itself, once, with its warnings; `clocked` when it asks `moment`."""
    content: dict[str, Any] = {"schema": schema.model_json_schema()}
    if example:
        content["example"] = example
    extra: dict[str, Any] = {"requestBody": {"required": True, "content": {"application/json": content}}}
    if clocked:
        extra["parameters"] = [AS_RECORDED]
    return extra


async def body_of(request: Request, limit: int) -> bytes:
    """Read a body up to a limit.

    Raises
    ------
    TooLarge
    """
    body = b""
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > limit:
            raise TooLarge(f"the body has more than {limit:,} bytes")
        if not message.get("more_body", False):
            return body


async def read(request: Request, schema: type[T]) -> tuple[T, list[dict[str, str]]]:
    """Read a request, and the warnings of what was forgiven.

    Raises
    ------
    Problem
    """
    settings = settings_of(request)
    return parsed(await body_of(request, settings.body_limit), schema, settings)


def parsed(body: bytes, schema: type[T], settings: Settings) -> tuple[T, list[dict[str, str]]]:
    """Parse a body.

    Raises
    ------
    Problem
    """
    try:
        return parse(schema, body, datetime.now(UTC), settings.clock_skew_s)
    except ValidationError as error:
        raise Invalid.of(error.errors(include_url=False, include_context=False, include_input=False)) from None


def moment(request: Request, recorded: datetime) -> datetime:
    """Give now: this machine's, or the event's own for a log that is replayed."""
    for name, value in request.scope["headers"]:
        if name == b"saring-clock" and value == b"as-recorded":
            return recorded
    return datetime.now(UTC)


def reception_of(request: Request) -> Reception:
    """Give the reception of the application."""
    reception: Reception = request.app.state.reception
    return reception


def settings_of(request: Request) -> Settings:
    """Give the settings of the application."""
    settings: Settings = request.app.state.settings
    return settings


def principal_of(request: Request) -> Principal:
    """Give who calls; the guard has let nobody else in."""
    principal: Principal = request.scope["state"]["principal"]
    return principal


def json(document: dict[str, Any]) -> Response:
    """Answer with JSON."""
    return Response(to_json(document, inf_nan_mode="null"), media_type="application/json")
