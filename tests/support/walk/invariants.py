"""What has to hold after every step of a walk, whatever happened in it."""

import time
from collections import Counter
from datetime import datetime
from typing import Any

from model.calls.phone_numbers import Numbering, normalise_number
from service.security.pseudonyms import Pseudonyms, read_keys
from tests.support.walk.centre import ANSWERED_S, TAKEN_S, WAITING_S, Centre
from tests.support.walk.model import Model, WalkedCall
from tests.support.walk.screen import IN_QUEUE, Screen

#: What is said to one service may take so long to be known in another; calls may go for so long before they have to.
KNOWN_S, GONE_S = 2.0, 15.0
OVER = ("ended", "abandoned", "closed")
Row = dict[str, Any]


def broken(centre: Centre, model: Model, screens: list[Screen], settled_s: float) -> list[str]:
    """Give what does not hold just now; in a moment it may.

    Parameters
    ----------
    centre : Centre
    model : Model
    screens : list of Screen
    settled_s : float
        Since when nothing was stopped, by the monotonic clock: what was heard before is not held against a ghost.
    """
    read_s = time.monotonic()
    boards = [centre.queue(number) for number in range(centre.count)]
    rows = {
        row["call_id"]: row
        for row in centre.rows("SELECT call_id, state, disposition, operator, arrived_at_us, defer_s FROM calls")
    }
    found = []
    for number, board in enumerate(boards):
        if board is None:
            found.append(f"service {number} does not answer")
        else:
            found += shows_what_the_store_holds(number, board, rows)
            found += waits_where_it_should(number, board, model, rows, read_s, settled_s)
            for screen in screens:
                if screen.number == number and screen.follows:
                    found += _screen(screen, board)
    for call in model.known():
        found += is_kept(call, rows.get(call.call_id), read_s)
    return found


def shows_what_the_store_holds(number: int, board: Row, rows: dict[str, Row]) -> list[str]:
    """Compare a board with the store: the same calls, each once, in the same state and at the same place."""
    found, shown = [], board["calls"]
    times = Counter(call["call_id"] for call in shown)
    found += [f"{call_id}: {count} times on board {number}" for call_id, count in times.items() if count > 1]
    keys = [(call["queue_key"], call["arrived_at"], call["call_id"]) for call in shown]
    if keys != sorted(keys):
        found.append(f"board {number} is not in order")
    stored = {call_id: row for call_id, row in rows.items() if row["state"] in IN_QUEUE}
    found += [
        f"{call_id}: {stored[call_id]['state']} in the store, not on board {number}"
        for call_id in stored.keys() - times.keys()
    ]
    for call in shown:
        call_id, row = call["call_id"], stored.get(call["call_id"])
        if row is None:
            found.append(f"{call_id}: on board {number}, {rows.get(call_id, {}).get('state')} in the store")
            continue
        behind_s = seconds(call["queue_key"]) - row["arrived_at_us"] / 1e6
        here, there = (call["state"], call["operator"]), (row["state"], row["operator"])
        if here != there:
            found.append(f"{call_id}: {here} on board {number}, {there} in the store")
        if abs(behind_s - row["defer_s"]) > 0.002:
            found.append(
                f"{call_id}: {behind_s:.3f} s behind its arrival on board {number}, {row['defer_s']:.3f} s in the store"
            )
    return found


