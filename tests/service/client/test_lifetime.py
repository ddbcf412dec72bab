"""A client from its start to its end: one outbox each, closed, killed and forked."""

import multiprocessing
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from model.errors import StoreError
from service.client import Client
from tests.support.fake_service import (
    CALL,
    ENDED_AT,
    OF_LONG_AGO,
    PATIENT,
    START,
    assert_first_come,
    call_at,
    good,
    hang,
    listening,
)  # fmt: skip
from tests.support.store.durable_queues import events_left


def test_what_a_killed_process_could_not_tell_is_told_by_the_next_client(tmp_path):
    code = f"""
import os, signal
from pathlib import Path
from service.client import Client
client = Client("http://127.0.0.1:9", outbox=Path({str(tmp_path / "outbox")!r}))
assert client.answered("a", "{ENDED_AT}")["queued"]
assert client.disposition("a", "genuine", "{ENDED_AT}")["queued"]
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == -9
    with listening(good) as (server, url), Client(url, outbox=tmp_path / "outbox", **PATIENT) as client:
        assert client.flush() == 0
    assert server.paths() == ["/v1/calls/a/answered", "/v1/calls/a/disposition"]


def test_a_second_client_on_one_outbox_is_refused_and_the_first_goes_on(tmp_path):
    with listening(good) as (_, url), Client(url, outbox=tmp_path / "outbox", **PATIENT) as client:
        with pytest.raises(StoreError, match="in use by another process or client"):
            Client(url, outbox=tmp_path / "outbox", **PATIENT)
        assert client.answered("a", START)["durable"]
    Client(url, outbox=tmp_path / "outbox", **PATIENT).close()


def test_a_full_outbox_and_no_outbox_say_that_an_event_is_lost(tmp_path, caplog):
    with Client("http://127.0.0.1:9", outbox=tmp_path / "outbox", outbox_limit=120) as client:
        assert client.answered("a", START)["queued"]
        full = client.answered("b" * 2**15, START)
    assert not full["queued"]
    assert "is full" in full["warnings"][0]["detail"]
    with Client("http://127.0.0.1:9") as client:
        none = client.answered("b", START)
    assert not none["queued"]
    assert "there is no outbox" in none["warnings"][0]["detail"]
    assert [record.levelname for record in caplog.records if "is lost" in record.message] == ["ERROR", "ERROR"]


def test_a_closed_client_still_answers_and_may_be_closed_again(tmp_path):
    with listening(good) as (server, url):
        client = Client(url, outbox=tmp_path / "outbox", **PATIENT)
        client.close()
        client.close()
        assert_first_come(client.score(CALL), CALL | {"received_at": START}, "closed")
        assert client.answered("a", START)["queued"] is False
        assert client.flush() == 0
    assert server.connections == 0


def test_a_client_that_is_never_closed_does_not_hold_up_the_end_of_a_process(tmp_path):
    code = f"""
from pathlib import Path
from service.client import Client
client = Client("http://127.0.0.1:9", outbox=Path({str(tmp_path / "outbox")!r}))
assert client.score({CALL!r})["degraded"]
assert client.answered("a", "{ENDED_AT}")["queued"]
"""
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=20)
    assert "Traceback" not in ended.stderr


def test_closing_lets_what_is_under_way_end_and_keeps_what_does_not(tmp_path):
    with listening(hang) as (_, url):
        client = Client(url, outbox=tmp_path / "outbox", deadline_s=30.0, **OF_LONG_AGO)
        with ThreadPoolExecutor(2) as pool:
            score = pool.submit(client.score, call_at(0))
            event = pool.submit(client.answered, "b", START)
            time.sleep(0.1)
            client.close()
            assert_first_come(score.result(5), call_at(0))
            assert event.result(5)["queued"]
    assert [event.call_id for event in events_left(tmp_path / "outbox")] == ["b"]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("saring")]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_goes_on_asking_and_the_outbox_stays_with_its_parent(tmp_path):
    def child(pipe) -> None:
        answers = [client.score(call_at(place))["degraded"] for place in range(20)]
        pipe.send((answers, client.answered("a", START)["durable"], client._pending()))
        client.close()

    with listening(good) as (_, url), Client(url, outbox=tmp_path / "outbox", **PATIENT) as client:
        assert not client.score(CALL)["degraded"]
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe()
        process = context.Process(target=child, args=(theirs,))
        process.start()
        assert ours.poll(20)
        assert ours.recv() == ([False] * 20, True, 0)
        process.join()
        assert process.exitcode == 0
        with pytest.raises(StoreError, match="in use by another process or client"):
            Client(url, outbox=tmp_path / "outbox", **PATIENT)
        assert not client.score(call_at(1))["degraded"]
        assert client.answered("a", START)["durable"]
