"""The kinds of values that requests have: what they may be, and how those that make no sense are forgiven."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from model.calls.columns import ATTESTATIONS, DISPOSITIONS, ENDED_BY, LINES
from model.calls.grammar import AmbiguousNumberError, match_word, parse_number, spell_caller, spell_time
from service.telemetry.logs import escape_control_characters, mask_numbers

#: Of the sender's own fields: how many of one call, and how deep each may be nested.
MAX_EXTRAS, DEEPEST = 100, 8
#: Characters of the name of a field.
LONGEST_NAME = 100
#: The kind of the error about a time that lies ahead of this machine's clock.
AHEAD = "time_ahead"
EARLIEST = datetime.fromisoformat("1990-01-01T00:00:00+00:00")
#: Nothing that ends a line or moves a cursor: neither of ASCII nor later, since some terminals and logs obey that too.
PRINTED = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
#: Such a text that is not blank either.
NOT_BLANK = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*[^\x00-\x20\x7f-\x9f\u2028\u2029][^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"


def validation_message(found: Mapping[str, Any]) -> str:
    """Return what is wrong with a value, given one of pydantic's `errors()`, without the value."""
    if found["type"] == "string_pattern_mismatch":
        return "String should have no control characters, and more than blanks where it is required"
    return str(found["msg"])


def printable_name(name: str) -> str:
    r"""Write the name of a field so that it can stand in an answer: without a number, and on one line.

    Examples
    --------
    >>> printable_name("+62 812-3456-7890"), printable_name("a\x1b[31m")
    ('[number]', 'a\\x1b[31m')
    """
    return escape_control_characters(mask_numbers(name[: 2 * LONGEST_NAME]))[:LONGEST_NAME]


def _written_out(value: object) -> object:
    # A number would be taken as seconds since 1970, or as milliseconds, by its size: a guess.
    spelt = spell_time(value) if isinstance(value, str) and value == value.strip() else None
    if spelt is None:
        raise PydanticCustomError("time_text", "expected a time with an offset, like 2024-01-31T08:15:00+07:00")
    return spelt


def _number(value: object) -> object:
    """Read a number that is a text; an error does not repeat it, since it may be a caller's."""
    if not isinstance(value, str):
        return value
    try:
        return parse_number(value)
    except AmbiguousNumberError:
        raise PydanticCustomError(
            "number_ambiguous", "is one number with a decimal point, and another with a comma"
        ) from None
    except ValueError:
        raise PydanticCustomError("number_text", "expected a number") from None


def _caller(value: object) -> object:
    """Read a caller that is a number, all of whose digits are there."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    spelt = spell_caller(value)
    if spelt is None:
        raise PydanticCustomError("caller_number", "expected all digits of a number; best as a text")
    return spelt


def _in_any_casing(words: tuple[str, ...]) -> BeforeValidator:
    def read(value: object) -> object:
        return value if not isinstance(value, str) or value in words else match_word(value, words) or value

    return BeforeValidator(read)


def _or_text(**schema: Any) -> WithJsonSchema:
    """Describe a value that may also be written as a text."""
    return WithJsonSchema({"anyOf": [schema, {"type": "string"}]})


def _plausible(value: datetime, info: ValidationInfo) -> datetime:
    latest: datetime | None = (info.context or {}).get("latest")
    ahead = latest is not None and value > latest
    if ahead or value < EARLIEST:
        raise PydanticCustomError(
            AHEAD if ahead else "absurd_time",
            "expected a time from 1990 up to now; check the clock and the offset of the sender",
        )
    return value


def _forgive(value: object, handler: Callable[[object], Any], info: ValidationInfo) -> Any:
    """Take a value that makes no sense as not known, and say so."""
    try:
        return handler(value)
    except ValidationError as error:
        message = validation_message(error.errors(include_url=False, include_context=False, include_input=False)[0])
        warnings: list[dict[str, str]] = (info.context or {}).get("warnings", [])
        warnings.append({"field": str(info.field_name), "detail": f"{message}; taken as not known"})
        return None


def _whole(value: object) -> object:
    # JSON knows one kind of number: 3.0 is 3.
    return int(value) if isinstance(value, float) and value.is_integer() else value


Time = Annotated[
    AwareDatetime,
    BeforeValidator(_written_out),
    AfterValidator(_plausible),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
CallId = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=200, pattern=NOT_BLANK)]
Text = Annotated[str, StringConstraints(strict=True, max_length=200, pattern=PRINTED)]
Caller = Annotated[
    str,
    StringConstraints(strict=True, max_length=200, pattern=r"^[^\x00]*$"),
    BeforeValidator(_caller),
    WithJsonSchema({"anyOf": [{"type": "string", "maxLength": 200, "pattern": r"^[^\x00]*$"}, {"type": "integer"}]}),
]
Seconds = Annotated[float, Field(strict=True, ge=0.0, le=86_400.0, allow_inf_nan=False)]
SpeltSeconds = Annotated[Seconds, BeforeValidator(_number), _or_text(type="number", minimum=0.0, maximum=86_400.0)]
Count = Annotated[int, Field(strict=True, ge=0, le=100_000), BeforeValidator(_whole)]
Flag = Annotated[bool, Field(strict=True)]
SpeltShare = Annotated[
    float,
    Field(strict=True, ge=0.0, le=1.0, allow_inf_nan=False),
    BeforeValidator(_number),
    _or_text(type="number", minimum=0.0, maximum=1.0),
]
Reason = Annotated[str, StringConstraints(strict=True, min_length=3, max_length=500, pattern=NOT_BLANK)]
Stage = Literal["ring", "opening", "ended"]
# In any casing; what is none of the words is forgiven, but for a disposition.
SpeltStage = Annotated[Stage, _in_any_casing(get_args(Stage)), _or_text(enum=get_args(Stage))]
Line = Annotated[Literal[LINES], _in_any_casing(LINES), _or_text(enum=LINES)]  # type: ignore[valid-type]
Attestation = Annotated[Literal[ATTESTATIONS], _in_any_casing(ATTESTATIONS), _or_text(enum=ATTESTATIONS)]  # type: ignore[valid-type]
EndedBy = Annotated[Literal[ENDED_BY], _in_any_casing(ENDED_BY), _or_text(enum=ENDED_BY)]  # type: ignore[valid-type]
DispositionWord = Annotated[Literal[DISPOSITIONS], _in_any_casing(DISPOSITIONS)]  # type: ignore[valid-type]
Forgive = WrapValidator(_forgive)
