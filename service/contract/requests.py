"""What comes in over HTTP of calls.

The fields that a score cannot do without are strict. Any other field that makes no sense becomes null with a warning:
a call is never lost to the queue over an optional number.
"""

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

from service.contract.fields import (
    DEEPEST,
    MAX_EXTRAS,
    Attestation,
    Caller,
    CallId,
    DispositionWord,
    EndedBy,
    Flag,
    Forgive,
    Line,
    SpeltSeconds,
    SpeltShare,
    SpeltStage,
    Stage,
    Text,
    Time,
)
from service.contract.number_masks import ADJACENT_DIGITS
from service.telemetry.logs import mask_numbers

MAX_BATCH_CALLS = 1_000
#: Nobody waits for an emergency operator for longer, nor talks to one for so long on the average.
ABSURD_S = 3_600.0
_EXTRAS = (
    f"A field of your own, one of up to {MAX_EXTRAS}: any JSON, nested at most {DEEPEST} deep. It is kept with the "
    "call and given back with it, and never a feature. One that holds the caller's number becomes null with a warning."
)


def _unnumbered(value: str | None, info: ValidationInfo) -> str | None:
    """Mask what may be a number, and say so."""
    bare = None if value is None else mask_numbers(value, ADJACENT_DIGITS)
    if bare != value and info.context is not None:
        detail = "may hold a number, which is never kept; it is masked"
        info.context["warnings"].append({"field": str(info.field_name), "detail": detail})
    return bare


Operator = Annotated[
    Text | None,
    Forgive,
    Field(description="Who it was: up to 200 characters. With an operator's key nobody but its holder (403)."),
]
DurationS = Annotated[
    SpeltSeconds | None,
    Forgive,
    Field(description="Seconds of the conversation, from answer to end: 0 to 86,400.", examples=[31.0]),
]
SilenceRatio = Annotated[
    SpeltShare | None,
    Forgive,
    Field(description="Share of the conversation without speech on the caller's side: 0 to 1.", examples=[0.4]),
]


class Body(BaseModel):
    """What every request's body has in common: fields that are not known are pointed out, `x_*` are kept."""

    model_config = ConfigDict(
        extra="allow", frozen=True, json_schema_extra={"patternProperties": {"^x_": {"description": _EXTRAS}}}
    )

    def extras(self) -> dict[str, Any]:
        """Give the fields named `x_*`."""
        return self.model_extra or {}


class ScoreRequest(Body):
    """One call, at any stage, as often as more becomes known.

    Only call_id and received_at are required. Any other field whose value makes no sense is taken as not known, and
    an entry in `warnings` says so.
    """

    call_id: Annotated[
        CallId,
        Field(
            description="Your name of the call, which no other call ever has: 1 to 200 characters, no control "
            "characters, not blank. Best without a number: one that holds a number is kept under another name, "
            "and found by either.",
            examples=["112-20261101-0042"],
        ),
    ]
    received_at: Annotated[
        Time,
        Field(
            description="When the call arrived: RFC 3339 with an offset, from 1990 to now; a clock that is ahead is "
            "tolerated by the setting clock_skew_s, 600 s by default. Where it is ahead, or further behind than "
            "clock_tolerance_s, 60 s, the call is placed by when it was first heard of. It never changes.",
            examples=["2026-11-01T20:15:00+07:00"],
        ),
    ]
    caller: Annotated[
        Caller | None,
        Forgive,
        Field(
            description="The caller's number as it was dialled or in E.164, as a text of up to 200 characters or as an "
            'integer, or a stable pseudonym. Null, "", "anonymous" and the like: no number. It is hashed with a key at '
            "once and never stored as it is. It never changes.",
            examples=["0812-3456-7890"],
        ),
    ] = None
    line: Annotated[Line | None, Forgive, Field(description="The kind of line, in any casing; null: unknown.")] = None
    attestation: Annotated[
        Attestation | None,
        Forgive,
        Field(
            description="What the network says of the number by STIR/SHAKEN: `A`, `B`, `C` or `failed`; null: nothing."
        ),
    ] = None
    centre: Annotated[
        Text | None,
        Forgive,
        Field(description="Which centre it reached, where there are several: up to 200 characters."),
    ] = None
    queue: Annotated[
        Text | None,
        Forgive,
        Field(description="Which queue it waits in, where there are several: up to 200 characters."),
    ] = None
    duration_s: Annotated[
        SpeltSeconds | None,
        Forgive,
        Field(
            description="Seconds heard of the caller so far, 0 to 86,400: of the greeting or an IVR when the call "
            "joins the queue, of the conversation at the stage `ended`.",
            examples=[9.5],
        ),
    ] = None
    silence_ratio: Annotated[
        SpeltShare | None,
        Forgive,
        Field(description="Share of those seconds without speech on the caller's side: 0 to 1.", examples=[0.8]),
    ] = None
    expected_wait_s: Annotated[
        SpeltSeconds | None,
        Forgive,
        Field(
            description="Seconds that the call would wait first come, first served: 0 to 86,400, and 0 means that an "
            "operator is free. Null: it follows from the operators on duty, when these are known. Never the age of the "
            "oldest waiting call, nor an average of past waits.",
            examples=[120.0],
        ),
    ] = None
    stage: Annotated[
        SpeltStage | None,
        Forgive,
        Field(
            description="`ring`: nothing heard yet; `opening`: as it joins the queue; `ended`: of the conversation. "
            "Null: `opening` when duration_s or silence_ratio is given, else `ring`."
        ),
    ] = None

    def resolved_stage(self) -> Stage:
        """Give the stage: the one that was named, else opening as soon as something was heard."""
        if self.stage is not None:
            return self.stage
        return "ring" if self.duration_s is None and self.silence_ratio is None else "opening"


