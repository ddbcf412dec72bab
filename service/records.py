"""What the service knows of one call, and one thing that was said of it: a row of the store each."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from model.history import ENDED, LABELLED, RECEIVED, Event, empty

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
Kind = Literal["received", "scored", "answered", "ended", "disposed"]


def microseconds(time: datetime) -> int:
    """Give a time as microseconds since 1970, exactly."""
    return (time - EPOCH) // _MICROSECOND


def rfc3339(time_us: int | None) -> str | None:
    """Write a time in UTC with microseconds.

    Examples
    --------
    >>> rfc3339(1_700_000_000_000_001)
    '2023-11-14T22:13:20.000001+00:00'
    """
    return None if time_us is None else (EPOCH + timedelta(microseconds=time_us)).isoformat(timespec="microseconds")


def label_change(labels: Mapping[str, int], before: str | None, after: str) -> dict[str, float]:
    """Say what a disposition adds to its caller's history, given the one that it replaces.

    Examples
    --------
    >>> label_change({"genuine": 0, "prank": 1}, "prank", "genuine")
    {'genuine': 1.0, 'not_genuine': -1.0}
    """
    was, now = labels.get(before or ""), labels.get(after)
    return {"genuine": float((now == 0) - (was == 0)), "not_genuine": float((now == 1) - (was == 1))}


@dataclass(slots=True)
class Call:
    """All that is known of one call; times are microseconds since 1970.

    Parameters
    ----------
    call_id : str
    received_at_us : int
    caller : bytes or None
        Keyed hash of the number.
    history : float64 (model.history.SIZE,)
        As read strictly before received_at, once; used at every stage.
    surge : (float, float)
        As `model.surge.Surge.read` gave it then.
    first_call : bool
        Whether the number had never been seen.
    asked, answers : dict
        The last request at each stage and what was answered.
    """

    call_id: str
    received_at_us: int
    caller: bytes | None = None
    line: str | None = None
    centre: str | None = None
    queue: str | None = None
    opening_duration_s: float | None = None
    opening_silence_ratio: float | None = None
    answered_at_us: int | None = None
    ended_at_us: int | None = None
    ended_by: str | None = None
    duration_s: float | None = None
    silence_ratio: float | None = None
    disposition: str | None = None
    category: str | None = None
    disposed_at_us: int | None = None
    history: NDArray[np.float64] = field(default_factory=empty)
    surge: tuple[float, float] = (1.0, 1.0)
    first_call: bool = False
    held_out: bool = False
    asked: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """Give the call as a row of the table `calls`."""
        row = {name: getattr(self, name) for name in _PLAIN}
        row["history"] = self.history.tobytes()
        row["surge_calls"], row["surge_new"] = self.surge
        for name in _DOCUMENTS:
            row[name] = json.dumps(getattr(self, name))
        return row

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """Read a row of the table `calls`."""
        values = {name: row[name] for name in _PLAIN}
        values |= {name: json.loads(row[name]) for name in _DOCUMENTS}
        values["history"] = np.frombuffer(row["history"], dtype=np.float64)
        values["surge"] = (row["surge_calls"], row["surge_new"])
        return cls(**values)


_DOCUMENTS = ("asked", "answers", "extra")
_PLAIN = tuple(f.name for f in fields(Call) if f.name not in {*_DOCUMENTS, "history", "surge"})


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that was said of a call: a row of the table `events`, which is only ever added to.

    Parameters
    ----------
    kind : {"received", "scored", "answered", "ended", "disposed"}
        "received" is the first score of a call.
    known_at_us, recorded_at_us : int
        When it became known, and when this service wrote it down.
    body : dict
        What was said, and what was answered.
    answered, duration_s, silence_ratio, genuine, not_genuine
        What it adds to the caller's history, as in `model.history.Event`.
    """

    call_id: str
    caller: bytes | None
    kind: Kind
    received_at_us: int
    known_at_us: int
    recorded_at_us: int
    body: dict[str, Any]
    answered: bool | None = None
    duration_s: float | None = None
    silence_ratio: float | None = None
    genuine: float | None = None
    not_genuine: float | None = None

    def row(self) -> dict[str, Any]:
        """Give it as a row of the table `events`."""
        return {name: getattr(self, name) for name in _SAID} | {"body": json.dumps(self.body)}

    def event(self) -> Event | None:
        """Give what it adds to the caller's history; None when it adds nothing."""
        return event_of(*(getattr(self, name) for name in EVENT_COLUMNS))


#: The columns of the table `events` that a history is made of.
EVENT_COLUMNS = ("kind", "known_at_us", "received_at_us", "call_id", "answered", "duration_s", "silence_ratio",
                 "genuine", "not_genuine")  # fmt: skip
_SAID = tuple(f.name for f in fields(Said) if f.name != "body")
_KINDS: dict[str, int] = {"received": RECEIVED, "ended": ENDED, "disposed": LABELLED}


def event_of(
    kind: str,
    known_at_us: int,
    received_at_us: int,
    call_id: str,
    answered: bool | None,
    duration_s: float | None,
    silence_ratio: float | None,
    genuine: float | None,
    not_genuine: float | None,
) -> Event | None:
    """Make the event of a history from the columns of a row; None when it adds nothing."""
    if kind not in _KINDS:
        return None
    return Event(
        known_at_us,
        _KINDS[kind],
        received_at_us,
        call_id,
        True if answered is None else answered,
        math.nan if duration_s is None else duration_s,
        math.nan if silence_ratio is None else silence_ratio,
        genuine or 0.0,
        not_genuine or 0.0,
    )


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A caller's state in the middle of its events: a row of the table `checkpoints`.

    Parameters
    ----------
    included : int
        How many of the caller's events are in `state` or `pending`.
    state : float64 (model.history.SIZE,)
    pending : list of Event
        Those that no reading had come after.
    """

    caller: bytes
    included: int
    state: NDArray[np.float64]
    pending: list[Event]

    def row(self) -> dict[str, Any]:
        """Give it as a row."""
        pending = json.dumps(self.pending)  # NaN is written as such and read back
        return {"caller": self.caller, "included": self.included, "state": self.state.tobytes(), "pending": pending}

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """Read a row."""
        pending = [Event(*values) for values in json.loads(row["pending"])]
        return cls(row["caller"], row["included"], np.frombuffer(row["state"], dtype=np.float64).copy(), pending)
