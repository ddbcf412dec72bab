"""A call projected from its events: what its row in the store has to say."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pydantic_core import from_json

from service.contract.extra_fields import joined
from service.contract.problems import Problem
from service.queue import states
from service.store.records import Call
from service.timestamps import EPOCH, microseconds

Row = Mapping[str, Any]
#: What follows from the events. The rest says what was read, shown and answered at the time.
PROJECTED_COLUMNS = (
    "received_at_us",
    "arrived_at_us",
    "caller",
    "state",
    "operator",
    "line",
    "attestation",
    "centre",
    "queue",
    "opening_duration_s",
    "opening_silence_ratio",
    "answered_at_us",
    "ended_at_us",
    "ended_by",
    "duration_s",
    "silence_ratio",
    "disposition",
    "category",
    "incident_id",
    "disposed_at_us",
    "extra",
)
#: Of a call that was imported, the events do not say these.
_IMPORTED = ("line", "attestation", "centre", "queue", "opening_duration_s", "opening_silence_ratio", "ended_by",
             "duration_s", "silence_ratio", "incident_id", "extra")  # fmt: skip


def mismatched_columns(row: Row, said: Sequence[Row]) -> list[str]:
    """Name the columns of a call's row that do not follow from all of its events, in order; none when all is well."""
    known = Call.of(row)
    try:
        told = project_call(known, said)
    except Problem as problem:
        return [f"its events, which contradict each other ({problem.detail})"]
    for call in (told, known):  # a field that was told as null is one that was not told
        call.extra = {name: value for name, value in call.extra.items() if value is not None}
    return [name for name in PROJECTED_COLUMNS if getattr(told, name) != getattr(known, name)]


def project_call(known: Call, said: Sequence[Row]) -> Call:
    """Make a call of its events.

    Raises
    ------
    Problem
        When they contradict each other.
    """
    first = said[0]
    caller = None if first["chain"][:1] == b"\0" else first["chain"]
    call, body = Call(first["call_id"], first["received_at_us"], caller), _body(first)
    if "arrived_at" in body:  # not where received_at says
        call.arrived_at_us = microseconds(datetime.fromisoformat(body["arrived_at"]))
    if body.get("imported"):
        call.state = states.ENDED
        for name in _IMPORTED:
            setattr(call, name, getattr(known, name))
    for row in said:
        _apply(call, row)
    return call


def _apply(call: Call, row: Row) -> None:
    kind, known_at, body = row["kind"], EPOCH + timedelta(microseconds=row["known_at_us"]), _body(row)
    if kind in ("received", "scored"):
        said = body.get("request") or {}
        merge_request(call, said, body.get("stage"), {name: said[name] for name in said if name.startswith("x_")})
        if "state" in body:  # it had been let go
            states.revive(call)
    elif kind == "taken":
        call.state, call.operator = states.TAKEN, body["operator"]
    elif kind == "released":
        call.state, call.operator = states.WAITING, None
    elif kind == "left":
        states.expire(call)
    elif kind == "answered":
        if not states.answer(call, known_at, body.get("operator")):
            states.revive(call)
    elif kind == "ended" and body.get("imported"):
        call.ended_at_us = microseconds(known_at)
    elif kind == "ended":
        call.duration_s, call.silence_ratio = row["duration_s"], row["silence_ratio"]
        call.ended_by = body["request"].get("ended_by")
        states.end(call, known_at)
    elif kind == "disposed":
        call.disposition, call.category = body["disposition"], body.get("category")
        call.incident_id = body.get("incident_id") or call.incident_id
        call.disposed_at_us = microseconds(known_at)
        states.close(call, None, confirmed=True)
        if "answered_at" in body:
            states.answer(call, datetime.fromisoformat(body["answered_at"]), body.get("operator"))
    elif kind == "reopened":
        call.state = states.WAITING
        call.operator = call.disposition = call.category = call.incident_id = None
        call.disposed_at_us = call.answered_at_us = None


def merge_request(
    call: Call, said: Mapping[str, Any], stage: str | None, extra: Mapping[str, Any]
) -> list[dict[str, str]]:
    """Add what a score request says to what is known of its call; what it does not say stays.

    Parameters
    ----------
    call : Call
        Changed in place.
    said : mapping
        The fields of the request.
    stage : {"ring", "opening", "ended"} or None
    extra : mapping
        Its x_ fields.

    Returns
    -------
    list of dict
        Warnings of extra fields that are beyond what is kept of a call.
    """
    for name in ("line", "attestation", "centre", "queue"):
        if said.get(name) is not None:
            setattr(call, name, said[name])
    if stage == "opening":
        call.opening_duration_s, call.opening_silence_ratio = said.get("duration_s"), said.get("silence_ratio")
    elif stage == "ended" and call.ended_at_us is None:  # the conversation so far; its end is told elsewhere
        call.duration_s, call.silence_ratio = said.get("duration_s"), said.get("silence_ratio")
    if not extra:
        return []
    call.extra, beyond = joined(call.extra, extra)
    return beyond


def label_change(labels: Mapping[str, int], before: str | None, after: str | None) -> dict[str, float]:
    """Return what a disposition adds to its caller's history, given the one that it replaces; None is none.

    Examples
    --------
    >>> label_change({"genuine": 0, "prank": 1}, "prank", "genuine")
    {'genuine': 1.0, 'not_genuine': -1.0}
    """
    was, now = labels.get(before or ""), labels.get(after or "")
    return {"genuine": float((now == 0) - (was == 0)), "not_genuine": float((now == 1) - (was == 1))}


def changed_labels(
    said: Iterable[Row], labels: Mapping[str, int], old: Mapping[str, int]
) -> dict[tuple[int, int], Row]:
    """Return the label columns of a stream's events that another mapping changes, by (writer, seq).

    Parameters
    ----------
    said : iterable of mappings
        The stream's events, in order.
    labels, old : mapping of str to {0, 1}
        The mapping to use, and the one by which the events were written. An earlier disposition that retention removed
        keeps what the old one said of it, since that is what stands in the base.
    """
    changed: dict[tuple[int, int], Row] = {}
    before: dict[str, dict[str, float]] = {}
    for row in said:
        call_id = row["call_id"]
        if row["kind"] == "received":
            before[call_id] = {"genuine": 0.0, "not_genuine": 0.0}
        if row["kind"] not in ("disposed", "reopened"):
            continue
        disposition = _body(row).get("disposition")
        if call_id not in before:
            then = label_change(old, None, disposition)
            before[call_id] = {name: then[name] - row[name] for name in then}
        now = label_change(labels, None, disposition)
        change = {name: now[name] - before[call_id][name] for name in now}
        before[call_id] = now
        if any(change[name] != row[name] for name in change):
            changed[row["writer"], row["seq"]] = change
    return changed


def _body(row: Row) -> dict[str, Any]:
    body: dict[str, Any] = from_json(row["body"])
    return body
