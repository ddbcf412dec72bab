"""What several tests share: small logs written by hand, one made-up city, and the release trained on it."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before scikit-learn is imported: small fits and scores need no more

from datetime import UTC, datetime

import pandas as pd
import pytest
from hypothesis import settings

from model.calls import COLUMNS
from model.city import simulate
from model.evaluation import Effort
from model.params import Params
from model.pipeline import make
from model.release import read_release, write_release

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
    return make(city.calls, Params(), NOW, corrections=city.corrections, effort=Effort(seeds=4, resamples=20))


@pytest.fixture(scope="session")
def release_folder(made, tmp_path_factory):
    """A release trained on a small made-up city."""
    folder = tmp_path_factory.mktemp("release") / "release"
    write_release(folder, made.files(), made.facts(NOW))
    return folder


@pytest.fixture(scope="session")
def release(release_folder):
    return read_release(release_folder)
