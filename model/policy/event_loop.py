"""The compiled event loop of an operator queue; `model.policy.queue_replay` is its front.

Arrays are in the order of received_at; times are whole microseconds. A binary heap holds the waiting calls by
(key, position), a second one the calls in progress by their end, a third one the moments when callers hang up.
"""

import numpy as np

from model.arrays import Booleans, Floats, Integers
from model.kernels import kernel, log_kernel
from model.policy.deferral import NOTHING_HELD, decaying_maximum, defer_s, expected_wait_s, queue_key_us

NEVER_US = np.iinfo(np.int64).max


@kernel
def _push(keys: Integers, calls: Integers, size: int, key: int, call: int) -> int:
    """Add to a binary heap in two arrays, ordered by key, then call; give its new size."""
    hole = size
    while hole > 0:
        parent = (hole - 1) // 2
        if keys[parent] < key or (keys[parent] == key and calls[parent] < call):
            break
        keys[hole], calls[hole] = keys[parent], calls[parent]
        hole = parent
    keys[hole], calls[hole] = key, call
    return size + 1


@kernel
def _pop(keys: Integers, calls: Integers, size: int) -> int:
    """Take the smallest off the heap (the caller has read it); give its new size."""
    size -= 1
    key, call = keys[size], calls[size]
    hole, child = 0, 1
    while child < size:
        right = child + 1
        if right < size and (keys[right] < keys[child] or (keys[right] == keys[child] and calls[right] < calls[child])):
            child = right
        if key < keys[child] or (key == keys[child] and call < calls[child]):
            break
        keys[hole], calls[hole] = keys[child], calls[child]
        hole, child = child, 2 * child + 1
    keys[hole], calls[hole] = key, call
    return size


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
    queue_key, queue_call, queued = np.empty(n, np.int64), np.empty(n, np.int64), 0
    end_at, end_call, busy = np.empty(n, np.int64), np.empty(n, np.int64), 0
    hang_up_at, hang_up_call, patient = np.empty(n, np.int64), np.empty(n, np.int64), 0
    waiting = 0  # in the queue and not hung up; the heap also holds those who have, until they come up
    operators, shift = shift_operators[0], 1
    held_s, held_at = NOTHING_HELD, 0

    for arrival in range(n + 1):
        until = received[arrival] if arrival < n else NEVER_US
        while True:  # whatever lets an operator take a call, in order of time
            change_at = shift_from[shift] if shift < len(shift_from) else NEVER_US
            next_end_at = end_at[0] if busy > 0 else NEVER_US
            now = min(change_at, next_end_at)
            if now > until or now == NEVER_US:
                break
            if change_at == now:
                operators = shift_operators[shift]
                shift += 1
            while busy > 0 and end_at[0] == now:
                busy = _pop(end_at, end_call, busy)
            while queued > 0 and busy < operators:
                call = queue_call[0]
                queued = _pop(queue_key, queue_call, queued)
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
                busy = _push(end_at, end_call, busy, now + handling[call], call)
        if arrival == n:
            break
        while patient > 0 and hang_up_at[0] <= until:
            call = hang_up_call[0]
            patient = _pop(hang_up_at, hang_up_call, patient)
            if left[call] == NEVER_US:
                lost[call] = True
                left[call] = received[call] + patience[call]
                waiting -= 1

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
            busy = _push(end_at, end_call, busy, until + handling[arrival], arrival)
        else:
            waiting += 1
            queued = _push(queue_key, queue_call, queued, key, arrival)
            if patience[arrival] < NEVER_US:
                patient = _push(hang_up_at, hang_up_call, patient, until + patience[arrival], arrival)
    return left, lost, deferred, served[:answered]
