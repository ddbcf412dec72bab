"""A service that does not answer is left alone for a while, then asked by one call at a time."""

from hypothesis import given
from hypothesis import strategies as st

from service.client.transport.circuit_breaker import MIN_SHARE, CircuitBreaker

FAILURES, OPEN_S, LONGEST_S = 3, 2.0, 30.0
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.floats(0.0, 40.0)),
        st.tuples(st.just("ask"), st.just(0)),
        st.tuples(st.sampled_from(["succeed", "fail"]), st.integers(0, 5)),
    ),
    max_size=80,
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def breaker_at(clock, share=0.0):
    return CircuitBreaker(clock, lambda: share, failures=FAILURES, open_s=OPEN_S, longest_s=LONGEST_S)


def opened(clock, share=0.0):
    breaker = breaker_at(clock, share)
    for _ in range(FAILURES - 1):
        assert breaker.failed(breaker.admit()) is None
    return breaker, breaker.failed(breaker.admit())


@given(STEPS, st.floats(0.0, 1.0, exclude_max=True))
def test_nothing_is_asked_while_it_is_open_and_then_one_probe_at_a_time(steps, share):
    clock = Clock()
    breaker = breaker_at(clock, share)
    shut_until, probe, under_way = None, None, []
    for what, value in steps:
        if what == "wait":
            clock.now += value
        elif what == "ask":
            ticket = breaker.admit()
            if shut_until is not None and clock.now < shut_until:
                assert ticket is None
                continue
            assert ticket is not None
            under_way.append(ticket)
            if shut_until is not None:
                probe, shut_until = ticket, clock.now + OPEN_S
        elif under_way:
            ticket = under_way.pop(value % len(under_way))
            if what == "fail":
                open_s = breaker.failed(ticket)
                if open_s is not None:
                    assert MIN_SHARE * OPEN_S <= open_s <= LONGEST_S
                    probe, shut_until = None, clock.now + open_s
            else:
                breaker.succeeded(ticket)
                if ticket == probe:
                    shut_until = None


@given(st.lists(st.booleans(), max_size=60))
def test_it_opens_after_so_many_failures_in_a_row_and_never_before(answers):
    breaker, in_a_row = breaker_at(Clock()), 0
    for answered in answers:
        ticket = breaker.admit()
        if answered:
            breaker.succeeded(ticket)
            in_a_row = 0
        else:
            in_a_row += 1
            assert (breaker.failed(ticket) is not None) == (in_a_row == FAILURES)
        assert (breaker.admit() is None) == (in_a_row == FAILURES)
        if in_a_row == FAILURES:
            return


def test_it_stays_open_twice_as_long_after_each_failed_probe_up_to_the_longest():
    clock = Clock()
    breaker, open_s = opened(clock)
    spans = [open_s]
    for _ in range(6):
        clock.now += spans[-1]
        spans.append(breaker.failed(breaker.admit()))
    assert spans == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    clock.now += 30.0
    breaker.succeeded(breaker.admit())
    for _ in range(FAILURES - 1):
        breaker.failed(breaker.admit())
    assert breaker.failed(breaker.admit()) == 2.0


def test_calls_that_were_under_way_when_it_opened_neither_prolong_nor_end_it():
    clock = Clock()
    breaker = breaker_at(clock)
    under_way = [breaker.admit() for _ in range(20)]
    assert [ticket for ticket in under_way if breaker.failed(ticket)] == [0]
    breaker.succeeded(under_way[-1])
    assert breaker.admit() is None
    clock.now = 2.0
    assert breaker.admit() is not None


def test_a_probe_of_which_nothing_is_heard_is_followed_by_another():
    clock = Clock()
    breaker, _ = opened(clock)
    clock.now = 2.0
    lost = breaker.admit()
    assert breaker.admit() is None
    clock.now = 4.0
    probe = breaker.admit()
    breaker.succeeded(lost)
    assert breaker.admit() is None
    breaker.succeeded(probe)
    assert breaker.admit() is not None
