"""What the service knows of one call, and one thing that was said of it: a row of the store each."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from operator import attrgetter
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json, to_json

from model.history.caller_history import ENDED, LABELLED, RECEIVED, Event, empty_state
from model.policy.deferral import queue_key_us
from service.store.tables import CALL, CHANGING

Kind = Literal["received", "scored", "taken", "released", "answered", "ended", "disposed", "reopened", "left"]


@dataclass(slots=True)
class Call:
    """All that is known of one call; times are microseconds since 1970.

    Parameters
    ----------
    call_id : str
    received_at_us : int
    caller : bytes or None
        Keyed hash of the number.
    history : float64 (model.history.caller_history.SIZE,)
        As read strictly before received_at, once; used at every stage.
    surge : (float, float)
        As `model.history.surge.Surge.read` gave it then.
    first_call : bool
        Whether the number had never been seen.
    held_out : bool
        Whether it belongs to the random share that is never deferred.
    shown_band, silent_band : str
        What was shown; and what it would have been without certificate, switch and random share.
    defer_s : float
        0 to max_defer_s, as last decided; it may fall and never rises.
    genuine_like, one_in : float and int, or None
        As last scored while it waited (`model.policy.likeness`).
    state, operator
        As in `service.queue.states`, and who has taken it.
    changed_at_us : int
        When something new was last said of it.
    arrived_at_us : int
        By which it is ordered (`model.policy.arrival`); by default received_at.
    heard_at_us : int
        When what is known was last said of it once more, as far as it was written down: `service.watch.silence`.
    asked, answers : dict
        The last request at each stage and its answer, as JSON; not in the row, but in the call's events.
    """

    call_id: str
    received_at_us: int
    caller: bytes | None = None
    line: str | None = None
    attestation: str | None = None
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
    incident_id: str | None = None
    disposed_at_us: int | None = None
    history: NDArray[np.float64] = field(default_factory=empty_state)
    surge: tuple[float, float] = (1.0, 1.0)
    first_call: bool = False
    held_out: bool = False
    shown_band: str = "unscored"
    silent_band: str = "unscored"
    defer_s: float = 0.0
    genuine_like: float | None = None
    one_in: int | None = None
    release: str | None = None
    state: str = "waiting"
    operator: str | None = None
    changed_at_us: int = 0
    heard_at_us: int = 0
    arrived_at_us: int = 0
    extra: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, bytes] = field(default_factory=dict)
    answers: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.arrived_at_us = self.arrived_at_us or self.received_at_us

    def answer(self, *stages: str) -> dict[str, Any] | None:
        """Return what was answered at the first of these stages that was scored; None when none of them was."""
        written = next((self.answers[stage] for stage in stages if stage in self.answers), None)
        return None if written is None else from_json(written)

    @property
    def stream(self) -> bytes:
        """The stream of its events: its caller's, or one of its own."""
        return stream_of(self.caller, self.call_id)

    @property
    def queue_key_us(self) -> int:
        """Its place in the queue."""
        return queue_key_us(self.arrived_at_us, self.defer_s)

    def copy_for_change(self, now_us: int) -> Self:
        """Return a copy to be changed; the call itself stays as the store has it."""
        other = object.__new__(type(self))
        for name in _FIELDS:
            setattr(other, name, getattr(self, name))
        other.asked, other.answers, other.extra = dict(self.asked), dict(self.answers), dict(self.extra)
        other.changed_at_us = max(now_us, self.changed_at_us)
        return other

    def row(self) -> tuple[Any, ...]:
        """Return the call as a row of the table `calls`."""
        return _row(self)

    def changing_columns(self) -> tuple[Any, ...]:
        """Return the columns of the row that may change, and the call_id."""
        return _changing(self)

    @property
    def surge_calls(self) -> float:
        """Calls now against the usual, as the row has it."""
        return self.surge[0]

    @property
    def surge_new(self) -> float:
        """New numbers now against the usual, as the row has it."""
        return self.surge[1]

    @property
    def written_history(self) -> bytes:
        """The history as the row has it."""
        return self.history.tobytes()

    @property
    def written_extra(self) -> str:
        """The extra fields as the row has them."""
        return encode_json(self.extra).decode() if self.extra else "{}"

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Read a row of the table `calls`."""
        values = {name: row[name] for name in _PLAIN}
        for name in _FLAGS:
            values[name] = bool(values[name])
        values["extra"] = from_json(row["extra"])
        values["history"] = np.frombuffer(row["history"], dtype=np.float64)
        values["surge"] = (row["surge_calls"], row["surge_new"])
        return cls(**values)


# Where a column is not a field of the same name.
_WRITTEN = {"history": "written_history", "extra": "written_extra"}
_FIELDS = tuple(f.name for f in fields(Call))
_row = attrgetter(*(_WRITTEN.get(name, name) for name in CALL))
_changing = attrgetter(*(_WRITTEN.get(name, name) for name in CHANGING), "call_id")
_NOT_PLAIN = {"asked", "answers", "extra", "history", "surge"}
_PLAIN = tuple(name for name in _FIELDS if name not in _NOT_PLAIN)
_FLAGS = ("first_call", "held_out")  # SQLite gives 0 and 1


def stream_of(caller: bytes | None, call_id: str) -> bytes:
    r"""Return the stream that a call's events belong to; a call without a number is a stream of its own.

    Examples
    --------
    >>> stream_of(None, "a"), stream_of(b"key!hash", "a")
    (b'\x00a', b'key!hash')
    """
    return b"\0" + call_id.encode() if caller is None else caller


def encode_json(document: Any) -> bytes:
    """Encode JSON as it is sent and stored; NaN and infinity become null."""
    return to_json(document, inf_nan_mode="null")


class Source(NamedTuple):
    """Where an event comes from: the name of the access key, when, by this machine's clock, and how long it was kept.

    Without `at` that is now; it is told for a log that is replayed by its own clock. `kept_s` says the sender.
    """

    name: str | None = None
    at: datetime | None = None
    kept_s: float = 0.0


NO_SOURCE = Source()


@dataclass(slots=True)
class CallEvent:
    """An event of a call: a row of the table `events`, which is append-only.

    Parameters
    ----------
    stream, version
        The stream that it belongs to, and its place there, from 1.
    kind : Kind
        "received" is the first score of a call, "reopened" takes its dispositions back, "left" is said by this service
        when nothing more was heard of it.
    known_at_us, recorded_at_us : int
        When it became known, and when this service wrote it down.
    body : bytes
        What was said, and what was answered, as JSON.
    answered, duration_s, silence_ratio, genuine, not_genuine
        What it adds to the caller's history, as in `model.history.caller_history.Event`.
    told_by : str, optional
        The name of the access key by which it was told; None when the service did it by itself.
    """

    stream: bytes
    version: int
    call_id: str
    kind: Kind
    received_at_us: int
    known_at_us: int
    recorded_at_us: int
    body: bytes
    answered: bool | None = None
    duration_s: float | None = None
    silence_ratio: float | None = None
    genuine: float | None = None
    not_genuine: float | None = None
    told_by: str | None = None

    def row(self) -> tuple[Any, ...]:
        """Return it as a row of the table `events`, but for the writer and its number there."""
        return (self.stream, self.version, self.call_id, self.kind, self.received_at_us, self.known_at_us,
                self.recorded_at_us, self.body.decode(), self.answered, self.duration_s, self.silence_ratio,
                self.genuine, self.not_genuine, self.told_by)  # fmt: skip

    def history_event(self) -> Event | None:
        """Return what it adds to the caller's history; None when it adds nothing."""
        return history_event_of(_event(self))


