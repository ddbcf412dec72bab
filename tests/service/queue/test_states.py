"""The life of a call: each cell of the table in the docs, and events told late, twice or out of order."""

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.contract.problems import Conflict
from service.queue import states
from service.store.records import Call
from service.timestamps import microseconds

START = datetime(2026, 3, 1, tzinfo=UTC)
PAGE = Path(__file__).parents[3] / "docs" / "life-of-a-call.md"
STATES = (states.WAITING, states.TAKEN, states.ANSWERED, states.ENDED, states.ABANDONED, states.CLOSED)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def say(call: Call, said: str, seconds: float = 60.0) -> None:
    if said == "take":
        states.take(call, "ani")
    elif said == "release":
        states.release(call, "ani")
    elif said == "answered":
        states.answer(call, at(seconds), "ani")
    elif said == "ended":
        states.end(call, at(seconds))
    elif said == "disposition":
        states.close(call, "ani", confirmed=True)
    elif said.startswith("reopen"):
        states.reopen(call, 10.0)
    elif said.startswith("score"):
        states.revive(call)
    elif said.startswith("no news"):
        states.expire(call)
    elif said.startswith("its operator"):
        states.release(call, "ani")


def in_state(state: str) -> Call:
    call = Call("a", microseconds(START))
    for said in {
        states.WAITING: [],
        states.TAKEN: ["take"],
        states.ANSWERED: ["answered"],
        states.ENDED: ["answered", "ended"],
        states.ABANDONED: ["no news"],
        states.CLOSED: ["disposition"],
    }[state]:
        say(call, said, 30.0)
    assert call.state == state
    return call


def table() -> list[tuple[str, str, str]]:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    head = [cell.strip() for cell in lines[0].split("|")[1:-1]]
    assert tuple(head[1:]) == STATES
    cells = []
    for line in lines[2:]:
        said, *after = (cell.strip() for cell in line.split("|")[1:-1])
        cells += [(said, state, cell) for state, cell in zip(STATES, after, strict=True) if cell]
    return cells


@pytest.mark.parametrize(("said", "state", "cell"), table())
def test_each_cell_of_the_table_in_the_docs_is_what_happens(said, state, cell):
    call = in_state(state)
    if (said, state) == ("take", states.TAKEN):
        states.take(call, "ani")
        assert call.state == states.TAKEN
        with pytest.raises(Conflict, match="another operator"):
            states.take(call, "budi")
    elif (said, state) == ("release", states.TAKEN):
        with pytest.raises(Conflict, match="another operator"):
            states.release(call, "budi")
        say(call, said)
        assert call.state == states.WAITING
    elif cell.startswith("409"):
        with pytest.raises(Conflict):
            say(call, said)
        assert call.state == state
    else:
        say(call, said)
        assert call.state == cell.split(" (")[0]


def test_a_conversation_that_was_heard_was_answered():
    call = in_state(states.WAITING)
    call.duration_s = 12.0
    assert states.end(call, at(20.0))
    assert call.state == states.ENDED


def test_an_answer_told_after_the_end_makes_an_abandoned_call_an_ended_one():
    call = in_state(states.WAITING)
    say(call, "ended", 40.0)
    assert call.state == states.ABANDONED
    say(call, "answered", 20.0)
    assert call.state == states.ENDED
    assert call.answered_at_us == microseconds(at(20.0))


def test_events_told_in_any_order_and_twice_lead_to_the_same_end():
    ends = set()
    for order in itertools.permutations(("answered", "ended", "disposition")):
        call = in_state(states.WAITING)
        for said in order:
            for _ in range(1 if said == "ended" else 2):
                say(call, said, {"answered": 10.0, "ended": 50.0}.get(said, 60.0))
        ends.add((call.state, call.answered_at_us, call.ended_at_us))
    assert len(ends) == 1


def test_an_answer_that_a_fast_clock_puts_before_the_arrival_counts_from_the_arrival():
    call = in_state(states.WAITING)
    say(call, "answered", -3.0)
    assert call.answered_at_us == call.received_at_us
