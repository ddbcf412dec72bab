"""Loads a call log into a store's history, once per call."""

from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import pandas as pd

from model.calls.call_events import drop_missing, events_of, sort_calls
from model.calls.phone_numbers import Numbering, normalise_number
from model.errors import StoreError
from model.release.folder import Release
from model.scorecard.feature_table import FeatureTable
from service.contract.extra_fields import filter_extra_fields
from service.contract.number_masks import NumberMasks, digits_of, mask_numbers_in_json
from service.maintenance.retention import removed_before
from service.queue.projection import label_change
from service.queue.states import CLOSED, ENDED
from service.security.pseudonyms import Pseudonyms
from service.store.records import Call, CallEvent, Kind, encode_json
from service.store.store import Store
from service.timestamps import microseconds

PART = 5_000
_PLAIN = ("line", "attestation", "centre", "queue", "opening_duration_s", "opening_silence_ratio", "ended_by",
          "duration_s", "silence_ratio", "incident_id")  # fmt: skip


def import_log(
    calls: pd.DataFrame,
    corrections: pd.DataFrame | None,
    release: Release,
    store: Store,
    pseudonyms: Pseudonyms,
    progress: Callable[[int], None],
) -> int:
    """Add the calls of a log, each with its history as the log gives it; calls that are known are left as they are.

    Parameters
    ----------
    calls : pandas.DataFrame
        As `read_calls` gives it.
    corrections : pandas.DataFrame, optional
    release : Release
        For the mapping of labels, how callers are read, and the time zone.
    store : Store
    pseudonyms : Pseudonyms
    progress : callable
        Is told after each part how many calls it had.

    Returns
    -------
    int
        How many calls were added.

    Raises
    ------
    StoreError
        When calls of the log may have been known, and removed since: they would count twice.
    """
    _check_not_removed(calls, store)
    calls = sort_calls(calls)
    table = FeatureTable(calls, events_of(calls, release.labels, release.numbering, corrections), release.time_zone)
    histories, first = table.replay.histories(), table.replay.first_call()
    hashes = {number: _hash(number, release.numbering, pseudonyms) for number in calls["caller"].dropna().unique()}
    corrected, masks = _by_call(corrections), NumberMasks(pseudonyms.name, lambda: release.region)

    def parts() -> Iterator[list[tuple[list[CallEvent], Call]]]:
        for start in range(0, len(calls), PART):
            rows = calls.iloc[start : start + PART].to_dict("records")
            part = []
            for place, row in enumerate(rows, start):
                told = drop_missing(row)
                digits = digits_of(told.get("caller"))
                known = _bare(told, digits, masks)
                call = _call(known, hashes.get(row["caller"]), histories[place], table.surge[place], bool(first[place]))
                closings = [known] if "disposition" in known else []
                closings += [said | masks.masked_fields(said, digits) for said in corrected.get(told["call_id"], [])]
                closings.sort(key=lambda said: said["disposed_at"])
                part.append((list(_events_of(call, closings, release)), call))
            yield part
            progress(len(rows))

    return store.import_calls(parts())


def _check_not_removed(calls: pd.DataFrame, store: Store) -> None:
    cutoff = removed_before(store.engine)
    early = 0 if cutoff is None else int((calls["received_at"] < cutoff).sum())
    if early:
        raise StoreError(
            f"retention has removed the calls before {cutoff}, and {early:,} calls of the log are from before then: "
            "what they taught would count twice; leave them out"
        )


def _hash(number: str, numbering: Numbering, pseudonyms: Pseudonyms) -> bytes | None:
    normal = normalise_number(number, numbering)
    return None if normal is None else pseudonyms.hash(normal)


def _by_call(corrections: pd.DataFrame | None) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in corrections.to_dict("records") if corrections is not None else []:
        found.setdefault(row["call_id"], []).append(drop_missing(row))
    return found


def _bare(row: dict[str, Any], digits: str | None, masks: NumberMasks) -> dict[str, Any]:
    """Return a row of the log as it may be kept: without the caller's number (`digits`), and what may be one."""
    own, _ = filter_extra_fields({name: value for name, value in row.items() if name.startswith("x_")}, digits)
    bare = row | own | masks.masked_fields(row, digits) | {"call_id": masks.mask_call_id(row["call_id"], digits)}
    return {name: value for name, value in bare.items() if value is not None}


def _call(row: dict[str, Any], caller: bytes | None, history: np.ndarray, surge: np.ndarray, first_call: bool) -> Call:
    call = Call(
        row["call_id"],
        _us(row["received_at"]),
        caller,
        history=history,
        surge=(float(surge[0]), float(surge[1])),
        first_call=first_call,
        extra={name: value for name, value in row.items() if name.startswith("x_")},
    )
    for name in _PLAIN:
        setattr(call, name, row.get(name))
    for name in ("answered_at", "ended_at"):
        setattr(call, f"{name}_us", _us(row[name]) if name in row else None)
    # It was here before: it waits for nobody, whatever the log does not say.
    call.state = ENDED
    call.changed_at_us = call.received_at_us
    return call


def _events_of(call: Call, closings: list[dict[str, Any]], release: Release) -> Iterator[CallEvent]:
    """List what was said of a call, and put the last disposition on the call."""

    def one(kind: Kind, known_at_us: int, body: dict[str, Any] | None = None, **adds: Any) -> CallEvent:
        said = {"imported": True} | (body or {})
        received_at_us = call.received_at_us
        # Its place in the stream is the store's to give: it knows what is there already.
        return CallEvent(
            call.stream, 0, call.call_id, kind, received_at_us, known_at_us, known_at_us, encode_json(said), **adds
        )

    yield one("received", call.received_at_us)
    if call.answered_at_us is not None:
        yield one("answered", call.answered_at_us)
    if call.ended_at_us is not None:
        answered = call.answered_at_us is not None or call.duration_s is not None
        heard: dict[str, Any] = {"duration_s": call.duration_s, "silence_ratio": call.silence_ratio}
        yield one("ended", call.ended_at_us, answered=answered, **heard)
    for closing in closings:
        change = label_change(release.labels, call.disposition, closing["disposition"])
        call.disposition, call.category = closing["disposition"], mask_numbers_in_json(closing.get("category"))
        call.disposed_at_us = _us(closing["disposed_at"])
        call.state = CLOSED
        call.incident_id = closing.get("incident_id") or call.incident_id
        said = {"disposition": call.disposition, "category": call.category, "incident_id": call.incident_id}
        yield one("disposed", call.disposed_at_us, said, **change)


def _us(time: pd.Timestamp) -> int:
    return microseconds(cast("Any", time.to_pydatetime()))
