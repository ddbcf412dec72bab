"""The compiled event loop of an operator queue; `model.queueing.queue_replay` is its front.

Arrays are in the order of received_at; times are whole microseconds. A heap holds the waiting calls as (key, position),
a second one the calls in progress by their end, a third one the moments when callers hang up.
"""

from heapq import heappop, heappush

import numpy as np

from model.arrays import Booleans, Floats, Integers
from model.kernels import log_kernel
from model.policy.deferral import NOTHING_HELD, decaying_maximum, defer_s, expected_wait_s, queue_key_us

NEVER_US = np.iinfo(np.int64).max


@log_kernel
def run_queue(
    received: Integers,
    handling: Integers,
    patience: Integers,
    static: Integers,
    factor: Floats,
    mean_handling_s: Floats,
    kappa: float,
    base_s: float,
    max_defer_s: float,
    shift_from: Integers,
    shift_operators: Integers,
) -> tuple[Integers, Booleans, Floats, Integers]:
    """Answer the calls one by one.

    Parameters
    ----------
    received, handling, patience : ndarray of int64, shape (n,), microseconds
        `received` rises; a patience of `NEVER_US` has no end.
    static : ndarray of int64, shape (n,) or (0,)
        The calls' keys; without any the rule decides them.
    factor, mean_handling_s : ndarray of float64, shape (n,); (0,) with static keys
    kappa, base_s, max_defer_s : float
        See `model.policy.deferral.DeferralSettings`.
    shift_from, shift_operators : ndarray of int64, shape (shifts,)
        Operators on duty from each rising moment on; the first holds before it too, the last is above 0.

    Returns
    -------
    left : ndarray of int64, shape (n,)
        When each call was answered or, where lost, hung up.
    lost : ndarray of bool, shape (n,)
    deferred : ndarray of float64, shape (n,), seconds
    served : ndarray of int64, shape (answered,)
        Positions in the order of service.
    """
    n = len(received)
    left = np.full(n, NEVER_US)
    lost = np.zeros(n, np.bool_)
    deferred = np.zeros(n)
    served = np.empty(n, np.int64)
    answered = 0
    # Made of a pair that is taken off again, so that the compiler knows what a heap holds.
    queue, ends, hang_ups = [(0, 0)], [(0, 0)], [(0, 0)]
    for heap in (queue, ends, hang_ups):
        heap.pop()
    waiting = 0  # in the queue and not hung up; the heap also holds those who have, until they come up
    operators, shift = shift_operators[0], 1
    held_s, held_at = NOTHING_HELD, 0

    for arrival in range(n + 1):
        until = received[arrival] if arrival < n else NEVER_US
        while True:  # whatever lets an operator take a call, in order of time
            change_at = shift_from[shift] if shift < len(shift_from) else NEVER_US
            next_end_at = ends[0][0] if ends else NEVER_US
            now = min(change_at, next_end_at)
            if now > until or now == NEVER_US:
                break
            if change_at == now:
                operators = shift_operators[shift]
                shift += 1
            while ends and ends[0][0] == now:
                heappop(ends)
            while queue and len(ends) < operators:
                _, call = heappop(queue)
                if lost[call]:
                    continue
                waiting -= 1
                if now - received[call] > patience[call]:
                    lost[call] = True
                    left[call] = received[call] + patience[call]
                    continue
                left[call] = now
                served[answered] = call
                answered += 1
                heappush(ends, (now + handling[call], call))
        if arrival == n:
            break
        while hang_ups and hang_ups[0][0] <= until:
            _, call = heappop(hang_ups)
            if left[call] == NEVER_US:
                lost[call] = True
                left[call] = received[call] + patience[call]
                waiting -= 1

        busy = len(ends)
        if len(static) > 0:
            key = static[arrival]
        else:
            expected_s = expected_wait_s(float(waiting), mean_handling_s[arrival], float(operators), float(busy))
            held_s = decaying_maximum(expected_s, held_s, (until - held_at) * 1e-6, kappa, base_s, max_defer_s)
            held_at = until
            deferred[arrival] = defer_s(factor[arrival], held_s, busy < operators, kappa, base_s, max_defer_s)
            key = queue_key_us(until, deferred[arrival])
        if busy < operators:
            left[arrival] = until
            served[answered] = arrival
            answered += 1
            heappush(ends, (until + handling[arrival], arrival))
        else:
            waiting += 1
            heappush(queue, (key, arrival))
            if patience[arrival] < NEVER_US:
                heappush(hang_ups, (until + patience[arrival], arrival))
    return left, lost, deferred, served[:answered]
