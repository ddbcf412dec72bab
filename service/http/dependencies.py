"""What the routes share: a body is read once, up to a limit and with its warnings; who asks; and the answer as JSON."""

import logging
from codecs import BOM_UTF8
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import Depends, Path, Request
from pydantic import BaseModel, ValidationError
from starlette.responses import Response

from service.contract.extra_fields import filter_extra_fields
from service.contract.fields import AHEAD, NOT_BLANK
from service.contract.number_masks import digits_of
from service.contract.problems import Forbidden, Malformed, TooLarge
from service.contract.requests import ScoreRequest, doubted
from service.http.problem_responses import problem_of
from service.security.api_keys import Principal, Role
from service.settings import Settings
from service.store.records import Call, Source, encode_json
from service.telemetry.logs import RateLimit

if TYPE_CHECKING:
    from service.intake.deadline import FailOpenScorer

#: A sender is believed that it has kept a request for so many seconds: as long as a call waits that nobody tells of.
MAX_KEPT_S = 900.0
log = logging.getLogger(__name__)
_may_log = RateLimit()
T = TypeVar("T", bound=BaseModel)


async def _named(
    request: Request,
    call_id: Annotated[
        str,
        Path(
            min_length=1,
            max_length=200,
            pattern=NOT_BLANK,
            description="The call's name, percent-encoded: `/` is `%2F`.",
            examples=["112-20261101-0042"],
        ),
    ],
) -> str:
    """Return the name under which a call is kept."""
    return await scorer_of(request).stored_call_id(call_id)


CallIdInPath = Annotated[str, Depends(_named)]
AS_RECORDED = {
    "name": "Saring-Clock",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "examples": ["as-recorded"]},
    "description": "`as-recorded` takes now from the event itself, for a log that is replayed: in a service that was "
    "started with `--replay`, or for an admin (403 otherwise). Anything else does not.",
}


AGE: dict[str, Any] = {
    "name": "Saring-Age",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "examples": ["12.5"]},
    "description": "For how many seconds the sender has kept the request, such as in a queue of its own while the "
    f"service was out of reach: 0 to {MAX_KEPT_S:g}. So long before now the call counts as heard of, when it is new "
    "here. Without it, or with anything else: 0.",
}


def request_body(
    schema: type[BaseModel], example: dict[str, Any], *headers: dict[str, Any], clocked: bool = False
) -> dict[str, Any]:
    """Describe a body that the endpoint reads itself, with its warnings; `clocked` when it uses `resolve_source`."""
    content = {"schema": {"$ref": f"#/components/schemas/{schema.__name__}"}, "example": example}
    extra: dict[str, Any] = {"requestBody": {"required": True, "content": {"application/json": content}}}
    if clocked:
        extra["parameters"] = [AS_RECORDED, *headers]
    return extra


async def read_body(request: Request, limit: int) -> bytes:
    """Read a body up to a limit, without the mark that some programs put before UTF-8.

    Raises
    ------
    TooLarge, Malformed
    """
    body: bytes | bytearray = b""
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise Malformed("the body broke off")  # whoever sent it does not read this any more
        more: bytes = message.get("body", b"")
        if len(body) + len(more) > limit:
            raise TooLarge(f"the body has more than {limit:,} bytes", [("(body)", f"at most {limit:,} bytes")])
        if not message.get("more_body", False):
            return (bytes(body) + more if body else more).removeprefix(BOM_UTF8)
        body = bytearray(body) if isinstance(body, bytes) else body
        body += more


async def read_request(request: Request, schema: type[T]) -> tuple[T, list[dict[str, str]]]:
    """Read a request, and the warnings of what was forgiven.

    Raises
    ------
    Problem
    """
    return parse_request(request, await read_body(request, settings_of(request).body_limit), schema)


