"""A durable queue on a disk that fills up, fails, or may only be read."""

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from model.errors import StoreError
from service.durable_queue.durable_queue import DurableQueue
from service.durable_queue.queue_file import BLOCK, SLOTS, START
from tests.support.store.durable_queues import SMALL, left_after, records


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
    with no_file_longer_than(SMALL - 1), pytest.raises(StoreError, match="cannot be opened: File too large"):
        DurableQueue(path, SMALL)
    assert not path.exists()
    DurableQueue(path, SMALL).close()


def test_a_record_that_the_disk_took_in_part_never_comes_back_and_the_queue_goes_on(path):
    queue = DurableQueue(path, SMALL)
    queue.append(b"before")
    with no_file_longer_than(START + 3 * BLOCK):  # its first two blocks are written, the third is not
        with pytest.raises(StoreError, match=r"queue: the disk did not take it: File too large"):
            queue.append(b"refused" * 1_500)
        queue.append(b"short")  # the zeros were taken, so there is space for this one
    assert records(queue) == [b"before", b"short"]
    queue.append(b"after" * 1_500)
    assert left_after(queue) == [b"before", b"short", b"after" * 1_500]


def test_a_disk_that_takes_nothing_stops_the_queue_until_it_takes_the_zeros(path):
    queue = DurableQueue(path, SMALL)
    queue.append(b"before")
    with no_file_longer_than(START + BLOCK + 100):  # a frame is torn, and so are the zeros over it
        for _ in range(3):
            with pytest.raises(StoreError, match="the disk did not take it"):
                queue.append(b"refused")
        queue.acknowledge(queue.peek()[0][0])
        with pytest.raises(StoreError, match="the disk did not take it"):
            queue.append(b"refused, though there is space at the beginning")
    queue.append(b"after")
    assert records(queue) == [b"after"]
    assert left_after(queue) == [b"after"]


def test_what_was_acknowledged_stays_so_however_often_the_disk_does_not_take_note_of_more(path):
    queue = DurableQueue(path, SMALL)
    for number in range(SLOTS + 2):
        queue.append(b"%d" % number)
    for position, _ in queue.peek(SLOTS):
        queue.acknowledge(position)
    with no_file_longer_than(20):  # a slot in the first block, where the newest one is, would be torn
        for _ in range(SLOTS + 1):
            with pytest.raises(StoreError, match="the disk did not take note"):
                queue.acknowledge(queue.peek()[0][0])
    left = [b"%d" % number for number in range(SLOTS, SLOTS + 2)]
    assert records(queue) == left
    queue.close()
    queue = DurableQueue(path)
    assert records(queue) == left
    with no_file_longer_than(0), pytest.raises(StoreError, match="the disk did not take note"):
        queue.acknowledge(queue.peek()[0][0])
    queue.acknowledge(queue.peek()[0][0])
    assert left_after(queue) == left[1:]


def test_a_disk_that_fills_up_later_does_not_stop_a_queue(tmp_path):
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=512k", "tmpfs") as disk:
        queue = DurableQueue(disk / "queue", SMALL)
        with (disk / "others").open("wb", buffering=0) as others, suppress(OSError):
            while True:
                others.write(bytes(BLOCK))
        assert shutil.disk_usage(disk).free == 0
        for number in range(30):
            queue.append(b"%d" % number * 1_000)
            queue.acknowledge(queue.peek()[-1][0] - (number % 3 == 2))
        queue.close()
        with pytest.raises(StoreError, match=r"queue-2: cannot be opened: No space left"):
            DurableQueue(disk / "queue-2", SMALL)
        assert not (disk / "queue-2").exists()


def test_a_disk_that_may_only_be_read_is_a_clear_sentence(tmp_path):
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=512k", "tmpfs") as disk:
        DurableQueue(disk / "queue", SMALL).close()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        for name in ("queue", "queue-2"):
            with pytest.raises(StoreError, match=rf"{name}: cannot be opened: Read-only file system"):
                DurableQueue(disk / name, SMALL)


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
        path = disk / "queue"
        queue = DurableQueue(path, START + 64 * BLOCK)
        for number in range(3):
            queue.append(b"%d" % number)
        make_fail(disk, below)
        for _ in range(3):
            with pytest.raises(StoreError, match="the disk did not take it"):
                queue.append(b"refused" * 1_000)
        with pytest.raises(StoreError, match="the disk did not take note"):
            queue.acknowledge(queue.peek()[0][0])
        assert records(queue) == [b"0", b"1", b"2"]
        (below / "others").unlink()
        queue.acknowledge(queue.peek()[-1][0])
        queue.append(b"3")  # elsewhere than what was refused
        assert records(queue) == [b"3"]
        assert left_after(queue) == [b"3"]


@pytest.mark.slow  # it makes a disk of its own, and lets it fail
def test_what_a_process_could_not_sync_before_it_died_puts_nothing_acknowledged_later_at_risk(tmp_path):
    with failing_disk(tmp_path) as (disk, below):
        path = disk / "queue"
        queue = DurableQueue(path, START + 64 * BLOCK)
        queue.append(b"0")
        make_fail(disk, below)
        with pytest.raises(StoreError, match="the disk did not take it"):
            queue.append(b"refused")
        queue.close()  # the zeros were not taken: in memory the kernel may hold what the disk does not
        with pytest.raises(StoreError, match="cannot be opened: No space left"):
            DurableQueue(path)
        (below / "others").unlink()
        queue = DurableQueue(path)
        found = records(queue)
        assert found in ([b"0"], [b"0", b"refused"])
        queue.append(b"1")
        queue.close()
        subprocess.run(["umount", disk], check=True)
        subprocess.run(["mount", "-o", "loop", below / "image", disk], check=True)  # only what the disk holds is left
        queue = DurableQueue(path)
        assert [record for record in records(queue) if record != b"refused"] == [b"0", b"1"]
        queue.close()


@pytest.mark.slow  # it makes a disk of its own, and lets it fail
def test_a_record_of_which_a_sync_failed_does_not_come_back_after_a_restart(tmp_path):
    with failing_disk(tmp_path) as (disk, below):
        path = disk / "queue"
        queue = DurableQueue(path, START + 64 * BLOCK)
        for _ in range(10):
            queue.append(b"in the first block")
            queue.acknowledge(queue.peek()[0][0])
        make_fail(disk, below)
        with pytest.raises(StoreError, match="the disk did not take it"):
            queue.append(b"refused" * 10_000)  # it takes the first block, and its zeros, but not the others
        queue.close()
        queue = DurableQueue(path)
        assert records(queue) == []
        queue.append(b"in the first block")
        queue.close()
