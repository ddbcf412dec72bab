"""Brings a service's own log back to training: the columns of the contract, as known when each call joined the queue.

Callers are the store's pseudonyms, which change with the key of the hash; a caller who moves to a new key while the
log is written may stand in it under both.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import sqlalchemy as sa
from pydantic_core import from_json, to_json
from sqlalchemy.engine import Connection, Engine

from model.calls.columns import COLUMNS, CORRECTION_COLUMNS, Column
from model.calls.log_writer import LogWriter
from model.errors import StoreError
from service.contract.extra_fields import LAST_DIGITS
from service.security.pseudonyms import full_pseudonym
from service.store.database import transaction
from service.store.tables import calls, decisions, events

BATCH_CALLS = 2_000
ATTEMPTS = 5
#: From then on what is told of the opening is no longer what the queue went by.
_OUT_OF_QUEUE = ("answered", "ended")
_SCORED = ("received", "scored")
_KINDS = (*_SCORED, *_OUT_OF_QUEUE, "left", "disposed", "reopened")
_AS_STORED = ("call_id", "line", "attestation", "centre", "queue", "duration_s", "silence_ratio", "ended_by",
              "incident_id")  # fmt: skip
_DONE = ("held_out", "shown_band", "defer_s", "release", "genuine_like", "one_in")
#: The name of the access key by which a call was closed.
_BY = "x_disposed_by"
_TYPES = {"time": "datetime64[us, UTC]", "number": "float64", "flag": "boolean"}
_NO_ROW = {"received_at_us": -1, "call_id": ""}
Row = Mapping[str, Any]


class Exported(NamedTuple):
    """How many calls and corrections were written."""

    calls: int
    corrections: int


class _BeginAgainError(Exception):
    """What was already written no longer holds."""


def export_log(
    engine: Engine, out: Path, corrections: Path, progress: Callable[[int], None] = lambda _: None
) -> Exported:
    """Write the log of a store, batch by batch; the service may run meanwhile.

    Parameters
    ----------
    engine : Engine
    out, corrections : Path
        Where calls, with their first dispositions, and later dispositions go. Both appear whole or not at all.
    progress : callable
        Called after each batch with its number of calls.

    Raises
    ------
    StoreError
        When the store cannot be read, or callers were erased again and again while it was.
    """
    for _ in range(ATTEMPTS):
        erased, extras = _erasures(engine), _extras(engine)
        written = [0, 0]
        try:
            with LogWriter(corrections) as later, LogWriter(out) as log:
                for rows, closings in _batches(engine, extras):
                    log.write(_frame(rows, COLUMNS, extras | {_BY: "str"}))
                    later.write(_frame(closings, CORRECTION_COLUMNS, {_BY: "str"}))
                    written = [written[0] + len(rows), written[1] + len(closings)]
                    progress(len(rows))
                if _erasures(engine) != erased:  # the caller may stand in what was written before
                    raise _BeginAgainError
        except _BeginAgainError:
            progress(-written[0])
            continue
        return Exported(*written)
    raise StoreError("callers were erased while the log was written, five times over; export again later")


def count(engine: Engine) -> int:
    """Count the calls of a store."""
    with transaction(engine) as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(calls)).scalar_one())


def _batches(engine: Engine, extras: Mapping[str, str]) -> Iterator[tuple[list[Row], list[Row]]]:
    """Return the calls as rows of the log, in order of arrival, and their corrections; one empty batch without any."""
    last: Row = _NO_ROW
    while True:
        with transaction(engine) as connection:
            stored = [dict(row) for row in connection.execute(_after(last)).mappings()]
            said = _events_by_call(connection, [row["call_id"] for row in stored])
        rows, closings = [], []
        for row in stored:
            call, later = _exported(row, said.get(row["call_id"], []), extras)
            rows.append(call)
            closings += later
        if stored or last is _NO_ROW:
            yield rows, closings
        if len(stored) < BATCH_CALLS:
            return
        last = stored[-1]


def _after(last: Row) -> sa.Select[Any]:
    at, name = calls.c.received_at_us, calls.c.call_id
    behind = sa.or_(at > last["received_at_us"], name > last["call_id"])
    return sa.select(calls).where(at >= last["received_at_us"], behind).order_by(at, name).limit(BATCH_CALLS)


def _events_by_call(connection: Connection, call_ids: list[str]) -> dict[str, list[Row]]:
    """Return by call what was said of it that the log tells, in order."""
    asked = (
        sa.select(events.c.call_id, events.c.kind, events.c.known_at_us, events.c.body, events.c.told_by)
        .where(events.c.call_id.in_(call_ids), events.c.kind.in_(_KINDS))
        .order_by(events.c.call_id, events.c.nth)
    )
    rows: list[Row] = [dict(row) for row in connection.execute(asked).mappings()]
    return {call_id: list(of_call) for call_id, of_call in groupby(rows, itemgetter("call_id"))}


def _exported(row: Row, said: list[Row], extras: Mapping[str, str]) -> tuple[Row, list[Row]]:
    call: dict[str, Any] = {name: row[name] for name in _AS_STORED}
    call |= {name: row[f"{name}_us"] for name in ("received_at", "answered_at", "ended_at")}
    call["caller"] = full_pseudonym(row["caller"])
    call["opening_duration_s"], call["opening_silence_ratio"] = _opening(row, said)
    if row["release"] is not None:  # an imported call was never scored here
        call |= {name: row[name] for name in _DONE}
    closings: list[Row] = []
    for one in said:
        if one["kind"] == "disposed":
            closings.append(_closing(one))
        elif one["kind"] == "reopened":  # it was closed by mistake, for a minute at most
            closings.clear()
    call |= _own(row, extras)
    if closings:
        call |= closings[0]
    return call, [{"call_id": row["call_id"], **closing} for closing in closings[1:]]


def _opening(row: Row, said: list[Row]) -> tuple[float | None, float | None]:
    """Return the opening as known when the call left the queue: what was told later was not known to the queue."""
    found: tuple[float | None, float | None] = (None, None)
    left = False
    for one in said:
        if one["kind"] in _OUT_OF_QUEUE:
            break
        left = left or one["kind"] == "left"
        if one["kind"] not in _SCORED:
            continue
        body = from_json(one["body"])
        if body.get("imported"):
            return row["opening_duration_s"], row["opening_silence_ratio"]
        left = left and "state" not in body  # it came back
        if body.get("stage") == "opening" and not left:
            found = body["request"].get("duration_s"), body["request"].get("silence_ratio")
    return found


def _closing(said: Row) -> dict[str, Any]:
    body = from_json(said["body"])
    return {
        "disposition": body["disposition"],
        "category": body.get("category"),
        "incident_id": body.get("incident_id"),
        "disposed_at": said["known_at_us"],
        _BY: said["told_by"],
    }


def _own(row: Row, extras: Mapping[str, str]) -> dict[str, Any]:
    """Return the sender's own fields."""
    own = from_json(row["extra"])
    found = {}
    for name, value in own.items():
        kind = extras.get(name)
        if value is None or name == LAST_DIGITS:  # they are for operators alone
            continue
        if kind is None or not _fits(value, kind):
            raise _BeginAgainError  # it came while the others were written
        found[name] = value if kind != "str" or isinstance(value, str) else to_json(value).decode()
    return found


