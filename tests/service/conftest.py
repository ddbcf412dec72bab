"""What the tests of the service share: a service that everybody asks with a key."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.keyed_service import Keyed, keyed


@pytest.fixture(scope="module")
def service(request: pytest.FixtureRequest, tmp_path_factory, release_folder: Path) -> Iterator[Keyed]:
    """A service of the module, with its SETTINGS."""
    settings = getattr(request.module, "SETTINGS", {})
    with keyed(tmp_path_factory.mktemp("service"), release_folder, **settings) as service:
        yield service
