"""Which operators are there: a call that one of them has taken is held as long as its operator is.

A stream of the queue says again and again that its operator is there, and so does a call that is taken once more.
Services on one database count for each other, in the table `presence`, the times that each operator was seen, so that
a stream at one of them holds a call that was taken at another. No clock of another machine counts: each service
measures from when it saw that count change, and begins anew when it was started, or could not look.
"""

import time
from collections.abc import Callable, Mapping, Sequence, Set

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection

from service.store.tables import presence

#: So often in the time of a lease streams renew it, services tell each other of it, and look whether it has ended.
RENEWED, TOLD, LOOKED = 4, 6, 30


class Leases:
    """The operators who are there, as one service knows it.

    Parameters
    ----------
    lasts_s : float
        How long a call is held for an operator who is gone.
    clock : callable
        Gives seconds that never go back.

    Examples
    --------
    >>> now_s = 0.0
    >>> leases = Leases(30.0, lambda: now_s)
    >>> for now_s in range(0, 41, 10):
    ...     gone = leases.gone({"rina", "budi"})
    ...     leases.renew("budi")
    >>> gone
    {'rina'}
    """

    def __init__(self, lasts_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.lasts_s, self._clock = lasts_s, clock
        #: By operator, when that one was last known to be there.
        self._seen_s: dict[str, float] = {}
        #: Who was seen here since the others were told, and the counts that they told.
        self._here: set[str] = set()
        self._counts: dict[str, int] = {}
        self._looked_s = self._told_s = clock()

    def renew(self, operator: str, *, here: bool = True) -> None:
        """Take note that an operator is there; `here` when this service saw it, and not another one."""
        self._seen_s[operator] = self._clock()
        if here:
            self._here.add(operator)

    def gone(self, holders: Set[str]) -> set[str]:
        """Give the operators, of those who hold calls, who have not been there for too long.

        Whoever is not known yet is given the whole time; and so is everybody when nobody has looked for long, since
        this service stood still or could not ask whom the others have.
        """
        now_s = self._clock()
        if now_s - self._looked_s > self.lasts_s / 2.0:
            self._seen_s.clear()
        self._looked_s = now_s
        self._seen_s = {name: self._seen_s.get(name, now_s) for name in holders}
        return {name for name, seen_s in self._seen_s.items() if now_s - seen_s > self.lasts_s}

    def to_tell(self, holders: Set[str]) -> list[str]:
        """Give whom the other services are to be told of, of those who hold calls; empty until it is time again."""
        now_s = self._clock()
        if now_s - self._told_s < self.lasts_s / TOLD:
            return []
        here, self._here, self._told_s = self._here & holders, set(), now_s
        return sorted(here)

    def heard(self, counts: Mapping[str, int]) -> None:
        """Take note of how often each operator was seen, by any service."""
        for operator, times in counts.items():
            if self._counts.get(operator) != times:
                self._counts[operator] = times
                self.renew(operator, here=False)


def exchange(connection: Connection, here: Sequence[str], holders: Set[str]) -> dict[str, int]:
    """Count once more that operators were seen here, and give the counts of those who hold calls."""
    if here:
        rows = insert(presence).values([{"operator": operator, "times": 1} for operator in here])
        more = {"times": presence.c.times + 1}
        connection.execute(rows.on_conflict_do_update(index_elements=["operator"], set_=more))
    asked = sa.select(presence.c.operator, presence.c.times).where(presence.c.operator.in_(holders))
    return {row.operator: row.times for row in connection.execute(asked)}
