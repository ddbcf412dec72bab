"""What the service did not take yet lies in a file that outlives crashes, and nothing vanishes from it silently."""

import fcntl
import json
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import StoreError
from service.client.event import Event
from service.client.outbox import LEAST_BYTES, Outbox
from service.durable_queue.queue_file import QueueFile

LIMIT = 2**16


def event(number: int, call_id: str = "a") -> Event:
    return Event(call_id, "answered", json.dumps({"number": number}))


def left(path: Path) -> list[Event]:
    with closing(Outbox(path, LIMIT)) as outbox:
        return told(outbox)


def told(outbox: Outbox) -> list[Event]:
    found = []
    while (oldest := outbox.peek()) is not None:
        found.append(oldest)
        outbox.acknowledge(oldest)
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox"


@pytest.fixture
def outbox(path: Path):
    with closing(Outbox(path, LIMIT)) as outbox:
        yield outbox


@given(st.lists(st.sampled_from(["add", "tell", "reopen"]), max_size=30))
def test_what_was_added_and_not_told_is_left_in_its_order_however_often_it_is_reopened(tmp_path_factory, steps):
    path = tmp_path_factory.mktemp("outbox") / "outbox"
    outbox, expected = Outbox(path, LIMIT), []
    for number, step in enumerate(steps):
        if step == "add":
            outbox.add(event(number, f"call {number % 3}"))
            expected.append(event(number, f"call {number % 3}"))
        elif step == "reopen":
            outbox.close()
            outbox = Outbox(path, LIMIT)
        elif expected:
            assert outbox.peek() == expected.pop(0)
            outbox.acknowledge(outbox.peek())
        assert len(outbox) == len(expected)
        for call in range(3):
            assert outbox.holds(f"call {call}") == any(e.call_id == f"call {call}" for e in expected)
        assert (b"call_id" in path.read_bytes()) or not expected, "nothing of what was told stays when all was"
    outbox.close()
    assert left(path) == expected


