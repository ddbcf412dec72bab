"""Puts the service together: settings, release, store, intake, scorer, routes, and the middleware around them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from model.errors import StoreError
from model.release.folder import Release, read_release
from service.console import assets, badge_gallery, board, call, shift, sign_in, supervisor
from service.contract.problems import Problem
from service.http import callers, calls, centre, queue, scores
from service.http.event_stream import Streams
from service.http.problem_responses import problem_response
from service.intake.deadline import FailOpenScorer
from service.intake.intake import Intake
from service.intake.redelivery import Redelivery
from service.maintenance.number_keys import check_held, take_in_use
from service.queue.holdout import Holdout, choose_share
from service.queue.operations import Operations
from service.security.api_keys import ApiKeys
from service.security.key_store import read_key_rows
from service.security.middleware import SecurityMiddleware
from service.security.pseudonyms import Pseudonyms, read_keys, read_secrets
from service.security.sessions import Sessions
from service.security.tokens import Tokens
from service.server import openapi
from service.server.connection import ON_SHUTDOWN
from service.server.path_prefix import PathPrefix
from service.settings import Settings
from service.store.journal import Journal
from service.store.store import Store
from service.telemetry.metrics import Metrics
from service.telemetry.request_metrics import RequestMetricsMiddleware, measure_loop_lag
from service.telemetry.traces import TracingMiddleware, close_traces, open_traces
from service.watch.certificate_monitor import LOOK_S, CertificateMonitor
from service.watch.drift_monitor import DriftMonitor
from service.watch.release_reload import LOOK_S as RENEW_S
from service.watch.release_reload import ReleaseReloader
from service.watch.shadow import Shadow
from service.watch.tasks import BackgroundTasks, repeat

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

SLOW_S, BEAT_S = 0.25, 10.0
MAX_PROCESSES = 64
log = logging.getLogger(__name__)


class Parts(NamedTuple):
    """What a running service is made of."""

    intake: Intake
    pseudonyms: Pseudonyms
    secrets: list[bytes]
    journals: list[Journal]
    keys: ApiKeys
    metrics: Metrics
    traces: "TracerProvider | None" = None


@contextmanager
def open_parts(settings: Settings) -> Iterator[Parts]:
    """Open the release, the keys, the store and the journal, and close them in the end.

    Raises
    ------
    SaringError, OSError
        When one of them cannot be used; nothing is left open.
    """
    release = read_release(settings.release)
    pseudonyms = Pseudonyms(read_keys(settings.key_file))
    secrets = read_secrets(settings.secret_file or settings.key_file.with_suffix(".secret"))
    metrics = Metrics()
    with ExitStack() as stack:
        store = Store(settings.database, metrics.committed)
        stack.callback(store.close)
        check_held(store, pseudonyms)
        take_in_use(store, pseudonyms)
        operations = Operations()
        operations.apply_decisions(store.read_decisions())
        share = choose_share(release.manifest["data"]) if settings.random_share is None else settings.random_share
        intake = Intake(
            release,
            store,
            operations,
            Holdout(pseudonyms.secret, share),
            callers_in_memory=settings.callers_in_memory,
            calls_in_memory=settings.calls_in_memory,
            taken_timeout_s=settings.taken_timeout_s,
            on_abandoned=metrics.abandoned,
            network_attests=settings.network_attests,
            clock_tolerance_s=settings.clock_tolerance_s,
        )
        journals = _journals(settings)
        for journal in journals:
            stack.callback(journal.close)
        traces = open_traces()
        if traces is not None:
            stack.callback(close_traces, traces)
        yield Parts(intake, pseudonyms, secrets, journals, ApiKeys(read_key_rows(store.engine)), metrics, traces)


def create_app(parts: Parts, settings: Settings) -> ASGIApp:
    """Make the application of what is open, with its middleware around it."""
    intake, keys, metrics = parts.intake, parts.keys, parts.metrics
    redelivery = Redelivery(intake, parts.pseudonyms, parts.journals, metrics)
    scorer = FailOpenScorer(redelivery, parts.pseudonyms, settings.deadline_ms / 1e3, settings.last_digits)
    tasks, watch = BackgroundTasks(intake, keys, metrics, settings), CertificateMonitor(intake, metrics)
    drift = DriftMonitor(intake, metrics, settings.database)
    streams = Streams(intake, settings.mode, lambda: scorer.degraded)

    def served(release: Release) -> None:
        watch.on_release_changed(release)
        drift.on_release_changed(release)

    reloader = ReleaseReloader(intake, settings.release, served)
    # Beside a release lies its challenger, when there is one: `service.watch.registry_mirror` keeps it there.
    shadow = Shadow(settings.release.with_name("challenger"), lambda: intake.release)
    intake.on_scored, intake.lifecycle.on_closed = shadow.observe, shadow.record_label

    async def beat() -> None:
        if intake.store.shared:
            await asyncio.to_thread(take_in_use, intake.store, parts.pseudonyms)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        await tasks.read_decisions()
        tasks.start(
            repeat(LOOK_S, watch.check),
            repeat(RENEW_S, reloader.check),
            repeat(BEAT_S, beat),
            scorer.redelivery.run(),
            measure_loop_lag(metrics),
            drift.run(),
            shadow.run(),
        )
        try:
            # The server asks for the end of the lifespan when no request is open.
            yield {ON_SHUTDOWN: streams.close}
        finally:
            streams.close()
            await tasks.stop()

    app = FastAPI(
        title="Saring",
        version="1",
        summary="How likely an emergency call is a prank, from call metadata alone",
        openapi_url=None,  # service.server.openapi has it, for whoever has a key
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # It would send raw paths: service.telemetry has its own.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        lifespan=lifespan,
    )
    app.state.settings, app.state.scorer, app.state.keys = settings, scorer, keys
    app.state.tasks, app.state.watch, app.state.streams = tasks, watch, streams
    app.state.drift, app.state.shadow = drift, shadow
    app.state.tokens = Tokens(parts.secrets)
    sessions = Sessions(app.state.tokens, keys, intake.operations.signed_out.__contains__)
    app.state.sessions = sessions
    # What stands behind a call_id comes before the call. An included router would match each path twice.
    for routes in (scores, queue, centre, callers, calls, sign_in, board, shift, call, supervisor, badge_gallery,
                   assets, openapi):  # fmt: skip
        app.routes.extend(routes.router.routes)
    app.routes.extend(board.answers.routes)
    for error in (Problem, StoreError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(error, problem_response)
    openapi.complete_openapi(app, settings.root_path)
    secured: ASGIApp = SecurityMiddleware(
        app,
        keys,
        insecure_local=settings.insecure_local,
        hosts=(*settings.hosts, "localhost", "127.0.0.1", "[::1]"),
        origins=settings.origins,
        sessions=sessions.from_cookie,
    )
    if settings.root_path:
        secured = PathPrefix(secured, settings.root_path, app.routes)
    observed = RequestMetricsMiddleware(secured, metrics, SLOW_S)
    return TracingMiddleware(observed, parts.traces) if parts.traces else observed


def _journals(settings: Settings) -> list[Journal]:
    """Open the first journal that nobody holds, and what others left that died; none when the disk takes none."""
    folder = settings.journal
    try:
        folder.mkdir(parents=True, exist_ok=True)
        own = _first_free(folder, settings.journal_mib * 2**20)
    except (OSError, StoreError) as error:
        log.error("without a journal: what the store does not take is not kept: %s", error)
        return []
    left: list[Journal] = []
    for path in Journal.find_orphans(folder):
        try:
            left.append(Journal(path))
        except StoreError as error:
            log.warning("what an earlier process left waits: %s", error)
    return [own, *left]


def _first_free(folder: Path, size: int) -> Journal:
    for number in range(MAX_PROCESSES):
        try:
            return Journal(folder / f"journal-{number}.saring", size)
        except StoreError:
            if number == MAX_PROCESSES - 1:
                raise
    raise AssertionError
