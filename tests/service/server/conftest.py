"""What the tests of the server share: a service in this process, and one of its own that may open few files."""

import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.security.key_store import create_key
from service.store.database import connect
from tests.support.processes import Process

FEW_FILES = 128


@pytest.fixture
def few_files(tmp_path: Path, release_folder: Path) -> Iterator[Process]:
    with process_with_few_files(tmp_path, release_folder) as running:
        yield running


@pytest.fixture
def few_files_over(tmp_path: Path, release_folder: Path) -> Callable[..., AbstractContextManager[Process]]:
    """A function that runs such a service over TLS."""
    return lambda **tls: process_with_few_files(tmp_path, release_folder, **tls)


@contextmanager
def process_with_few_files(folder: Path, release: Path, **tls: str) -> Iterator[Process]:
    """Run a service that may open few files: of them a peer gets some 25 connections, and all together 102."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    database = f"sqlite:///{folder / 'saring.db'}"
    engine = connect(database)
    key = create_key(engine, "pbx", "intake", datetime.now(UTC))
    engine.dispose()
    running = Process(folder, "service", release, database, files=FEW_FILES, insecure_local=False, **tls)
    running.key = key
    try:
        yield running.ready()
    finally:
        running.stop()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == limits
