"""What a durable queue holds, and an outbox."""

import json
from contextlib import closing
from pathlib import Path

from service.client.event import Event
from service.durable_queue.durable_queue import DurableQueue
from service.durable_queue.queue_file import BLOCK, START

SMALL = START + 12 * BLOCK


def records(queue: DurableQueue) -> list[bytes]:
    return [record for _, record in queue.peek(1_000_000)]


def left(path: Path) -> list[bytes]:
    """What is found in a file that nobody has open."""
    with closing(DurableQueue(path, SMALL)) as queue:
        return records(queue)


def left_after(queue: DurableQueue) -> list[bytes]:
    """Close a queue, and give what is found when it is opened again."""
    queue.close()
    return left(queue.path)


def events_left(path: Path) -> list[Event]:
    """What is found in an outbox that nobody has open."""
    return [Event.read(json.loads(record)) for record in left(path)]
