"""The journal of a process: many tasks and threads add to it at once, and processes see what others left."""

import asyncio
import signal
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from model.errors import StoreError
from service.durable_queue.durable_queue import MAX_RECORD_BYTES
from service.durable_queue.queue_file import BLOCK, START, QueueFile
from service.store.journal import Journal
from tests.support.store.durable_queues import left, left_after, records

ROOT = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal-1.saring"


@pytest.fixture
def journal(path: Path):
    with closing(Journal(path, 2**20)) as journal:
        yield journal


async def append_all(journal: Journal, said: list[bytes]) -> list[BaseException | None]:
    return await asyncio.gather(*(journal.append_async(record) for record in said), return_exceptions=True)


def test_64_tasks_keep_their_records_in_order_with_fewer_syncs_than_records(journal, monkeypatch):
    written = []
    write = QueueFile.write
    monkeypatch.setattr(QueueFile, "write", lambda *given: (written.append(given), write(*given)))
    said = [b"%d" % number * 500 for number in range(64)]
    assert asyncio.run(append_all(journal, said)) == [None] * 64
    assert records(journal) == said
    assert len(written) < 32, "one sync each"


def test_of_records_that_wait_together_those_that_find_space_are_kept(path):
    with closing(Journal(path, START + 4 * BLOCK)) as journal:
        sizes = [6 * BLOCK, 100, BLOCK - 36, 100, 6 * BLOCK, 100, MAX_RECORD_BYTES + 1]
        said = [b"%d" % number * size for number, size in enumerate(sizes)]
        failed = [failure is not None for failure in asyncio.run(append_all(journal, said))]
        assert failed == [True, False, False, False, True, False, True]
        assert [record[:1] for record in records(journal)] == [b"1", b"2", b"3", b"5"]


def test_threads_and_tasks_may_share_a_journal_while_it_is_drained(journal):
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


def test_a_task_that_goes_away_leaves_the_others_alone(journal):
    async def keep():
        tasks = [asyncio.create_task(journal.append_async(b"%d" % number)) for number in range(8)]
        await asyncio.sleep(0)
        tasks[3].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    failures = asyncio.run(keep())
    assert [failure is None for failure in failures] == [True] * 3 + [False] + [True] * 4
    # Whether the fourth was written before it was cancelled, nobody knows.
    assert [record for record in left_after(journal) if record != b"3"] == [b"%d" % n for n in (0, 1, 2, 4, 5, 6, 7)]


def test_closing_writes_what_waits_and_a_closed_journal_refuses(path, journal):
    async def keep_and_close():
        waiting = [asyncio.ensure_future(journal.append_async(b"%d" % number)) for number in range(20)]
        await asyncio.sleep(0)
        journal.close()
        await asyncio.gather(*waiting)
        with pytest.raises(StoreError, match="is closed"):
            await journal.append_async(b"too late")

    asyncio.run(keep_and_close())
    with pytest.raises(StoreError, match="is closed"):
        journal.append(b"too late")
    assert left(path) == [b"%d" % number for number in range(20)]


HOLDS = """
import sys
from pathlib import Path
from service.store.journal import Journal
journal = Journal(Path(sys.argv[1]), 2**20)
journal.append(*(b"%d" % number for number in range(20)))
print("kept", flush=True)
sys.stdin.read()
"""

KEEPS = """
import asyncio, itertools, sys
from pathlib import Path
from service.store.journal import Journal
journal = Journal(Path(sys.argv[1]), 2**22)
numbers = itertools.count()
async def keep():
    while True:
        number = next(numbers)
        await journal.append_async(b"%d " % number)
        print("kept", number, flush=True)
async def main():
    await asyncio.gather(*(keep() for _ in range(16)))
asyncio.run(main())
"""


def started(script: str, path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, str(path)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def killed(process: subprocess.Popen[str], after: int) -> list[str]:
    """Kill a process after so many lines, and give all the lines that it had written."""
    lines = [process.stdout.readline() for _ in range(after)]
    process.send_signal(signal.SIGKILL)
    lines += process.stdout.read().splitlines(keepends=True)
    process.communicate()
    return [line for line in lines if line.endswith("\n")]


def test_a_process_that_is_killed_while_many_wait_loses_nothing_that_it_kept(path):
    kept = {int(line.split()[1]) for line in killed(started(KEEPS, path), after=500)}
    there = [int(record) for record in left(path)]
    assert there == sorted(set(there))
    assert kept <= set(there)
    assert len(set(there) - kept) <= 16


def test_orphans_are_what_the_dead_left_behind_and_not_what_the_living_hold(tmp_path):
    assert Journal.find_orphans(tmp_path / "nowhere") == []
    alive, dead, empty, fresh = (tmp_path / f"journal-{name}.saring" for name in ("alive", "dead", "empty", "fresh"))
    notes = tmp_path / "journal-notes.saring"
    living, dying = started(HOLDS, alive), started(HOLDS, dead)
    living.stdout.readline()
    try:
        killed(dying, after=1)
        Journal(empty, 2**16).close()
        fresh.touch()
        notes.write_bytes(b"not a journal")
        (tmp_path / "other.saring").write_bytes(b"not a journal")
        assert Journal.find_orphans(tmp_path) == [dead, notes]
    finally:
        killed(living, after=0)
    assert Journal.find_orphans(tmp_path) == [alive, dead, notes]
    with closing(Journal(dead)) as journal:
        assert Journal.find_orphans(tmp_path) == [alive, notes]
        journal.acknowledge(journal.peek()[-1][0])
    assert Journal.find_orphans(tmp_path) == [alive, notes]
