"""What several tests share: one small trained release."""

from datetime import UTC, datetime

import pytest

from model.city import simulate
from model.params import Params
from model.pipeline import make
from model.release import write_release


@pytest.fixture(scope="session")
def release_folder(tmp_path_factory):
    """A release trained on a small made-up city."""
    now = datetime(2026, 11, 1, tzinfo=UTC)
    city = simulate("metro", 1, calls=4_000)
    made = make(city.calls, Params(), now, corrections=city.corrections)
    folder = tmp_path_factory.mktemp("release") / "release"
    write_release(folder, made.files(), made.facts(now))
    return folder