def _extras(engine: Engine) -> dict[str, str]:
    """Name the senders' own fields of all calls, each with the type that takes all its values."""
    found: dict[str, str] = {}
    with transaction(engine) as connection:
        told = sa.select(calls.c.extra).where(calls.c.extra != "{}")
        for text in connection.execute(told, execution_options={"yield_per": BATCH_CALLS}).scalars():
            for name, value in from_json(text).items():
                if value is None or name == LAST_DIGITS:
                    continue
                kind = _kind(value)
                before = found.setdefault(name, kind)
                if before != kind:
                    numbers = {before, kind} <= {"Int64", "Float64"}
                    found[name] = "Float64" if numbers else "str"
    return dict(sorted(found.items()))


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int) and abs(value) < 2**53:
        return "Int64"
    return "Float64" if isinstance(value, float) else "str"


def _fits(value: object, kind: str) -> bool:
    return kind == "str" or _kind(value) == kind or (kind == "Float64" and _kind(value) == "Int64")


def _frame(rows: list[Row], columns: tuple[Column, ...], extras: Mapping[str, str]) -> pd.DataFrame:
    data: dict[str, Any] = {}
    for column in columns:
        values = [row.get(column.name) for row in rows]
        if column.kind == "time":
            data[column.name] = pd.to_datetime(pd.array(values, dtype="Int64"), unit="us", utc=True).as_unit("us")
        else:
            data[column.name] = pd.Series(values, dtype=_TYPES.get(column.kind, "str"))
    for name, kind in extras.items():
        data[name] = pd.Series([row.get(name) for row in rows], dtype=kind)
    return pd.DataFrame(data)


def _erasures(engine: Engine) -> int:
    with transaction(engine) as connection:
        query = sa.select(sa.func.count()).select_from(decisions).where(decisions.c.kind == "erase")
        return int(connection.execute(query).scalar_one())
