"""The HTTP contract, version 1."""

from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Header, Path, Request
from pydantic import ValidationError
from pydantic_core import to_json
from starlette.responses import Response

from model.errors import StoreError
from service.intake import Intake, degraded, history_of
from service.problems import Invalid, TooLarge, Unavailable
from service.pseudonyms import short
from service.records import microseconds, rfc3339
from service.schemas import (
    Answered,
    Body,
    Disposition,
    Ended,
    Kept,
    ProblemDocument,
    ScoreRequest,
    ScoreResponse,
    parse,
)
from service.settings import Settings

T = TypeVar("T", bound=Body)
CallIdInPath = Annotated[str, Path(min_length=1, max_length=200)]
AsRecorded = Annotated[
    str | None,
    Header(
        alias="Saring-Clock",
        description="`as-recorded` takes now from the event itself, for a log that is replayed.",
    ),
]
_REFUSED: dict[int | str, dict[str, Any]] = {
    status: {"model": ProblemDocument, "description": text, "content": {"application/problem+json": {}}}
    for status, text in (
        (400, "Not JSON"),
        (404, "No such call"),
        (409, "What may not change"),
        (413, "Too large"),
        (422, "A field is missing or makes no sense"),
        (503, "The store did not take it"),
    )
}
router = APIRouter(responses=_REFUSED)


def _takes(schema: type[Body]) -> dict[str, Any]:
    """Describe a body that the endpoint reads by itself, once, with its warnings."""
    content = {"application/json": {"schema": schema.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


async def _read(request: Request, schema: type[T]) -> tuple[T, list[dict[str, str]]]:
    settings: Settings = request.app.state.settings
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > settings.body_limit:
            raise TooLarge(f"the body has more than {settings.body_limit:,} bytes")
    try:
        return parse(schema, bytes(body), datetime.now(UTC), settings.clock_skew_s)
    except ValidationError as error:
        raise Invalid.of(error.errors(include_url=False, include_context=False, include_input=False)) from None


def _intake(request: Request) -> Intake:
    intake: Intake = request.app.state.intake
    return intake


def _json(document: dict[str, Any]) -> Response:
    return Response(to_json(document, inf_nan_mode="null"), media_type="application/json")


def _kept(call_id: str, warnings: list[dict[str, str]]) -> Response:
    return _json({"call_id": call_id, "durable": True, "warnings": warnings})


@router.post("/v1/score", response_model=ScoreResponse, openapi_extra=_takes(ScoreRequest))
async def score(request: Request, clock: AsRecorded = None) -> Response:
    """Score one call, at any stage, as often as more becomes known of it."""
    asked, warnings = await _read(request, ScoreRequest)
    now = asked.received_at if clock == "as-recorded" else datetime.now(UTC)
    intake = _intake(request)
    try:
        return _json(await intake.score(asked, warnings, now))
    except StoreError:
        return _json(degraded(asked, intake.release.name, warnings, now))


@router.post("/v1/calls/{call_id:path}/answered", response_model=Kept, openapi_extra=_takes(Answered))
async def answered(request: Request, call_id: CallIdInPath, clock: AsRecorded = None) -> Response:
    """Tell that an operator took up the call."""
    asked, warnings = await _read(request, Answered)
    now = asked.answered_at if clock == "as-recorded" else datetime.now(UTC)
    try:
        await _intake(request).answered(call_id, asked, now)
    except StoreError as error:
        raise Unavailable(str(error)) from error
    return _kept(call_id, warnings)


@router.post("/v1/calls/{call_id:path}/ended", response_model=ScoreResponse, openapi_extra=_takes(Ended))
async def ended(request: Request, call_id: CallIdInPath, clock: AsRecorded = None) -> Response:
    """Tell that the call ended; the answer is the score of the whole call."""
    asked, warnings = await _read(request, Ended)
    now = asked.ended_at if clock == "as-recorded" else datetime.now(UTC)
    try:
        return _json(await _intake(request).ended(call_id, asked, warnings, now))
    except StoreError as error:
        raise Unavailable(str(error)) from error


@router.post("/v1/calls/{call_id:path}/disposition", response_model=Kept, openapi_extra=_takes(Disposition))
async def disposition(request: Request, call_id: CallIdInPath, clock: AsRecorded = None) -> Response:
    """Tell how the call was closed; told again, it is a correction."""
    asked, warnings = await _read(request, Disposition)
    now = asked.disposed_at if clock == "as-recorded" else datetime.now(UTC)
    try:
        # What was said earlier than it was told became known when it was told.
        await _intake(request).disposed(call_id, asked, now, max(asked.disposed_at, now))
    except StoreError as error:
        raise Unavailable(str(error)) from error
    return _kept(call_id, warnings)


@router.get("/v1/calls/{call_id:path}")
async def call(request: Request, call_id: CallIdInPath) -> Response:
    """Give what was known of a call, what was scored and answered, and why."""
    found = _intake(request).find(call_id)
    document: dict[str, Any] = {
        "call_id": found.call_id,
        "received_at": rfc3339(found.received_at_us),
        "caller": short(found.caller),
        "line": found.line,
        "centre": found.centre,
        "queue": found.queue,
        "opening_duration_s": found.opening_duration_s,
        "opening_silence_ratio": found.opening_silence_ratio,
        "answered_at": rfc3339(found.answered_at_us),
        "ended_at": rfc3339(found.ended_at_us),
        "ended_by": found.ended_by,
        "duration_s": found.duration_s,
        "silence_ratio": found.silence_ratio,
        "disposition": found.disposition,
        "category": found.category,
        "disposed_at": rfc3339(found.disposed_at_us),
        "history": history_of(found),
        "surge": {"calls": found.surge[0], "new_numbers": found.surge[1]},
        "first_call": found.first_call,
        "scores": found.answers,
        "said": [
            {
                "kind": said["kind"],
                "known_at": rfc3339(said["known_at_us"]),
                "recorded_at": rfc3339(said["recorded_at_us"]),
            }
            for said in _intake(request).store.said(call_id)
        ],
        **found.extra,
    }
    return _json(document)


@router.get("/v1/model")
async def model(request: Request) -> Response:
    """Give the release that is served and what is proven about it."""
    release = _intake(request).release
    state = release.certificate.state(datetime.now(UTC), fingerprint=release.certificate.fingerprint)
    return _json(
        {
            "release": release.name,
            "until": release.manifest["until"],
            "created_at": release.manifest["created_at"],
            "time_zone": release.time_zone,
            "region": release.region,
            "labels": dict(release.labels),
            "data": release.manifest["data"],
            "intercepts": {stage: card.intercept for stage, card in release.scorecards.items()},
            "certificate": {
                "state": state.word,
                "reason": state.reason,
                "expires_at": rfc3339(microseconds(release.certificate.expires_at)),
                "en": release.certificate.sentence("en"),
                "id": release.certificate.sentence("id"),
            },
            "deferral": {"on": False, "reason": "this service does not watch over a certificate yet"},
        }
    )


@router.get("/healthz")
async def healthz() -> Response:
    """Say that the process lives."""
    return _json({"status": "ok"})


@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """Say that calls can be scored and kept."""
    try:
        _intake(request).store.call("")
    except StoreError as error:
        raise Unavailable(str(error)) from error
    return _json({"status": "ready", "release": _intake(request).release.name})
