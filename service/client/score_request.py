"""A request for a score, as an intake system describes the call."""

import json
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from model.calls.grammar import match_word, parse_number
from model.policy.arrival import arrival_us

STAGES = ("ring", "opening", "ended")
DAY_S = 86_400.0
#: Given a call_id, when the call was first asked about: by this machine's clock, and by the one that nobody sets.
FirstAsked = Callable[[str], tuple[datetime, float]]
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """A request for a score.

    Parameters
    ----------
    call_id : str
    received_at, arrived_at : datetime
        UTC; as it was given, and as far as this machine's clock bears it out (`model.policy.arrival`).
    asked_s : float
        When the call was first asked about, by the clock that nobody sets (`time.monotonic`).
    stage : str
    expected_wait_s : float or None
    body : bytes
        All that was said of the call, as JSON.
    warnings : tuple of dict
        One for each field that JSON cannot carry; it is sent as null.
    """

    call_id: str
    received_at: datetime
    arrived_at: datetime
    asked_s: float
    stage: str
    expected_wait_s: float | None
    body: bytes
    warnings: tuple[dict[str, str], ...]

    @classmethod
    def of(cls, call: Mapping[str, Any], first_asked: FirstAsked, clock_tolerance_s: float) -> Self:
        """Read a call as it was given.

        Raises
        ------
        ValueError
            Naming the field: no call_id, or a received_at that is no time with an offset.
        """
        call_id = text("call_id", call.get("call_id"))
        received_at = moment("received_at", call.get("received_at"))
        # One way of writing the time: what is asked about is then exactly what the answer is held against.
        body, unwritten = encode_json({**call, "received_at": received_at})
        heard = call.get("duration_s") is not None or call.get("silence_ratio") is not None
        stage, wait_s = call.get("stage"), _spelt(call.get("expected_wait_s"))
        stage = match_word(stage, STAGES) if isinstance(stage, str) else None
        stage = stage or ("opening" if heard else "ring")
        expected_wait_s = float(wait_s) if within(wait_s, 0.0, DAY_S) else None
        warnings = tuple({"field": name, "detail": "cannot be written as JSON; left out"} for name in unwritten)
        heard_at, asked_s = first_asked(call_id)
        heard_us, received_us = (heard_at - _EPOCH) // _MICROSECOND, (received_at - _EPOCH) // _MICROSECOND
        arrived_at = _EPOCH + arrival_us(received_us, heard_us, clock_tolerance_s) * _MICROSECOND
        return cls(call_id, received_at, arrived_at, asked_s, stage, expected_wait_s, body, warnings)


def text(field: str, value: object) -> str:
    """Return a text that is not empty.

    Raises
    ------
    ValueError
        Naming the field.
    """
    if not isinstance(value, str) or not value or not _encodes(value):
        raise ValueError(f"{field}: {value!r}, expected a text")
    return value


def moment(field: str, value: object) -> datetime:
    """Read a time with an offset, from a datetime or from RFC 3339 text, into UTC.

    Raises
    ------
    ValueError
        Naming the field.

    Examples
    --------
    >>> moment("received_at", "2023-11-15T05:13:20.000001+07:00")
    datetime.datetime(2023, 11, 14, 22, 13, 20, 1, tzinfo=datetime.timezone.utc)
    """
    wrong = f"{field}: {value!r}, expected a datetime with an offset, or RFC 3339 text like 2024-01-31T08:15:00+07:00"
    if not isinstance(value, (str, datetime)):
        raise ValueError(wrong)
    try:
        time = datetime.fromisoformat(value.upper() if isinstance(value, str) else value.isoformat())
        if time.utcoffset() is None:
            raise ValueError(wrong)
        return time.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(wrong) from error


def rfc3339(time: datetime) -> str:
    """Write an aware time in UTC with microseconds.

    Examples
    --------
    >>> rfc3339(datetime(2023, 11, 14, 22, 13, 20, 1, tzinfo=UTC))
    '2023-11-14T22:13:20.000001+00:00'
    """
    return time.astimezone(UTC).isoformat(timespec="microseconds")


def encode_json(fields: Mapping[str, Any]) -> tuple[bytes, list[str]]:
    """Write fields as one JSON object.

    Returns
    -------
    body : bytes
    unwritten : list of str
        The names of those that JSON cannot carry; null stands in their place.
    """
    members, unwritten = [], []
    for name, value in fields.items():
        try:
            member = json.dumps(value, default=_plain, allow_nan=False)
        except Exception:  # noqa: BLE001 - whatever a value does when it is written, the call is not lost over it
            member = "null"
            unwritten.append(str(name))
        members.append(f"{json.dumps(str(name))}: {member}")
    return f"{{{', '.join(members)}}}".encode("ascii"), unwritten


def within(value: object, low: float, high: float) -> bool:
    """Return whether a value is a finite number between two others, both included."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    # An int may be too large for a float; comparing it is exact.
    return low <= value <= high and (isinstance(value, int) or math.isfinite(value))


def _spelt(value: Any) -> Any:
    """Read a number that is a text, as the service does; what is none stays as it is."""
    with suppress(ValueError):
        return parse_number(value) if isinstance(value, str) else value
    return value


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return rfc3339(moment("", value))
    if hasattr(value, "__float__"):
        return float(value)
    return str(value)


def _encodes(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