class Batch(BaseModel):
    """Several calls at once. Each is read by itself: one that cannot be scored does not keep the others from it."""

    calls: Annotated[
        list[ScoreRequest],
        Field(max_length=MAX_BATCH_CALLS, description="Up to 1,000 requests; answered in this order."),
    ]


class Answered(Body):
    """An operator took up the call."""

    KIND: ClassVar = "answered"

    answered_at: Annotated[Time, Field(description="When: RFC 3339 with an offset, from 1990 to now.")]
    operator: Operator = None


class Ended(Body):
    """The call ended; its length and silence are those of the conversation, on the caller's side."""

    KIND: ClassVar = "ended"

    ended_at: Annotated[
        Time, Field(description="When: RFC 3339 with an offset, not before received_at and not after now.")
    ]
    ended_by: Annotated[EndedBy | None, Forgive, Field(description="Who hung up; null: not known.")] = None
    duration_s: DurationS = None
    silence_ratio: SilenceRatio = None


class Disposition(Body):
    """How an operator closed the call; said again, it is a correction."""

    KIND: ClassVar = "disposed"

    disposition: Annotated[DispositionWord, Field(description="What the call was, in any casing.")]
    category: Annotated[
        Text | None,
        Forgive,
        AfterValidator(_unnumbered),
        Field(description="For genuine calls the kind of emergency, up to 200 characters.", examples=["fire"]),
    ] = None
    incident_id: Annotated[
        Text | None,
        Forgive,
        Field(
            description="Your name of the incident that the call was about, the same for every call about it; up to "
            "200 characters. One with six digits and more that read as a number is kept under another name, the same "
            "each time. Not named again in a correction, it stays.",
            examples=["F-2026-0417"],
        ),
    ] = None
    disposed_at: Annotated[
        Time,
        Field(description="When it was said: RFC 3339 with an offset, not before received_at and not after now."),
    ]
    operator: Operator = None
    answered_at: Annotated[
        Time | None,
        Forgive,
        Field(description="When an operator took it up, if nobody has told that: RFC 3339 with an offset."),
    ] = None
    confirm: Annotated[
        Flag | None,
        Forgive,
        Field(
            description="True closes a call that still waits and that this operator has not taken, which is refused "
            "otherwise (409) to whoever asks with an operator's key or from the console.",
        ),
    ] = None


class Reopen(Body):
    """A call was closed by mistake, and waits again."""

    KIND: ClassVar = "reopened"

    operator: Operator = None


#: What is told of a known call, each with the kind of its event.
EventRequest = Answered | Ended | Disposition | Reopen


def doubted(name: str, seconds: float | None) -> list[dict[str, str]]:
    """Give the warning about a time that is most likely told in milliseconds; none about one that may be.

    Examples
    --------
    >>> doubted("mean_handling_s", 60_000.0)[0]["field"], doubted("mean_handling_s", 60.0)
    ('mean_handling_s', [])
    """
    if seconds is None or seconds <= ABSURD_S:
        return []
    return [{"field": name, "detail": "is more than an hour; expected seconds: are these milliseconds?"}]
