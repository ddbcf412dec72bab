"""What the service did not take yet lies in a file that outlives crashes, and nothing vanishes from it silently."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import StoreError
from service.client.event import Event
from service.client.outbox import Outbox


def event(number: int, call_id: str = "a") -> Event:
    return Event(call_id, "answered", json.dumps({"number": number}))


def left(path: Path) -> list[Event]:
    outbox = Outbox(path)
    try:
        return list(outbox._events)
    finally:
        outbox.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox"


@pytest.fixture
def outbox(path: Path):
    outbox = Outbox(path)
    yield outbox
    outbox.close()


@given(st.lists(st.sampled_from(["add", "tell", "reopen"]), max_size=30))
def test_what_was_added_and_not_told_is_left_in_its_order_however_often_it_is_reopened(tmp_path_factory, steps):
    path = tmp_path_factory.mktemp("outbox") / "outbox"
    outbox, expected = Outbox(path), []
    try:
        for number, step in enumerate(steps):
            if step == "add":
                outbox.add(event(number, f"call {number % 3}"))
                expected.append(event(number, f"call {number % 3}"))
            elif step == "reopen":
                outbox.close()
                outbox = Outbox(path)
            elif expected:
                assert outbox.peek() == expected.pop(0)
                outbox.acknowledge(outbox.peek())
            assert len(outbox) == len(expected)
            for call in range(3):
                assert outbox.holds(f"call {call}") == any(e.call_id == f"call {call}" for e in expected)
        assert path.exists()
        assert bool(path.stat().st_size) == bool(expected)
    finally:
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


def test_a_crash_at_any_byte_of_a_line_loses_only_that_line_and_what_is_added_later_is_whole(path, outbox):
    outbox.add(event(1))
    outbox.add(event(2))
    outbox.close()
    whole = path.read_bytes()
    first = len(event(1).line())
    for size in range(first, len(whole)):
        path.write_bytes(whole[:size])
        reopened = Outbox(path)
        reopened.add(event(3))
        reopened.close()
        assert left(path) == [event(1), event(3)]
    aside = [json.loads(line) for line in (path.parent / "outbox.refused").read_text().splitlines()]
    assert [item["half_written"].encode() for item in aside] == [
        whole[first:size] for size in range(first + 1, len(whole))
    ]


def test_a_last_line_of_zeros_as_a_power_cut_leaves_it_is_survived(path, outbox):
    outbox.add(event(1))
    outbox.close()
    with path.open("ab") as file:
        file.write(b"\0" * 40)
    assert left(path) == [event(1)]


@pytest.mark.parametrize(
    "content", [b"call_id,received_at\na,b\n", b"[]\n{}\n", b'{"told": 1}\n{"told": 1}\n', b"\xff\n\n"]
)
def test_a_file_that_is_no_outbox_is_refused_and_stays_as_it_is(path, content):
    path.write_bytes(content)
    with pytest.raises(StoreError, match="line 1 is no event"):
        Outbox(path)
    assert path.read_bytes() == content


def test_a_second_client_on_one_file_is_refused_under_any_of_its_names(path, outbox):
    (path.parent / "link").symlink_to(path)
    for name in (path, path.parent / "link", path.parent / "x" / ".." / "outbox"):
        with pytest.raises(StoreError, match="is in use by another client"):
            Outbox(name)
    outbox.close()
    Outbox(path).close()


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"nowhere/outbox: No such file or directory"):
        Outbox(tmp_path / "nowhere" / "outbox")


def test_only_its_owner_can_read_it(path, outbox):
    outbox.refuse(event(1), status=404)
    for name in ("outbox", "outbox.lock", "outbox.refused"):
        assert (path.parent / name).stat().st_mode & 0o777 == 0o600


def test_a_full_outbox_says_so_and_takes_events_again_when_some_were_told(path):
    line = len(event(100).line())
    outbox = Outbox(path, limit=10 * line)
    try:
        for number in range(100, 110):
            outbox.add(event(number))
        with pytest.raises(StoreError, match=r"is full: 10 events, expected at most 6.. bytes"):
            outbox.add(event(110))
        for _ in range(6):
            outbox.acknowledge(outbox.peek())
        outbox.add(event(110))
        assert path.stat().st_size == 5 * line
    finally:
        outbox.close()
    assert left(path) == [event(number) for number in range(106, 111)]


def test_refused_events_are_written_down_with_the_problem_up_to_the_limit(path):
    outbox = Outbox(path, limit=150)
    try:
        outbox.refuse(event(1), status=422, detail="no")
        with pytest.raises(StoreError, match=r"outbox\.refused is full"):
            outbox.refuse(event(2), status=422, detail="no")
    finally:
        outbox.close()
    first = json.loads((path.parent / "outbox.refused").read_text().splitlines()[0])
    assert first == {"call_id": "a", "kind": "answered", "body": {"number": 1}, "status": 422, "detail": "no"}


def test_a_disk_that_takes_half_a_line_leaves_no_half_line(path):
    code = f"""
import json, resource, signal
from pathlib import Path
from model.errors import StoreError
from service.client.event import Event
from service.client.outbox import Outbox
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
outbox = Outbox(Path({str(path)!r}))
outbox.add(Event("a", "answered", "{{}}"))
resource.setrlimit(resource.RLIMIT_FSIZE, (80, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
try:
    outbox.add(Event("b", "answered", "{{}}"))
except StoreError as error:
    print(error)
outbox.acknowledge(outbox.peek())
outbox.add(Event("c", "answered", "{{}}"))
"""
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert os.strerror(errno.EFBIG) in result.stdout
    assert left(path) == [Event("c", "answered", "{}")]


@pytest.mark.parametrize("call_id", ["a/b", "..", ".", "a b?c#d%20", "é", "1@pbx.example", "%2e%2e"])
def test_a_call_of_any_name_has_a_path_of_its_own(call_id):
    path = Event(call_id, "ended", "{}").path
    sent = httpx.URL("http://h/pre/").copy_with(raw_path=b"/pre" + path.encode()).raw_path.decode()
    assert sent == "/pre" + path
    _, _, _, _, name, kind = sent.split("/")
    assert (httpx.URL(f"http://h/?x={name}").params["x"], kind) == (call_id, "ended")
