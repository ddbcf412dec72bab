"""A queue on disk: records in order until they are acknowledged, whenever the machine stops."""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from model.errors import StoreError
from service.durable_queue.durable_queue import MAX_RECORD_BYTES, DurableQueue, QueueFullError
from service.durable_queue.queue_file import BLOCK, START
from tests.support.store.durable_queues import SMALL, left, left_after, records

ROOT = Path(__file__).parents[3]
#: Bytes of a record that just fills one block, alone.
BRIM = BLOCK - 32 - 4


def test_records_come_in_order_until_they_are_acknowledged(path, queue):
    for record in (b"a", b"", b"c" * 9_000):
        queue.append(record)
    positions = [position for position, _ in queue.peek()]
    assert (len(queue), records(queue), queue.peek(0)) == (3, [b"a", b"", b"c" * 9_000], [])
    assert positions == sorted(set(positions))
    with pytest.raises(ValueError, match="no record has position"):
        queue.acknowledge(positions[-1] + 1)
    queue.acknowledge(positions[1])
    queue.close()
    queue.close()
    with closing(DurableQueue(path)) as again:
        assert again.peek() == [(positions[2], b"c" * 9_000)]
        again.acknowledge(positions[0])  # acknowledged before: nothing changes
        assert len(again) == 1


def test_what_a_stop_left_in_part_is_not_made_whole_by_a_later_record(path, queue):
    """Both end in the same bytes, in a block of their own."""
    first, second = (letter * BRIM + b"?" for letter in (b"1", b"2"))
    queue.append(first)
    queue.close()
    image = path.read_bytes()
    path.write_bytes(image[: START + BLOCK] + bytes(len(image) - START - BLOCK))  # its second block was never written
    with closing(DurableQueue(path)) as again:
        before = path.read_bytes()
        assert records(again) == []
        again.append(second)
    after = path.read_bytes()
    path.write_bytes(after[:START] + before[START : START + BLOCK] + after[START + BLOCK :])  # of this one, the first
    with closing(DurableQueue(path)) as again:
        assert records(again) == []


class AgainstAList(RuleBasedStateMachine):
    """Whatever is done to a queue, and however the machine stops, it holds what a list would hold."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "queue"
        self.queue = DurableQueue(self.path, SMALL)
        self.model: list[bytes] = []
        self.added = 0  # records are told apart by their number
        self.newest = 0  # the highest position seen, also of records that a torn write took away again

    def teardown(self):
        self.queue.close()
        shutil.rmtree(self.folder)

    def record(self, size: int) -> bytes:
        self.added += 1
        return self.added.to_bytes(4, "little") * (size // 4) + b"?" * (size % 4)

    sizes = st.one_of(
        st.integers(4, 200),
        st.sampled_from([BRIM - 1, BRIM, BRIM + 1, BRIM + BLOCK, BRIM + BLOCK + 1]),
        st.integers(4, 5 * BLOCK),
    )

    @rule(sizes=st.lists(sizes, min_size=1, max_size=6))
    def append(self, sizes):
        several = [self.record(size) for size in sizes]
        try:
            self.queue.append(*several)
        except QueueFullError:
            assert self.model or sum(sizes) > 11 * BLOCK  # an empty one has space
        else:
            self.model += several
            positions = [position for position, _ in self.queue.peek(1_000_000)][-len(several) :]
            assert positions[0] > self.newest, "no record has a position that another one ever had"
            self.newest = positions[-1]

    @rule(count=st.integers(1, 5))
    def acknowledge(self, count):
        for position, _ in self.queue.peek(count)[-1:]:
            self.queue.acknowledge(position)
        del self.model[:count]

    @rule(seed=st.integers(0, 2**32), sizes=st.lists(sizes, min_size=1, max_size=4), count=st.integers(1, 5))
    def stop(self, seed, sizes, count):
        """Close and open again, or stop while appending, acknowledging or opening."""
        before, possible = self.path.read_bytes(), [list(self.model)]
        match seed % 4:
            case 0:
                self.append(sizes)
            case 1:
                self.acknowledge(count)
            case 2:
                self.queue.close()
                self.queue = DurableQueue(self.path, SMALL)
        possible.append(list(self.model))
        self.queue.close()
        self.tear(before, random.Random(seed))
        self.queue = DurableQueue(self.path, SMALL)
        self.model = records(self.queue)
        assert self.model in possible

    def tear(self, before, chance):
        """Leave of each block that changed the old bytes, the new ones, a part of each, or nonsense from some byte."""
        image = bytearray(self.path.read_bytes())
        for at in range(0, len(image), BLOCK):
            old, new = before[at : at + BLOCK], bytes(image[at : at + BLOCK])
            if old != new:
                cut = chance.choice([chance.randrange(64), chance.randrange(BLOCK)])
                begun, noise = new[:cut] + old[cut:], new[:cut] + chance.randbytes(BLOCK - cut)
                image[at : at + BLOCK] = chance.choice([old, new, begun, noise])
        self.path.write_bytes(image)

    @invariant()
    def holds_what_the_list_holds(self):
        given = self.queue.peek(1_000_000)
        assert [record for _, record in given] == self.model
        assert len(self.queue) == len(self.model)
        positions = [position for position, _ in given]
        assert positions == sorted(set(positions))


AgainstAList.TestCase.settings = settings(max_examples=40, stateful_step_count=30)
TestAgainstAList = AgainstAList.TestCase


@pytest.mark.slow
def test_a_queue_holds_what_a_list_would_hold_however_often_the_machine_stops():
    run_state_machine_as_test(AgainstAList, settings=settings(max_examples=1_000, stateful_step_count=60))


def test_space_is_used_anew_while_the_queue_never_runs_empty_whenever_it_is_killed(path, tmp_path, queue):
    model = []
    for number in range(100):
        model.append(b"%d " % number * (number * 37 % 2_500))
        queue.append(model[-1])
        if number >= 3:
            queue.acknowledge(queue.peek()[0][0])
            del model[0]
        copy = tmp_path / "copy"
        copy.write_bytes(path.read_bytes())
        assert left(copy) == records(queue) == model
    assert path.stat().st_size == SMALL


def test_small_records_share_a_block_however_slowly_they_come(path, queue):
    line, in_a_block = b"x" * 96, BRIM // 100
    for _ in range(11 * in_a_block):
        queue.append(line)
    queue.append(b"a block of its own" * 200)
    with pytest.raises(QueueFullError, match=r"queue is full: \d+ records wait in it"):
        queue.append(line * in_a_block)
    assert records(queue) == [line] * 11 * in_a_block + [b"a block of its own" * 200]
    queue.acknowledge(queue.peek(2 * in_a_block)[-1][0])
    queue.append(line * in_a_block)
    assert len(left_after(queue)) == 9 * in_a_block + 2


def test_a_record_longer_than_a_mebibyte_is_refused_and_one_of_a_mebibyte_is_kept(path):
    size = START + 2 * MAX_RECORD_BYTES
    with closing(DurableQueue(path, size)) as queue:
        with pytest.raises(StoreError, match=f"a record has {MAX_RECORD_BYTES + 1} bytes, .* takes at most"):
            queue.append(bytes(MAX_RECORD_BYTES + 1))
        queue.append(bytes(MAX_RECORD_BYTES))
    assert left(path) == [bytes(MAX_RECORD_BYTES)]
    assert path.stat().st_size == size, "a queue keeps its size"


def test_a_second_one_on_the_same_file_is_refused_by_name(path, queue):
    with pytest.raises(StoreError, match=r"queue is in use by another process or client"):
        DurableQueue(path, SMALL)
    queue.append(b"still works")


def test_only_its_owner_can_read_it(path, queue):
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_closed_queue_refuses(queue):
    queue.append(b"a")
    queue.close()
    for refused in (lambda: queue.append(b"too late"), lambda: queue.acknowledge(1), queue.wipe):
        with pytest.raises(StoreError, match="is closed"):
            refused()


APPENDS = """
import itertools, sys
from pathlib import Path
from service.durable_queue.durable_queue import DurableQueue
queue = DurableQueue(Path(sys.argv[1]), 2**23)
for number in itertools.count(int(sys.argv[2])):
    if number % 50 == 49:
        position, record = queue.peek(20)[-1]
        queue.acknowledge(position)
        print("acknowledged", int(record.split()[0]), flush=True)
    queue.append(b"%d %s" % (number, b"." * (number % 70 * 70)))
    print("kept", number, flush=True)
