"""What goes out over HTTP of calls and their queue, as the OpenAPI document describes it."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.contract.fields import Stage

BandId = Literal["unscored", "normal", "unsure", "likely_prank"]
BadgeId = Literal["like_emergencies", "not_clear", "prank_like", "not_rated"]
GenuineLike = Annotated[
    float | None,
    Field(
        description="Share of the centre's genuine calls that look at least as much like a prank as this one, 0 to 1; "
        "null: not scored, or the release knows too few genuine calls."
    ),
]
OneIn = Annotated[
    Literal[3, 10, 30, 100, 300, 1000] | None,
    Field(
        description="One in so many calls that score like this was genuine here; 3: or more of them, 1000: or fewer; "
        "null as genuine_like."
    ),
]
_ARRIVED_AT = (
    "When the call counts as arrived, by which it is ordered: received_at, unless the sender's clock is ahead or too "
    "far behind; then when it was first heard of. Null: at received_at, answered by an earlier version."
)
State = Literal["waiting", "taken", "answered", "ended", "abandoned", "closed"]
Kind = Literal["received", "scored", "taken", "released", "answered", "ended", "disposed", "reopened", "left"]


class Document(BaseModel):
    """What every answer has in common: a field says what it is where its name does not."""


class FieldWarning(Document):
    """A field that was taken as not known, and why; in a problem, a field that is wrong, and what was expected."""

    field: str = Field(description="Its name, as in the request; `(body)` for the whole.")
    detail: str


class Reason(Document):
    """One exact term of the score, in log-odds."""

    group: Literal["history", "line", "time", "surge", "call"]
    feature: str
    value: float | str | None = Field(
        description="Of the feature; null: not known. Of a pair of features (`a x b`) both, such as `9 x 0.8`."
    )
    contribution: float = Field(description="What it adds to the log-odds; above 0 it speaks for a prank.")
    text: str = Field(description="The same in words, as an operator reads it.")


class ScoreResponse(Document):
    """What is said of a call. Without a certificate nothing is deferred and nothing is marked."""

    call_id: str
    stage: Stage
    prank_likelihood: float | None = Field(
        description="Probability that the call will be closed as not genuine, 0 to 1; null: not scored."
    )
    band: BandId = Field(description="What an operator is shown; `unscored` is treated as `normal`.")
    defer_factor: float = Field(description="Share of the longest deferral, 0 to 1, after the guardrails.")
    defer_s: float = Field(
        description="Seconds, at most 300: only calls that arrive within them may be answered before this one."
    )
    queue_key: datetime = Field(
        description="arrived_at and defer_s: serve the smallest first. It may move forward later, never back."
    )
    queue_key_epoch: float = Field(description="The same as seconds since 1970.")
    arrived_at: datetime | None = Field(None, description=_ARRIVED_AT)
    expected_wait_s: float | None = Field(
        description="Seconds that the call would wait first come, first served; null: not known."
    )
    expected_wait_source: Literal["request", "operations", "unknown"]
    reasons: list[Reason] = Field(
        description="The largest first; together with the stage's intercept of /v1/model they are the log-odds."
    )
    guardrails: list[str] = Field(description="What kept the call from being deferred, or from all of it.")
    held_out: bool = Field(description="Whether it is of the random share, which is never deferred and shows no badge.")
    release: str | None
    scored_at: datetime
    durable: bool = Field(description="Whether it is on disk. If not, say it again.")
    degraded: bool = Field(
        description="Whether the store could not be reached: such a call is `unscored` and not deferred."
    )
    warnings: list[FieldWarning] = Field(description="Fields that were taken as not known or are not of the contract.")
    genuine_like: GenuineLike = None
    one_in: OneIn = None
    badge: BadgeId | None = Field(
        None, description="What people see: by genuine_like, after the band. Null: answered by an earlier version."
    )


class ProblemDocument(Document):
    """RFC 9457 problem details; every answer that is not of the 200s is one."""

    type: str
    title: str
    status: int
    detail: str = Field(description="One sentence: what is wrong and what was expected.")
    errors: list[FieldWarning] = Field(default=[], description="The fields that are wrong.")


class BatchResponse(Document):
    """One result or problem for each item, in order."""

    results: list[ScoreResponse | ProblemDocument]


class EventReceipt(Document):
    """An event that was taken note of."""

    call_id: str
    durable: bool = Field(description="Whether it is on disk.")
    degraded: bool = Field(description="Whether it waits in the journal for the store.")
    warnings: list[FieldWarning]


class EventDocument(Document):
    """One thing that was said of a call."""

    kind: Kind
    known_at: datetime = Field(description="When it became known, by which it counts.")
    recorded_at: datetime = Field(description="When this service wrote it down.")
    told_by: str | None = Field(
        description="The name of the access key by which it was told; null: the service did it by itself, or it was "
        "imported, or kept by an earlier version."
    )
    operator: str | None = Field(description="Whom it names.")
    disposition: str | None
    category: str | None
    incident_id: str | None
    why: str | None = Field(description="`gone`, `signed out`, `revoked`: why a call that was taken waits again.")
    was: Literal["waiting", "taken"] | None = Field(description="In which state a call was closed that still waited.")


class Surge(Document):
    """What arrived in the minutes before the call against what is usual at that hour of the week; 1: as usual."""

    calls: float
    new_numbers: float


class CallDocument(Document):
    """All that is known of a call, what was scored, shown and decided, and why; fields named x_* come with it."""

    model_config = ConfigDict(extra="allow")
    call_id: str
    received_at: datetime
    arrived_at: datetime = Field(description=_ARRIVED_AT)
    caller: str | None = Field(description="A short pseudonym; null: no number.")
    line: str | None
    attestation: str | None
    centre: str | None
    queue: str | None
    state: State
    operator: str | None
    opening_duration_s: float | None
    opening_silence_ratio: float | None
    answered_at: datetime | None
    ended_at: datetime | None
    ended_by: str | None
    duration_s: float | None
    silence_ratio: float | None
    disposition: str | None
    category: str | None
    incident_id: str | None = Field(description="The incident that it was about, as last named.")
    disposed_at: datetime | None = Field(
        description="When the disposition became known here: the later of said and told."
    )
    shown_band: BandId
    held_out: bool
    defer_s: float
    queue_key: datetime
    release: str | None
    genuine_like: GenuineLike
    one_in: OneIn
    badge: BadgeId = Field(description="What people see, or saw last.")
    history: dict[str, float | None] = Field(description="The caller's, as read strictly before received_at.")
    surge: Surge
    first_call: bool = Field(description="Whether the number had never been seen.")
    scores: dict[Stage, ScoreResponse] = Field(description="The last answer at each stage.")
    said: list[EventDocument]


class Queued(Document):
    """A call in the queue as a board shows it. Of the random share no band, score or reason is shown."""

    call_id: str
    received_at: datetime
    arrived_at: datetime = Field(description="Since when it waits: received_at, or when it was first heard of.")
    queue_key: datetime = Field(description="Serve the smallest first.")
    queue: str | None
    centre: str | None
    line: str | None
    caller: str | None = Field(description="A short pseudonym; null: no number.")
    last_digits: str | None = Field(description="Of the number; null: none, or the setting does not keep them.")
    state: State
    operator: str | None
    band: BandId | None
    prank_likelihood: float | None
    genuine_like: GenuineLike
    one_in: OneIn
    badge: BadgeId = Field(description="What people see; `not_rated` if it was not scored or is of the random share.")
    defer_s: float
    reasons: list[Reason]
    guardrails: list[str]
    earlier_calls: int
    earlier_genuine: int
    earlier_not_genuine: int
    last_call_at: datetime | None = Field(
        description="When this number rang before; null: it never did, or is not shown."
    )
    heard_at: datetime = Field(
        description="When something was last said of the call; if it was said before, to a quarter of the time-out."
    )


class QueueDocument(Document):
    """The waiting calls in the order in which they are to be answered."""

    at: datetime
    number: int = Field(description="Of the last change of the board.")
    mode: Literal["pbx", "board"] = Field(
        description="Who delivers the calls: the PBX, or operators take them from the board."
    )
    deferral_on: bool
    off_because: str | None = Field(
        description="Why nothing is deferred or marked, in one word; null: nothing stands against it."
    )
    waiting: int = Field(description="How many wait in all, also beyond the limit.")
    calls: list[Queued]


class TokenDocument(Document):
    """A short-lived token for what cannot send a header."""

    token: str = Field(description="For the parameter `token` of the badge or the stream.")
    expires_at: datetime


class BadgeDocument(Document):
    """What a call's badge says now, and nothing else of the call."""

    at: datetime = Field(description="By the service's clock.")
    state: Literal["normal", "unsure", "likely_prank", "unscored", "none"] = Field(
        description="The band; `none`: a call of the random share, which has no badge."
    )
    badge: BadgeId = Field(description="What people see.")
    genuine_like: GenuineLike
    one_in: OneIn
    prank_likelihood: float | None = Field(description="Null: no score is shown.")
    token_expires_at: datetime | None = Field(description="Null: asked for with a key.")


class Beat(Document):
    """The line is alive."""

    at: datetime = Field(description="By the service's clock.")
    degraded: bool = Field(
        description="Whether the store is out of reach, or behind: calls that arrive then may not stand in this queue."
    )


class DeferralChange(Document):
    """Whether calls are deferred, and if not, why."""

    deferral_on: bool
    off_because: str | None


def event(name: str, data: str | None) -> dict[str, Any]:
    """Describe one event of the stream, whose `data` is JSON."""
    schema = {"$ref": f"#/components/schemas/{data}"} if data else {"type": "object"}
    return {
        "type": "object",
        "required": ["event", "data"],
        "properties": {
            "event": {"const": name},
            "data": {"type": "string", "contentMediaType": "application/json", "contentSchema": schema},
            "id": {"type": "string", "description": "For the header Last-Event-ID."},
            "retry": {"type": "integer", "description": "Milliseconds to wait before coming back."},
        },
    }