def waits_where_it_should(
    number: int, board: Row, model: Model, rows: dict[str, Row], read_s: float, settled_s: float
) -> list[str]:
    """Compare a board with what was acknowledged: who waits is on it, who is over or forgotten for long is not."""
    found, shown = [], {call["call_id"]: call for call in board["calls"]}
    for call in model.known():
        here, silent_s = shown.get(call.call_id), read_s - call.heard_s
        if here is None and call.waits and silent_s < WAITING_S - KNOWN_S:
            state = rows.get(call.call_id, {}).get("state")
            found.append(
                f"{call.call_id}: waits, heard of {silent_s:.1f} s ago, is not on board {number}, {state} in the store"
            )
        elif here is not None and "yes" in (call.over, call.answered, call.erased):
            found.append(f"{call.call_id}: is over or answered, and stands on board {number}")
        elif here is not None and here["state"] == "waiting" and call.born:
            if min(silent_s, read_s - settled_s) > WAITING_S + GONE_S:
                found.append(f"{call.call_id}: was not heard of for {silent_s:.1f} s, and is on board {number}")
        elif here is not None and here["state"] == "taken":
            left_s = model.left_s.get(here["operator"], read_s)
            if here["operator"] not in model.screens and min(read_s - left_s, read_s - settled_s) > TAKEN_S + GONE_S:
                found.append(
                    f"{call.call_id}: {here['operator']} left {read_s - left_s:.1f} s ago, and has it on board {number}"
                )
        if here is not None and model.switch_off_s is not None and here["defer_s"] > 0.0:
            found.append(f"{call.call_id}: deferred on board {number}, and deferral is switched off")
    return found


def is_kept(call: WalkedCall, row: Row | None, read_s: float) -> list[str]:
    """See that the store holds what was acknowledged of a call, and nothing of one that was erased."""
    if call.erased == "yes":
        return [f"{call.call_id}: erased, and in the store"] if row else []
    if not call.born or call.erased == "maybe":
        return []
    if row is None:
        return [f"{call.call_id}: acknowledged for good, and not in the store"]
    state, silent_s = row["state"], read_s - call.heard_s
    if call.over == "yes" and state not in OVER:
        return [f"{call.call_id}: told to be over, {state} in the store"]
    if row["disposition"] not in call.dispositions:
        return [f"{call.call_id}: closed as {call.dispositions}, {row['disposition']} in the store"]
    if call.over == "no" and call.answered == "yes" and state != "answered" and silent_s < ANSWERED_S - KNOWN_S:
        return [f"{call.call_id}: is talked to, was heard of {silent_s:.1f} s ago, {state} in the store"]
    return []


def note_keys(model: Model, board: Row) -> None:
    """Take note of where a board that has settled puts its calls: none beyond the sentence, none moved back."""
    for shown in board["calls"]:
        call = model.calls.get(shown["call_id"])
        if call is not None:
            model.keyed(call, seconds(shown["queue_key"]), "the board")


def left_of_the_erased(centre: Centre, model: Model, callers: list[str], region: str) -> list[str]:
    """Look for what is left of callers who were erased: calls by name, the hash by its bytes, history by a lookup."""
    keys = Pseudonyms(read_keys(centre.folder / "saring.key"))
    words, found = [], []
    for caller in callers:
        calls = [call for call in model.known() if call.caller == caller]
        words += [call.call_id.encode() for call in calls if call.erased == "yes"]
        if all(call.erased == "yes" for call in calls):  # has not rung since
            normal = normalise_number(caller, Numbering(region)) or ""
            words += [keys.hash(normal), *keys.older_hashes(normal)]
            for number in range(centre.count):
                reply = centre.ask(number, "admin", "POST", "/v1/callers/lookup", {"caller": caller})
                if reply.status == 200 and reply.said["known"]:
                    found.append(f"{caller}: erased, and service {number} has its history")
    named = {word.hex(): word.decode(errors="replace") if word.isascii() else "a hash" for word in words}
    for line in centre.traces(words):
        place, word = line.rsplit(" ", 1)
        found.append(f"{named[word]}: of an erased caller, left in {place}")
    return found


def seconds(time_text: str) -> float:
    """Give a time in seconds since 1970."""
    return datetime.fromisoformat(time_text).timestamp()


def _screen(screen: Screen, board: Row) -> list[str]:
    shown = screen.shown()
    queue = {call["call_id"]: (call["state"], call["queue_key"]) for call in board["calls"]}
    return [
        f"{call_id}: {shown.get(call_id)} on the screen of {screen.who}, {queue.get(call_id)} on board {screen.number}"
        for call_id in shown.keys() | queue.keys()
        if shown.get(call_id) != queue.get(call_id)
    ]
