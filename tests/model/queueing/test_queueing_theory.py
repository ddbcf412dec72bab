"""Waits of a replayed queue against Ciw and the formulas of Erlang and Cobham."""

import math

import ciw
import numpy as np
import pytest

from model.queueing.queue_replay import handling_for_load, keys_after, replay, summarise_waits


def whole_microseconds(seconds):
    return np.rint(seconds * 1e6) / 1e6


def ciw_starts(received_s, handling_s, operators, classes):
    """Arrival, class and start of service of each call in Ciw, fed with the very same times."""
    names = sorted(set(classes))
    arrivals, services = {}, {}
    for name in names:
        mine = classes == name
        between = np.diff(received_s[mine], prepend=0.0)
        arrivals[name] = [ciw.dists.Sequential([*between.tolist(), math.inf])]
        services[name] = [ciw.dists.Sequential(handling_s[mine].tolist())]
    network = ciw.create_network(
        arrival_distributions=arrivals,
        service_distributions=services,
        number_of_servers=[operators],
        priority_classes={name: rank for rank, name in enumerate(names)},
    )
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_customers(len(received_s), method="Finish")
    records = sorted(simulation.get_all_records(), key=lambda record: record.arrival_date)
    return np.array([record.service_start_date for record in records])


@pytest.mark.parametrize("operators", [1, 3])
@pytest.mark.parametrize("two_classes", [False, True])
def test_waits_equal_those_of_ciw_on_the_same_calls(operators, two_classes):
    rng = np.random.default_rng(17)
    n = 1500
    received_s = whole_microseconds(np.cumsum(rng.exponential(20.0 / operators, n)))
    handling_s = whole_microseconds(rng.exponential(18.0, n))
    later = rng.random(n) < 0.7
    classes = np.where(later & two_classes, "later", "first")
    received_us = np.rint(received_s * 1e6).astype(np.int64)
    keys = later.astype(np.int64) if two_classes else received_us
    result = replay(received_us, handling_s, keys, operators)
    starts = ciw_starts(received_s, handling_s, operators, classes)
    np.testing.assert_allclose(received_s + result.wait_s, starts, rtol=0.0, atol=1e-9)


def erlang_c_wait_s(operators, load, handling_s):
    """Mean wait of M/M/c (Erlang 1917)."""
    offered = operators * load
    last = offered**operators / math.factorial(operators) / (1 - load)
    waits_at_all = last / (sum(offered**k / math.factorial(k) for k in range(operators)) + last)
    return waits_at_all * handling_s / (operators * (1 - load))


def poisson_calls(seed, operators, load, n, handling_s=60.0):
    rng = np.random.default_rng(seed)
    received = np.cumsum(rng.exponential(1e6 * handling_s / (operators * load), n)).astype(np.int64)
    return received, rng.exponential(handling_s, n), rng


def assert_mean_is(measured, expected):
    """The seeds' mean lies within four standard errors, and these are small enough to tell."""
    error = np.std(measured, ddof=1) / math.sqrt(len(measured))
    assert error < 0.02 * expected
    assert abs(np.mean(measured) - expected) < 4 * error


@pytest.mark.parametrize(("operators", "load"), [(1, 0.7), (3, 0.8), (8, 0.9)])
def test_mean_wait_is_that_of_erlang_c(operators, load):
    measured = []
    for seed in range(10):
        received, handling_s, _ = poisson_calls(seed, operators, load, 200_000)
        measured.append(summarise_waits(replay(received, handling_s, received, operators)).mean_s)
    assert_mean_is(measured, erlang_c_wait_s(operators, load, 60.0))


def test_mean_waits_of_two_classes_are_those_of_cobham():
    load, share = 0.8, 0.3
    first, later = [], []
    for seed in range(10):
        received, handling_s, rng = poisson_calls(seed, 1, load, 200_000)
        genuine = rng.random(len(received)) < share
        result = replay(received, handling_s, 1 - genuine, 1)
        first.append(summarise_waits(result, genuine).mean_s)
        later.append(summarise_waits(result, ~genuine).mean_s)
    residual_s = load * 60.0
    assert_mean_is(first, residual_s / (1 - share * load))
    assert_mean_is(later, residual_s / (1 - share * load) / (1 - load))


def test_deferring_everybody_alike_changes_nobody_s_turn():
    received, handling_s, _ = poisson_calls(1, 2, 0.9, 5000)
    fcfs = replay(received, handling_s, received, 2)
    alike = replay(received, handling_s, keys_after(received, np.full(5000, 250.0)), 2)
    # keys are whole milliseconds, so only calls of the same millisecond share one, and those go by arrival
    assert alike.order.tolist() == fcfs.order.tolist()


def test_handling_is_scaled_to_the_load_asked_for():
    received, handling_s, _ = poisson_calls(2, 4, 0.5, 1000)
    scaled = handling_for_load(received, handling_s, operators=4, load=0.95)
    assert scaled.sum() / (4 * np.ptp(received) / 1e6) == pytest.approx(0.95)
    with pytest.raises(ValueError, match="a load needs work and time"):
        handling_for_load([5], [60.0], operators=1, load=0.5)
