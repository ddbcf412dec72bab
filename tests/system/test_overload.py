"""A service that has fallen behind: it says so at once, and catches up while the same load goes on."""

import asyncio
import os
import signal
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from benchmarks.generator import fixed_rate
from service.contract.problems import Conflict, Unavailable, Unknown
from service.contract.requests import Answered, Disposition, Ended, Reopen, ScoreRequest
from service.intake.adaptive_limiter import AdaptiveLimiter
from service.intake.deadline import MIN_CONCURRENT, FailOpenScorer
from service.intake.redelivery import Redelivery
from service.server.application import open_parts
from service.settings import Settings
from tests.support.processes import Process, until
from tests.support.store.crashes import locked

START = datetime(2026, 11, 1, tzinfo=UTC)
RANG = 3 * MIN_CONCURRENT


def fail_open(parts) -> FailOpenScorer:
    redelivery = Redelivery(parts.intake, parts.pseudonyms, parts.journals, parts.metrics)
    return FailOpenScorer(redelivery, parts.pseudonyms, deadline_s=2.0)


@pytest.fixture
def parts(tmp_path: Path, release_folder: Path):
    chosen = {"database": f"sqlite:///{tmp_path / 'saring.db'}", "key_file": tmp_path / "saring.key"}
    chosen |= {"journal": tmp_path / "journal", "journal_mib": 1, "calls_in_memory": 1_000}
    with open_parts(Settings(release=release_folder, insecure_local=True, **chosen)) as parts:
        yield parts


def request(number: int) -> ScoreRequest:
    received_at = (START + timedelta(seconds=number)).isoformat()
    asked = {"call_id": f"c{number}", "received_at": received_at, "caller": f"+62812{number:08}"}
    return ScoreRequest.model_validate(asked)


async def tell_all(scorer: FailOpenScorer) -> None:
    """Let the store be told all that the journal holds."""
    retelling = asyncio.create_task(scorer.redelivery.run())
    while not scorer.redelivery.is_drained():
        await asyncio.sleep(0.01)
    retelling.cancel()


def received(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / "saring.db")) as connection:
        found = connection.execute("SELECT call_id FROM events WHERE kind = 'received' ORDER BY call_id")
        return [call_id for (call_id,) in found]


def test_of_more_calls_than_can_wait_for_the_store_the_rest_is_answered_at_once_and_told_later(tmp_path, parts):
    async def ring(scorer: FailOpenScorer, number: int) -> tuple[float, dict]:
        started = time.perf_counter()
        reply = await scorer.score(request(number), [], datetime.now(UTC))
        return time.perf_counter() - started, reply.answer

    async def rush() -> list[tuple[float, dict]]:
        # The deadline is long: whoever waits for it is told apart from who does not, on a busy machine too.
        scorer = fail_open(parts)
        scorer._limiter = AdaptiveLimiter(MIN_CONCURRENT, MIN_CONCURRENT)
        with locked(tmp_path / "saring.db"):
            answers = await asyncio.gather(*(ring(scorer, number) for number in range(RANG)))
        await tell_all(scorer)
        return answers

    answers = asyncio.run(rush())
    waited = [seconds >= 1.0 for seconds, _ in answers]
    assert waited == [True] * MIN_CONCURRENT + [False] * (RANG - MIN_CONCURRENT)
    assert {(answer["band"], answer["defer_s"], answer["durable"]) for _, answer in answers} == {
        ("unscored", 0.0, True)
    }
    assert received(tmp_path) == sorted(f"c{number}" for number in range(RANG))
    counted = parts.metrics.render("")[0].decode()
    assert f'saring_degraded_total{{reason="busy"}} {float(RANG - MIN_CONCURRENT)}' in counted


def test_what_is_refused_leaves_as_much_room_as_there_was(parts):
    async def ask() -> float:
        scorer = fail_open(parts)
        await scorer.score(request(0), [], START)
        before = scorer._limiter._limit
        other = ScoreRequest.model_validate(request(0).model_dump(mode="json") | {"caller": "+6281300000000"})
        for _ in range(5):
            with pytest.raises(Conflict):
                await scorer.score(other, [], START)
        return before - scorer._limiter._limit

    assert asyncio.run(ask()) == 0.0


