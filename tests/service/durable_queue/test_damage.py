"""A damaged queue: what is torn is not there, what is whole is, and what is no queue is left as it is."""

from contextlib import closing
from pathlib import Path

import pytest

from model.errors import StoreError
from service.durable_queue.durable_queue import DurableQueue
from service.durable_queue.queue_file import BLOCK, START
from tests.support.store.durable_queues import SMALL, left, records

#: Bytes of a record that just fills one block, alone.
BRIM = BLOCK - 32 - 4


def test_a_record_cut_off_at_any_byte_is_not_there_and_those_before_it_are(path, queue):
    for number in range(12):  # a lap, so that old frames lie under the new one
        queue.append(bytes([number]) * BRIM)
    queue.acknowledge(queue.peek()[-3][0])
    kept = records(queue)
    before = path.read_bytes()
    queue.append(b"new" * 3_000)
    queue.close()
    after = path.read_bytes()
    whole = START + 32 + 4 + 9_000
    for cut in (*range(START, START + 64), *range(START + 64, START + 3 * BLOCK, 61), *range(whole - 3, whole + 3)):
        path.write_bytes(after[:cut] + before[cut:])
        assert left(path) == kept + [b"new" * 3_000] * (cut >= whole), cut


def test_a_frame_that_is_repeated_is_torn_without_harm(path, queue):
    queue.append(b"a")
    before = path.read_bytes()
    queue.append(b"b")  # stands in one block with a copy of the first
    queue.close()
    after = path.read_bytes()
    torn = [at for at in range(START, SMALL, BLOCK) if before[at : at + BLOCK] != after[at : at + BLOCK]]
    assert len(torn) == 1
    for cut in range(torn[0], torn[0] + 80):
        path.write_bytes(after[:cut] + before[cut:])
        assert left(path) in ([b"a"], [b"a", b"b"])


def test_bytes_of_a_record_are_never_taken_for_a_record(path, tmp_path, queue):
    with closing(DurableQueue(tmp_path / "other", SMALL)) as other:
        other.append(b"of another queue")
    foreign = (tmp_path / "other").read_bytes()[START : START + BLOCK]
    record = b"-" * BRIM + foreign * 2
    queue.append(record)
    queue.append(b"next")
    queue.close()
    assert path.read_bytes()[START + BLOCK :].startswith(foreign)
    assert left(path) == [record, b"next"]


@pytest.mark.parametrize("content", [b"notes of somebody", bytes(START) + b"!", b"\1" * 2 * START])
def test_a_file_that_is_no_queue_is_refused_and_left_as_it_is(path, content):
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"queue: is no durable queue, or its head is damaged; move it away"):
        DurableQueue(path, SMALL)
    assert path.read_bytes() == content


@pytest.mark.parametrize("head", [b"?" * START, bytes(START)])
def test_a_queue_whose_head_is_damaged_is_refused_and_left_as_it_is(path, queue, head):
    queue.append(b"a")
    queue.close()
    image = head + path.read_bytes()[START:]
    path.write_bytes(image)
    with pytest.raises(StoreError, match="its head is damaged"):
        DurableQueue(path, SMALL)
    assert path.read_bytes() == image


@pytest.mark.parametrize("image", [b"", bytes(10), bytes(BLOCK), bytes(SMALL), b"?" * BLOCK + bytes(SMALL - BLOCK)])
def test_a_queue_whose_making_was_cut_short_is_made_anew(path, image):
    path.write_bytes(image)
    with closing(DurableQueue(path, SMALL)) as queue:
        queue.append(b"a")
    assert path.stat().st_size == SMALL


def test_one_frame_that_rots_hides_no_other(path, queue):
    for record in (b"a", b"b", b"c"):
        queue.append(record * BRIM)
    queue.close()
    with path.open("r+b") as file:
        file.seek(START + BLOCK + 20)
        file.write(b"rot")
    assert left(path) == [b"a" * BRIM, b"c" * BRIM]


def test_a_journal_of_before_this_module_is_read(path):
    path.write_bytes((Path(__file__).parent / "journal-of-before.saring").read_bytes())
    assert left(path) == [b"left 3", b"left 4 " * 700, b"left 5", b"left 6"]
