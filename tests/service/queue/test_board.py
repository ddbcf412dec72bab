"""The board: counts that never drift, the order of the queue, and the wait a new call would face."""

from hypothesis import given
from hypothesis import strategies as st

from model.policy.deferral import NOTHING_HELD, DeferralSettings, ExpectedWait
from service.queue import states
from service.queue.board import Board
from service.queue.operations import Operations, Staff
from service.store.records import Call

NOW_US = 1_700_000_000_000_000
STEPS = st.lists(
    st.tuples(
        st.integers(0, 6),
        st.sampled_from((states.WAITING, states.TAKEN, states.ANSWERED, states.ENDED, states.ABANDONED, states.CLOSED)),
        st.sampled_from((None, "north", "south")),
        st.floats(0.0, 300.0),
    ),
    max_size=60,
)


def board_with(operators: int | None = 2, mean_handling_s: float | None = 60.0) -> Board:
    return Board(Operations(staff={"": Staff(operators, mean_handling_s)}), DeferralSettings())


def call_of(place: int, state: str = states.WAITING, queue: str | None = None, defer_s: float = 0.0) -> Call:
    return Call(f"c{place}", NOW_US + place * 1_000_000, queue=queue, state=state, defer_s=defer_s)


@given(STEPS)
def test_the_counts_are_those_of_the_calls_whatever_happened(steps):
    board, last = board_with(), {}
    for place, state, queue, defer_s in steps:
        call = call_of(place, state, queue, defer_s)
        board.put(call)
        last[call.call_id] = call
    live = {call_id: call for call_id, call in last.items() if call.state not in states.OVER}
    assert board.calls == live
    for queue in ("", "north", "south"):
        waiting = sum(c.state in states.IN_QUEUE for c in live.values() if (c.queue or "") == queue)
        assert board.waiting_by_queue()[queue] == waiting


@given(STEPS)
def test_the_queue_is_in_the_order_of_the_keys_then_of_arrival_then_of_names(steps):
    board = board_with()
    for place, state, queue, defer_s in steps:
        board.put(call_of(place, state, queue, defer_s))
    keys = [(call.queue_key_us, call.received_at_us, call.call_id) for call in board.waiting()]
    assert keys == sorted(keys)
    assert all(call.state in states.IN_QUEUE for call in board.waiting())


@given(STEPS)
def test_a_stream_that_was_cut_off_gets_every_change_since_or_is_told_that_it_cannot(steps):
    board = board_with()
    for place, state, queue, defer_s in steps:
        board.put(call_of(place, state, queue, defer_s))
    for number in range(board.number + 1):
        changes = board.changes_since(number)
        assert changes is not None
        assert [change.number for change in changes] == list(range(number + 1, board.number + 1))
    assert board.changes_since(board.number + 1) is None


def test_a_call_that_ends_may_be_told_of_before_it_was_ever_seen():
    board = board_with()
    board.put(call_of(1, states.CLOSED))
    assert not board.calls
    assert board.number == 0


def test_the_wait_is_none_while_an_operator_is_free_and_grows_with_those_who_wait():
    board = board_with(operators=2, mean_handling_s=60.0)
    assert board.expected_wait(None) == ExpectedWait(0.0, True, "operations")
    board.put(call_of(1, states.ANSWERED))
    board.put(call_of(2, states.ANSWERED))
    assert board.expected_wait(None) == ExpectedWait(30.0, False, "operations")
    board.put(call_of(3))
    assert board.expected_wait(None) == ExpectedWait(60.0, False, "operations")
    assert board.expected_wait("north") == ExpectedWait(0.0, True, "operations")


def test_the_wait_is_not_known_without_operators_or_handling_times():
    assert board_with(operators=None).expected_wait(None) == ExpectedWait(None, False, "unknown")
    assert board_with(mean_handling_s=None).expected_wait(None) == ExpectedWait(None, False, "unknown")
    assert board_with(operators=0).expected_wait(None).wait_s == 0.0


def test_the_mean_handling_time_is_that_of_the_last_calls_once_there_are_enough():
    board = board_with(mean_handling_s=None)
    for place in range(20):
        answered = call_of(place, states.ANSWERED)
        answered.answered_at_us = NOW_US
        board.put(answered)
        assert board.mean_handling_s(None) is None
        ended = call_of(place, states.ENDED)
        ended.answered_at_us, ended.ended_at_us = NOW_US, NOW_US + 40_000_000
        board.put(ended)
    assert board.mean_handling_s(None) == 40.0


def test_the_held_wait_decays_and_an_unknown_wait_holds_nobody():
    board = board_with()
    assert board.update_held_wait(call_of(0), ExpectedWait(None, False, "unknown")) == NOTHING_HELD
    assert board.update_held_wait(call_of(0), ExpectedWait(50.0, False, "request")) == 50.0
    assert board.update_held_wait(call_of(20), ExpectedWait(10.0, False, "request")) == 40.0
    assert (
        board.update_held_wait(call_of(10), ExpectedWait(10.0, False, "request")) == 40.0
    )  # came late: nothing decays


def test_what_is_held_is_forgotten_when_other_staff_is_told_and_not_when_the_same_is_told_again():
    operations = Operations(staff={"": Staff(2, 60_000.0)})
    board = Board(operations, DeferralSettings())
    board.put(call_of(1, states.ANSWERED))
    board.put(call_of(2, states.ANSWERED))
    held = board.update_held_wait(call_of(3), board.expected_wait(None))
    assert held == 1_440.0  # what a tenth of a full deferral needs to be the largest: no more counts
    operations.staff[""] = Staff(2, 60_000.0)
    assert board.update_held_wait(call_of(3), ExpectedWait(None, False, "unknown")) == held
    operations.staff[""] = Staff(2, 60.0)
    assert board.update_held_wait(call_of(3), board.expected_wait(None)) == 30.0


def test_when_deferral_ends_every_waiting_call_moves_forward_to_its_arrival():
    board = board_with()
    board.put(call_of(1, defer_s=100.0))
    board.put(call_of(2))
    board.put(call_of(3, states.ANSWERED, defer_s=20.0))
    assert [call.call_id for call in board.waiting()] == ["c2", "c1"]
    board.cancel_deferrals()
    assert [call.call_id for call in board.waiting()] == ["c1", "c2"]
    assert board.calls["c3"].defer_s == 20.0


def test_queues_that_are_empty_and_hold_nobody_are_forgotten():
    board = board_with()
    for place in range(50):
        call = call_of(place, queue=f"queue {place}")
        board.put(call)
        board.update_held_wait(call, ExpectedWait(None, False, "unknown"))
        board.put(call_of(place, states.CLOSED, f"queue {place}"))
    assert len(board.waiting_by_queue()) == 50
    board.prune()
    assert not board.waiting_by_queue()


def test_what_was_noted_of_calls_that_were_removed_is_told_to_no_stream_again():
    board = board_with()
    board.put(call_of(1))
    board.put(call_of(2))
    seen = board.number
    board.remove(["c1"])
    assert [call.call_id for call in board.waiting()] == ["c2"]
    assert board.changes_since(seen) is None  # whoever follows is told the whole queue anew
    assert list(board.changes_since(board.number)) == []
    assert not board.changes
