"""Puts the service together: settings, release, store, intake, routes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.exceptions import HTTPException

from model.release import read_release
from service.api import router
from service.intake import Intake
from service.problems import Problem, answer
from service.pseudonyms import Pseudonyms, read_key
from service.settings import Settings
from service.store import Store


def create_app(settings: Settings) -> FastAPI:
    """Make the application; the release and the store are opened when it starts.

    Parameters
    ----------
    settings : Settings

    Raises
    ------
    ReleaseError, StoreError, OSError
        When it starts, if one of them cannot be used.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        release = read_release(settings.release)
        pseudonyms = Pseudonyms(read_key(settings.key_file))
        store = Store(settings.database)
        try:
            app.state.settings = settings
            app.state.intake = Intake(release, store, pseudonyms, settings.callers_in_memory, settings.calls_in_memory)
            yield
        finally:
            store.close()

    app = FastAPI(
        title="Saring",
        version="1",
        summary="How likely an emergency call is a prank, from call metadata alone",
        lifespan=lifespan,
        max_body_size=settings.body_limit,
        docs_url=None,
        redoc_url=None,
    )
    app.include_router(router)
    for error in (Problem, HTTPException, Exception):
        app.add_exception_handler(error, answer)
    return app
