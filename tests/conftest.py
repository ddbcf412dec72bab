"""What several tests share: small logs written by hand, one made-up city, and the release trained on it."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before scikit-learn is imported: small fits and scores need no more

import json
import shutil
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pandas as pd
import pytest
from hypothesis import settings

from model.calls.columns import COLUMNS
from model.evaluation.evaluation import Effort
from model.params import Params
from model.release.folder import read_release, write_release
from model.release.pipeline import make_release
from model.simulation.city import simulate
from service.server.application import create_app, open_parts
from tests.support.call_histories import house
from tests.support.small_service import running, settings_in
from tests.support.store.postgres_server import running as running_postgres

settings.register_profile("unhurried", deadline=None)  # a first call may compile
settings.load_profile("unhurried")

NOW = datetime(2026, 11, 1, tzinfo=UTC)
START = pd.Timestamp("2025-03-03T00:00:00Z")  # a Monday
TYPES = {"time": "datetime64[us, UTC]", "number": "float64", "flag": "boolean"}


@pytest.fixture(scope="session")
def log_of():
    """A function that makes a log of dicts; times are seconds from Monday, 3 March 2025, midnight UTC."""

    def log_of(rows, columns=COLUMNS):
        data = {}
        for column in columns:
            values = [row.get(column.name) for row in rows]
            if column.kind == "time":
                values = [None if s is None else START + pd.Timedelta(round(s * 1e6), unit="us") for s in values]
            data[column.name] = pd.Series(values, dtype=TYPES.get(column.kind, "str"))
        return pd.DataFrame(data)

    return log_of


@pytest.fixture(scope="session")
def city():
    """A small made-up city: 4,000 calls of two months, four in ten of them genuine."""
    return simulate("metro", 1, calls=4_000)


@pytest.fixture(scope="session")
def made(city):
    return make_release(
        city.calls, Params(), NOW, corrections=city.corrections, effort=Effort(seeds=4, resamples=20, policy_draws=0)
    )


@pytest.fixture(scope="session")
def release_folder(made, tmp_path_factory):
    """A release trained on a small made-up city."""
    folder = tmp_path_factory.mktemp("release") / "release"
    write_release(folder, made.files(), made.facts(NOW))
    return folder


@pytest.fixture(scope="session")
def acting_release(made, tmp_path_factory):
    """The same release with a certificate, issued now, that says that deferral is proven: it is not, for so few."""
    files = dict(made.files())
    now = datetime.now(UTC)
    certificate = json.loads(files["certificate.json"])
    certificate["issued_at"], certificate["expires_at"] = now.isoformat(), (now + timedelta(days=180)).isoformat()
    for stage in certificate["stages"]:
        stage["deferral"] |= {"genuine_upper": 0.02, "load_lower": 0.05, "on": True, "reason": "proven"}
    files["certificate.json"] = json.dumps(certificate).encode()
    folder = tmp_path_factory.mktemp("acting") / "release"
    write_release(folder, files, made.facts(now))
    return folder


@pytest.fixture(scope="session")
def release(release_folder):
    return read_release(release_folder)


@pytest.fixture(scope="module")
def past(request, tmp_path_factory, release):
    """A folder with a store that was told the PAST of the module, in order."""
    folder = tmp_path_factory.mktemp("past")
    with house(folder, release) as there:
        there.tell(request.module.PAST)
    return folder


@pytest.fixture
def folder(past, tmp_path):
    """A copy of that folder to be changed."""
    return shutil.copytree(past, tmp_path / "past")


@contextmanager
def _serving(folder: Path, release: Path, **changes) -> Iterator[httpx.Client]:
    chosen = settings_in(folder, release, **{"insecure_local": True} | changes)
    with open_parts(chosen) as parts, running(create_app(parts, chosen), headers={}) as client:
        yield client


@pytest.fixture(scope="session")
def serving():
    """A function that runs the service on loopback, on a database in a folder, as a context that gives its client."""
    return _serving


@pytest.fixture(scope="session")
def rows():
    """A function that reads a table of the SQLite store in a folder."""

    def rows(folder: Path, table: str) -> list[dict]:
        with sqlite3.connect(folder / "saring.db") as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]

    return rows


@pytest.fixture(scope="session")
def postgres_server():
    """A real PostgreSQL server of this run's own."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres(postgres_server):
    """The URL of an empty database of that server."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture(scope="module")
def browser():
    """A real Chromium; each test opens a context of its own in it.

    It ends with its module: while Playwright runs, this thread has a running event loop, and no other test could
    start one of its own.
    """
    from benchmarks.browsing import browser  # whoever runs no test of the console needs no Playwright

    with browser() as running:
        yield running


@pytest.fixture
def free_port():
    """A port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
