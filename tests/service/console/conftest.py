"""What the tests of the console share: a service for each module, with one caller whom operators know."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.support.console_pages import opened
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


@pytest.fixture
def page(browser: Browser, service: Keyed) -> Iterator[Page]:
    """A window in front of the service; whoever still waits in the end is closed."""
    with opened(browser, service.url, viewport={"width": 1366, "height": 768}) as page:
        yield page
    for call_id in service.waiting():
        service.close(call_id)
