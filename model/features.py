"""The features: one table from which the kernel, the constraints, the documents and the reasons are derived.

A row is made of two vectors: the caller's history (`model.history`) and the call itself (`CALL`). The features of a
later stage follow those of the earlier ones, so a stage's row is the beginning of the whole row, and a scorecard
cannot see what its stage does not know.
"""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from model.calls import ENDED_BY, LINES
from model.history import FIELDS
from model.kernels import kernel, log_kernel
from model.phrases import LESS_THAN_A_TENTH, NO_EARLIER_CALL, NOT_KNOWN, PHRASES, UNITS, WORDS
from model.promise import Language

Group = Literal["history", "line", "time", "surge", "call"]
STAGES = ("ring", "opening", "ended")
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
    """One feature.

    Parameters
    ----------
    name : str
    stage : {"ring", "opening", "ended"}
        The first stage at which it is known.
    group : {"history", "line", "time", "surge", "call"}
        The heading under which a person reads it.
    unit, meaning : str
    direction : {-1, 0, 1}
        1: a higher value may only raise the likelihood of a prank; -1: only lower it; 0: free.
    phrase : str
        What an operator reads; `{value}` is the value. A fact about the call or the number, never a verdict.
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
    meaning: str
    direction: int
    phrase: str
    how: int
    of: str
    plus: float = 0.0
    per: str = "last_call_us"
    with_: float = 1.0
    words: tuple[str, ...] = ()
    silence: bool = False

    def text(self, value: float, language: Language = "en") -> str:
        """Say a value in words.

        Examples
        --------
        >>> FEATURES[NAMES.index("line")].text(1.0), FEATURES[NAMES.index("line")].text(1.0, "id")
        ('line: landline', 'jalur: telepon rumah')
        >>> FEATURES[NAMES.index("since_last_h")].text(math.nan)
        'no earlier call from this number'
        >>> FEATURES[NAMES.index("calls_1d")].text(2.5), FEATURES[NAMES.index("calls_1d")].text(2.5, "id")
        ('2.5 calls around the last day', '2,5 panggilan sekitar satu hari terakhir')
        """
        indonesian = language == "id"
        if math.isnan(value):
            if self.how == SINCE:
                return NO_EARLIER_CALL if indonesian else "no earlier call from this number"
            return NOT_KNOWN.get(self.name, "tidak diketahui") if indonesian else f"{self.meaning}: not known"
        if self.words:
            word = self.words[int(value)]
            return self._said(WORDS[word] if indonesian else word.replace("_", " "), language)
        if self.how == SINCE:
            return self._said(_span(value * self.plus / 1e6, language), language)
        if self.how == SUM:  # a sum of weights: what is left of one old call is no number to read
            few = 0.0 < value < 0.1
            less = LESS_THAN_A_TENTH if indonesian else "less than 0.1"
            return self._said(less if few else _amount(value, language), language)
        if self.unit == "h":  # of the day
            minutes = round(value * 60.0)
            return self._said(f"{minutes // 60:02}:{minutes % 60:02}", language)
        return self._said(value, language)

    def _said(self, value: object, language: Language) -> str:
        if language == "en":
            return self.phrase.format(value=value)
        if isinstance(value, float):  # written as in English, but for the decimal mark
            written = self.phrase[self.phrase.index("{") : self.phrase.index("}") + 1].format(value=value)
            value = written.replace(".", ",")
        return PHRASES[self.name].format(value=value)


def _amount(value: float, language: Language) -> str:
    """Say a sum of weights: whole when it is, or when nobody asks for its tenths.

    Examples
    --------
    >>> _amount(9.0, "en"), _amount(3.4142, "id"), _amount(0.97, "en"), _amount(1234.5, "en")
    ('9', '3,4', '1', '1234')
    """
    text = f"{value:.0f}" if value >= 10.0 else f"{value:.1f}".removesuffix(".0")
    return text.replace(".", ",") if language == "id" else text


def _span(seconds: float, language: Language = "en") -> str:
    """Say a stretch of time in the largest unit of which there are at least two.

    Examples
    --------
    >>> _span(30.0), _span(5400.0), _span(200_000.0), _span(200_000.0, "id")
    ('30 seconds', '90 minutes', '2 days', '2 hari')
    """
    unit, length = next(
        (
            (unit, length)
            for unit, length in (("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0))
            if seconds >= 2 * length
        ),
        ("seconds", 1.0),
    )
    return f"{seconds / length:.0f} {UNITS[unit] if language == 'id' else unit}"


def _sum(field: str, direction: int, meaning: str, phrase: str) -> Feature:
    return Feature(field, "ring", "history", "calls", meaning, direction, phrase, SUM, field)


FEATURES: tuple[Feature, ...] = (
    _sum("calls_1h", 0, "calls from this number, half-life one hour", "{value} calls around the last hour"),
    _sum("calls_1d", 0, "calls from this number, half-life one day", "{value} calls around the last day"),
    _sum("calls_30d", 0, "calls from this number, half-life thirty days", "{value} calls around the last month"),
    Feature("since_last_h", "ring", "history", "h", "hours since the last call from this number", 0,
            "last call {value} ago", SINCE, "last_call_us", 3.6e9),
    Feature("since_first_d", "ring", "history", "days", "days since the first call from this number", 0,
            "number known for {value}", SINCE, "first_call_us", 86.4e9),
    _sum("genuine_1d", -1, "calls closed as genuine, half-life one day", "{value} closed as genuine around the last day"),
    _sum("genuine_30d", -1, "calls closed as genuine, half-life thirty days",
         "{value} closed as genuine around the last month"),
    _sum("genuine_ever", -1, "calls ever closed as genuine", "{value} earlier calls closed as genuine"),
    _sum("not_genuine_1h", 1, "calls closed as not genuine, half-life one hour",
         "{value} closed as not genuine around the last hour"),
    _sum("not_genuine_1d", 1, "calls closed as not genuine, half-life one day",
         "{value} closed as not genuine around the last day"),
    _sum("not_genuine_30d", 1, "calls closed as not genuine, half-life thirty days",
         "{value} closed as not genuine around the last month"),
    _sum("not_genuine_ever", 1, "calls ever closed as not genuine", "{value} earlier calls closed as not genuine"),
    # Odds and not a share: numerator and denominator each move with one kind of label only, so that the
    # direction holds to the last bit. One call of each kind stands before the first label.
    Feature("closed_odds_30d", "ring", "history", "ratio", "closed as not genuine for each closed as genuine, half-life "
            "thirty days", 1, "last month: {value:.2g} not genuine to 1 genuine", RATIO,
            "not_genuine_30d", 1.0, "genuine_30d", 1.0),
    Feature("short_share_30d", "ring", "history", "share", "share of past conversations of at most 19 s", 0,
            "{value:.0%} of past conversations very short", RATIO, "short_30d", 0.5, "heard_30d", 1.0),
    Feature("mean_duration_30d", "ring", "history", "s", "mean length of past conversations", 0,
            "past conversations of {value:.0f} s on average", RATIO, "duration_s_30d", 120.0, "heard_30d", 2.0),
    Feature("silent_share_30d", "ring", "history", "share", "share of past conversations at least 90 % silent", 0,
            "{value:.0%} of past conversations almost silent", RATIO, "silent_30d", 0.25, "listened_30d", 1.0, silence=True),
    Feature("mean_silence_30d", "ring", "history", "share", "mean silence of past conversations", 0,
            "past conversations {value:.0%} silent on average", RATIO, "silence_ratio_30d", 0.8, "listened_30d", 2.0,
            silence=True),
    _sum("unanswered_1d", 0, "calls that no operator answered, half-life one day", "{value} unanswered around the last day"),
    Feature("line", "ring", "line", "kind", "kind of line", 0, "line: {value}", GIVEN, "line", words=LINES),
    Feature("number_shown", "ring", "line", "yes or no", "whether the caller's number is known", 0,
            "number {value}", GIVEN, "number_shown", words=("not shown", "shown")),
    Feature("local_hour", "ring", "time", "h", "local time of day", 0, "rings at {value} local time", GIVEN, "local_hour"),
    Feature("weekday", "ring", "time", "day", "local day of the week", 0, "rings on a {value}", GIVEN, "weekday", words=WEEKDAYS),
    Feature("surge_calls", "ring", "surge", "ratio", "calls in the last ten minutes against the usual", -1,
            "{value:.1f} times the usual number of calls", GIVEN, "surge_calls"),
    Feature("surge_new", "ring", "surge", "ratio", "new numbers in the last ten minutes against the usual", -1,
            "{value:.1f} times the usual number of new callers", GIVEN, "surge_new"),
    Feature("opening_duration_s", "opening", "call", "s", "seconds heard before the call joined the queue", 0,
            "{value:.0f} s heard before the queue", GIVEN, "opening_duration_s"),
    Feature("opening_silence_ratio", "opening", "call", "share", "silence before the call joined the queue", 0,
            "{value:.0%} silent before the queue", GIVEN, "opening_silence_ratio", silence=True),
    Feature("duration_s", "ended", "call", "s", "length of the conversation", 0,
            "a conversation of {value:.0f} s", GIVEN, "duration_s"),
    Feature("silence_ratio", "ended", "call", "share", "silence in the conversation", 0,
            "a conversation {value:.0%} silent", GIVEN, "silence_ratio", silence=True),
    Feature("ended_by", "ended", "call", "who", "who ended the call", 0, "ended by the {value}", GIVEN, "ended_by", words=ENDED_BY),
)  # fmt: skip

NAMES = tuple(feature.name for feature in FEATURES)
#: How many features each stage knows: its row is that long a beginning of the whole row.
WIDTHS = {
    stage: sum(STAGES.index(feature.stage) <= place for feature in FEATURES) for place, stage in enumerate(STAGES)
}

_RULES = {-1: "only lower it", 0: "either way", 1: "only raise it"}


def feature_doc() -> str:
    """Write the table of features as Markdown, one row each."""
    rows = [
        f"| `{f.name}` | {f.stage} | {f.group} | {f.unit} | {f.meaning} | {_RULES[f.direction]} |" for f in FEATURES
    ]
    head = ["| feature | known from | group | unit | meaning | a higher value may |", "|---|---|---|---|---|---|"]
    return "\n".join([*head, *rows]) + "\n"


_HOW = np.array([feature.how for feature in FEATURES])
_OF = np.array([(CALL if f.how == GIVEN else FIELDS).index(f.of) for f in FEATURES])
_PER = np.array([FIELDS.index(feature.per) for feature in FEATURES])
_PLUS = np.array([feature.plus for feature in FEATURES])
_WITH = np.array([feature.with_ for feature in FEATURES])


@kernel
def fill(history: NDArray[np.float64], call: NDArray[np.float64], row: NDArray[np.float64]) -> None:
    """Write the features of one call into `row`, as many as `row` is long.

    Parameters
    ----------
    history : float64 (history.SIZE,)
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
def fill_rows(histories: NDArray[np.float64], calls: NDArray[np.float64], rows: NDArray[np.float64]) -> None:
    """Write the features of many calls: `fill` for each row of three matrices."""
    for call in range(len(calls)):
        fill(histories[call], calls[call], rows[call])


@lru_cache(maxsize=65_536)
def utc_offset_s(time_zone: str, quarter: int) -> int:
    """Give a zone's offset from UTC at the start of a quarter of an hour, numbered since 1970.

    Zones change at quarters. Newfoundland, Labrador and Gaza did so a minute later until 2011, Casey until 2022:
    there the last quarter before a change is fourteen minutes too long.

    Examples
    --------
    >>> utc_offset_s("Asia/Jakarta", 0) / 3600
    7.0
    """
    then = datetime.fromtimestamp(quarter * 900, UTC).astimezone(ZoneInfo(time_zone))
    offset = then.utcoffset()
    return int(offset.total_seconds()) if offset else 0


def local_time(received_us: int, time_zone: str) -> tuple[float, float]:
    """Give the local hour, 0 to 24, and the weekday, 0 for Monday.

    Examples
    --------
    >>> local_time(0, "Asia/Jakarta")  # 1 January 1970 was a Thursday
    (7.0, 3.0)
    """
    minutes = received_us // 60_000_000 + utc_offset_s(time_zone, received_us // 900_000_000) // 60
    return minutes % 1440 / 60.0, float((minutes // 1440 + 3) % 7)
