"""Puts the service together: settings, release, store, intake, routes."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from model.release import read_release
from service.api import router
from service.intake import Intake
from service.problems import Problem, answer
from service.pseudonyms import Pseudonyms, read_key
from service.settings import Settings
from service.store import Store


@contextmanager
def opened(settings: Settings) -> Iterator[Intake]:
    """Open the release, the key and the store, and close the store in the end.

    Raises
    ------
    ReleaseError, StoreError, OSError
        When one of them cannot be used; nothing is left open.
    """
    release = read_release(settings.release)
    store = Store(settings.database)
    try:
        pseudonyms = Pseudonyms(read_key(settings.key_file))
        yield Intake(release, store, pseudonyms, settings.callers_in_memory, settings.calls_in_memory)
    finally:
        store.close()


def create_app(intake: Intake, settings: Settings) -> FastAPI:
    """Make the application around an intake that is open."""
    app = FastAPI(
        title="Saring",
        version="1",
        summary="How likely an emergency call is a prank, from call metadata alone",
        docs_url=None,
        redoc_url=None,
    )
    app.state.settings, app.state.intake = settings, intake
    app.include_router(router)
    for error in (Problem, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(error, answer)
    return app
