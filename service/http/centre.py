"""The HTTP contract, version 1: what the centre decides and asks of the service as a whole."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from model.errors import StoreError
from model.history.caller_history import FIELDS
from service.contract.centre_answers import Alive, CallerDocument, Erased, ModelDocument, OperationsDocument
from service.contract.problems import Forbidden, Invalid, Unavailable
from service.contract.requests import Erase, Number, Operate, doubted
from service.http.dependencies import (
    json,
    out_of_reach,
    principal_of,
    read,
    reception_of,
    refusals,
    settings_of,
    takes,
)
from service.maintenance.erasure import check_reason, erase
from service.queue.operations import decide
from service.security.api_keys import Role
from service.security.pseudonyms import short
from service.security.route_access import GuardedRoute, allow, public
from service.telemetry.logs import masked
from service.timestamps import microseconds, rfc3339
from service.watch.registry_follower import state_of
from service.watch.tasks import Upkeep

router = APIRouter(route_class=GuardedRoute, tags=["centre"])
_METRICS = ("text/plain", "application/openmetrics-text")


@router.get(
    "/v1/operations",
    summary="The switch, the staff and whether calls are deferred",
    response_model=OperationsDocument,
    responses=refusals(),
)
@allow(Role.INTAKE, Role.OPERATOR, Role.SCIENTIST)
async def operations(request: Request) -> Response:
    """Give the switch, the staff on duty, and whether calls are deferred."""
    return json(_operations(request))


@router.put(
    "/v1/operations",
    summary="Say who is on duty, or put the switch",
    response_model=OperationsDocument,
    openapi_extra=takes(Operate, {"operators": 3, "mean_handling_s": 60.0}),
    responses=refusals(413, 422, 503),
)
@allow(Role.INTAKE, Role.OPERATOR)
async def operate(request: Request) -> Response:
    """Say who is on duty, or put the switch. Anybody on duty may stop all deferral; only an admin starts it again.

    What is not named stays. It holds in every process of the service within a second.
    """
    asked, _ = await read(request, Operate)
    intake, who = reception_of(request).intake, principal_of(request)
    if not asked.model_fields_set & {"operators", "mean_handling_s", "switch"}:
        raise Invalid("nothing to decide", [("(body)", "operators, mean_handling_s or switch")])
    if asked.switch is not None and asked.switch.on and who.role is not Role.ADMIN:
        raise Forbidden("only an admin may switch deferral on again, expected a key with the role admin")
    decided: list[tuple[str, dict[str, Any]]] = []
    if asked.model_fields_set & {"operators", "mean_handling_s"}:
        before = intake.operations.staff.get(asked.queue or "")
        staff = {"queue": asked.queue, "operators": asked.operators, "mean_handling_s": asked.mean_handling_s}
        for name in ("operators", "mean_handling_s"):
            if name not in asked.model_fields_set and before is not None:
                staff[name] = getattr(before, name)
        decided.append(("staff", staff))
    if asked.switch is not None:
        decided.append(("switch", asked.switch.model_dump()))

    def write(connection: Any) -> None:
        for kind, body in decided:
            decide(connection, who.name, kind, body, microseconds(datetime.now(UTC)))

    upkeep: Upkeep = request.app.state.upkeep
    try:
        await intake.store.in_thread(write)
        await upkeep.read_decisions()
    except StoreError as error:
        raise out_of_reach(error) from error
    doubts = doubted("mean_handling_s", asked.mean_handling_s)
    reception_of(request).metrics.warned(doubts)
    return json(_operations(request) | {"warnings": doubts})


@router.post(
    "/v1/callers/lookup",
    summary="What is known of a caller",
    response_model=CallerDocument,
    openapi_extra=takes(Number, {"caller": "0812-3456-7890"}),
    responses=refusals(413, 422, 503),
)
@allow(Role.OPERATOR)
async def lookup(request: Request) -> Response:
    """Give what is known of a caller, under a short pseudonym: the number is in the request and never in an answer.

    A number that never rang is answered too, with `known` false.
    """
    asked, _ = await read(request, Number)
    reception = reception_of(request)
    now_us = microseconds(datetime.now(UTC))
    try:
        hashes, history = await reception.history_of(asked.caller, now_us)
    except StoreError as error:
        raise out_of_reach(error) from error
    document = dict(zip(FIELDS, history.tolist(), strict=True))
    return json(
        {
            "caller": short(hashes[0]) if hashes else None,
            "known": document["calls_ever"] > 0.0,
            "history": document,
            "protected": reception.intake.operations.protects(hashes, now_us),
        }
    )


@router.post(
    "/v1/callers/erase",
    summary="Forget a caller",
    response_model=Erased,
    openapi_extra=takes(Erase, {"caller": "0812-3456-7890", "reason": "asked for by the caller"}),
    responses=refusals(409, 413, 422, 503),
)
@allow(Role.ADMIN)
async def erase_caller(request: Request) -> Response:
    """Forget a caller: history, hash and every observation. What is left is a note that it was done."""
    asked, _ = await read(request, Erase)
    reception, who = reception_of(request), principal_of(request)
    hashes = reception.hashes_of(asked.caller)
    if not hashes:
        raise Invalid("caller: shows no number", [("caller", "a telephone number")])
    check_reason(asked.reason, asked.caller)
    if not reception.retelling.all_told():  # the journal may hold a call of this caller, which would come back
        raise Unavailable("the store has not been told everything yet; erase when /readyz has `journal` at 0")
    try:
        removed = await erase(reception.intake, hashes, who.name, masked(asked.reason))
    except StoreError as error:
        raise out_of_reach(error) from error
    await reception.retelling.wipe()
    return json({"caller": short(hashes[0]), "calls": removed.calls, "events": removed.events})


@router.get(
    "/v1/model",
    summary="The release, what is proven about it, and what the monitor sees",
    response_model=ModelDocument,
    responses=refusals(),
)
@allow(Role.SCIENTIST)
async def model(request: Request) -> Response:
    """Give the release that is served, what is proven about it, and what the monitor sees.

    The reasons of a score and the stage's intercept add up to its log-odds.
    """
    intake = reception_of(request).intake
    release, now, settings = intake.release, datetime.now(UTC), settings_of(request)
    registry = await asyncio.to_thread(state_of, settings.registry_folder) if settings.registry else None
    state = intake.gate.state(now)
    return json(
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
                "en": release.certificate.sentence("en", state),
                "id": release.certificate.sentence("id", state),
            },
            "deferral": {"on": intake.gate.defers(now), "off_because": intake.gate.off_because(now)},
            "random_share": intake.share.share,
            "monitor": request.app.state.watch.document(),
            "drift": request.app.state.drift.document(),
            "shadow": request.app.state.shadow.document(),
            "registry": registry,
        }
    )


@router.get("/healthz", summary="Whether the process lives", response_model=Alive, responses=refusals())
@public
async def healthz() -> Response:
    """Say that the process lives."""
    return json({"status": "ok"})


@router.get("/readyz", summary="Whether calls can be scored and kept", response_model=Alive, responses=refusals(503))
@public
async def readyz(request: Request) -> Response:
    """Say that calls can be scored and kept, and how much of what was kept meanwhile the store still has to be told."""
    reception = reception_of(request)
    if reception.retelling.down:
        raise Unavailable("the store is out of reach: calls are answered without a score, first come, first served")
    try:
        async with asyncio.timeout(1.0):
            await reception.intake.store.length(b"")
    except (StoreError, TimeoutError) as error:
        raise Unavailable("the store cannot be read") from error
    return json({"status": "ready", "release": reception.intake.release.name, "journal": reception.retelling.left()})


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {name: {"schema": {"type": "string"}} for name in _METRICS}}, **refusals()},
)
@allow(Role.SCIENTIST)
async def metrics(request: Request) -> Response:
    """Give what Prometheus reads, in its own format or, when the header Accept names it, as OpenMetrics."""
    body, media_type = await asyncio.to_thread(reception_of(request).metrics.render, request.headers.get("accept", ""))
    return Response(body, media_type=media_type)


def _operations(request: Request) -> dict[str, Any]:
    intake, now = reception_of(request).intake, datetime.now(UTC)
    switch = intake.operations.switch
    return {
        "switch": {
            "on": switch.on,
            "who": switch.who,
            "reason": switch.reason,
            "at": rfc3339(switch.at_us) if switch.at_us else None,
        },
        "staff": [
            {"queue": queue or None, "operators": staff.operators, "mean_handling_s": staff.mean_handling_s}
            for queue, staff in intake.operations.staff.items()
        ],
        "mean_handling_s": intake.board.mean_handling_s(None),
        "waiting": dict(intake.board.counts()),
        "deferral_on": intake.gate.defers(now),
        "off_because": intake.gate.off_because(now),
    }
