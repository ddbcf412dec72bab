"""The features: one table from which the kernel, the constraints, the documents and the reasons are derived.

A row is made of two vectors: the caller's history (`model.history.caller_history`) and the call itself (`CALL`). The
features of a later stage follow those of the earlier ones, so a stage's row is the beginning of the whole row, and a
scorecard cannot see what its stage does not know.
"""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np

from model.arrays import Floats
from model.calls.columns import ENDED_BY, LINES
from model.history.caller_history import FIELDS
from model.kernels import kernel, log_kernel

Group = Literal["history", "line", "time", "surge", "call"]
STAGES = ("ring", "opening", "ended")
#: The stages at which a score may defer a call.
ACTING_STAGES = ("ring", "opening")
#: The last stage at which a call can still be deferred: reports and drift look at its scores.
QUEUE_STAGE = "opening"
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

#: The call as a vector: what is known of it besides its caller's history.
CALL = (
    "received_us", "line", "number_shown", "local_hour", "weekday", "surge_calls", "surge_new",
    "opening_duration_s", "opening_silence_ratio", "duration_s", "silence_ratio", "ended_by",
)  # fmt: skip

# How a value is made of the two vectors.
GIVEN, SUM, RATIO, SINCE = range(4)


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature; what it is and how a value reads stand in the catalogues (`model.language`), by its name.

    Parameters
    ----------
    stage : {"ring", "opening", "ended"}
        The first stage at which it is known.
    group : {"history", "line", "time", "surge", "call"}
        The heading under which a person reads it.
    direction : {-1, 0, 1}
        1: a higher value may only raise the likelihood of a prank; -1: only lower it; 0: free.
    how : {GIVEN, SUM, RATIO, SINCE}
        GIVEN: field `of` of the call. SUM: field `of` of the history. RATIO: (`of` + `plus`) / (`per` + `with_`),
        a shrunk mean or odds. SINCE: `plus` units of time from `of` to the call, missing when `of` never was.
    words : tuple of str
        What the codes of a categorical value mean.
    silence : bool
        Whether it tells of silence, which may never raise a deferral.
    """

    name: str
    stage: str
    group: Group
    unit: str
    direction: int
    how: int
    of: str
    plus: float = 0.0
    per: str = "last_call_us"
    with_: float = 1.0
    words: tuple[str, ...] = ()
    silence: bool = False


def _sum(field: str, direction: int) -> Feature:
    return Feature(field, "ring", "history", "calls", direction, SUM, field)


FEATURES: tuple[Feature, ...] = (
    _sum("calls_1h", 0),
    _sum("calls_1d", 0),
    _sum("calls_30d", 0),
    Feature("since_last_h", "ring", "history", "h", 0, SINCE, "last_call_us", 3.6e9),
    Feature("since_first_d", "ring", "history", "days", 0, SINCE, "first_call_us", 86.4e9),
    _sum("genuine_1d", -1),
    _sum("genuine_30d", -1),
    _sum("genuine_ever", -1),
    _sum("not_genuine_1h", 1),
    _sum("not_genuine_1d", 1),
    _sum("not_genuine_30d", 1),
    _sum("not_genuine_ever", 1),
    # Odds and not a share: numerator and denominator each move with one kind of label only, so that the
    # direction holds to the last bit. One call of each kind stands before the first label.
    Feature("closed_odds_30d", "ring", "history", "ratio", 1, RATIO, "not_genuine_30d", 1.0, "genuine_30d", 1.0),
    Feature("short_share_30d", "ring", "history", "share", 0, RATIO, "short_30d", 0.5, "heard_30d", 1.0),
    Feature("mean_duration_30d", "ring", "history", "s", 0, RATIO, "duration_s_30d", 120.0, "heard_30d", 2.0),
    Feature("silent_share_30d", "ring", "history", "share", 0, RATIO, "silent_30d", 0.25, "listened_30d", 1.0, silence=True),
    Feature("mean_silence_30d", "ring", "history", "share", 0, RATIO, "silence_ratio_30d", 0.8, "listened_30d", 2.0, silence=True),
    _sum("unanswered_1d", 0),
    Feature("line", "ring", "line", "kind", 0, GIVEN, "line", words=LINES),
    Feature("number_shown", "ring", "line", "yes or no", 0, GIVEN, "number_shown", words=("not shown", "shown")),
    Feature("local_hour", "ring", "time", "h", 0, GIVEN, "local_hour"),
    Feature("weekday", "ring", "time", "day", 0, GIVEN, "weekday", words=WEEKDAYS),
    Feature("surge_calls", "ring", "surge", "ratio", -1, GIVEN, "surge_calls"),
    Feature("surge_new", "ring", "surge", "ratio", -1, GIVEN, "surge_new"),
    Feature("opening_duration_s", "opening", "call", "s", 0, GIVEN, "opening_duration_s"),
    Feature("opening_silence_ratio", "opening", "call", "share", 0, GIVEN, "opening_silence_ratio", silence=True),
    Feature("duration_s", "ended", "call", "s", 0, GIVEN, "duration_s"),
    Feature("silence_ratio", "ended", "call", "share", 0, GIVEN, "silence_ratio", silence=True),
    Feature("ended_by", "ended", "call", "who", 0, GIVEN, "ended_by", words=ENDED_BY),
)  # fmt: skip

NAMES = tuple(feature.name for feature in FEATURES)
#: How many features each stage knows: its row is that long a beginning of the whole row.
WIDTHS = {
    stage: sum(STAGES.index(feature.stage) <= place for feature in FEATURES) for place, stage in enumerate(STAGES)
}

_HOW = np.array([feature.how for feature in FEATURES])
_OF = np.array([(CALL if f.how == GIVEN else FIELDS).index(f.of) for f in FEATURES])
_PER = np.array([FIELDS.index(feature.per) for feature in FEATURES])
_PLUS = np.array([feature.plus for feature in FEATURES])
_WITH = np.array([feature.with_ for feature in FEATURES])


@kernel
def fill_features(history: Floats, call: Floats, row: Floats) -> None:
    """Write the features of one call into `row`, as many as `row` is long.

    Parameters
    ----------
    history : float64 (SIZE,)
        As read strictly before the call; zeros when nothing is known.
    call : float64 (len(CALL),)
    row : float64 (at most len(FEATURES),)
    """
    for feature in range(len(row)):
        how, of = _HOW[feature], _OF[feature]
        if how == GIVEN:
            row[feature] = call[of]
        elif how == SUM:
            row[feature] = history[of]
        elif how == RATIO:
            row[feature] = (history[of] + _PLUS[feature]) / (history[_PER[feature]] + _WITH[feature])
        elif history[of] > 0.0:
            row[feature] = max(0.0, call[0] - history[of]) / _PLUS[feature]
        else:
            row[feature] = math.nan


@log_kernel
def fill_feature_rows(histories: Floats, calls: Floats, rows: Floats) -> None:
    """Write the features of many calls: `fill_features` for each row of three matrices."""
    for call in range(len(calls)):
        fill_features(histories[call], calls[call], rows[call])


@lru_cache(maxsize=65_536)
def utc_offset_s(time_zone: str, quarter: int) -> int:
    """Return a zone's offset from UTC at the start of a quarter of an hour, numbered since 1970.

    Zones change at quarters. Newfoundland, Labrador and Gaza did so a minute later until 2011, Casey until 2022: there
    the last quarter before a change is fourteen minutes too long.

    Examples
    --------
    >>> utc_offset_s("Asia/Jakarta", 0) / 3600
    7.0
    """
    then = datetime.fromtimestamp(quarter * 900, UTC).astimezone(ZoneInfo(time_zone))
    offset = then.utcoffset()
    return int(offset.total_seconds()) if offset else 0


def local_time(received_us: int, time_zone: str) -> tuple[float, float]:
    """Return the local hour, 0 to 24, and the weekday, 0 for Monday.

    Examples
    --------
    >>> local_time(0, "Asia/Jakarta")  # 1 January 1970 was a Thursday
    (7.0, 3.0)
    """
    minutes = received_us // 60_000_000 + utc_offset_s(time_zone, received_us // 900_000_000) // 60
    return minutes % 1440 / 60.0, float((minutes // 1440 + 3) % 7)
