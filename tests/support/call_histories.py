"""A past that is told to an intake without HTTP: what was said, in which order, and the command run on what it left."""

import asyncio
import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from pydantic_core import to_json
from typer.testing import CliRunner

from model.errors import SaringError
from model.release.folder import Release
from service.cli.main import app
from service.contract.requests import Answered, Disposition, Ended, ScoreRequest
from service.intake.intake import Intake
from service.maintenance.verify import VerifyReport, labels_of, read_history_facts, verify
from service.queue.holdout import Holdout
from service.queue.operations import Operations
from service.security.pseudonyms import Pseudonyms, read_keys
from service.store.database import connect
from service.store.store import Store
from service.timestamps import microseconds

START = datetime(2026, 1, 1, tzinfo=UTC)
CHRONIC = "+6281234500000"
CALLERS = [CHRONIC, *(f"+62812345{number:05}" for number in range(1, 25)), None]


class Step(NamedTuple):
    """One thing that is said of a call, at a moment; `known_at` is earlier for what is told late."""

    at: datetime
    kind: str
    call_id: str
    caller: str | None
    said: dict[str, Any]
    known_at: datetime


def days(count: float) -> timedelta:
    return timedelta(days=count)


def told(calls: int, *, over: float = 200.0, late: float = 0.0, seed: int = 1) -> list[Step]:
    """Make up what is said of so many calls in so many days, in the order in which it is said.

    Half of the calls are of three callers. A share `late` of the dispositions is told days after it became known.
    """
    chance = random.Random(seed)
    steps: list[Step] = []
    for number in range(calls):
        call_id, caller = f"call {number:05}", chance.choice([*CALLERS, *CALLERS[:3] * 8])
        at = START + days(over * number / calls) + timedelta(seconds=chance.randrange(3_600))
        line = chance.choice(["mobile", "landline", None])
        asked = {"call_id": call_id, "received_at": at, "line": line, "x_trunk": f"trunk of {call_id}"}
        steps.append(Step(at, "score", call_id, caller, asked, at))
        if chance.random() < 0.4:
            heard = {"duration_s": 5.0 + chance.random(), "silence_ratio": chance.random()}
            later = at + timedelta(seconds=6)
            steps.append(Step(later, "score", call_id, caller, asked | heard | {"stage": "opening"}, later))
        if chance.random() < 0.7:
            answered = at + timedelta(seconds=10)
            said = {"answered_at": answered, "operator": "rina"}
            steps.append(Step(answered, "answered", call_id, caller, said, answered))
        ended = at + timedelta(seconds=20 + chance.randrange(200))
        heard = {"duration_s": float(chance.randrange(60)), "silence_ratio": chance.random()}
        heard = heard if chance.random() < 0.7 else {}
        steps.append(Step(ended, "ended", call_id, caller, {"ended_at": ended, **heard}, ended))
        for _ in range(chance.choice((1, 1, 1, 2))):
            disposed = ended + timedelta(minutes=chance.randrange(1, 3_000))
            said = {"disposition": chance.choice(["genuine", "prank", "silent", "test"]), "disposed_at": disposed}
            told_at = disposed + days(5) if chance.random() < late else disposed
            steps.append(Step(told_at, "disposed", call_id, caller, said, disposed))
    return sorted(steps, key=lambda step: step.at)


def shifted(steps: Sequence[Step], by: timedelta, name: str) -> list[Step]:
    """Make other calls of the same callers: later, and each with a name before its call_id."""

    def one(step: Step) -> Step:
        said = {key: value + by if isinstance(value, datetime) else value for key, value in step.said.items()}
        if "call_id" in said:
            said["call_id"] = f"{name} {step.call_id}"
        return Step(step.at + by, step.kind, f"{name} {step.call_id}", step.caller, said, step.known_at + by)

    return [one(step) for step in steps]