def test_what_was_added_is_there_after_the_process_was_killed(path):
    code = f"""
import os, signal
from pathlib import Path
from service.client.event import Event
from service.client.outbox import Outbox
outbox = Outbox(Path({str(path)!r}))
outbox.add(Event("a", "answered", "{{}}"))
outbox.add(Event("b", "ended", "{{}}"))
outbox.acknowledge(outbox.peek())
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert left(path) == [Event("b", "ended", "{}")]


def test_an_event_that_is_no_longer_the_oldest_is_not_marked(outbox):
    for number in range(3):
        outbox.add(event(number))
    first = outbox.peek()
    outbox.acknowledge(first)
    outbox.acknowledge(first)
    outbox.acknowledge(event(1))
    assert told(outbox) == [event(1), event(2)]


def test_what_was_told_is_not_told_again_although_the_disk_takes_no_note(path, outbox, monkeypatch):
    for number in range(3):
        outbox.add(event(number))

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(QueueFile, "acknowledge", fail)
        for number in range(2):
            assert outbox.peek() == event(number)
            with pytest.raises(StoreError, match="did not take note"):
                outbox.acknowledge(outbox.peek())
    assert (len(outbox), outbox.peek()) == (1, event(2))
    outbox.close()
    assert left(path) == [event(number) for number in range(3)]


@pytest.mark.parametrize("content", [b"call_id,received_at\na,b\n", b"[]\n{}\n", b"\xff\n\n"])
def test_a_file_that_is_no_outbox_is_refused_and_stays_as_it_is(path, content):
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"outbox: is no durable queue, .*; move it away"):
        Outbox(path)
    assert path.read_bytes() == content


def test_a_queue_of_something_else_is_refused(path, outbox):
    outbox._queue.append(b'{"kind": "score"}')
    outbox.close()
    with pytest.raises(StoreError, match="outbox: holds what is no event"):
        Outbox(path)


# A file of lines, as clients kept before.

BEFORE = Path(__file__).parent / "outbox-of-before"
LINES = BEFORE.read_bytes()
KINDS = ["ended", "disposition"]


def test_an_outbox_of_before_is_read_once_and_told(path):
    shutil.copy(BEFORE, path)
    (path.parent / "outbox.lock").touch()
    with closing(Outbox(path, LIMIT)) as outbox:
        assert (len(outbox), outbox.path, outbox.peek().kind) == (2, path, "ended")
        with pytest.raises(StoreError, match="is in use by another process or client"):
            Outbox(path)
    assert sorted(file.name for file in path.parent.iterdir()) == ["outbox"]
    assert [one.kind for one in left(path)] == KINDS
    assert left(path) == []


def test_an_outbox_of_before_that_is_larger_than_the_limit_is_taken_over_whole(path):
    path.write_bytes(LINES + b"".join(event(number).line() for number in range(2_000)))
    with closing(Outbox(path, LEAST_BYTES)) as outbox:
        assert [one.body for one in told(outbox)][2:] == [event(number).body for number in range(2_000)]


@pytest.mark.parametrize("rest", [b'{"call_id": "b", "kin', b"\0" * 40, b'{"call_id": "b", "kin\n'])
def test_a_line_that_a_crash_left_half_written_is_left_out_with_a_warning(path, rest, caplog):
    path.write_bytes(LINES + rest)
    assert [one.kind for one in left(path)] == KINDS
    assert "half-written" in caplog.text


@pytest.mark.parametrize("content", [b'{"told": 1}\n{"told": 1}\n', b"{}\n" + LINES, b'{"kind": 1}\n' + LINES])
def test_lines_that_are_no_events_are_refused_and_stay_as_they_are(path, content):
    path.write_bytes(content)
    with pytest.raises(StoreError, match="line 1 is no event"):
        Outbox(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"", LINES])
def test_an_outbox_that_a_client_of_before_has_open_is_refused(path, content):
    path.write_bytes(content)
    with (path.parent / "outbox.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="is in use by another process or client"):
            Outbox(path)
    assert path.read_bytes() == content
    assert left(path) == left(path) or content


def test_a_second_client_on_one_file_is_refused_under_any_of_its_names(path, outbox):
    (path.parent / "link").symlink_to(path)
    for name in (path, path.parent / "link", path.parent / "x" / ".." / "outbox"):
        with pytest.raises(StoreError, match="is in use by another process or client"):
            Outbox(name)
    outbox.close()
    Outbox(path).close()


def test_a_full_outbox_says_so_and_takes_events_again_when_some_were_told(path):
    with closing(Outbox(path, limit=0)) as outbox:
        with pytest.raises(StoreError, match=r"outbox is full: \d+ records wait in it"):  # noqa: PT012
            for number in range(1_000):
                outbox.add(event(number))
        kept = len(outbox)
        for _ in range(kept - 1):
            outbox.acknowledge(outbox.peek())
        outbox.add(event(1_000))
        assert path.stat().st_size == LEAST_BYTES
    assert left(path) == [event(kept - 1), event(1_000)]


def test_refused_events_are_written_down_with_the_problem_up_to_the_limit(path):
    with closing(Outbox(path, limit=150)) as outbox:
        outbox.refuse(event(1), status=422, detail="no")
        with pytest.raises(StoreError, match=r"outbox\.refused is full"):
            outbox.refuse(event(2), status=422, detail="no")
    (line,) = (path.parent / "outbox.refused").read_text().splitlines()
    assert json.loads(line) == {
        "call_id": "a",
        "kind": "answered",
        "body": {"number": 1},
        "status": 422,
        "detail": "no",
    }
    assert (path.parent / "outbox.refused").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("call_id", ["a/b", "..", ".", "a b?c#d%20", "é", "1@pbx.example", "%2e%2e"])
def test_a_call_of_any_name_has_a_path_of_its_own(call_id):
    path = Event(call_id, "ended", "{}").path
    sent = httpx.URL("http://h/pre/").copy_with(raw_path=b"/pre" + path.encode()).raw_path.decode()
    assert sent == "/pre" + path
    _, _, _, _, name, kind = sent.split("/")
    assert (httpx.URL(f"http://h/?x={name}").params["x"], kind) == (call_id, "ended")