"""


def lines_until_killed(path: Path, begin: int, after: int) -> list[list[str]]:
    """Kill a process that appends after so many lines, and give all the lines that it had written."""
    command = [sys.executable, "-c", APPENDS, str(path), str(begin)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        lines = [process.stdout.readline() for _ in range(after)]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.read().splitlines(keepends=True)
    return [line.split() for line in lines if line.endswith("\n")]


def test_a_process_that_is_killed_loses_nothing_that_it_kept(path):
    begin, expected = 0, []
    for life in range(6):
        said = lines_until_killed(path, begin, after=120 + 37 * life)
        kept = [int(number) for what, number in said if what == "kept"]
        gone = max((int(number) for what, number in said if what == "acknowledged"), default=-1)
        expected = [number for number in expected + kept if number > gone]
        there = [int(record.split()[0]) for record in left(path)]
        following = [kept[-1] + 1] * (there[-1] == kept[-1] + 1)  # written, and killed before it said so
        assert there == [number for number in expected + following if number >= there[0]]
        assert there[0] == expected[0] or (kept[-1] + 1) % 50 == 49, "or acknowledged, and killed before it said so"
        begin, expected = there[-1] + 1, there


def test_a_wiped_queue_holds_nothing_of_what_was_acknowledged(path, queue):
    for number in range(40):
        queue.append(b"record %d" % number)
    assert not queue.wipe(), "there are records in it"
    queue.acknowledge(queue.peek()[-1][0])
    assert b"record" in path.read_bytes()
    assert queue.wipe()
    assert not any(path.read_bytes()[START:])
    queue.append(b"after")
    assert left_after(queue) == [b"after"]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"nowhere/queue: cannot be opened: No such file or directory"):
        DurableQueue(tmp_path / "nowhere" / "queue")


@pytest.mark.skipif(os.geteuid() != 0, reason="it gives up being root")
def test_a_folder_that_may_not_be_written_is_named(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    path = tmp_path / "closed" / "queue"
    opens = f"""
import fcntl, os
from pathlib import Path
from service.durable_queue.durable_queue import DurableQueue
os.setgroups([]), os.setgid(65534), os.setuid(65534)
DurableQueue(Path({str(path)!r}), 65536)
"""
    result = subprocess.run([sys.executable, "-c", opens], cwd=ROOT, capture_output=True, text=True, check=False)
    with suppress(FileNotFoundError):
        path.unlink()
    assert f"{path}: cannot be opened: Permission denied" in result.stderr
