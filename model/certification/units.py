"""What counts once in a proof: an incident with everybody who rang about it, else a caller with all their calls."""

import hmac
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from model.arrays import Booleans, Integers
from model.calls.call_events import Events

#: A duplicate that names no incident is taken for one of the last genuine call before it, up to so long ago.
LATE_REPORT_US = 3_600 * 1_000_000


def units_of(events: Events) -> Integers:
    """Return for each call of a log what it counts with, int64 (n,): a code from 0; -1 for a call of its own.

    Calls of one caller count together, and so do genuine calls that name one incident; whoever is linked through others
    counts with them (connected components), since a caller of two incidents makes both of them one. A duplicate that
    names no incident counts with the genuine call before it.

    Notes
    -----
    Two units have neither a caller nor a named incident in common, but for those duplicates: whose they are is a guess,
    and more often wrong the more incidents there are at once. It keeps calls together where intervals are drawn; a
    certificate leaves such duplicates out (`is_repeat`).
    """
    genuine = np.flatnonzero(events.outcome == 0)
    named = genuine[events.incident[genuine] >= 0]
    repeats = is_repeat(events)[genuine]
    if not len(named) and not repeats.any():
        return events.caller
    alone = genuine[events.caller[genuine] < 0]
    unit = events.caller.copy()
    unit[alone] = events.callers + np.arange(len(alone))
    if len(named):
        first = events.callers + len(alone)
        size = first + int(events.incident.max()) + 1
        pairs = (unit[named], first + events.incident[named])
        links = sparse.coo_array((np.ones(len(named), dtype=np.int8), pairs), shape=(size, size))
        part = csgraph.connected_components(links, directed=False)[1].astype(np.int64)
        unit = np.where(unit < 0, -1, part[unit])
    place = np.arange(len(genuine))
    late = np.diff(events.received_us[genuine], prepend=0) > LATE_REPORT_US
    unit[genuine] = unit[genuine[np.maximum.accumulate(np.where(repeats & ~late, 0, place))]]
    return unit


def is_repeat(events: Events) -> Booleans:
    """Return which calls were closed as a duplicate without naming the incident, bool (n,).

    Each is about an incident that is there already, nobody knows which: no proof of its own.
    """
    return events.duplicate & (events.incident < 0)


def keyed_order(call_ids: Sequence[str], key: bytes) -> NDArray[np.uint64]:
    """Return a number for each call that nobody can choose without the key: its keyed hash; `key` is not empty."""
    if not key:
        raise ValueError("key must not be empty")
    digests = b"".join(hmac.digest(key, call_id.encode(), "sha256")[:8] for call_id in call_ids)
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64)


def one_call_per_unit(units: Integers, order: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Return the positions, rising, of one call for each unit: the one that is first by `keyed_order`.

    The choice knows neither score nor time; so it is one call at random for each unit, and the same one whenever it is
    asked again.

    Parameters
    ----------
    units
        Shape (n,), codes from 0; -1: each such call is a unit of its own.
    order
        Shape (n,).

    Examples
    --------
    >>> order = keyed_order(["a", "b", "c", "d", "e"], b"key")
    >>> one_call_per_unit(np.array([4, 4, 4, -1, -1]), order).tolist()
    [2, 3, 4]
    """
    if len(units) != len(order):
        raise ValueError(f"units and order must have one length: {len(units)} and {len(order)}")
    if len(units) and int(np.min(units)) < -1:
        raise ValueError(f"codes start at -1, not {int(np.min(units))}")
    rank = np.lexsort((order, units))
    ordered = units[rank]
    first = np.ones(len(rank), dtype=np.bool_)
    first[1:] = (ordered[1:] != ordered[:-1]) | (ordered[1:] == -1)
    return np.sort(rank[first])