def test_what_the_store_was_never_asked_about_is_not_looked_for_when_it_is_told(tmp_path, parts, monkeypatch):
    looked: list[str] = []
    find = parts.intake.find_call

    async def watched(call_id: str):
        looked.append(call_id)
        return await find(call_id)

    monkeypatch.setattr(parts.intake, "find_call", watched)

    async def rush() -> None:
        scorer = fail_open(parts)
        with locked(tmp_path / "saring.db"):
            assert (await scorer.score(request(0), [], START)).answer["degraded"]  # it was asked, in vain
        scorer.redelivery.store_down = True
        for number in range(1, 10):
            assert (await scorer.score(request(number), [], START)).answer["degraded"]
        await tell_all(scorer)

    asyncio.run(rush())
    assert looked == ["c0"]
    assert received(tmp_path) == sorted(f"c{number}" for number in range(10))


def test_a_store_that_answers_again_scores_calls_while_others_still_wait_in_the_journal(tmp_path, parts):
    def scorer() -> FailOpenScorer:
        return fail_open(parts)

    async def rush() -> None:
        before = scorer()
        before.redelivery.store_down = True
        for number in range(3):
            assert (await before.score(request(number), [], START)).answer["degraded"]
        after = scorer()  # as after a restart
        assert after.redelivery.store_down
        after.redelivery.store_down = False
        assert after.redelivery.behind
        again = ScoreRequest.model_validate(request(0).model_dump(mode="json") | {"call_id": "again"})
        assert (await after.score(again, [], START)).answer["degraded"]  # its caller must not be overtaken
        assert not (await after.score(request(9), [], START)).answer["degraded"]
        await tell_all(after)
        last = ScoreRequest.model_validate(request(0).model_dump(mode="json") | {"call_id": "last"})
        assert not (await after.score(last, [], START)).answer["degraded"]

    asyncio.run(rush())
    assert received(tmp_path) == ["again", "c0", "c1", "c2", "c9", "last"]


def test_what_is_said_of_a_call_that_nobody_knows_is_not_acknowledged_while_the_store_is_out_of_reach(tmp_path, parts):
    at = START + timedelta(minutes=5)
    closed = Disposition.model_validate({"disposition": "prank", "disposed_at": at.isoformat(), "confirm": True})

    async def rush() -> None:
        scorer = fail_open(parts)
        await scorer.score(request(0), [], START)
        with locked(tmp_path / "saring.db"):
            assert not (await scorer.record("c0", closed, at)).stored  # kept in the journal
            assert not (await scorer.record("c0", Answered.model_validate({"answered_at": at.isoformat()}), at)).stored
            await scorer.score(request(1), [], START)
            assert not (await scorer.record("c1", closed, at)).stored  # its score is there, too
            scorer.redelivery.store_down = True
            with pytest.raises(Unavailable, match="no such call is known"):
                await scorer.record("nobody", closed, at)
            with pytest.raises(Unavailable, match="no such call is known"):
                await scorer.record("nobody", Ended.model_validate({"ended_at": at.isoformat()}), at)
        await tell_all(scorer)
        with pytest.raises(Unknown):
            await scorer.record("nobody", closed, at)

    asyncio.run(rush())
    assert 'saring_degraded_total{reason="refused"}' not in parts.metrics.render("")[0].decode()
    with closing(sqlite3.connect(tmp_path / "saring.db")) as connection:
        found = connection.execute("SELECT call_id, state FROM calls ORDER BY call_id").fetchall()
    assert found == [("c0", "closed"), ("c1", "closed")]


