"""The statements that write a batch, in the words of a database's driver; made once for each number of rows.

None takes a row that came too late. How many it took costs nothing to ask; which ones, by RETURNING, is asked when it
was not all of them: SQLite gives up Python's lock for each row that it returns, and has to wait for it each time.
"""

from collections.abc import Callable, Iterator
from functools import cache
from itertools import chain
from typing import Any

from sqlalchemy.engine import Connection, Engine

from service.store.tables import CALL, CHANGING, CHECKPOINT, EVENT, events

#: The most rows of one statement; so many different ones are made at most, and the driver keeps them prepared.
MAX_ROWS = 32
Row = tuple[Any, ...]


class Statements:
    """Writes rows on a connection.

    Parameters
    ----------
    engine : Engine
    """

    def __init__(self, engine: Engine) -> None:
        self._dialect = engine.dialect
        self._mark = "?" if engine.dialect.paramstyle == "qmark" else "%s"
        # What an event is added behind may not be removed before the event is committed:
        # `service.store.event_streams.lock`.
        self._held = "" if engine.dialect.name == "sqlite" else " FOR KEY SHARE"
        self._events, self._calls = cache(self._events_sql), cache(self._calls_sql)
        changes = ", ".join(f"{name} = {self._mark}" for name in CHANGING)
        self._change = f"UPDATE calls SET {changes} WHERE call_id = {self._mark}"
        marks = ", ".join(self._mark for _ in CHECKPOINT)
        self._checkpoint = (
            f"INSERT INTO checkpoints ({', '.join(CHECKPOINT)}) VALUES ({marks}) ON CONFLICT (chain) DO UPDATE SET "
            "included = excluded.included, state = excluded.state, pending = excluded.pending "
            "WHERE excluded.included > checkpoints.included"
        )

    def insert_batch(self, connection: Connection, said: list[Row], new: list[Row], changed: list[Row]) -> bool:
        """Add events that are the next of their chains and calls that are not known, and change calls that are.

        Parameters
        ----------
        connection : Connection
        said, new : list of tuple
            Rows of the tables `events` and `calls`.
        changed : list of tuple
            Values of CHANGING, then the call_id.

        Returns
        -------
        bool
            Whether each of them was in time; if not, some were written and some were not.
        """
        return (
            self._insert(connection, self._events, said) == len(said)
            and self._insert(connection, self._calls, new) == len(new)
            and (not changed or connection.exec_driver_sql(self._change, changed).rowcount == len(changed))
        )

    def add_events(self, connection: Connection, rows: list[Row]) -> set[int]:
        """Add events that are the next of their chains; return the numbers (`seq`) of those."""
        return self._inserted(connection, self._events, rows, "seq")

    def add_calls(self, connection: Connection, rows: list[Row]) -> set[str]:
        """Add calls that are not known; return the call_ids of those."""
        return self._inserted(connection, self._calls, rows, "call_id")

    def change_call(self, connection: Connection, row: Row) -> bool:
        """Change a call (values of CHANGING, then the call_id); False when it is not there."""
        return connection.exec_driver_sql(self._change, row).rowcount == 1

    def checkpoint(self, connection: Connection, rows: list[Row]) -> None:
        """Write checkpoints, but for those that are behind what is there."""
        if rows:
            connection.exec_driver_sql(self._checkpoint, rows)

    def remove_events(self, connection: Connection, writer: int, numbers: list[int]) -> None:
        """Take back events that were added in this transaction."""
        marks = ", ".join(self._mark for _ in numbers)
        connection.exec_driver_sql(
            f"DELETE FROM events WHERE writer = {self._mark} AND seq IN ({marks})", (writer, *numbers)
        )

    @staticmethod
    def _insert(connection: Connection, statement: Callable[[int], str], rows: list[Row]) -> int:
        return sum(
            connection.exec_driver_sql(statement(size), values).rowcount for size, values in _statements_of(rows)
        )

    @staticmethod
    def _inserted(connection: Connection, statement: Callable[[int], str], rows: list[Row], column: str) -> set[Any]:
        taken: set[Any] = set()
        for size, values in _statements_of(rows):
            taken.update(connection.exec_driver_sql(f"{statement(size)} RETURNING {column}", values).scalars())
        return taken

    def _rows(self, columns: int, rows: int) -> str:
        row = f"({', '.join([self._mark] * columns)})"
        return ", ".join([row] * rows)

    def _events_sql(self, rows: int) -> str:
        # PostgreSQL asks for the types of values that are selected.
        typed = ", ".join(f"CAST(v.{c.name} AS {c.type.compile(self._dialect)})" for c in events.c)
        nth, chain = "CAST(v.nth AS INTEGER)", f"CAST(v.chain AS {events.c.chain.type.compile(self._dialect)})"
        # The first of a caller whose earlier events retention removed is not the first.
        return (
            # INSERT comes first: Python's sqlite3 counts no rows of a statement that begins with WITH.
            f"INSERT INTO events ({', '.join(EVENT)}) "
            f"WITH v ({', '.join(EVENT)}) AS (VALUES {self._rows(len(EVENT), rows)}) SELECT {typed} FROM v "
            f"WHERE ({nth} = 1 AND NOT EXISTS (SELECT 1 FROM bases b WHERE b.chain = {chain})) "
            f"OR EXISTS (SELECT 1 FROM events e WHERE e.chain = {chain} AND e.nth = {nth} - 1{self._held}) "
            f"OR EXISTS (SELECT 1 FROM bases b WHERE b.chain = {chain} AND b.included = {nth} - 1{self._held}) "
            "ON CONFLICT DO NOTHING"
        )

    def _calls_sql(self, rows: int) -> str:
        return f"INSERT INTO calls ({', '.join(CALL)}) VALUES {self._rows(len(CALL), rows)} ON CONFLICT DO NOTHING"


def _statements_of(rows: list[Row]) -> Iterator[tuple[int, Row]]:
    """Share rows out to statements: how many rows each has, and their values one after the other."""
    for start in range(0, len(rows), MAX_ROWS):
        part = rows[start : start + MAX_ROWS]
        yield len(part), tuple(chain.from_iterable(part))