def parse_request(request: Request, body: bytes, schema: type[T]) -> tuple[T, list[dict[str, str]]]:
    """Parse a body, with a warning for each field that was taken as not known, is not of the contract, or is doubted.

    One with a time that lies ahead of this machine's clock is counted, since the clock may be wrong.

    Raises
    ------
    Problem
    """
    scorer = scorer_of(request)
    warnings: list[dict[str, str]] = []
    latest = datetime.now(UTC) + timedelta(seconds=settings_of(request).clock_skew_s)
    try:
        asked = schema.model_validate_json(body, context={"warnings": warnings, "latest": latest})
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        if any(one["type"] == AHEAD for one in found):
            scorer.metrics.ahead()
            if _may_log():
                log.error("a request was refused since a time in it lies ahead of this machine's clock: is it behind?")
        raise problem_of(found) from None
    if asked.model_extra:
        kept, more = filter_extra_fields(asked.model_extra, digits_of(getattr(asked, "caller", None)))
        asked.model_extra.clear()
        asked.model_extra.update(kept)
        warnings += more
    if isinstance(asked, ScoreRequest):
        warnings += doubted("expected_wait_s", asked.expected_wait_s)
    return scorer.masks.mask_request(asked, warnings), warnings


def resolve_source(request: Request, recorded: datetime) -> tuple[datetime, Source]:
    """Return now, by this machine's clock or by the event's own for a log that is replayed, and who tells of it.

    Raises
    ------
    Forbidden
        When a service that was not started for a replay is asked to go by another clock, and not by an admin.
    """
    who, now = principal_of(request), datetime.now(UTC)
    if (b"saring-clock", b"as-recorded") not in request.scope["headers"]:
        return now, Source(who.name)
    if not settings_of(request).replay and who.role is not Role.ADMIN:
        raise Forbidden("this service goes by its own clock, expected one that was started with --replay, or an admin")
    return recorded, Source(who.name, now)


def resolve_score_source(
    request: Request, recorded: datetime, warnings: list[dict[str, str]]
) -> tuple[datetime, Source]:
    """Do the same for a score, with the seconds for which its sender has kept it; a warning when these make no sense.

    Raises
    ------
    Forbidden
    """
    now, told_by = resolve_source(request, recorded)
    said = next((value for name, value in request.scope["headers"] if name == b"saring-age"), None)
    if said is None or told_by.at is not None:
        return now, told_by
    try:
        kept_s = float(said)
    except ValueError:
        kept_s = -1.0
    if not 0.0 <= kept_s <= MAX_KEPT_S:
        warnings.append({"field": AGE["name"], "detail": f"expected 0 to {MAX_KEPT_S:g} seconds; taken as 0"})
        return now, told_by
    return now, told_by._replace(kept_s=kept_s)


def scorer_of(request: Request) -> "FailOpenScorer":
    """Return the scorer of the application."""
    scorer: FailOpenScorer = request.app.state.scorer
    return scorer


def shown_of(request: Request, call: Call) -> Call:
    """Return a call as it may be shown now."""
    intake = scorer_of(request).intake
    return intake.visible_call(call, intake.gate.visibility(datetime.now(UTC)))


def settings_of(request: Request) -> Settings:
    """Return the settings of the application."""
    settings: Settings = request.app.state.settings
    return settings


def principal_of(request: Request) -> Principal:
    """Return who calls; the route has admitted nobody without a role."""
    principal: Principal = request.scope["state"]["principal"]
    return principal


def speaking_for(request: Request, operator: str | None) -> str | None:
    """Return the operator that a request names: an operator's key speaks for its holder alone.

    Raises
    ------
    Forbidden
    """
    principal = principal_of(request)
    if principal.role is not Role.OPERATOR:
        return operator
    masks = scorer_of(request).masks  # the key's holder may be named by a number, which is masked in a body
    if operator not in (None, principal.name, masks.mask_operator(principal.name)):
        raise Forbidden("operator: an operator's key speaks for itself alone", [("operator", "the name of this key")])
    return principal.name


def json_response(content: dict[str, Any] | bytes) -> Response:
    """Answer with a document, or with what is JSON already."""
    return Response(content if isinstance(content, bytes) else encode_json(content), media_type="application/json")
