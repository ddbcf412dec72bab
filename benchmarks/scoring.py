"""One call in process: history, features, scorecard, policy and reasons, against the estimator's predict_proba."""

import io
import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import joblib
import numpy as np
from threadpoolctl import threadpool_limits

from model.history.caller_history import ENDED, LABELLED, RECEIVED, Caller, Event
from model.history.surge import Surge
from model.params import Params
from model.release.folder import read_release, write_release
from model.release.pipeline import make_release
from model.scorecard.features import WIDTHS, fill_features
from model.simulation.city import simulate
from service.scoring.scorer import Scorer
from service.store.records import Call

TIMES = 5_000
START_US = 1_700_000_000_000_000


def median_us(function: Callable[[], object], times: int = TIMES) -> float:
    """Return the median time of a call, in microseconds, after a tenth as many calls to warm up."""
    taken = []
    for _ in range(times // 10):
        function()
    for _ in range(times):
        started = time.perf_counter_ns()
        function()
        taken.append(time.perf_counter_ns() - started)
    return statistics.median(taken) / 1_000


def chatty_caller() -> Caller:
    """Make a caller with twenty earlier calls, ended and closed."""
    caller = Caller()
    for place in range(20):
        at_us, call_id = START_US + place * 3_600_000_000, f"c{place}"
        caller.add(Event(at_us, RECEIVED, at_us, call_id))
        caller.add(Event(at_us + 60_000_000, ENDED, at_us, call_id, True, 33.0, 0.4))
        caller.add(Event(at_us + 90_000_000, LABELLED, at_us, call_id, not_genuine=1.0))
    return caller


def main() -> None:
    now = datetime.now(UTC)
    city = simulate("metro", 0, calls=20_000)
    made = make_release(city.calls, Params(), now, corrections=city.corrections)
    with TemporaryDirectory() as folder:
        write_release(Path(folder) / "release", made.files(), made.facts(now))
        scorer = Scorer(read_release(Path(folder) / "release"))
    estimator = joblib.load(io.BytesIO(made.files()["estimator.joblib"]))["opening"]
    caller, surge = chatty_caller(), Surge()
    surge.add(START_US, first_call=True)
    at_us = START_US + 30 * 86_400_000_000
    caller.settle(at_us)
    call = Call("a", at_us, b"k" * 32, "mobile", opening_duration_s=12.0, opening_silence_ratio=0.4)

    def score(*, in_words: bool) -> object:
        call.history, call.surge = caller.read(at_us), surge.read(at_us)
        return scorer.score(call, "opening", in_words=in_words)

    row = np.empty(WIDTHS["opening"])
    fill_features(caller.read(at_us), scorer.feature_vector(call), row)
    rows = row.reshape(1, -1)
    ours = median_us(lambda: score(in_words=False))
    in_words = median_us(lambda: score(in_words=True))
    with threadpool_limits(1, user_api="openmp"):
        theirs = median_us(lambda: estimator.predict_proba(rows), TIMES // 20)
    print(
        json.dumps(
            [
                ("score one call: history, features, scorecard, policy, reasons", f"{ours:.1f} us", "<= 15 us"),
                ("the same with the reasons in words", f"{in_words:.1f} us", ""),
                ("predict_proba of the same model on one row, one thread", f"{theirs:,.0f} us", ""),
                ("ratio", f"{theirs / ours:,.0f} times", ">= 150 times"),
            ]
        )
    )


if __name__ == "__main__":
    main()