def test_a_disposition_that_is_acknowledged_while_the_store_is_out_of_reach_is_never_refused_later(tmp_path, parts):
    """Whether a waiting call has to be confirmed is asked of the board: of a call that is not on it nobody can say."""
    at = START + timedelta(minutes=5)
    unconfirmed = Disposition.model_validate({"disposition": "prank", "disposed_at": at.isoformat()})

    async def rush() -> None:
        scorer = fail_open(parts)
        await scorer.score(request(0), [], START)
        with locked(tmp_path / "saring.db"):
            with pytest.raises(Conflict, match="still waits"):
                await scorer.record("c0", unconfirmed, at)
            await scorer.score(request(1), [], START)
            assert not (await scorer.record("c1", unconfirmed, at)).stored
        await tell_all(scorer)

    asyncio.run(rush())
    assert 'saring_degraded_total{reason="refused"}' not in parts.metrics.render("")[0].decode()
    with closing(sqlite3.connect(tmp_path / "saring.db")) as connection:
        found = connection.execute("SELECT call_id, state FROM calls ORDER BY call_id").fetchall()
    assert found == [("c0", "waiting"), ("c1", "closed")]


def test_what_is_written_after_nobody_waited_for_it_any_more_is_known_at_once(tmp_path, parts):
    """And what the journal has of it too is then no contradiction, though the call was read in between."""
    at = START + timedelta(minutes=5)
    closed = Disposition.model_validate({"disposition": "prank", "disposed_at": at.isoformat(), "confirm": True})

    def state() -> str:
        with closing(sqlite3.connect(tmp_path / "saring.db")) as connection:
            return connection.execute("SELECT state FROM calls").fetchone()[0]

    async def rush() -> None:
        scorer = fail_open(parts)
        await scorer.score(request(0), [], START)
        await scorer.record("c0", closed, at)
        with locked(tmp_path / "saring.db"):
            assert not (await scorer.record("c0", Reopen(), at)).stored
            assert (await parts.intake.find_call("c0")).state == "closed"
        while state() == "closed":
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert list(parts.intake.board.calls) == ["c0"]
        assert (await parts.intake.find_call("c0")).state == "waiting"
        await tell_all(scorer)

    asyncio.run(rush())
    assert state() == "waiting"
    assert 'saring_degraded_total{reason="refused"}' not in parts.metrics.render("")[0].decode()


def test_a_call_that_is_not_over_stays_at_hand_however_many_came_after_it(parts, monkeypatch):
    intake = parts.intake
    monkeypatch.setattr(intake.event_log, "_max_over", 1)

    async def ring() -> None:
        for number in range(3):
            await intake.score(request(number), None, [], START)
        closed = ThreadPoolExecutor()
        closed.shutdown()
        monkeypatch.setattr(intake.store, "_readers", closed)  # from here on, to read would fail
        for number in range(3):
            await intake.lifecycle.expire(f"c{number}", START)
        assert (await intake.find_call("c2")).state == "abandoned"
        with pytest.raises(RuntimeError, match="shutdown"):
            await intake.find_call("c0")

    asyncio.run(ring())


@pytest.mark.slow
def test_a_service_that_fell_behind_catches_up_while_the_same_load_goes_on(tmp_path, release_folder):
    """Most of the processor is taken from it for a while: it stands still for 80 of every 100 ms."""
    database = f"sqlite:///{tmp_path / 'saring.db'}"
    process = Process(tmp_path, "service", release_folder, database, deadline_ms=200, waiting_timeout_s=10).ready()

    def counted(name: str) -> float:
        lines = httpx.get(f"{process.url}/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(f"saring_{name}"))

    try:
        _, wrong, _ = fixed_rate(process.port, "/v1/score", 1, 200.0, 5)
        assert wrong == 0
        until_s, stolen = (
            time.monotonic() + 20.0,
            threading.Thread(target=fixed_rate, args=(process.port, "/v1/score", 2, 200.0, 40)),
        )
        stolen.start()
        while time.monotonic() < until_s:
            for how, seconds in ((signal.SIGSTOP, 0.08), (signal.SIGCONT, 0.02)):
                os.kill(process.process.pid, how)
                time.sleep(seconds)
        assert counted("degraded_total") > 500.0
        until(lambda: counted("journal_records") == 0.0, 15.0)
        time.sleep(1.0)
        before = counted("degraded_total")
        stolen.join()
        assert counted("degraded_total") == before
    finally:
        assert process.stop() == 0
