"""What the tests of the console share: a service for each module, with one caller whom operators know."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.keyed_service import Keyed, keyed, ring_in_the_past

OFTEN = "+6281299990000"


@pytest.fixture(scope="session")
def often() -> str:
    """The number of a caller whose twelve calls were closed as prank."""
    return OFTEN


@pytest.fixture(scope="module")
def service(request: pytest.FixtureRequest, tmp_path_factory, acting_release: Path) -> Iterator[Keyed]:
    """A service whose release defers, with the SETTINGS of the module."""
    chosen = getattr(request.module, "SETTINGS", {})
    with keyed(tmp_path_factory.mktemp("console"), acting_release, **chosen) as service:
        ring_in_the_past(service, OFTEN)
        yield service
