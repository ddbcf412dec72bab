"""The life of a call: each cell of the table in the docs, and events told late, twice or out of order."""

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service import life
from service.problems import Conflict
from service.records import Call, microseconds

START = datetime(2026, 3, 1, tzinfo=UTC)
PAGE = Path(__file__).parents[1] / "docs" / "life-of-a-call.md"
STATES = (life.WAITING, life.TAKEN, life.ANSWERED, life.ENDED, life.ABANDONED, life.CLOSED)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def say(call: Call, said: str, seconds: float = 60.0) -> None:
    if said == "take":
        life.taken(call, "ani")
    elif said == "release":
        life.released(call, "ani")
    elif said == "answered":
        life.answered(call, at(seconds), "ani")
    elif said == "ended":
        life.ended(call, at(seconds))
    elif said == "disposition":
        life.closed(call, "ani", confirmed=True)
    elif said.startswith("reopen"):
        life.reopened(call, 10.0)
    elif said.startswith("score"):
        life.heard(call)
    elif said.startswith("no news"):
        life.left(call)
    elif said.startswith("its operator"):
        life.released(call, "ani")


def in_state(state: str) -> Call:
    call = Call("a", microseconds(START))
    for said in {
        life.WAITING: [],
        life.TAKEN: ["take"],
        life.ANSWERED: ["answered"],
        life.ENDED: ["answered", "ended"],
        life.ABANDONED: ["no news"],
        life.CLOSED: ["disposition"],
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
    if (said, state) == ("take", life.TAKEN):
        life.taken(call, "ani")
        assert call.state == life.TAKEN
        with pytest.raises(Conflict, match="another operator"):
            life.taken(call, "budi")
    elif (said, state) == ("release", life.TAKEN):
        with pytest.raises(Conflict, match="another operator"):
            life.released(call, "budi")
        say(call, said)
        assert call.state == life.WAITING
    elif cell.startswith("409"):
        with pytest.raises(Conflict):
            say(call, said)
        assert call.state == state
    else:
        say(call, said)
        assert call.state == cell.split(" (")[0]


def test_a_conversation_that_was_heard_was_answered():
    call = in_state(life.WAITING)
    call.duration_s = 12.0
    assert life.ended(call, at(20.0))
    assert call.state == life.ENDED


def test_an_answer_told_after_the_end_makes_an_abandoned_call_an_ended_one():
    call = in_state(life.WAITING)
    say(call, "ended", 40.0)
    assert call.state == life.ABANDONED
    say(call, "answered", 20.0)
    assert call.state == life.ENDED
    assert call.answered_at_us == microseconds(at(20.0))


def test_events_told_in_any_order_and_twice_lead_to_the_same_end():
    ends = set()
    for order in itertools.permutations(("answered", "ended", "disposition")):
        call = in_state(life.WAITING)
        for said in order:
            for _ in range(1 if said == "ended" else 2):
                say(call, said, {"answered": 10.0, "ended": 50.0}.get(said, 60.0))
        ends.add((call.state, call.answered_at_us, call.ended_at_us))
    assert len(ends) == 1


def test_an_answer_that_a_fast_clock_puts_before_the_arrival_counts_from_the_arrival():
    call = in_state(life.WAITING)
    say(call, "answered", -3.0)
    assert call.answered_at_us == call.received_at_us
