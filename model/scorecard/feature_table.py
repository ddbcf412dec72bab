"""The features of every call of a log, each as known at that call."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from model.arrays import Booleans, Floats, Integers
from model.calls.call_events import Events
from model.calls.columns import ENDED_BY, LINES
from model.history.log_histories import LogHistories
from model.history.surge import surge_ratios
from model.kernels import log_kernel
from model.scorecard.features import CALL, FEATURES, fill_feature_rows, utc_offset_s

Small = NDArray[np.float32]  # for codes: a caller's calls lie all over the log, and small columns stay in the cache


class FeatureTable:
    """A log's calls in the order of time, ready to be turned into feature rows.

    Parameters
    ----------
    calls : pandas.DataFrame
        As `sort_calls` gives it.
    events : Events
        Of the same calls.
    time_zone : str
        IANA name of the centre's zone, such as "Asia/Jakarta".
    """

    def __init__(self, calls: pd.DataFrame, events: Events, time_zone: str) -> None:
        self.events = events
        self.replay = LogHistories(events)
        self.surge = surge_ratios(events.received_us, self.replay.first_call())
        hour, weekday = _local_times(events.received_us, time_zone)
        self._columns: Mapping[str, NDArray[np.generic]] = {
            "received_us": events.received_us,
            "line": _codes(calls["line"], LINES, missing=LINES.index("unknown")),
            "number_shown": events.caller >= 0,
            "local_hour": hour,
            "weekday": weekday,
            "surge_calls": self.surge[:, 0],
            "surge_new": self.surge[:, 1],
            "opening_duration_s": calls["opening_duration_s"].to_numpy(np.float64),
            "opening_silence_ratio": calls["opening_silence_ratio"].to_numpy(np.float64),
            "duration_s": events.duration_s,
            "silence_ratio": events.silence_ratio,
            "ended_by": _codes(calls["ended_by"], ENDED_BY, missing=None),
        }

    def parts(self, wanted: Booleans | None = None) -> Iterator["Part"]:
        """Yield the wanted calls (all by default) in parts, in no order of time."""

        def part(rows: Integers, histories: Floats) -> Part:
            if wanted is not None:
                here = wanted[rows]
                rows, histories = rows[here], histories[here]
            calls = np.empty((len(rows), len(CALL)))
            for place, name in enumerate(CALL):
                _take(self._columns[name], rows, calls, place)
            features = np.empty((len(rows), len(FEATURES)))
            fill_feature_rows(histories, calls, features)
            return Part(rows, histories, calls, features)

        yield from self.replay.parts(part)

    def places(self, wanted: Booleans | None) -> tuple[Integers, int]:
        """Return the place of each call of the log among the wanted ones (all by default), and how many these are."""
        mask = np.ones(len(self.events), np.bool_) if wanted is None else wanted
        return np.cumsum(mask) - 1, int(mask.sum())

    def matrix(self, wanted: Booleans | None = None) -> Floats:
        """Return the features of the wanted calls at the last stage, in order of time: float64 (m, len(FEATURES)).

        An earlier stage's rows are its first `WIDTHS[stage]` columns.
        """
        place, size = self.places(wanted)
        matrix = np.empty((size, len(FEATURES)))
        for part in self.parts(wanted):
            matrix[place[part.rows]] = part.features
        return matrix


class Part(NamedTuple):
    """Some calls of a log: their rows (m,), histories (m, SIZE), vectors (m, len(CALL)) and features."""

    rows: Integers
    histories: Floats
    calls: Floats
    features: Floats


@log_kernel
def _take(column: NDArray[np.generic], rows: Integers, calls: Floats, place: int) -> None:
    for row in range(len(rows)):  # as calls[:, place] = column[rows], but without holding the interpreter
        calls[row, place] = column[rows[row]]


def _codes(values: pd.Series, words: tuple[str, ...], missing: int | None) -> Small:
    places, found = pd.factorize(values)
    codes = {word: float(code) for code, word in enumerate(words)}
    nothing = np.nan if missing is None else float(missing)
    return np.array([*(codes[word] for word in found), nothing], dtype=np.float32)[places]


def _local_times(received_us: Integers, time_zone: str) -> tuple[Floats, Small]:
    """As `features.local_time`, for many calls in order: the offset is asked for once for each quarter of an hour."""
    quarters = received_us // 900_000_000
    starts = np.flatnonzero(np.diff(quarters, prepend=-1))
    offsets = [utc_offset_s(time_zone, quarter) // 60 for quarter in quarters[starts].tolist()]
    lengths = np.diff(np.append(starts, len(quarters)))
    minutes = received_us // 60_000_000 + np.repeat(np.array(offsets, dtype=np.int64), lengths)
    return minutes % 1440 / 60.0, ((minutes // 1440 + 3) % 7).astype(np.float32)
