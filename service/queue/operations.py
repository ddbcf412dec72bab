"""What people decided, or the monitor in their place: the switch, the staff on duty, the protected callers.

Decisions are rows that are only added to; the latest of a kind counts. Each process reads them anew twice a second,
so that one that stops all deferral is known everywhere within a second, and after a restart.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import sqlalchemy as sa
from pydantic_core import from_json
from sqlalchemy.engine import Connection, Engine

from service.queue.states import IN_QUEUE
from service.store.database import transaction
from service.store.records import encode_json
from service.store.tables import calls, decisions, protected

DAY_US = 86_400_000_000
#: A database of before may hold a year of them.
MAX_THINNED = 1_000


class Switch(NamedTuple):
    """Whether calls may be deferred and flagged at all, and who said so, when and why."""

    on: bool = True
    who: str = ""
    reason: str = ""
    at_us: int = 0


class Staff(NamedTuple):
    """Operators on duty at a queue, and the mean time for which they handle a call; None when not known."""

    operators: int | None = None
    mean_handling_s: float | None = None


UNKNOWN_STAFF = Staff()


@dataclass
class Operations:
    """The decisions that hold now.

    Parameters
    ----------
    switch : Switch
    staff : dict of str to Staff
        By queue; "" stands for every queue that is not named.
    protected : dict of bytes to int
        When the protection of a caller ends, in microseconds, by stream.
    releases : dict of str to int
        When each release was first served, in microseconds, by the fingerprint of its certificate.
    removed_before_us : int
        Before this moment calls were removed by retention, in microseconds since 1970; 0 when none ever were.
    erased : int
        How many erasures and retentions there were: caches of callers are evicted at each.
    signed_out : set of str
        Sessions at the console that were ended before their time.
    last : int
        The number of the last decision that was read.
    """

    switch: Switch = field(default_factory=Switch)
    staff: dict[str, Staff] = field(default_factory=dict)
    protected: dict[bytes, int] = field(default_factory=dict)
    releases: dict[str, int] = field(default_factory=dict)
    removed_before_us: int = 0
    erased: int = 0
    signed_out: set[str] = field(default_factory=set)
    last: int = 0

    def apply_decisions(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take in decisions, oldest first; `body` is a dict."""
        for row in rows:
            body, kind = row["body"], row["kind"]
            self.last = max(self.last, row["seq"])
            if kind == "switch":
                self.switch = Switch(body["on"], row["who"], body["reason"], row["at_us"])
            elif kind == "staff":
                self.staff[body["queue"] or ""] = Staff(body["operators"], body["mean_handling_s"])
            elif kind == "release":
                self.releases.setdefault(body["fingerprint"], row["at_us"])
            elif kind in ("erase", "retention"):
                self.erased += 1
            elif kind == "sign-out":
                self.signed_out.add(body["session"])

    def staff_of(self, queue: str | None) -> Staff:
        """Return the staff of a queue: its own, or that of every queue that is not named."""
        return self.staff.get(queue or "") or self.staff.get("") or UNKNOWN_STAFF

    def is_protected(self, hashes: Iterable[bytes], now_us: int) -> bool:
        """Return whether a caller, under any of its number's hashes, is on the protected list."""
        return any(self.protected.get(stream, 0) > now_us for stream in hashes)


def record_decision(connection: Connection, who: str, kind: str, body: Mapping[str, Any], now_us: int) -> None:
    """Record a decision. One about the switch also cancels the deferral of the waiting calls.

    An intake system may say every minute who is on duty: what a day ago was said of a queue, and said anew since, goes.
    """
    connection.execute(
        sa.insert(decisions).values(at_us=now_us, who=who, kind=kind, body=encode_json(dict(body)).decode())
    )
    if kind == "staff":  # only now: numbers go on from the last one there is
        _thin(connection, body["queue"], now_us)
    if kind == "switch":  # also when it is put on again: a process may not have read yet that it was off
        take_back(connection)


def take_back(connection: Connection) -> None:
    """Cancel the deferral of the waiting calls, so that a restart puts nobody back."""
    connection.execute(sa.update(calls).where(calls.c.state.in_(IN_QUEUE), calls.c.defer_s > 0.0).values(defer_s=0.0))


def _thin(connection: Connection, queue: str | None, now_us: int) -> None:
    """Remove what was said of a queue's staff more than a day ago, but for the last thing that was said of it."""
    said = sa.select(decisions.c.seq, decisions.c.body).where(decisions.c.kind == "staff")
    old = said.where(decisions.c.at_us < now_us - DAY_US).order_by(decisions.c.seq).limit(MAX_THINNED)
    gone = [row.seq for row in connection.execute(old) if from_json(row.body)["queue"] == queue]
    connection.execute(sa.delete(decisions).where(decisions.c.seq.in_(gone)))


def read_operations(engine: Engine) -> Operations:
    """Read all decisions, and return what holds now.

    Raises
    ------
    StoreError
    """
    with transaction(engine) as connection:
        rows = connection.execute(sa.select(decisions).order_by(decisions.c.seq)).mappings()
        operations = Operations(protected=read_protected(connection))
        operations.apply_decisions({**row, "body": from_json(row["body"])} for row in rows)
    return operations


def read_protected(connection: Connection) -> dict[bytes, int]:
    """Read the protected list."""
    return {row.chain: row.expires_at_us for row in connection.execute(sa.select(protected))}
