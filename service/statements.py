"""The statements that write a batch, in the words of a database's driver; made once for each number of rows.

Each says by RETURNING which rows it took, so that one that came too late does not hold up the others.
"""

from functools import cache
from typing import Any

from sqlalchemy.engine import Connection, Engine

from service.tables import calls, checkpoints, events

#: What a call is received with stays as it is; the rest changes as more is heard.
FIXED = frozenset({"call_id", "received_at_us", "caller", "history", "surge_calls", "surge_new", "first_call"})
EVENT, CALL, CHECKPOINT = (tuple(table.c.keys()) for table in (events, calls, checkpoints))
CHANGING = tuple(name for name in CALL if name not in FIXED)
#: Rows of one statement; a power of two, so that few different statements are ever made.
MOST_ROWS = 32
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
        self._events, self._calls = cache(self._events_sql), cache(self._calls_sql)
        changes = ", ".join(f"{name} = {self._mark}" for name in CHANGING)
        self._change = f"UPDATE calls SET {changes} WHERE call_id = {self._mark}"
        marks = ", ".join(self._mark for _ in CHECKPOINT)
        self._checkpoint = (
            f"INSERT INTO checkpoints ({', '.join(CHECKPOINT)}) VALUES ({marks}) ON CONFLICT (chain) DO UPDATE SET "
            "included = excluded.included, state = excluded.state, pending = excluded.pending "
            "WHERE excluded.included > checkpoints.included"
        )

    def add_events(self, connection: Connection, rows: list[Row]) -> set[int]:
        """Add events that are the next of their chains; gives the numbers (`seq`) of those."""
        return self._insert(connection, self._events, rows)

    def add_calls(self, connection: Connection, rows: list[Row]) -> set[str]:
        """Add calls that are not known; gives the call_ids of those."""
        return self._insert(connection, self._calls, rows)

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
    def _insert(connection: Connection, statement: Any, rows: list[Row]) -> set[Any]:
        taken: set[Any] = set()
        start = 0
        while start < len(rows):
            size = min(MOST_ROWS, 1 << ((len(rows) - start).bit_length() - 1))
            values = tuple(value for row in rows[start : start + size] for value in row)
            taken.update(connection.exec_driver_sql(statement(size), values).scalars())
            start += size
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
            f"WITH v ({', '.join(EVENT)}) AS (VALUES {self._rows(len(EVENT), rows)}) "
            f"INSERT INTO events ({', '.join(EVENT)}) SELECT {typed} FROM v "
            f"WHERE ({nth} = 1 AND NOT EXISTS (SELECT 1 FROM bases b WHERE b.chain = {chain})) "
            f"OR EXISTS (SELECT 1 FROM events e WHERE e.chain = {chain} AND e.nth = {nth} - 1) "
            f"OR EXISTS (SELECT 1 FROM bases b WHERE b.chain = {chain} AND b.included = {nth} - 1) "
            "ON CONFLICT DO NOTHING RETURNING seq"
        )

    def _calls_sql(self, rows: int) -> str:
        return (
            f"INSERT INTO calls ({', '.join(CALL)}) VALUES {self._rows(len(CALL), rows)} "
            "ON CONFLICT DO NOTHING RETURNING call_id"
        )
