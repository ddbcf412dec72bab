"""A service that is slow, wrong or absent: the client answers first come, first served, within its deadline."""

import asyncio
import gc
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from statistics import median, quantiles

import pytest

from service.client import AsyncClient, Client
from tests.support.fake_service import (
    OF_LONG_AGO,
    SLOW,
    WRONG,
    assert_first_come,
    call_at,
    endlessly_about_to_answer,
    good,
    hang,
    listening,
)  # fmt: skip

#: Never leaves a service alone: each call finds out by itself.
STUBBORN = {"failures": 10**9, **OF_LONG_AGO}


@pytest.fixture(autouse=True, scope="module")
def _no_garbage_of_others() -> Iterator[None]:
    """A full collection of all that the tests have imported stops this process for longer than a deadline."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def in_time(took_s: list[float]) -> bool:
    return median(took_s) < 0.16 and quantiles(took_s, n=20)[-1] < 0.16 and max(took_s) < 0.4


def in_time_but_for_the_machine(took_s: list[float]) -> bool:
    """A machine that is busy with other things stops a process for longer than the ten milliseconds of grace."""
    return median(took_s) < 0.18 and max(took_s) < 1.0


def timed(client: Client, call: dict) -> tuple[dict, float]:
    started = time.perf_counter()
    answer = client.score(call)
    return answer, time.perf_counter() - started


def assert_fails_open(url: str, why: str, calls: int = 200, threads: int = 20) -> None:
    asked = [call_at(place) for place in range(calls)]
    measured = []
    # A busy machine may be late in one round; a client that waits for its service is late in all of them.
    while len(measured) < 3 and not (measured and in_time(measured[-1])):
        with Client(url, **STUBBORN) as client, ThreadPoolExecutor(threads) as pool:
            answers = list(pool.map(lambda call, client=client: timed(client, call), asked))
        whys = [assert_first_come(answer, call) for (answer, _), call in zip(answers, asked, strict=True)]
        in_order = sorted((answer for answer, _ in answers), key=lambda answer: answer["queue_key"])
        assert [answer["call_id"] for answer in in_order] == [call["call_id"] for call in asked]
        # It may also cut a call before the service has shown what is wrong with it.
        assert sum(why in told for told in whys) > calls / 2, whys
        measured.append([took_s for _, took_s in answers])
    assert any(map(in_time_but_for_the_machine, measured)), [
        (median(took_s), quantiles(took_s, n=20)[-1], max(took_s)) for took_s in measured
    ]


@pytest.mark.parametrize(("behave", "why"), SLOW, ids=lambda value: getattr(value, "__name__", None))
def test_a_service_that_is_slow_is_cut_at_the_deadline(behave, why):
    with listening(behave) as (_, url):
        assert_fails_open(url, why)


@pytest.mark.parametrize(("behave", "why"), WRONG)
def test_a_service_that_answers_wrongly_is_not_followed(behave, why):
    with listening(behave) as (_, url):
        assert_fails_open(url, why, calls=60, threads=4)


def test_a_service_that_is_endlessly_about_to_answer_is_cut_at_the_deadline():
    with listening(endlessly_about_to_answer) as (_, url):
        assert_fails_open(url, "in time", calls=40, threads=4)


def test_a_service_that_is_absent_is_not_waited_for():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        assert_fails_open(f"http://127.0.0.1:{nobody.getsockname()[1]}", "cannot be connected to", 200, 4)


def test_a_service_that_never_takes_up_a_connection_is_cut_at_the_deadline():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        with socket.create_connection(listener.getsockname()):  # the only place is taken
            assert_fails_open(f"http://127.0.0.1:{listener.getsockname()[1]}", "in time", 100)


def test_a_service_that_hangs_in_the_handshake_of_tls_is_cut_at_the_deadline():
    with listening(hang) as (_, url):
        assert_fails_open(url.replace("http", "https"), "in time", 100)


def test_a_name_that_does_not_exist_is_not_waited_for():
    assert_fails_open("http://saring.invalid", "", 8, 2)


def test_the_asynchronous_client_answers_in_time_too():
    async def ask() -> list[float]:
        async def timed_(call: dict) -> float:
            started = time.perf_counter()
            assert_first_come(await client.score(call), call, "in time")
            return time.perf_counter() - started

        async with AsyncClient(url, **STUBBORN) as client:
            return [took_s for _ in range(5) for took_s in await asyncio.gather(*map(timed_, asked))]

    asked = [call_at(place) for place in range(20)]
    measured = []
    with listening(hang) as (_, url):
        while len(measured) < 3 and not (measured and in_time(measured[-1])):
            measured.append(asyncio.run(ask()))
    assert any(map(in_time_but_for_the_machine, measured)), [
        (median(took_s), quantiles(took_s, n=20)[-1], max(took_s)) for took_s in measured
    ]


def test_a_loop_that_does_nothing_but_wait_for_the_processor_is_cut_too():
    with listening(good) as (_, url), Client(url, **STUBBORN) as client:
        client._thread._loop.call_soon_threadsafe(time.sleep, 0.5)
        answer, took_s = timed(client, call_at(0))
        assert_first_come(answer, call_at(0), "in time")
        assert took_s < 0.4
