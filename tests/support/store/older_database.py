"""A database as an earlier version left it."""

import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config

from service.store.database import MIGRATIONS, engine_of


def migrate(url: str, version: str) -> None:
    """Bring a database to the tables of a version, such as "0001"."""
    engine = engine_of(url)
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, version)
    engine.dispose()


def make_older(path: Path, version: str) -> None:
    """Make a SQLite file, that nobody has open, what an earlier version would hold of it."""
    newer = path.rename(path.with_name("newer.db"))
    migrate(f"sqlite:///{path}", version)
    with sqlite3.connect(path) as connection:
        connection.execute("ATTACH ? AS newer", (str(newer),))
        named = "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name <> 'alembic_version'"
        for (table,) in connection.execute(named).fetchall():
            columns = ", ".join(row[1] for row in connection.execute(f"PRAGMA main.table_info({table})"))
            connection.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM newer.{table}")
