"""What comes in over HTTP.

The fields that a score cannot do without are strict. Any other field that makes no sense becomes null with a warning:
a call is never lost to the queue over an optional number.
"""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from model.calls import DISPOSITIONS, ENDED_BY, LINES, TIMESTAMP

EARLIEST = datetime.fromisoformat("1990-01-01T00:00:00+00:00")
EXTRA_BYTES = 200
_TIMESTAMP = re.compile(TIMESTAMP)
T = TypeVar("T", bound=BaseModel)


def _written_out(value: object) -> object:
    # A number would be taken as seconds since 1970, or as milliseconds, by its size: a guess.
    if not isinstance(value, str) or not _TIMESTAMP.fullmatch(value):
        raise PydanticCustomError("time_text", "expected a time with an offset, like 2024-01-31T08:15:00+07:00")
    return value


def _plausible(value: datetime, info: ValidationInfo) -> datetime:
    latest: datetime | None = (info.context or {}).get("latest")
    if value < EARLIEST or (latest is not None and value > latest):
        raise PydanticCustomError(
            "absurd_time", "expected a time from 1990 up to now; check the clock and the offset of the sender"
        )
    return value


def _forgive(value: object, handler: Callable[[object], Any], info: ValidationInfo) -> Any:
    """Take a value that makes no sense as not known, and say so."""
    try:
        return handler(value)
    except ValidationError as error:
        message = error.errors(include_url=False, include_context=False, include_input=False)[0]["msg"]
        warnings: list[dict[str, str]] = (info.context or {}).get("warnings", [])
        warnings.append({"field": str(info.field_name), "detail": f"{message}; taken as not known"})
        return None


Time = Annotated[
    AwareDatetime,
    BeforeValidator(_written_out),
    AfterValidator(_plausible),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
CallId = Annotated[
    str,
    StringConstraints(
        strict=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$"
    ),
]
Text = Annotated[str, StringConstraints(strict=True, max_length=200, pattern=r"^[^\x00]*$")]
Seconds = Annotated[float, Field(strict=True, ge=0.0, le=86_400.0, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=0.0, le=1.0, allow_inf_nan=False)]
Reason = Annotated[
    str, StringConstraints(strict=True, strip_whitespace=True, min_length=3, max_length=500, pattern=r"^[^\x00]*$")
]
Stage = Literal["ring", "opening", "ended"]
Forgive = WrapValidator(_forgive)


class Body(BaseModel):
    """What every request's body has in common: fields that are not known are pointed out, `x_*` are kept."""

    model_config = ConfigDict(extra="allow", frozen=True)

    def extras(self) -> dict[str, Any]:
        """Give the fields named `x_*`."""
        return {name: value for name, value in (self.model_extra or {}).items() if name.startswith("x_")}

    def strangers(self) -> list[dict[str, str]]:
        """Warn of fields that are neither of the contract nor named `x_*`."""
        return [
            {"field": name[:EXTRA_BYTES], "detail": "is not a field of this request; extra fields are named x_*"}
            for name in self.model_extra or {}
            if not name.startswith("x_")
        ]


class ScoreRequest(Body):
    """One call, at any stage, as often as more becomes known."""

    call_id: CallId
    received_at: Time
    caller: Annotated[Text | None, Forgive] = None
    line: Annotated[Literal[LINES] | None, Forgive] = None  # type: ignore[valid-type]
    centre: Annotated[Text | None, Forgive] = None
    queue: Annotated[Text | None, Forgive] = None
    duration_s: Annotated[Seconds | None, Forgive] = None
    silence_ratio: Annotated[Share | None, Forgive] = None
    expected_wait_s: Annotated[Seconds | None, Forgive] = None
    stage: Annotated[Stage | None, Forgive] = None

    def at(self) -> Stage:
        """Give the stage: the one that was named, else opening as soon as something was heard."""
        if self.stage is not None:
            return self.stage
        return "ring" if self.duration_s is None and self.silence_ratio is None else "opening"


class Answered(Body):
    """An operator took up the call."""

    answered_at: Time
    operator: Annotated[Text | None, Forgive] = None


class Ended(Body):
    """The call ended; its length and silence are those of the conversation, on the caller's side."""

    ended_at: Time
    ended_by: Annotated[Literal[ENDED_BY] | None, Forgive] = None  # type: ignore[valid-type]
    duration_s: Annotated[Seconds | None, Forgive] = None
    silence_ratio: Annotated[Share | None, Forgive] = None


class Disposition(Body):
    """How an operator closed the call; said again, it is a correction."""

    disposition: Literal[DISPOSITIONS]  # type: ignore[valid-type]
    category: Annotated[Text | None, Forgive] = None
    disposed_at: Time
    operator: Annotated[Text | None, Forgive] = None


class Take(Body):
    """An operator takes a waiting call, or gives it back."""

    operator: Annotated[Text | None, Forgive] = None


class Number(Body):
    """A caller, by number; it stands in the body, never in a path."""

    caller: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=200, pattern=r"^[^\x00]*$")]


class Erase(Number):
    """A caller whose history is to be forgotten, and why."""

    reason: Reason


class SwitchedTo(BaseModel):
    """The switch: with `on` false nothing is deferred and nothing marked, from within a second on."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    on: bool
    reason: Reason


class Operate(BaseModel):
    """What people decide while the service runs; what is not named stays."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    queue: Annotated[Text | None, Field(description="Whose staff this is; null: of every queue not named.")] = None
    operators: Annotated[int | None, Field(strict=True, ge=0, le=100_000)] = None
    mean_handling_s: Seconds | None = None
    switch: SwitchedTo | None = None


class TokenFor(BaseModel):
    """What a short-lived token is asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    scope: Literal["badge", "stream"]
    call_id: CallId | None = None


def parse(schema: type[T], body: bytes, now: datetime, skew_s: float) -> tuple[T, list[dict[str, str]]]:
    """Read a request's body.

    Returns
    -------
    request : T
    warnings : list
        One entry for each field that was taken as not known or is not of the contract.

    Raises
    ------
    ValidationError
        When a field that is required lacks or makes no sense.
    """
    warnings: list[dict[str, str]] = []
    context = {"warnings": warnings, "latest": now + timedelta(seconds=skew_s)}
    request = schema.model_validate_json(body, context=context)
    return request, warnings + request.strangers() if isinstance(request, Body) else warnings
