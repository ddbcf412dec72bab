"""The HTTP contract, version 1: what the centre decides and asks of the service as a whole."""

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from model.errors import StoreError
from service.contract.centre_answers import Alive, ModelDocument, OperationsDocument
from service.contract.centre_requests import Operate
from service.contract.problems import Forbidden, Invalid, Unavailable
from service.contract.requests import doubted
from service.http.dependencies import (
    json_response,
    principal_of,
    read_request,
    request_body,
    scorer_of,
    settings_of,
)
from service.http.problem_responses import problem_responses
from service.queue.operations import record_decision
from service.security.api_keys import Role
from service.security.route_access import RoleRoute, public, require_role
from service.timestamps import microseconds, now_us, rfc3339
from service.watch.registry_follower import read_state

if TYPE_CHECKING:
    from service.watch.tasks import BackgroundTasks

router = APIRouter(route_class=RoleRoute, tags=["centre"])
_METRICS = ("text/plain", "application/openmetrics-text")


@router.get(
    "/v1/operations",
    summary="The switch, the staff and whether calls are deferred",
    response_model=OperationsDocument,
    responses=problem_responses(),
)
@require_role(Role.INTAKE, Role.OPERATOR, Role.SCIENTIST)
async def operations(request: Request) -> Response:
    """Give the switch, the staff on duty, and whether calls are deferred."""
    return json_response(_operations(request))


@router.put(
    "/v1/operations",
    summary="Say who is on duty, or put the switch",
    response_model=OperationsDocument,
    openapi_extra=request_body(Operate, {"operators": 3, "mean_handling_s": 60.0}),
    responses=problem_responses(413, 422, 503),
)
@require_role(Role.INTAKE, Role.OPERATOR)
async def operate(request: Request) -> Response:
    """Say who is on duty, or put the switch. Anybody on duty may stop all deferral; only an admin starts it again.

    What is not named stays. It holds in every process of the service within a second.
    """
    asked, _ = await read_request(request, Operate)
    intake, who = scorer_of(request).intake, principal_of(request)
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
            record_decision(connection, who.name, kind, body, now_us())

    tasks: BackgroundTasks = request.app.state.tasks
    await intake.store.in_thread(write)
    await tasks.read_decisions()
    doubts = doubted("mean_handling_s", asked.mean_handling_s)
    scorer_of(request).metrics.warned(doubts)
    return json_response(_operations(request) | {"warnings": doubts})


@router.get(
    "/v1/model",
    summary="The release, what is proven about it, and what the monitor sees",
    response_model=ModelDocument,
    responses=problem_responses(),
)
@require_role(Role.SCIENTIST)
async def model(request: Request) -> Response:
    """Give the release that is served, what is proven about it, and what the monitor sees.

    The reasons of a score and the stage's intercept add up to its log-odds.
    """
    return json_response(await model_document(request))


async def model_document(request: Request) -> dict[str, Any]:
    """Return the same document for the supervisor's page, so that the two always say the same."""
    intake = scorer_of(request).intake
    release, now, settings = intake.release, datetime.now(UTC), settings_of(request)
    registry = await asyncio.to_thread(read_state, settings.registry_folder) if settings.registry else None
    state = intake.gate.certificate_state(now)
    return {
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
        "deferral": {"on": intake.gate.is_on(now), "off_because": intake.gate.off_reason(now)},
        "random_share": intake.triage.holdout.share,
        "monitor": request.app.state.watch.document(),
        "drift": request.app.state.drift.document(),
        "merged_callers": scorer_of(request).merged.document(),
        "shadow": request.app.state.shadow.document(),
        "registry": registry,
    }


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", summary="Whether the process lives", response_model=Alive, responses=problem_responses())
@public
async def healthz() -> Response:
    """Say that the process lives."""
    return json_response({"status": "ok"})


@router.head("/readyz", include_in_schema=False)
@router.get(
    "/readyz", summary="Whether calls can be scored and kept", response_model=Alive, responses=problem_responses(503)
)
@public
async def readyz(request: Request) -> Response:
    """Say that calls can be scored and kept, and how much of what was kept meanwhile the store still has to be told."""
    scorer = scorer_of(request)
    if scorer.redelivery.store_down:
        raise Unavailable("the store is out of reach: calls are answered without a score, first come, first served")
    try:
        async with asyncio.timeout(1.0):
            await scorer.intake.store.stream_version(b"")
    except (StoreError, TimeoutError) as error:
        raise Unavailable("the store cannot be read") from error
    return json_response(
        {"status": "ready", "release": scorer.intake.release.name, "journal": scorer.redelivery.pending()}
    )


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {name: {"schema": {"type": "string"}} for name in _METRICS}}, **problem_responses()},
)
@require_role(Role.SCIENTIST)
async def metrics(request: Request) -> Response:
    """Give what Prometheus reads, in its own format or, when the header Accept names it, as OpenMetrics."""
    body, media_type = await asyncio.to_thread(scorer_of(request).metrics.render, request.headers.get("accept", ""))
    return Response(body, media_type=media_type)


def _operations(request: Request) -> dict[str, Any]:
    intake, now = scorer_of(request).intake, datetime.now(UTC)
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
        "waiting": dict(intake.board.waiting_by_queue()),
        "deferral_on": intake.gate.is_on(now),
        "off_because": intake.gate.off_reason(now),
    }
