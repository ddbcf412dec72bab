"""The journal on a real disk: torn, killed, filled up, refused, shared; against a list as the model."""

import asyncio
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from model.errors import StoreError
from service.store.journal import MAX_RECORD_BYTES, Journal
from service.store.journal_file import BLOCK, SLOTS, START, JournalFile

ROOT = Path(__file__).parents[3]
SMALL = START + 12 * BLOCK
#: Bytes of a record that just fills one block, alone.
BRIM = BLOCK - 32 - 4


def records(journal: Journal) -> list[bytes]:
    return [record for _, record in journal.peek(1_000_000)]


def frames(path: Path) -> int:
    file = JournalFile(path, SMALL)
    file.close()
    return len(file.frames)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal-1.saring"


def test_what_was_appended_is_given_in_order_until_it_is_taken_also_after_a_restart(path):
    journal = Journal(path, SMALL)
    for record in (b"a", b"", b"c" * 9_000):
        journal.append(record)
    positions = [position for position, _ in journal.peek()]
    assert (len(journal), records(journal), journal.peek(0)) == (3, [b"a", b"", b"c" * 9_000], [])
    assert positions == sorted(set(positions))
    journal.acknowledge(positions[1])
    journal.close()
    again = Journal(path, SMALL)
    assert again.peek() == [(positions[2], b"c" * 9_000)]
    again.acknowledge(positions[0])  # taken before: nothing changes
    assert len(again) == 1
    again.close()
    again.close()


