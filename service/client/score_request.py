"""A request for a score, as an intake system describes the call."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

STAGES = ("ring", "opening", "ended")
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """A request for a score.

    Parameters
    ----------
    call_id : str
    received_at : datetime
        UTC.
    stage : str
    expected_wait_s : float or None
    body : bytes
        All that was said of the call, as JSON.
    warnings : tuple of dict
        One for each field that JSON cannot carry; it is sent as null.
    """

    call_id: str
    received_at: datetime
    stage: str
    expected_wait_s: float | None
    body: bytes
    warnings: tuple[dict[str, str], ...]

    @classmethod
    def of(cls, call: Mapping[str, Any]) -> Self:
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
        stage, wait_s = call.get("stage"), call.get("expected_wait_s")
        if stage not in STAGES:
            stage = "opening" if heard else "ring"
        expected_wait_s = None if wait_s is None or not within(wait_s, 0.0, DAY_S) else float(wait_s)
        warnings = tuple({"field": name, "detail": "cannot be written as JSON; left out"} for name in unwritten)
        return cls(call_id, received_at, str(stage), expected_wait_s, body, warnings)


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
