"""Opens a database, SQLite or PostgreSQL, whose tables are at the version that this code expects."""

import random
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from model.errors import StoreError

#: The newest file in `service/migrations/versions`; a test holds it. Alembic itself is only imported to migrate.
VERSION = "0001"
MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_S = 5.0
ATTEMPTS = 20
#: PostgreSQL and those who speak its protocol: serialisation failure, deadlock.
AGAIN = frozenset({"40001", "40P01"})


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
        _bring_up_to_date(engine)
    except SQLAlchemyError as error:
        engine.dispose()
        raise StoreError(f"{shown(url)}: cannot be opened: {cause(error)}") from error
    except StoreError:
        engine.dispose()
        raise
    return engine


def engine_of(url: str) -> Engine:
    """Make the engine of a database without looking at it."""
    try:
        parsed = sa.make_url(url)
        backend = parsed.get_backend_name()
    except SQLAlchemyError:
        backend = ""
    if backend == "sqlite" and parsed.database and parsed.database != ":memory:":
        engine = sa.create_engine(parsed, connect_args={"check_same_thread": False, "timeout": BUSY_S})
        sa.event.listen(engine, "connect", _durable)
        return engine
    if backend == "postgresql":
        # A machine that is gone is noticed within seconds; a lost connection is replaced.
        options = {"connect_timeout": 3, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 2}
        return sa.create_engine(parsed, pool_pre_ping=True, pool_size=8, connect_args=options)
    raise StoreError(f"{shown(url)}: expected sqlite:///FILE or postgresql://USER@HOST/NAME")


def shown(url: str) -> str:
    """Give a URL as it may be shown: without its password."""
    try:
        return sa.make_url(url).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return "the database URL"


def cause(error: SQLAlchemyError) -> str:
    """Say what the driver said, without the statement and its values."""
    origin = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return " ".join(str(origin).split())


def wants_another_try(error: SQLAlchemyError) -> bool:
    """Whether the same transaction may succeed when tried again: it came in the way of another one."""
    origin = getattr(error, "orig", None)
    return getattr(origin, "sqlstate", None) in AGAIN


def pause(attempt: int) -> None:
    """Wait a little before the next try, longer each time, never the same for two processes."""
    time.sleep(random.uniform(0.2, 1.0) * min(0.002 * 2**attempt, 0.25))


def _durable(connection: Any, _: object) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _bring_up_to_date(engine: Engine) -> None:
    for attempt in range(ATTEMPTS):
        with engine.connect() as connection:
            found = _version(connection)
        if found == VERSION:
            return
        if found is not None and found > VERSION:
            raise StoreError(f"its tables are of version {found}, this program knows {VERSION}: install the newer one")
        try:
            _migrate(engine)
        except SQLAlchemyError:
            if attempt == ATTEMPTS - 1:
                raise
            pause(attempt + 4)  # another process may be making the same tables


def _version(connection: Connection) -> str | None:
    """Give the version of the tables; None when there are none."""
    names = sa.inspect(connection).get_table_names()
    if "alembic_version" in names:
        return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    if names:
        raise StoreError(f"it has tables that are not Saring's, such as {names[0]}; expected an empty database")
    return None


def _migrate(engine: Engine) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