class AgainstAList(RuleBasedStateMachine):
    """Whatever is done to a journal, and however the machine stops, it holds what a list would hold."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "journal-1.saring"
        self.journal = Journal(self.path, SMALL)
        self.model: list[bytes] = []
        self.told = 0  # records are told apart by their number
        self.newest = 0  # the highest position seen, also of records that a torn write took away again

    def teardown(self):
        self.journal.close()
        shutil.rmtree(self.folder)

    def record(self, size: int) -> bytes:
        self.told += 1
        return self.told.to_bytes(4, "little") * (size // 4) + b"?" * (size % 4)

    sizes = st.one_of(
        st.integers(4, 200),
        st.sampled_from([BRIM - 1, BRIM, BRIM + 1, BRIM + BLOCK, BRIM + BLOCK + 1]),
        st.integers(4, 5 * BLOCK),
    )
    seeds = st.integers(0, 2**32)

    @rule(size=sizes)
    def append(self, size):
        record = self.record(size)
        try:
            self.journal.append(record)
        except StoreError:
            assert self.model  # it may be full; an empty one has space
        else:
            self.model.append(record)
            self.added(1)

    @rule(sizes=st.lists(sizes, min_size=2, max_size=6))
    def keep(self, sizes):
        several = [self.record(size) for size in sizes]

        async def keep():
            return await asyncio.gather(*(self.journal.append_async(one) for one in several), return_exceptions=True)

        failures = asyncio.run(keep())
        assert all(failure is None or isinstance(failure, StoreError) for failure in failures)
        kept = [record for record, failure in zip(several, failures, strict=True) if failure is None]
        if kept:
            self.model += kept
            self.added(len(kept))

    @rule(count=st.integers(1, 5))
    def take(self, count):
        for position, _ in self.journal.peek(count)[-1:]:
            self.journal.acknowledge(position)
        del self.model[:count]

    @rule(seed=seeds, count=st.integers(1, 5), sizes=st.lists(sizes, max_size=3))
    def stop(self, seed, count, sizes):
        """Close and open again, or stop while appending, taking or opening."""
        during = ("nothing", "appending", "taking", "opening")[seed % 4]
        if during in ("nothing", "opening"):
            self.journal.close()
        before = self.path.read_bytes()
        possible = [list(self.model)]
        if during == "appending":
            several = [self.record(size) for size in (8, *sizes)]
            with suppress(StoreError):
                self.journal._commit(several)  # as the writer does
                self.added(len(several))
            possible.append(self.model + several)
        elif during == "taking":
            self.take(count)
            possible.append(list(self.model))
        elif during == "opening":
            self.journal = Journal(self.path, SMALL)
        self.journal.close()
        self.tear(before, random.Random(seed))
        self.journal = Journal(self.path, SMALL)
        self.model = records(self.journal)
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
        given = self.journal.peek(1_000_000)
        assert [record for _, record in given] == self.model
        assert len(self.journal) == len(self.model)
        positions = [position for position, _ in given]
        assert positions == sorted(set(positions))

    def added(self, count):
        """Take note of so many new records: none has a position that another one ever had."""
        positions = [position for position, _ in self.journal.peek(1_000_000)][-count:]
        assert positions[0] > self.newest
        self.newest = positions[-1]


AgainstAList.TestCase.settings = settings(max_examples=40, stateful_step_count=30)
TestAgainstAList = AgainstAList.TestCase


@pytest.mark.slow
def test_a_journal_holds_what_a_list_would_hold_however_often_the_machine_stops():
    run_state_machine_as_test(AgainstAList, settings=settings(max_examples=1_000, stateful_step_count=60))


def test_a_record_cut_off_at_any_byte_is_not_there_and_those_before_it_are(path):
    journal = Journal(path, SMALL)
    for number in range(12):  # a lap, so that old frames lie under the new one
        journal.append(bytes([number]) * BRIM)
    journal.acknowledge(journal.peek()[-3][0])
    acknowledged = records(journal)
    before = path.read_bytes()
    journal.append(b"new" * 3_000)
    journal.close()
    after = path.read_bytes()
    whole = START + 32 + 4 + 9_000
    for cut in (*range(START, START + 64), *range(START + 64, START + 3 * BLOCK, 61), *range(whole - 3, whole + 3)):
        path.write_bytes(after[:cut] + before[cut:])
        journal = Journal(path, SMALL)
        assert records(journal) == acknowledged + [b"new" * 3_000] * (cut >= whole), cut
        journal.close()


def test_bytes_of_a_record_are_never_taken_for_a_record(path, tmp_path):
    other = Journal(tmp_path / "journal-2.saring", SMALL)
    other.append(b"of another journal")
    other.close()
    foreign = (tmp_path / "journal-2.saring").read_bytes()[START : START + BLOCK]
    journal = Journal(path, SMALL)
    record = b"-" * BRIM + foreign * 2
    journal.append(record)
    journal.append(b"next")
    journal.close()
    assert path.read_bytes()[START + BLOCK :].startswith(foreign)
    journal = Journal(path, SMALL)
    assert records(journal) == [record, b"next"]
    journal.close()


def test_space_is_used_anew_while_the_journal_never_runs_empty_whenever_it_is_killed(path, tmp_path):
    journal = Journal(path, SMALL)
    model = []
    for number in range(100):
        model.append(b"%d " % number * (number * 37 % 2_500))
        journal.append(model[-1])
        if number >= 3:
            journal.acknowledge(journal.peek()[0][0])
            del model[0]
        copy = tmp_path / "journal-copy.saring"
        copy.write_bytes(path.read_bytes())
        again = Journal(copy)
        assert records(again) == records(journal) == model
        again.close()
    assert path.stat().st_size == SMALL
    journal.close()


def test_a_full_journal_says_so_keeps_what_it_has_and_takes_more_once_there_is_space(path):
    journal = Journal(path, SMALL)
    for number in range(12):
        journal.append(b"%d" % number)
    with pytest.raises(StoreError, match=r"journal-1\.saring: the journal is full, 12 records"):
        journal.append(b"one too many")
    assert records(journal) == [b"%d" % number for number in range(12)]
    journal.acknowledge(journal.peek()[0][0])
    journal.append(b"12")
    assert records(journal) == [b"%d" % number for number in range(1, 13)]
    journal.close()


def test_of_records_that_wait_together_those_that_find_space_are_kept(path):
    journal = Journal(path, START + 4 * BLOCK)

    async def keep():
        sizes = [6 * BLOCK, 100, BRIM, 100, 6 * BLOCK, 100]
        return await asyncio.gather(
            *(journal.append_async(b"%d" % n * size) for n, size in enumerate(sizes)), return_exceptions=True
        )

    failed = [failure is not None for failure in asyncio.run(keep())]
    assert failed == [True, False, False, False, True, False]
    assert [record[:1] for record in records(journal)] == [b"1", b"2", b"3", b"5"]
    journal.close()


def test_a_record_longer_than_a_mebibyte_is_refused_and_one_of_a_mebibyte_is_kept(path):
    journal = Journal(path, START + 2 * MAX_RECORD_BYTES)
    with pytest.raises(StoreError, match=f"a record has {MAX_RECORD_BYTES + 1} bytes"):
        journal.append(bytes(MAX_RECORD_BYTES + 1))
    with pytest.raises(StoreError, match="takes at most"):
        asyncio.run(journal.append_async(bytes(MAX_RECORD_BYTES + 1)))
    journal.append(bytes(MAX_RECORD_BYTES))
    journal.close()
    journal = Journal(path)
    assert records(journal) == [bytes(MAX_RECORD_BYTES)]
    assert path.stat().st_size == START + 2 * MAX_RECORD_BYTES, "a journal keeps its size"
    journal.close()


def test_64_tasks_keep_their_records_in_order_with_fewer_syncs_than_records(path):
    journal = Journal(path, 2**20)
    told = [b"%d" % number * 500 for number in range(64)]

    async def keep():
        await asyncio.gather(*(journal.append_async(record) for record in told))

    asyncio.run(keep())
    assert records(journal) == told
    journal.close()
    assert frames(path) < 32, "one sync a frame"


def test_threads_and_tasks_may_share_a_journal_while_it_is_drained(path):
    journal = Journal(path, 2**20)
    drained: list[bytes] = []
    finished = threading.Event()

    def drain():
        while len(journal) or not finished.is_set():
            for position, record in journal.peek(7):
                drained.append(record)
                journal.acknowledge(position)

    async def keep(worker):
        for number in range(40):
            await journal.append_async(b"%d %d" % (worker, number))

    async def all_keep():
        await asyncio.gather(*(keep(worker) for worker in range(8)))

    drainer = threading.Thread(target=drain)
    drainer.start()
    asyncio.run(all_keep())
    finished.set()
    drainer.join()
    assert len(drained) == 320
    for worker in range(8):
        own = [record for record in drained if record.startswith(b"%d " % worker)]
        assert own == [b"%d %d" % (worker, number) for number in range(40)]
    journal.close()


def test_a_task_that_goes_away_leaves_the_others_alone(path):
    journal = Journal(path, 2**20)

    async def keep():
        tasks = [asyncio.create_task(journal.append_async(b"%d" % number)) for number in range(8)]
        await asyncio.sleep(0)
        tasks[3].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    failures = asyncio.run(keep())
    assert [failure is None for failure in failures] == [True] * 3 + [False] + [True] * 4
    journal.close()  # whether the fourth was written before it was cancelled, nobody knows
    journal = Journal(path)
    assert [record for record in records(journal) if record != b"3"] == [b"%d" % n for n in (0, 1, 2, 4, 5, 6, 7)]
    journal.close()


def test_closing_writes_what_waits_and_a_closed_journal_refuses(path):
    journal = Journal(path, 2**20)

    async def keep_and_close():
        waiting = [asyncio.ensure_future(journal.append_async(b"%d" % number)) for number in range(20)]
        await asyncio.sleep(0)
        journal.close()
        await asyncio.gather(*waiting)
        with pytest.raises(StoreError, match="is closed"):
            await journal.append_async(b"too late")

    asyncio.run(keep_and_close())
    for refused in (lambda: journal.append(b"too late"), lambda: journal.acknowledge(1)):
        with pytest.raises(StoreError, match="is closed"):
            refused()
    again = Journal(path)
    assert records(again) == [b"%d" % number for number in range(20)]
    again.close()


def test_a_position_that_was_never_given_is_not_taken(path):
    journal = Journal(path, SMALL)
    journal.append(b"a")
    with pytest.raises(ValueError, match="no record has position"):
        journal.acknowledge(journal.peek()[0][0] + 1)
    assert len(journal) == 1
    journal.close()


def test_a_second_one_on_the_same_file_is_refused_by_name(path):
    journal = Journal(path, SMALL)
    with pytest.raises(StoreError, match=r"journal-1\.saring: another process has this journal open"):
        Journal(path, SMALL)
    journal.append(b"still works")
    journal.close()


def test_a_file_that_is_not_a_journal_is_refused_and_left_as_it_is(path):
    for foreign in (b"notes of somebody", b"\0" * 2 * START + b"!", os.urandom(2 * START)):
        path.write_bytes(foreign)
        if not any(foreign[: START + BLOCK]):
            continue
        with pytest.raises(StoreError, match=r"journal-1\.saring: is not a journal, or its head is damaged"):
            Journal(path, SMALL)
        assert path.read_bytes() == foreign


def test_a_journal_whose_head_is_damaged_is_refused_and_left_as_it_is(path):
    journal = Journal(path, SMALL)
    journal.append(b"acknowledged")
    journal.close()
    damaged = b"?" * START + path.read_bytes()[START:]
    for image in (damaged, bytes(START) + damaged[START:]):
        path.write_bytes(image)
        with pytest.raises(StoreError, match="its head is damaged"):
            Journal(path, SMALL)
        assert path.read_bytes() == image


def test_a_journal_whose_making_was_cut_short_is_made_anew(path):
    for image in (b"", bytes(10), bytes(BLOCK), bytes(SMALL), os.urandom(BLOCK) + bytes(SMALL - BLOCK)):
        path.write_bytes(image)
        journal = Journal(path, SMALL)
        journal.append(b"a")
        assert path.stat().st_size == SMALL
        journal.close()


def test_one_frame_that_rots_hides_no_other(path):
    journal = Journal(path, SMALL)
    for record in (b"a", b"b", b"c"):
        journal.append(record)
    journal.close()
    with path.open("r+b") as file:
        file.seek(START + BLOCK + 20)
        file.write(b"rot")
    journal = Journal(path, SMALL)
    assert records(journal) == [b"a", b"c"]
    journal.close()


def test_a_folder_that_is_not_there_is_a_clear_sentence(tmp_path):
    with pytest.raises(StoreError, match=r"nowhere/journal-1\.saring: cannot be used as a journal: No such file"):
        Journal(tmp_path / "nowhere" / "journal-1.saring")


# A process of its own.

OPENS = """
import os, sys
from pathlib import Path
from model.errors import StoreError
from service.store.journal import Journal
if os.geteuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
try:
    Journal(Path(sys.argv[1]), 65536)