class House:
    """An intake on a SQLite file in a folder, or another database, with the keys in the folder."""

    def __init__(self, folder: Path, release: Release, database: str | None = None, **most: int) -> None:
        self.folder, self.url = folder, database or f"sqlite:///{folder / 'saring.db'}"
        self.pseudonyms = Pseudonyms(read_keys(folder / "saring.key"))
        self.store = Store(self.url)
        # Nobody pulls a plug here, and a past of thousands of commits is told in seconds.
        self.store.engine.dispose()
        if database is None:
            sa.event.listen(self.store.engine, "connect", lambda one, _: one.execute("PRAGMA synchronous=OFF"))
        self.store.ensure_fact(f"number key {self.pseudonyms.current.hex()}", "in use")
        operations = Operations()
        operations.apply_decisions(self.store.read_decisions())
        try:
            self.intake = Intake(release, self.store, operations, Holdout(bytes(32), 0.0), **most)
        except SaringError:
            self.store.close()
            raise

    def hash(self, caller: str | None) -> bytes | None:
        return None if caller is None else self.pseudonyms.hash(caller)

    def tell(self, steps: Sequence[Step], each: Callable[[Step, Any], None] = lambda _step, _answer: None) -> list[Any]:
        """Tell what was said; gives the answers."""
        return asyncio.run(self._tell(steps, each))

    async def _tell(self, steps: Sequence[Step], each: Callable[[Step, Any], None]) -> list[Any]:
        answers = []
        for step in steps:
            answers.append(await self._step(step))
            each(step, answers[-1])
        return answers

    async def _step(self, step: Step) -> Any:
        intake, said = self.intake, to_json(step.said)
        if step.kind == "score":
            asked = ScoreRequest.model_validate_json(said)
            return await intake.score(asked, self.hash(step.caller), [], step.at)
        if step.kind == "answered":
            return await intake.lifecycle.record_answer(step.call_id, Answered.model_validate_json(said), step.at)
        if step.kind == "ended":
            return await intake.lifecycle.record_end(step.call_id, Ended.model_validate_json(said), [], step.at)
        closed = Disposition.model_validate_json(said)
        return await intake.lifecycle.record_disposition(step.call_id, closed, step.at, step.known_at)

    def histories(self) -> dict[str, list[float]]:
        """Give what each call read of its caller, by call_id."""
        with self.store.engine.connect() as connection:
            found = connection.exec_driver_sql("SELECT call_id, history FROM calls").all()
        return {call_id: list(memoryview(history).cast("d")) for call_id, history in found}


@contextmanager
def house(folder: Path, release: Release, database: str | None = None, **most: int) -> Iterator[House]:
    """Open a house, and close it in the end."""
    found = House(folder, release, database, **most)
    try:
        yield found
    finally:
        found.store.close()


def request(step: Step) -> dict[str, Any]:
    """Give a call's score as it is asked over HTTP."""
    said = {name: value for name, value in step.said.items() if value is not None}
    return said | {"received_at": step.said["received_at"].isoformat(), "caller": step.caller}


def url(folder: Path) -> str:
    """Give the address of the store in a folder."""
    return f"sqlite:///{folder / 'saring.db'}"


def read(folder: Path, query: str) -> list[tuple]:
    """Read from the store by hand."""
    with sqlite3.connect(folder / "saring.db") as connection:
        return connection.execute(query).fetchall()


def proof_of(folder: Path) -> VerifyReport:
    """Verify the histories in a store, by the labels that it names itself."""
    engine = connect(url(folder))
    try:
        return verify(engine, labels_of(read_history_facts(engine)), lambda _: None)
    finally:
        engine.dispose()


def change(folder: Path, *statements: str) -> int:
    """Change the store by hand; gives how many rows."""
    with sqlite3.connect(folder / "saring.db") as connection:
        return sum(connection.execute(statement).rowcount for statement in statements)


def saring(*words: object, given: str | None = None, **environment: object) -> tuple[int, str]:
    """Run the command in this process; gives its status and all that it said."""
    settings = {f"SARING_{name.upper()}": str(value) for name, value in environment.items()}
    result = CliRunner().invoke(app, [str(word) for word in words], input=given, env=settings)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        assert isinstance(result.exception, SaringError), result.exception
        return 1, f"{result.output}{result.exception}"
    return result.exit_code, result.output


def us(time: datetime) -> int:
    return microseconds(time)
