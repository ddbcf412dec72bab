"""What comes in over HTTP from people: nothing is forgiven, since nobody waits in a queue for it."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from service.contract.fields import Caller, CallId, Count, Reason, Seconds, Text
from service.telemetry.logs import mask_numbers


class Strict(BaseModel):
    """What all of them have in common: a field that is not known is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Take(Strict):
    """An operator takes a waiting call, or gives it back."""

    operator: Annotated[
        Text | None,
        Field(
            description="Only an admin may name somebody else (403): up to 200 characters. Null: whoever holds the key."
        ),
    ] = None


class Number(Strict):
    """A caller, by number; it stands in the body, never in a path."""

    caller: Annotated[
        Caller,
        Field(
            min_length=1,
            description="The number as it was dialled or in E.164, or a stable pseudonym: 1 to 200 characters.",
        ),
    ]


class Erase(Number):
    """A caller whose history is to be forgotten, and why."""

    reason: Annotated[
        Reason, Field(description="Why, in 3 to 500 characters, not blank and without the number; it is kept for good.")
    ]


class SwitchedTo(Strict):
    """The switch: with `on` false nothing is deferred and nothing marked, from within a second on."""

    on: Annotated[bool, Field(strict=True, description="Whether calls may be deferred and marked at all.")]
    reason: Annotated[
        Reason,
        AfterValidator(mask_numbers),  # decisions are kept for good, and never with a number in them
        Field(description="Why, in 3 to 500 characters, not blank; operators read it. A number in it is masked."),
    ]


class Operate(Strict):
    """What people decide while the service runs; what is not named stays. At least one of the others than `queue`."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": [name]} for name in ("operators", "mean_handling_s", "switch")]},
    )
    queue: Annotated[
        Text | None,
        Field(description="Whose staff this is, up to 200 characters; null: of every queue that is not named."),
    ] = None
    operators: Annotated[Count | None, Field(description="Operators on duty: 0 to 100,000; null: not known.")] = None
    mean_handling_s: Annotated[
        Seconds | None,
        Field(
            description="Mean seconds for which an operator handles a call: 0 to 86,400. Null: that of the last calls, "
            "once there are enough."
        ),
    ] = None
    switch: Annotated[SwitchedTo | None, Field(description="Null: it stays as it is.")] = None


class TokenFor(Strict):
    """What a short-lived token is asked for."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"properties": {"scope": {"const": "stream"}}},
                {"properties": {"call_id": {"type": "string"}}, "required": ["call_id"]},
            ]
        },
    )
    scope: Annotated[
        Literal["badge", "stream"],
        Field(description="`badge`: the badge of one call, for 300 s; `stream`: to open the stream, within 60 s."),
    ]
    call_id: Annotated[
        CallId | None,
        Field(description="Of which call, 1 to 200 characters; required for a badge.", examples=["112-20261101-0042"]),
    ] = None
