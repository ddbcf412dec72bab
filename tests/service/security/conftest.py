"""What the tests of the keys share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from service.store.database import connect


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[sa.Engine]:
    """The engine of an empty store."""
    engine = connect(f"sqlite:///{tmp_path / 'saring.db'}")
    yield engine
    engine.dispose()
