"""Opens a database, SQLite or PostgreSQL, whose tables are at the version that this code expects."""

import fcntl
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from model.errors import StoreError
from service.store.tables import tables

#: The newest file in `service/store/migrations/versions`; a test holds it. Alembic itself is only imported to migrate.
VERSION = "0010"
MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_S = 5.0
ATTEMPTS = 20
#: PostgreSQL and those who speak its protocol: serialisation failure, deadlock.
RETRYABLE = frozenset({"40001", "40P01"})
#: The same row was added at the same moment by another one, who was not there yet when this one looked.
UNIQUE_VIOLATION = "23505"
#: Another process makes the same tables; SQLite gives no such codes.
CREATED_CONCURRENTLY = RETRYABLE | {UNIQUE_VIOLATION, "42P07", None}
#: A server that has become a copy of another one takes no writes: the connection is of no use any more.
READ_ONLY = "25006"
T = TypeVar("T")
#: Where Alembic looks for the version of the tables.
_mark = sa.Table("alembic_version", sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True))


def connect(url: str) -> Engine:
    """Open a database; an empty one gets its tables, an older one is brought up to date.

    Parameters
    ----------
    url : str
        SQLAlchemy URL: `sqlite:///saring.db` or `postgresql://user@host/name`.

    Raises
    ------
    StoreError
        When it cannot be opened, is neither SQLite nor PostgreSQL, or was written by a newer version.
    """
    engine = engine_of(url)
    try:
        _make_file(engine)
        _bring_up_to_date(engine)
    except (SQLAlchemyError, OSError) as error:
        engine.dispose()
        why = driver_message(error) if isinstance(error, SQLAlchemyError) else error.strerror
        raise StoreError(f"{url_without_password(url)}: cannot be opened: {why}") from error
    except StoreError as error:
        engine.dispose()
        raise StoreError(f"{url_without_password(url)}: {error}") from error
    return engine


def engine_of(url: str) -> Engine:
    """Make the engine of a database without looking at it."""
    parsed = parsed_url(url)
    backend = parsed.drivername if parsed is not None else ""
    if (
        parsed is not None
        and backend in ("sqlite", "sqlite+pysqlite")
        and parsed.database
        and parsed.database != ":memory:"
    ):
        engine = sa.create_engine(parsed, connect_args={"check_same_thread": False, "timeout": BUSY_S})
        sa.event.listen(engine, "connect", _set_durable)
        return engine
    if parsed is not None and backend in ("postgresql", "postgresql+psycopg"):
        # A machine that is gone is noticed within seconds, also when it goes while it is being asked.
        options = {"connect_timeout": 3, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 2,
                   "tcp_user_timeout": 9_000, "application_name": "saring"}  # fmt: skip
        more = {name: value for name, value in options.items() if name not in parsed.query}
        engine = sa.create_engine(parsed, pool_size=8, connect_args=more)
        sa.event.listen(engine, "handle_error", _mark_disconnected)
        return engine
    raise StoreError(f"{url_without_password(url)}: expected sqlite:///FILE or postgresql://USER@HOST/NAME")


def parsed_url(url: str) -> sa.URL | None:
    """Read a URL; None when it is none. A host with an @ is the rest of a password; SQLite's own URIs are not taken."""
    try:
        parsed = sa.make_url(url)
    except (SQLAlchemyError, ValueError):
        return None
    return None if "@" in (parsed.host or "") or (parsed.database or "").startswith("file:") else parsed


def url_without_password(url: str) -> str:
    """Return a URL as it may be shown: without its password, also when that stands among the options."""
    parsed = parsed_url(url)
    if parsed is None:
        return "the database URL (what is special in a password is written as %40 for @, %2F for /)"
    return parsed.difference_update_query(["password"]).render_as_string(hide_password=True)


def driver_message(error: SQLAlchemyError) -> str:
    """Return the driver's own message, without the statement and its values."""
    origin = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return " ".join(str(origin).split("\nLINE ")[0].split())


def lock_sqlite_file(url: str) -> TextIO | None:
    """Hold a lock beside a SQLite file for as long as it is open; None for a database that several may share.

    Raises
    ------
    StoreError
        When another process holds it.
    """
    parsed = parsed_url(url)
    if parsed is None or parsed.get_backend_name() != "sqlite" or not parsed.database:
        return None
    # Beside the very file, by whatever name it was found.
    path = Path(os.path.realpath(parsed.database) + ".lock")
    try:
        lock = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "w")
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise StoreError(f"{parsed.database}: is in use by another process; one process serves a SQLite file") from None
    return lock


