import itertools
import json
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.certification.monitor import DAY_S, Monitor, eligible_calls

events = st.lists(st.tuples(st.sampled_from([0, 0, 0, 1]), st.integers(0, 15)), max_size=60).map(
    lambda pairs: sorted(pairs, key=lambda pair: pair[1])
)


def watch(pairs, alpha=0.05, delta=0.05):
    monitor = Monitor(alpha, delta)
    for x, month in pairs:
        monitor.update(x, month)
    return monitor


@given(pairs=events, alpha=st.sampled_from([0.01, 0.05, 0.2, 0.25]))
def test_e_is_the_mean_over_months_of_the_mean_over_bets_of_products(pairs, alpha):
    bets = [r for r in (1.5, 2, 3, 5) if r * alpha < 1]
    by_month = []
    for k in range(12):
        later = [x for x, month in pairs if min(month, 11) >= k]
        by_month.append(
            np.mean([np.prod([r**x * ((1 - r * alpha) / (1 - alpha)) ** (1 - x) for x in later]) for r in bets])
        )
    assert watch(pairs, alpha).e_value() == pytest.approx(np.mean(by_month), rel=1e-9)


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.19, 0.5])
def test_at_the_promised_share_e_is_expected_to_be_one(alpha):
    months = [0, 0, 1, 3, 3, 5, 11, 12]
    total = 0.0
    for xs in itertools.product((0, 1), repeat=len(months)):
        chance = np.prod([alpha if x else 1 - alpha for x in xs])
        total += chance * watch(zip(xs, months, strict=True), alpha).e_value()
    assert total == pytest.approx(1.0)


@given(pairs=events)
def test_the_state_survives_json_and_the_events_give_it_again(pairs):
    monitor = watch(pairs)
    assert Monitor(**json.loads(json.dumps(asdict(monitor)))) == monitor
    assert watch(pairs) == monitor


@given(pairs=events, cut=st.integers(0, 60))
def test_stopping_and_going_on_is_the_same_as_going_on(pairs, cut):
    monitor = Monitor(**asdict(watch(pairs[:cut])))
    for x, month in pairs[cut:]:
        monitor.update(x, month)
    assert monitor == watch(pairs)


def test_the_alarm_sounds_at_one_over_delta_and_stays():
    monitor = watch([(1, 0)] * 20)
    assert monitor.alarmed
    for _ in range(3000):
        monitor.update(0, 11)
    assert monitor.e_value() < 20
    assert monitor.alarmed


@given(pairs=events, delta=st.sampled_from([0.05, 0.3, 0.6]))
def test_an_alarm_is_an_e_that_reached_one_over_delta_at_some_event(pairs, delta):
    reached = [watch(pairs[: n + 1], delta=delta).e_value() for n in range(len(pairs))]
    assert watch(pairs, delta=delta).alarmed == any(e >= 1 / delta for e in reached)


def test_without_flagged_callers_there_is_never_an_alarm():
    monitor = watch([(0, month) for month in range(12) for _ in range(100)])
    assert monitor.e_value() < 1
    assert not monitor.alarmed


def test_bets_that_stake_too_much_are_left_out():
    assert Monitor(0.05, 0.05).bets == (1.5, 2.0, 3.0, 5.0)
    assert Monitor(0.2, 0.05).bets == (1.5, 2.0, 3.0)
    assert Monitor(0.5, 0.05).bets == (1.5,)
    with pytest.raises(ValueError, match="no bet"):
        Monitor(0.7, 0.05)


def test_e_stays_a_number_that_json_can_hold():
    monitor = Monitor(0.01, 0.05, ones=[100_000] * 12)
    assert np.isfinite(monitor.e_value())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"alpha": 0.0}, "alpha"),
        ({"delta": 1.0}, "delta"),
        ({"ones": [0] * 11}, "ones"),
        ({"zeros": [-1] + [0] * 11}, "zeros"),
    ],
)
def test_a_broken_state_is_refused_by_name(values, message):
    with pytest.raises(ValueError, match=message):
        Monitor(**{"alpha": 0.05, "delta": 0.05, **values})


def test_time_does_not_run_backwards_and_x_is_a_yes_or_no():
    monitor = watch([(0, 4)])
    with pytest.raises(ValueError, match="backwards"):
        monitor.update(0, 3)
    with pytest.raises(ValueError, match="x must be"):
        monitor.update(2, 4)


calls = st.lists(
    st.tuples(
        st.integers(0, 90),  # day of arrival
        st.one_of(st.just(float("nan")), st.integers(0, 12).map(float)),  # days until known as genuine
        st.integers(-1, 3),  # caller
    ),
    max_size=40,
)


def arrays(rows):
    received = np.array([row[0] for row in rows], dtype=float) * DAY_S
    known = received + np.array([row[1] for row in rows], dtype=float) * DAY_S
    return received, known, np.array([row[2] for row in rows], dtype=np.int64), [str(i) for i in range(len(rows))]


@given(rows=calls, now_day=st.integers(0, 120))
def test_eligible_calls_are_those_of_the_rule_read_aloud(rows, now_day):
    received, known, callers, call_ids = arrays(rows)
    genuine = [
        i
        for i, (day, wait, _) in enumerate(rows)
        if wait <= 7 and day <= now_day - 7  # NaN is not
    ]
    genuine.sort(key=lambda i: (rows[i][0], call_ids[i]))
    expected = [
        i
        for position, i in enumerate(genuine)
        if callers[i] == -1
        or not any(callers[j] == callers[i] and rows[i][0] - rows[j][0] < 30 for j in genuine[:position])
    ]
    assert eligible_calls(received, known, callers, call_ids, now_day * DAY_S).tolist() == expected


def test_exactly_thirty_days_later_a_caller_counts_again():
    rows = [(0, 1.0, 1), (30, 1.0, 1), (59, 1.0, 1)]
    assert eligible_calls(*arrays(rows), 100 * DAY_S).tolist() == [0, 1]


@given(rows=calls, days=st.tuples(st.integers(0, 120), st.integers(0, 120)))
def test_what_was_taken_yesterday_is_how_today_begins(rows, days):
    received, known, callers, call_ids = arrays(rows)
    early, late = (eligible_calls(received, known, callers, call_ids, day * DAY_S).tolist() for day in sorted(days))
    assert late[: len(early)] == early


@given(rows=calls, data=st.data())
def test_the_order_of_the_rows_does_not_matter(rows, data):
    received, known, callers, call_ids = arrays(rows)
    order = np.array(data.draw(st.permutations(range(len(rows)))), dtype=np.intp)
    taken = eligible_calls(received, known, callers, call_ids, 100 * DAY_S)
    shuffled = eligible_calls(received[order], known[order], callers[order], [call_ids[i] for i in order], 100 * DAY_S)
    assert order[shuffled].tolist() == taken.tolist()


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="one length"):
        eligible_calls(np.zeros(2), np.zeros(2), np.zeros(2, dtype=np.int64), ["a"], 0.0)


def test_the_monitor_and_the_certificate_load_without_the_training_packages():
    code = (
        "import sys, model.certification.monitor, model.certification.certificate; "
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'scipy', 'pandas', 'sklearn', 'numba'}))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
