"""The store: events that are only ever added, and what they make known of each call, in one transaction.

One thread writes. It takes whatever waits, commits it together and only then tells those who wait, so that what was
acknowledged is on disk and the disk is asked once for many calls. Alone on its database: a second process is refused.
"""

import asyncio
import fcntl
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TextIO

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from model.errors import StoreError
from model.history import Event
from model.surge import MINUTE_US, WEEK_HOURS, WEEKS
from service.records import EVENT_COLUMNS, Call, Checkpoint, Said, event_of

MOST_AT_ONCE = 1_000
#: Surge looks back so far, and an hour of slack.
SURGE_US = (WEEKS * WEEK_HOURS + 1) * 60 * MINUTE_US

tables = sa.MetaData()
facts = sa.Table(
    "facts",
    tables,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
calls = sa.Table(
    "calls",
    tables,
    sa.Column("call_id", sa.Text, primary_key=True),
    sa.Column("received_at_us", sa.BigInteger, nullable=False, index=True),
    sa.Column("caller", sa.LargeBinary),
    sa.Column("line", sa.Text),
    sa.Column("centre", sa.Text),
    sa.Column("queue", sa.Text),
    sa.Column("opening_duration_s", sa.Float),
    sa.Column("opening_silence_ratio", sa.Float),
    sa.Column("answered_at_us", sa.BigInteger),
    sa.Column("ended_at_us", sa.BigInteger),
    sa.Column("ended_by", sa.Text),
    sa.Column("duration_s", sa.Float),
    sa.Column("silence_ratio", sa.Float),
    sa.Column("disposition", sa.Text),
    sa.Column("category", sa.Text),
    sa.Column("disposed_at_us", sa.BigInteger),
    sa.Column("history", sa.LargeBinary, nullable=False),
    sa.Column("surge_calls", sa.Float, nullable=False),
    sa.Column("surge_new", sa.Float, nullable=False),
    sa.Column("first_call", sa.Boolean, nullable=False),
    sa.Column("held_out", sa.Boolean, nullable=False),
    sa.Column("asked", sa.Text, nullable=False),
    sa.Column("answers", sa.Text, nullable=False),
    sa.Column("extra", sa.Text, nullable=False),
)
events = sa.Table(
    "events",
    tables,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("call_id", sa.Text, nullable=False, index=True),
    sa.Column("caller", sa.LargeBinary, index=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("received_at_us", sa.BigInteger, nullable=False),
    sa.Column("known_at_us", sa.BigInteger, nullable=False),
    sa.Column("recorded_at_us", sa.BigInteger, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("answered", sa.Boolean),
    sa.Column("duration_s", sa.Float),
    sa.Column("silence_ratio", sa.Float),
    sa.Column("genuine", sa.Float),
    sa.Column("not_genuine", sa.Float),
)
# A caller's state once the first `included` of its events were told, and those that no reading had come after.
checkpoints = sa.Table(
    "checkpoints",
    tables,
    sa.Column("caller", sa.LargeBinary, primary_key=True),
    sa.Column("included", sa.Integer, nullable=False),
    sa.Column("state", sa.LargeBinary, nullable=False),
    sa.Column("pending", sa.Text, nullable=False),
)

_insert_call = insert(calls)
_upsert_call = _insert_call.on_conflict_do_update(
    index_elements=[calls.c.call_id],
    set_={column.name: _insert_call.excluded[column.name] for column in calls.c if not column.primary_key},
)
_one_call = sa.select(calls).where(calls.c.call_id == sa.bindparam("call_id"))
_checkpoint = sa.select(checkpoints).where(checkpoints.c.caller == sa.bindparam("caller"))
_insert_checkpoint = insert(checkpoints)
_upsert_checkpoint = _insert_checkpoint.on_conflict_do_update(
    index_elements=[checkpoints.c.caller],
    set_={name: _insert_checkpoint.excluded[name] for name in ("included", "state", "pending")},
)
_events_after = (
    sa.select(*(events.c[name] for name in EVENT_COLUMNS))
    .where(events.c.caller == sa.bindparam("caller"))
    .order_by(events.c.seq)
    .limit(-1)
    .offset(sa.bindparam("included"))
)
_said = (
    sa.select(events.c.kind, events.c.known_at_us, events.c.recorded_at_us)
    .where(events.c.call_id == sa.bindparam("call_id"))
    .order_by(events.c.seq)
)

Row = dict[str, Any]
Waiting = tuple[Row, Row, Row | None, asyncio.Future[None]]  # an event, its call, perhaps a checkpoint


class Store:
    """The calls and events of one service.

    Parameters
    ----------
    url : str
        SQLAlchemy URL of a SQLite database; the file is made when there is none.

    Raises
    ------
    StoreError
        When it cannot be opened, or another process has it open.
    """

    def __init__(self, url: str) -> None:
        self._lock = _alone(url)
        try:
            self._engine = _open(url)
            tables.create_all(self._engine)
            self._reading = self._engine.connect()
        except SQLAlchemyError as error:
            raise StoreError(f"{url}: cannot be opened: {error}") from error
        self._waiting: SimpleQueue[Waiting | None] = SimpleQueue()
        self._writer = threading.Thread(target=self._write_until_closed, name="store", daemon=True)
        self._writer.start()

    async def write(self, said: Said, call: Call, checkpoint: Checkpoint | None = None) -> None:
        """Keep one event, what is now known of its call and perhaps its caller's state; returns when all are on disk.

        Raises
        ------
        StoreError
            When they are not.
        """
        done = asyncio.get_running_loop().create_future()
        self._waiting.put((said.row(), call.row(), checkpoint.row() if checkpoint else None, done))
        await done

    def call(self, call_id: str) -> Call | None:
        """Give what is known of a call; None of an unknown one."""
        row = self._read(_one_call, call_id=call_id)
        return Call.of(dict(row[0])) if row else None

    def checkpoint(self, caller: bytes) -> Checkpoint | None:
        """Give the last checkpoint of a caller's state; None when there is none."""
        row = self._read(_checkpoint, caller=caller)
        return Checkpoint.of(dict(row[0])) if row else None

    def events_after(self, caller: bytes, included: int) -> Iterator[Event | None]:
        """Give what each of a caller's events adds to its history, in the order written, but for the first ones."""
        return (event_of(*row.values()) for row in self._read(_events_after, caller=caller, included=included))

    def said(self, call_id: str) -> list[Row]:
        """Give kind, known_at_us and recorded_at_us of all that was said of a call, in the order written."""
        return [dict(row) for row in self._read(_said, call_id=call_id)]

    def minutes(self) -> list[tuple[int, int, int]]:
        """Give (minute since 1970, calls, calls of numbers never seen before) as far back as surge looks."""
        minute = (calls.c.received_at_us / MINUTE_US).cast(sa.Integer).label("minute")
        latest = sa.select(sa.func.max(calls.c.received_at_us)).scalar_subquery()
        query = (
            sa.select(minute, sa.func.count(), sa.func.sum(calls.c.first_call.cast(sa.Integer)))
            .where(calls.c.received_at_us >= latest - SURGE_US)
            .group_by(minute)
            .order_by(minute)
        )
        return [(int(row[0]), int(row[1]), int(row[2])) for row in self._reading.execute(query)]

    def fact(self, name: str, value: str) -> str:
        """Give a fact of this database, such as the version of its histories, writing it down when there is none."""
        with self._engine.begin() as connection:
            connection.execute(insert(facts).values(name=name, value=value).on_conflict_do_nothing())
            return str(connection.execute(sa.select(facts.c.value).where(facts.c.name == name)).scalar_one())

    def load(self, parts: Iterable[Sequence[tuple[list[Said], Call]]]) -> int:
        """Add whole calls at once, each part in one transaction; a call that is known already is left as it is.

        Returns
        -------
        int
            How many calls were added.
        """
        added = 0
        for part in parts:
            with self._engine.begin() as connection:
                ids = [call.call_id for _, call in part]
                known = set(connection.execute(sa.select(calls.c.call_id).where(calls.c.call_id.in_(ids))).scalars())
                fresh = [(said, call) for said, call in part if call.call_id not in known]
                if fresh:
                    connection.execute(sa.insert(calls), [call.row() for _, call in fresh])
                    connection.execute(sa.insert(events), [one.row() for said, _ in fresh for one in said])
                added += len(fresh)
        return added

    def close(self) -> None:
        """Write what still waits, and let go of the database."""
        self._waiting.put(None)
        self._writer.join()
        self._reading.close()
        self._engine.dispose()
        self._lock.close()

    def _read(self, query: sa.Select[Any], **values: object) -> Sequence[sa.RowMapping]:
        try:
            rows = self._reading.execute(query, values).mappings().all()
            self._reading.rollback()  # or the next reading would see the database of this moment
        except SQLAlchemyError as error:
            raise StoreError(f"cannot be read: {error}") from error
        return rows

    def _write_until_closed(self) -> None:
        with self._engine.connect() as connection:
            while (first := self._waiting.get()) is not None:
                batch, closing = self._gather(first)
                self._commit(connection, batch)
                if closing:
                    return

    def _gather(self, first: Waiting) -> tuple[list[Waiting], bool]:
        batch = [first]
        while len(batch) < MOST_AT_ONCE:
            try:
                following = self._waiting.get_nowait()
            except Empty:
                break
            if following is None:
                return batch, True
            batch.append(following)
        return batch, False

    @staticmethod
    def _commit(connection: Connection, batch: list[Waiting]) -> None:
        failure: StoreError | None = None
        try:
            with connection.begin():
                connection.execute(sa.insert(events), [said for said, *_ in batch])
                connection.execute(_upsert_call, [call for _, call, *_ in batch])
                checkpoints = [checkpoint for *_, checkpoint, _ in batch if checkpoint]
                if checkpoints:
                    connection.execute(_upsert_checkpoint, checkpoints)
        except SQLAlchemyError as error:
            failure = StoreError(f"did not take {len(batch)} events: {error}")
        for *_, done in batch:
            done.get_loop().call_soon_threadsafe(_tell, done, failure)


def _tell(done: asyncio.Future[None], failure: StoreError | None) -> None:
    if done.done():  # whoever waited went away
        return
    if failure is None:
        done.set_result(None)
    else:
        done.set_exception(failure)


def _open(url: str) -> Engine:
    engine = sa.create_engine(url, connect_args={"check_same_thread": False, "timeout": 5.0})

    @sa.event.listens_for(engine, "connect")
    def durable(connection: Any, _: object) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _alone(url: str) -> TextIO:
    """Hold a lock beside the database for as long as it is open."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise StoreError(f"{url}: expected the URL of a SQLite file, like sqlite:///saring.db")
    path = Path(parsed.database + ".lock")
    try:
        lock = path.open("w")
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise StoreError(f"{parsed.database}: is in use by another process; one process serves a SQLite file") from None
    return lock