def begin_immediate(connection: Connection) -> None:
    """Lock a SQLite file against other writers until the end of the transaction, before anything is read in it."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def is_serialization_failure(error: SQLAlchemyError) -> bool:
    """Whether the same transaction may succeed when tried again: it came in the way of another one."""
    return _sqlstate(error) in RETRYABLE


def is_disconnected(error: SQLAlchemyError) -> bool:
    """Whether the connection is gone; what was not yet committed on it never will be."""
    return isinstance(error, DBAPIError) and error.connection_invalidated


@contextmanager
def transaction(engine: Engine, *, writing: bool = False) -> Iterator[Connection]:
    """Return a connection on which everything is read as of one moment.

    Raises
    ------
    StoreError
        When the database does not give or take it; nothing was written then.
    """
    try:
        with engine.connect() as connection:
            yield _begin_snapshot(connection, writing=writing)
            connection.commit()
    except SQLAlchemyError as error:
        raise StoreError(f"cannot be {'written' if writing else 'read'}: {driver_message(error)}") from error


def run_transaction(
    engine: Engine, work: Callable[[Connection], T], *, commit: bool = True, snapshot: bool = False
) -> T:
    """Run `work` on a connection, in one transaction, and again when that came in the way of another one.

    Parameters
    ----------
    engine : Engine
    work : callable
        May be called several times.
    commit : bool
        Whether it writes.
    snapshot : bool
        Whether it reads everything as of one moment, as in `transaction`. A lost connection ends it then, and so does a
        row that another one has added.

    Raises
    ------
    StoreError
    """
    for attempt in range(ATTEMPTS):
        done = False
        try:
            with engine.connect() as connection:
                found = work(_begin_snapshot(connection, writing=commit) if snapshot else connection)
                done = True
                if commit:
                    connection.commit()
                return found
        except SQLAlchemyError as error:
            # A connection of before is lost when the server was started anew; the next one is a new one.
            lost = is_disconnected(error) and attempt == 0 and not (commit and done)
            added = commit and _sqlstate(error) == UNIQUE_VIOLATION
            again = is_serialization_failure(error) or (not snapshot and (lost or added))
            if attempt + 1 == ATTEMPTS or not again:
                raise StoreError(f"cannot be {'written' if commit else 'read'}: {driver_message(error)}") from error
        back_off(attempt)
    raise AssertionError


def back_off(attempt: int) -> None:
    """Wait a little before the next try, longer each time, never the same for two processes."""
    time.sleep(random.uniform(0.2, 1.0) * min(0.002 * 2**attempt, 0.25))


def _make_file(engine: Engine) -> None:
    """Make a SQLite file that is not there, for its owner alone; what SQLite writes beside it is as readable as it."""
    if engine.dialect.name == "sqlite":
        path = os.path.realpath(engine.url.database or "")
        with suppress(FileExistsError):  # it is not even opened then: closing it would lose this process its locks
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _set_durable(connection: Any, _: object) -> None:
    # Every 250 pages a commit carries the log over to the file: a little and often, since a call waits for it. Each
    # connection has a cache of its own, and there are several that read: 8 MiB each.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON",
                   "wal_autocheckpoint=250", "cache_size=-8192"):  # fmt: skip
        connection.execute(f"PRAGMA {pragma}")


def _begin_snapshot(connection: Connection, *, writing: bool) -> Connection:
    """Begin a transaction in which everything is read as of one moment."""
    if connection.dialect.name != "sqlite":
        return connection.execution_options(isolation_level="REPEATABLE READ")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
    return connection


def _sqlstate(error: SQLAlchemyError) -> str | None:
    """Return the SQLSTATE of an error; None when there is none."""
    state: str | None = getattr(getattr(error, "orig", None), "sqlstate", None)
    return state


def _mark_disconnected(context: sa.ExceptionContext) -> None:
    """Let a connection on which nothing can be written be replaced."""
    if getattr(context.original_exception, "sqlstate", None) == READ_ONLY:
        context.is_disconnect = True


def _bring_up_to_date(engine: Engine) -> None:
    for attempt in range(ATTEMPTS):
        with engine.connect() as connection:
            found = _version(connection)
        if found == VERSION:
            return
        if found is not None and found > VERSION:
            raise StoreError(f"its tables are of version {found}, this program knows {VERSION}: install the newer one")
        try:
            if found is None:
                _make(engine)
            else:
                _migrate(engine)
        except SQLAlchemyError as error:
            if attempt == ATTEMPTS - 1 or _sqlstate(error) not in CREATED_CONCURRENTLY:
                raise
            back_off(attempt + 4)


def _version(connection: Connection) -> str | None:
    """Return the version of the tables; None when there are none."""
    names = set(sa.inspect(connection).get_table_names())
    if "alembic_version" in names and {"calls", "events", "writers"} <= names:
        return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    if names:
        strange = min(names - {"alembic_version"}, default="alembic_version")
        raise StoreError(f"it has tables that are not Saring's, such as {strange}; expected an empty database")
    return None


def _make(engine: Engine) -> None:
    """Make the tables of an empty database: those that all the migrations would make, without importing Alembic."""
    with engine.begin() as connection:
        begin_immediate(connection)
        tables.create_all(connection, checkfirst=False)
        _mark.create(connection)
        connection.execute(sa.insert(_mark).values(version_num=VERSION))


def _migrate(engine: Engine) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
