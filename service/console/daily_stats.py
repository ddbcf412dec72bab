"""The last day of a centre, from its store: bands, waits beside those in order of arrival, genuine calls marked.

The waits in order of arrival are a replay of the moments that there were: each time an operator answered a call, the
one of that queue that had waited longest would have been answered instead. So it needs no guess of how many were on
duty. It takes for granted that operators would have been free at the same moments and the same callers would have hung
up; nobody can know whether they would.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from model.policy.likeness import badge_of
from service.queue.badge import LOOKS
from service.queue.states import ABANDONED, waiting_since_us
from service.store.tables import calls, decisions

DAY_US = 86_400_000_000
#: Genuine calls that were marked are told for as long as a certificate lives, the latest first.
MARKED_US, MAX_MARKED = 180 * DAY_US, 50
MAX_SWITCHES = 10
Integers = npt.NDArray[np.int64]


class One(NamedTuple):
    """What the page needs of a call."""

    centre: str | None
    queue: str | None
    received_at_us: int
    answered_at_us: int | None
    state: str
    disposition: str | None
    shown_band: str
    held_out: bool
    defer_s: float
    genuine_like: float | None = None
    arrived_at_us: int | None = None

    def since_us(self, answered_at_us: int) -> int:
        """Since when it had waited when it was answered."""
        return waiting_since_us(self.received_at_us, self.arrived_at_us, answered_at_us)


@dataclass
class Band:
    """The calls that had one state of the badge: how many, how many hung up before an answer, and how they closed."""

    state: str
    calls: int = 0
    hung_up: int = 0
    genuine: int = 0
    other: int = 0
    unlabelled: int = 0


class Wait(NamedTuple):
    """Waits of answered calls, in seconds: as they were, and in order of arrival; `group` says of which calls."""

    group: str
    calls: int
    mean_s: float
    arrival_mean_s: float
    longest_s: float
    arrival_longest_s: float


def read(connection: Connection, since_us: int) -> list[One]:
    """Read the calls that rang since a moment, also those that were closed since and came with a clock far behind."""
    columns = [calls.c[name] for name in One._fields]
    behind = sa.and_(calls.c.disposed_at_us >= since_us, calls.c.arrived_at_us >= since_us)
    rang = sa.or_(calls.c.received_at_us >= since_us, behind)
    return [One(*row) for row in connection.execute(sa.select(*columns).where(rang))]


def bands(found: Iterable[One], labels: Mapping[str, int]) -> list[Band]:
    """Count calls by the state of their badge, in the order of `LOOKS`.

    The labels say which dispositions count as genuine (0) and as not genuine (1).
    """
    counted = {state: Band(state) for state in LOOKS if state != "stale"}
    for one in found:
        band = counted[badge_of(one.shown_band, one.genuine_like, held_out=one.held_out)]
        label = labels.get(one.disposition or "")
        band.calls += 1
        band.hung_up += one.answered_at_us is None and (one.state == ABANDONED or one.disposition == "abandoned")
        band.genuine += label == 0
        band.other += label == 1
        band.unlabelled += label is None
    return list(counted.values())


def in_order_of_arrival(received_us: Integers, answered_us: Integers) -> Integers:
    """Return when each call of a queue would have been answered, first come, first served, at the same moments.

    Parameters
    ----------
    received_us, answered_us : ndarray of int64, shape (n,)
        Of calls that were answered, none before it was received; in any order.

    Examples
    --------
    The second had waited for 20 s when the third, just come, was answered before it:

    >>> in_order_of_arrival(np.array([0, 10, 28]), np.array([5, 40, 30])).tolist()
    [5, 30, 40]
    """
    moments = np.empty_like(answered_us)
    # Of the moments up to the k-th at most k calls have had theirs, and at least k have come.
    moments[np.argsort(received_us, kind="stable")] = np.sort(answered_us)
    return moments


def waits(found: Iterable[One], labels: Mapping[str, int]) -> list[Wait]:
    """Sum up the waits of answered calls, by how they were closed: "genuine", "other", "unlabelled"; none is left out.

    Calls of different centres or queues never change places.
    """
    queues: dict[tuple[str | None, str | None], list[tuple[One, int, int]]] = defaultdict(list)
    for one in found:
        if one.answered_at_us is not None:
            queues[one.centre, one.queue].append((one, one.since_us(one.answered_at_us), one.answered_at_us))
    lived: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for queue in queues.values():
        received = np.array([since_us for _, since_us, _ in queue], dtype=np.int64)
        answered = np.array([answered_us for *_, answered_us in queue], dtype=np.int64)
        other = in_order_of_arrival(received, answered) - received
        for (one, *_), wait, instead in zip(queue, (answered - received).tolist(), other.tolist(), strict=True):
            group = {0: "genuine", 1: "other"}.get(labels.get(one.disposition or "", -1), "unlabelled")
            lived[group].append((wait, instead))
    table = []
    for group in ("genuine", "other", "unlabelled"):
        if group in lived:
            both = np.array(lived[group]) / 1e6
            (mean, instead_s), (longest, longest_instead) = both.mean(axis=0), both.max(axis=0)
            table.append(Wait(group, len(both), mean, instead_s, longest, longest_instead))
    return table


def deferred(found: Iterable[One], labels: Mapping[str, int]) -> tuple[int, float]:
    """Return how many genuine calls gave way to later ones, and by how many seconds at most (0.0 when none did)."""
    seconds = [one.defer_s for one in found if one.defer_s > 0.0 and labels.get(one.disposition or "") == 0]
    return len(seconds), max(seconds, default=0.0)


def marked(connection: Connection, genuine: Sequence[str], since_us: int) -> list[dict[str, Any]]:
    """Read the genuine calls that were marked, or would have been without switch, certificate or random share.

    Those that were closed since a moment, by a disposition that counts as genuine: the latest first, one more than
    `MAX_MARKED` at most.
    """
    query = (
        sa.select(calls)
        .where(calls.c.disposed_at_us >= since_us, calls.c.disposition.in_(genuine))
        .where(sa.or_(calls.c.shown_band == "likely_prank", calls.c.silent_band == "likely_prank"))
        .order_by(calls.c.received_at_us.desc(), calls.c.call_id)
        .limit(MAX_MARKED + 1)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def put(connection: Connection) -> list[dict[str, Any]]:
    """Read the last times that the switch was put: at_us, who and body; the latest first."""
    query = (
        sa.select(decisions).where(decisions.c.kind == "switch").order_by(decisions.c.seq.desc()).limit(MAX_SWITCHES)
    )
    return [dict(row) for row in connection.execute(query).mappings()]
