"""What a call is: the columns of the call log, the dispositions, the lines and the numbers.

It knows nothing of files or tables, so that the service uses the same words without the libraries of training.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

LINES = (
    "mobile", "landline", "payphone", "voip", "no_sim", "withheld",
    "ecall", "alarm", "text", "relay", "unknown",
)  # fmt: skip
#: What the network says of the number (STIR/SHAKEN): A, it vouches for caller and number; B, for the caller; C, for the
#: gateway by which the call came in; failed, the signature is not right.
ATTESTATIONS = ("A", "B", "C", "failed")
ENDED_BY = ("caller", "operator", "network")
DISPOSITIONS = (
    "genuine", "information", "prank", "abusive", "silent", "accidental", "wrong_number",
    "duplicate", "test", "abandoned", "unanswered",
)  # fmt: skip
CATEGORIES = (
    "fire", "medical", "accident", "animal", "fallen_tree", "traffic", "flood", "crime", "other",
)  # fmt: skip

#: The probability that is predicted is that of label 1, "closed as not genuine". A disposition that is
#: not named here says nothing: an unanswered caller is not a prankster.
DEFAULT_LABELS: Mapping[str, Literal[0, 1]] = MappingProxyType(
    {
        "genuine": 0,
        "duplicate": 0,
        "prank": 1,
        "abusive": 1,
        "silent": 1,
        "accidental": 1,
        "wrong_number": 1,
        "information": 1,
    }
)

#: Safety is promised to calls closed as one of these, whatever the mapping of labels says.
GENUINE = ("genuine", "duplicate")

#: A time with an offset, since a local time alone does not say when: of RFC 3339, or as PostgreSQL writes it (`+07`).
TIMESTAMP = r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d(:?\d\d)?)"

Kind = Literal["string", "time", "number", "choice", "flag"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the call log.

    Parameters
    ----------
    expected : str
        What a right value looks like, in words that stand in an error after "expected".
    required : bool
        Whether every row must have a value.
    low, high : float
        The range of a number, both ends included.
    choices : tuple of str
        The words that a choice may be.
    """

    name: str
    kind: Kind
    expected: str
    required: bool = False
    low: float = 0.0
    high: float = float("inf")
    choices: tuple[str, ...] = ()


def _time(name: str, *, required: bool = False) -> Column:
    return Column(name, "time", "a time with an offset, like 2024-01-31T08:15:00+07:00", required)


def _seconds(name: str) -> Column:
    return Column(name, "number", "seconds from 0 to 86400", high=86_400.0)


def _share(name: str) -> Column:
    return Column(name, "number", "a share from 0 to 1", high=1.0)


def _choice(name: str, choices: tuple[str, ...]) -> Column:
    return Column(name, "choice", "one of " + ", ".join(choices), choices=choices)


_CATEGORY = Column("category", "string", "a kind of emergency, like fire")
_INCIDENT = Column("incident_id", "string", "a name of the incident that the call was about")

COLUMNS: tuple[Column, ...] = (
    Column("call_id", "string", "a name of its own", required=True),
    _time("received_at", required=True),
    Column("caller", "string", "a number written as text, or a stable pseudonym"),
    _choice("line", LINES),
    _choice("attestation", ATTESTATIONS),
    Column("centre", "string", "a name"),
    Column("queue", "string", "a name"),
    _seconds("opening_duration_s"),
    _share("opening_silence_ratio"),
    _seconds("duration_s"),
    _share("silence_ratio"),
    _time("answered_at"),
    _time("ended_at"),
    _choice("ended_by", ENDED_BY),
    _choice("disposition", DISPOSITIONS),
    _time("disposed_at"),
    _CATEGORY,
    _INCIDENT,
    Column("held_out", "flag", "true or false"),
    Column("shown_band", "string", "a band"),
    _seconds("defer_s"),
    Column("release", "string", "the name of a release"),
    _share("genuine_like"),
    Column("one_in", "number", "one of 3, 10, 30, 100, 300, 1000", low=1.0),
)

CORRECTION_COLUMNS: tuple[Column, ...] = (
    Column("call_id", "string", "the name of a call in the log", required=True),
    replace(_choice("disposition", DISPOSITIONS), required=True),
    _CATEGORY,
    _INCIDENT,
    replace(_time("disposed_at"), required=True),
)
