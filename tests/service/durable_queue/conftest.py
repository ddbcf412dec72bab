"""What the tests of the queue share."""

from contextlib import closing
from pathlib import Path

import pytest

from service.durable_queue.durable_queue import DurableQueue
from tests.support.store.durable_queues import SMALL


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue"


@pytest.fixture
def queue(path: Path):
    with closing(DurableQueue(path, SMALL)) as queue:
        yield queue
