"""Kamailio and sipp for the tests of the proxy."""

import pytest

from benchmarks.kamailio import LACKING, installed


@pytest.fixture(scope="module", autouse=True)
def there() -> None:
    if not installed():
        pytest.skip(LACKING)