except StoreError as error:
    print(error)
"""

APPENDS = """
import itertools, sys
from pathlib import Path
from service.store.journal import Journal
journal = Journal(Path(sys.argv[1]), 2**23)
for number in itertools.count(int(sys.argv[2])):
    if number % 50 == 49:
        position, record = journal.peek(20)[-1]
        journal.acknowledge(position)
        print("taken", int(record.split()[0]), flush=True)
    journal.append(b"%d %s" % (number, b"." * (number % 70 * 70)))
    print("kept", number, flush=True)
"""

HOLDS = """
import sys
from pathlib import Path
from service.store.journal import Journal
journal = Journal(Path(sys.argv[1]), 2**20)
for number in range(20):
    journal.append(b"%d" % number)
print("kept", flush=True)
sys.stdin.read()
"""

KEEPS = """
import asyncio, itertools, sys
from pathlib import Path
from service.store.journal import Journal
journal = Journal(Path(sys.argv[1]), 2**22)
numbers = itertools.count(int(sys.argv[2]))
async def keep():
    while True:
        number = next(numbers)
        await journal.append_async(b"%d " % number)
        print("kept", number, flush=True)
async def main():
    await asyncio.gather(*(keep() for _ in range(16)))
asyncio.run(main())
"""


def started(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def killed(process: subprocess.Popen[str], after: int) -> list[list[str]]:
    """Kill a process after so many lines, and give all the lines that it had written."""
    lines = [process.stdout.readline() for _ in range(after)]
    process.send_signal(signal.SIGKILL)
    lines += process.stdout.read().splitlines(keepends=True)
    process.communicate()
    return [line.split() for line in lines if line.endswith("\n")]


def test_a_process_that_is_killed_loses_nothing_that_it_acknowledged(path):
    begin, expected = 0, []
    for life in range(6):
        said = killed(started(APPENDS, path, begin), after=120 + 37 * life)
        kept = [int(number) for what, number in said if what == "kept"]
        gone = max((int(number) for what, number in said if what == "taken"), default=-1)
        expected = [number for number in expected + kept if number > gone]
        journal = Journal(path)
        there = [int(record.split()[0]) for record in records(journal)]
        following = [kept[-1] + 1] * (there[-1] == kept[-1] + 1)  # written, and killed before it said so
        assert there == [number for number in expected + following if number >= there[0]]
        assert there[0] == expected[0] or (kept[-1] + 1) % 50 == 49, "or taken, and killed before it said so"
        begin, expected = there[-1] + 1, there
        journal.close()


def test_a_process_that_is_killed_while_many_wait_loses_nothing_that_it_acknowledged(path):
    said = killed(started(KEEPS, path, 0), after=500)
    acknowledged = {int(number) for _, number in said}
    journal = Journal(path)
    there = [int(record) for record in records(journal)]
    assert there == sorted(set(there))
    assert acknowledged <= set(there)
    assert len(set(there) - acknowledged) <= 16
    journal.close()


def test_orphans_are_what_the_dead_left_behind_and_not_what_the_living_hold(tmp_path):
    assert Journal.find_orphans(tmp_path / "nowhere") == []
    alive, dead, empty, fresh = (tmp_path / f"journal-{name}.saring" for name in ("alive", "dead", "empty", "fresh"))
    living, dying = started(HOLDS, alive), started(HOLDS, dead)
    living.stdout.readline()
    try:
        killed(dying, after=1)
        Journal(empty, SMALL).close()
        fresh.touch()
        (tmp_path / "journal-notes.saring").write_bytes(b"not a journal")
        (tmp_path / "other.saring").write_bytes(b"not a journal")
        assert Journal.find_orphans(tmp_path) == [dead, tmp_path / "journal-notes.saring"]
    finally:
        killed(living, after=0)
    assert alive in Journal.find_orphans(tmp_path)
    journal = Journal(dead)
    assert Journal.find_orphans(tmp_path) == [alive, tmp_path / "journal-notes.saring"]
    journal.acknowledge(journal.peek()[-1][0])
    journal.close()
    assert Journal.find_orphans(tmp_path) == [alive, tmp_path / "journal-notes.saring"]


def test_a_folder_that_may_not_be_written_is_a_clear_sentence(tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    said, _ = started(OPENS, folder / "journal-1.saring").communicate()
    assert said == f"{folder / 'journal-1.saring'}: cannot be used as a journal: Permission denied\n"


# Disks that fill up or fail.


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """Let the kernel refuse bytes beyond `size`, in every file of this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def mounted(folder: Path, *what: str) -> Iterator[Path]:
    folder.mkdir()
    done = subprocess.run(["mount", *what, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing may be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_without_space_is_a_clear_sentence_and_no_file_is_left(path):
    with no_file_longer_than(SMALL - 1), pytest.raises(StoreError, match="cannot be used as a journal: File too large"):
        Journal(path, SMALL)
    assert not path.exists()
    Journal(path, SMALL).close()


def test_a_record_that_the_disk_took_in_part_never_comes_back_and_the_journal_goes_on(path):
    journal = Journal(path, SMALL)
    journal.append(b"before")
    with no_file_longer_than(START + 3 * BLOCK):  # its first two blocks are written, the third is not
        with pytest.raises(StoreError, match=r"journal-1\.saring: the disk did not take it: File too large"):
            journal.append(b"refused" * 1_500)
        journal.append(b"short")  # the zeros were taken, so there is space for this one
    assert records(journal) == [b"before", b"short"]
    journal.append(b"after" * 1_500)
    journal.close()
    journal = Journal(path, SMALL)
    assert records(journal) == [b"before", b"short", b"after" * 1_500]
    journal.close()


def test_a_disk_that_takes_nothing_stops_the_journal_until_it_takes_the_zeros(path):
    journal = Journal(path, SMALL)
    journal.append(b"before")
    with no_file_longer_than(START + BLOCK + 100):  # a frame is torn, and so are the zeros over it
        for _ in range(3):
            with pytest.raises(StoreError, match="the disk did not take it"):
                journal.append(b"refused")
        with pytest.raises(StoreError, match="the disk did not take it"):
            asyncio.run(journal.append_async(b"refused"))
        journal.acknowledge(journal.peek()[0][0])
        with pytest.raises(StoreError, match="the disk did not take it"):
            journal.append(b"refused, though there is space at the beginning")
    journal.append(b"after")
    assert records(journal) == [b"after"]
    journal.close()
    journal = Journal(path, SMALL)
    assert records(journal) == [b"after"]
    journal.close()


def test_what_was_taken_stays_taken_however_often_the_disk_does_not_take_note_of_more(path):
    journal = Journal(path, SMALL)
    for number in range(SLOTS + 2):
        journal.append(b"%d" % number)
    for position, _ in journal.peek(SLOTS):
        journal.acknowledge(position)
    with no_file_longer_than(20):  # a slot in the first block, where the newest one is, would be torn
        for _ in range(SLOTS + 1):
            with pytest.raises(StoreError, match="the disk did not take note"):
                journal.acknowledge(journal.peek()[0][0])
    left = [b"%d" % number for number in range(SLOTS, SLOTS + 2)]
    assert records(journal) == left
    journal.close()
    journal = Journal(path)
    assert records(journal) == left
    with no_file_longer_than(0), pytest.raises(StoreError, match="the disk did not take note"):
        journal.acknowledge(journal.peek()[0][0])
    journal.acknowledge(journal.peek()[0][0])
    journal.close()
    journal = Journal(path)
    assert records(journal) == left[1:]
    journal.close()


def test_a_disk_that_fills_up_later_does_not_stop_a_journal(tmp_path):
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=512k", "tmpfs") as disk:
        journal = Journal(disk / "journal-1.saring", SMALL)
        with (disk / "others").open("wb", buffering=0) as others, suppress(OSError):
            while True:
                others.write(bytes(BLOCK))
        assert shutil.disk_usage(disk).free == 0
        for number in range(30):
            journal.append(b"%d" % number * 1_000)
            journal.acknowledge(journal.peek()[-1][0] - (number % 3 == 2))
        journal.close()
        with pytest.raises(StoreError, match=r"journal-2\.saring: cannot be used as a journal: No space left"):
            Journal(disk / "journal-2.saring", SMALL)
        assert not (disk / "journal-2.saring").exists()


def test_a_disk_that_may_only_be_read_is_a_clear_sentence(tmp_path):
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=512k", "tmpfs") as disk:
        Journal(disk / "journal-1.saring", SMALL).close()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        for name in ("journal-1.saring", "journal-2.saring"):
            with pytest.raises(StoreError, match=rf"{name}: cannot be used as a journal: Read-only file system"):
                Journal(disk / name, SMALL)


@contextmanager
def failing_disk(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Give a folder on a disk in memory, and the folder of that disk: see `make_fail`."""
    if not (shutil.which("mkfs.ext4") and shutil.which("fallocate")):
        pytest.skip("making a disk that fails takes mkfs.ext4 and fallocate")
    with mounted(folder / "below", "-t", "tmpfs", "-o", "size=6m", "tmpfs") as below:
        image = below / "image"
        image.touch()
        os.truncate(image, 2**24)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-b", str(BLOCK), "-O", "^has_journal", "-m", "0", image], check=True)
        with mounted(folder / "disk", "-o", "loop", str(image)) as disk:
            device = subprocess.run(["losetup", "-j", image], capture_output=True, text=True, check=True).stdout
            at_once = Path("/sys/block", Path(device.split(":")[0]).name, "queue", "max_sectors_kb")
            before = at_once.read_text()
            at_once.write_text(str(BLOCK // 1024))  # of a longer write a loop device tells no failure but the first
            try:
                yield disk, below
            finally:
                at_once.write_text(before)


def make_fail(disk: Path, below: Path) -> None:
    """From now on let each sync fail of a block that was all zeros, until the file `others` is removed."""
    subprocess.run(["sync", "--file-system", disk], check=True)
    subprocess.run(["fallocate", "--dig-holes", below / "image"], check=True)  # zeros take space no longer
    with (below / "others").open("wb", buffering=0) as others, suppress(OSError):
        while True:
            others.write(bytes(BLOCK))


@pytest.mark.slow  # it makes a disk of its own, and lets it fail
def test_after_a_sync_that_failed_nothing_refused_comes_back_and_nothing_acknowledged_is_lost(tmp_path):
    with failing_disk(tmp_path) as (disk, below):
        path = disk / "journal-1.saring"
        journal = Journal(path, START + 64 * BLOCK)
        for number in range(3):
            journal.append(b"%d" % number)
        make_fail(disk, below)
        for _ in range(3):
            with pytest.raises(StoreError, match="the disk did not take it"):
                journal.append(b"refused" * 1_000)
        with pytest.raises(StoreError, match="the disk did not take note"):
            journal.acknowledge(journal.peek()[0][0])
        assert records(journal) == [b"0", b"1", b"2"]
        (below / "others").unlink()
        journal.acknowledge(journal.peek()[-1][0])
        journal.append(b"3")  # elsewhere than what was refused
        assert records(journal) == [b"3"]
        journal.close()
        journal = Journal(path)
        assert records(journal) == [b"3"]
        journal.close()


@pytest.mark.slow  # it makes a disk of its own, and lets it fail
def test_what_a_process_could_not_sync_before_it_died_puts_nothing_acknowledged_later_at_risk(tmp_path):
    with failing_disk(tmp_path) as (disk, below):
        path = disk / "journal-1.saring"
        journal = Journal(path, START + 64 * BLOCK)
        journal.append(b"0")
        make_fail(disk, below)
        with pytest.raises(StoreError, match="the disk did not take it"):
            journal.append(b"refused")
        journal.close()  # the zeros were not taken: in memory the kernel may hold what the disk does not
        with pytest.raises(StoreError, match="cannot be used as a journal: No space left"):
            Journal(path)
        (below / "others").unlink()
        journal = Journal(path)
        found = records(journal)
        assert found in ([b"0"], [b"0", b"refused"])
        journal.append(b"1")
        journal.close()
        subprocess.run(["umount", disk], check=True)
        subprocess.run(["mount", "-o", "loop", below / "image", disk], check=True)  # only what the disk holds is left
        journal = Journal(path)
        assert [record for record in records(journal) if record != b"refused"] == [b"0", b"1"]
        journal.close()


@pytest.mark.slow  # it makes a disk of its own, and lets it fail
def test_a_record_of_which_a_sync_failed_does_not_come_back_after_a_restart(tmp_path):
    with failing_disk(tmp_path) as (disk, below):
        path = disk / "journal-1.saring"
        journal = Journal(path, START + 64 * BLOCK)
        for _ in range(10):
            journal.append(b"in the first block")
            journal.acknowledge(journal.peek()[0][0])
        make_fail(disk, below)
        with pytest.raises(StoreError, match="the disk did not take it"):
            journal.append(b"refused" * 10_000)  # it takes the first block, and its zeros, but not the others
        journal.close()
        journal = Journal(path)
        assert records(journal) == []
        journal.append(b"in the first block")
        journal.close()
