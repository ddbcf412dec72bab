"""Leases of operators: a call that an operator has taken is held as long as the operator is connected.

An operator's queue stream renews the lease, and so does taking a call once more. Services on one database share, in
the table `presence`, a count of the times that each operator was seen, so that a stream at one of them holds a call
that was taken at another. No clock of another machine counts: each service measures from when it saw that count
change, and starts over when it was restarted, or could not read the counts.
"""

import time
from collections.abc import Callable, Mapping, Sequence, Set

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection

from service.store.tables import presence

#: How often per lease streams renew it, services publish it to each other, and check whether it has expired.
RENEWALS_PER_LEASE, PUBLICATIONS_PER_LEASE, CHECKS_PER_LEASE = 4, 6, 30


class OperatorLeases:
    """Leases of the connected operators, as one service knows them; a call is held so long for one who is gone.

    Examples
    --------
    >>> now_s = 0.0
    >>> leases = OperatorLeases(30.0, lambda: now_s)
    >>> for now_s in range(0, 41, 10):
    ...     gone = leases.expired({"rina", "budi"})
    ...     leases.renew("budi")
    >>> gone
    {'rina'}
    """

    def __init__(self, duration_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.duration_s, self._clock = duration_s, clock
        #: By operator, when it was last seen.
        self._seen_s: dict[str, float] = {}
        #: Who was seen here since the last publication, and the counts that others published.
        self._unpublished: set[str] = set()
        self._counts: dict[str, int] = {}
        self._checked_s = self._published_s = clock()

    def renew(self, operator: str, *, local: bool = True) -> None:
        """Renew an operator's lease; `local` when this service saw the operator, and not another one."""
        self._seen_s[operator] = self._clock()
        if local:
            self._unpublished.add(operator)

    def expired(self, holders: Set[str]) -> set[str]:
        """Return the operators, of those who hold calls, whose lease has expired.

        A new operator gets a whole lease; and so does everybody when the last check is long ago, since this service
        stood still or could not ask what the others have seen.
        """
        now_s = self._clock()
        if now_s - self._checked_s > self.duration_s / 2.0:
            self._seen_s.clear()
        self._checked_s = now_s
        self._seen_s = {name: self._seen_s.get(name, now_s) for name in holders}
        return {name for name, seen_s in self._seen_s.items() if now_s - seen_s > self.duration_s}

    def take_unpublished(self, holders: Set[str]) -> list[str]:
        """Return the operators to publish to other services, of those who hold calls; empty until it is time again."""
        now_s = self._clock()
        if now_s - self._published_s < self.duration_s / PUBLICATIONS_PER_LEASE:
            return []
        here, self._unpublished, self._published_s = self._unpublished & holders, set(), now_s
        return sorted(here)

    def merge_counts(self, counts: Mapping[str, int]) -> None:
        """Renew the leases of operators whose count of sightings, by any service, has changed."""
        for operator, times in counts.items():
            if self._counts.get(operator) != times:
                self._counts[operator] = times
                self.renew(operator, local=False)


def exchange_presence(connection: Connection, here: Sequence[str], holders: Set[str]) -> dict[str, int]:
    """Count the operators seen here once more, and return the counts of those who hold calls."""
    if here:
        rows = insert(presence).values([{"operator": operator, "times": 1} for operator in here])
        more = {"times": presence.c.times + 1}
        connection.execute(rows.on_conflict_do_update(index_elements=["operator"], set_=more))
    asked = sa.select(presence.c.operator, presence.c.times).where(presence.c.operator.in_(holders))
    return {row.operator: row.times for row in connection.execute(asked)}
