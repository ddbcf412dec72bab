"""A service that defers, for telephone systems to ask."""

from collections.abc import Iterator

import pytest

from tests.support.keyed_service import Keyed, keyed, ring_in_the_past


@pytest.fixture(scope="session")
def prankster() -> str:
    """A number that rang a dozen times two hours ago, each a prank."""
    return "+628129041773"


@pytest.fixture(scope="module")
def service(acting_release, prankster, tmp_path_factory) -> Iterator[Keyed]:
    folder = tmp_path_factory.mktemp("telephony")
    with keyed(folder, acting_release, mode="pbx", replay=True, random_share=0.0, calls_in_memory=1_000) as service:
        ring_in_the_past(service, prankster)
        yield service
