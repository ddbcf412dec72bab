"""Replay and features of ten million calls of two million numbers, in parts, on two threads."""

import json
import resource
import time

import numpy as np
import pandas as pd

from model.calls.call_events import NEVER, UNLABELLED, Events
from model.calls.columns import LINES
from model.scorecard.feature_table import FeatureTable

CALLS, CALLERS, DAYS, SEED = 10_000_000, 2_000_000, 365, 0
DAY_US = 86_400_000_000


def log(calls: int, callers: int) -> tuple[pd.DataFrame, Events]:
    """Draw a log with a heavy tail of callers, a tenth of the calls without a number, and late labels."""
    rng = np.random.default_rng(SEED)
    received_us = np.sort(rng.integers(0, DAYS * DAY_US, calls)) + 1_700_000_000_000_000
    duration_s = rng.exponential(40.0, calls)
    ended_us = received_us + (duration_s * 1e6).astype(np.int64)
    caller = (rng.pareto(1.2, calls) * 100).astype(np.int64) % callers
    caller[rng.random(calls) < 0.1] = -1
    row = np.flatnonzero(rng.random(calls) < 0.9)
    genuine = (rng.random(len(row)) < 0.2).astype(np.float64)
    events = Events(
        caller=caller,
        callers=callers,
        received_us=received_us,
        ended_us=ended_us,
        answered=np.ones(calls, dtype=np.bool_),
        duration_s=duration_s,
        silence_ratio=rng.random(calls),
        label_row=row,
        label_us=ended_us[row] + (rng.exponential(3_600.0, len(row)) * 1e6).astype(np.int64),
        label_genuine=genuine,
        label_not_genuine=1.0 - genuine,
        outcome=np.full(calls, UNLABELLED, dtype=np.int8),
        outcome_us=np.full(calls, NEVER),
        incident=np.full(calls, -1),
        duplicate=np.zeros(calls, dtype=np.bool_),
    )
    lines = pd.Categorical.from_codes(rng.integers(0, len(LINES), calls).astype(np.int8), list(LINES))
    heard = np.round(rng.exponential(12.0, calls), 1)
    nobody = pd.Categorical.from_codes(np.full(calls, -1, dtype=np.int8), ["caller"])
    calls_table = pd.DataFrame(
        {"line": lines, "opening_duration_s": heard, "opening_silence_ratio": rng.random(calls), "ended_by": nobody}
    )
    return calls_table, events


def main() -> None:
    table = FeatureTable(*log(10_000, 1_000), "Asia/Jakarta")
    table.matrix()  # the kernels are compiled
    drawn = log(CALLS, CALLERS)
    started = time.perf_counter()
    table = FeatureTable(*drawn, "Asia/Jakarta")
    done = sum(len(part.rows) for part in table.parts())
    seconds = time.perf_counter() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    assert done == CALLS
    print(
        json.dumps(
            [
                (f"replay and features, {CALLS:,} calls of {CALLERS:,} numbers", f"{seconds:.1f} s", "<= 10 s"),
                ("its peak memory, the log included", f"{memory:.1f} GB", "<= 4 GB"),
            ]
        )
    )


if __name__ == "__main__":
    main()