#: The columns of the table `events` that a history is made of.
EVENT_COLUMNS = ("kind", "known_at_us", "received_at_us", "call_id", "answered", "duration_s", "silence_ratio",
                 "genuine", "not_genuine")  # fmt: skip
_event = attrgetter(*EVENT_COLUMNS)
_KINDS: dict[str, int] = {"received": RECEIVED, "ended": ENDED, "disposed": LABELLED, "reopened": LABELLED}


def history_event_of(columns: Iterable[Any]) -> Event | None:
    """Make the event of a history from `EVENT_COLUMNS` of a row; None when it adds nothing."""
    kind, known_at_us, received_at_us, call_id, answered, duration_s, silence_ratio, genuine, not_genuine = columns
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
    """A caller's state in the middle of its events: a row of the table `checkpoints`, or of `bases`.

    Parameters
    ----------
    version : int
        How many of the stream's events are in `state` or `pending`.
    state : float64 (model.history.caller_history.SIZE,)
    pending : list of Event
        Those that no reading had come after.
    """

    stream: bytes
    version: int
    state: NDArray[np.float64]
    pending: list[Event]

    def row(self) -> tuple[bytes, int, bytes, str]:
        """Return it as a row; NaN is written as such and read back."""
        return (self.stream, self.version, self.state.tobytes(), json.dumps(self.pending))

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Read a row."""
        pending = [Event(*values) for values in json.loads(row["pending"])]
        return cls(row["chain"], row["included"], np.frombuffer(row["state"], dtype=np.float64).copy(), pending)
