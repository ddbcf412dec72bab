"""What goes out over HTTP of calls and their queue, as the OpenAPI document describes it."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from service.fields import Stage

BandId = Literal["unscored", "normal", "unsure", "likely_prank"]
State = Literal["waiting", "taken", "answered", "ended", "abandoned", "closed"]
Kind = Literal["received", "scored", "taken", "released", "answered", "ended", "disposed", "left"]


class Document(BaseModel):
    """What every answer has in common: each field says what it is in the line below it."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Warned(Document):
    """A field that was taken as not known, and why; in a problem, a field that is wrong, and what was expected."""

    field: str
    """Its name, as in the request; `(body)` for the whole."""
    detail: str


class Reason(Document):
    """One exact term of the score, in log-odds."""

    group: Literal["history", "line", "time", "surge", "call"]
    feature: str
    value: float | str | None
    """Of the feature; null: not known."""
    contribution: float
    """What it adds to the log-odds; above 0 it speaks for a prank."""
    text: str
    """The same in words, as an operator reads it."""


class ScoreResponse(Document):
    """What is said of a call. Without a certificate nothing is deferred and nothing is marked."""

    call_id: str
    stage: Stage
    prank_likelihood: float | None
    """Probability that the call will be closed as not genuine, 0 to 1; null: not scored."""
    band: BandId
    """What an operator is shown; `unscored` is treated as `normal`."""
    defer_factor: float
    """Share of the longest deferral, 0 to 1, after the guardrails."""
    defer_s: float
    """Seconds, at most 300: only calls that arrive within them may be answered before this one."""
    queue_key: datetime
    """received_at and defer_s: serve the smallest first. It may move forward later, never back."""
    queue_key_epoch: float
    """The same as seconds since 1970."""
    expected_wait_s: float | None
    """Seconds that the call would wait first come, first served; null: not known."""
    expected_wait_source: Literal["request", "operations", "unknown"]
    reasons: list[Reason]
    """The largest first; together with the stage's intercept of /v1/model they are the log-odds."""
    guardrails: list[str]
    """What kept the call from being deferred, or from all of it."""
    held_out: bool
    """Whether it is of the random share, which is never deferred and shows no badge."""
    release: str | None
    scored_at: datetime
    durable: bool
    """Whether it is on disk. If not, say it again."""
    degraded: bool
    """Whether the store could not be reached: such a call is `unscored` and not deferred."""
    warnings: list[Warned]
    """Fields that were taken as not known or are not of the contract."""


class ProblemDocument(Document):
    """RFC 9457 problem details; every answer that is not of the 200s is one."""

    type: str
    title: str
    status: int
    detail: str
    """One sentence: what is wrong and what was expected."""
    errors: list[Warned] = []
    """The fields that are wrong."""


class BatchResponse(Document):
    """One result or problem for each item, in order."""

    results: list[ScoreResponse | ProblemDocument]


class Kept(Document):
    """An event that was taken note of."""

    call_id: str
    durable: bool
    """Whether it is on disk."""
    degraded: bool
    """Whether it waits in the journal for the store."""
    warnings: list[Warned]


class Said(Document):
    """One thing that was said of a call."""

    kind: Kind
    known_at: datetime
    """When it became known, by which it counts."""
    recorded_at: datetime
    """When this service wrote it down."""


class Surge(Document):
    """What arrived in the minutes before the call against what is usual at that hour of the week; 1: as usual."""

    calls: float
    new_numbers: float


class CallDocument(Document):
    """All that is known of a call, what was scored, shown and decided, and why; fields named x_* come with it."""

    model_config = ConfigDict(extra="allow")
    call_id: str
    received_at: datetime
    caller: str | None
    """A short pseudonym; null: no number."""
    line: str | None
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
    disposed_at: datetime | None
    """When the disposition became known here: the later of said and told."""
    shown_band: BandId
    held_out: bool
    defer_s: float
    queue_key: datetime
    release: str | None
    history: dict[str, float | None]
    """The caller's, as read strictly before received_at."""
    surge: Surge
    first_call: bool
    """Whether the number had never been seen."""
    scores: dict[Stage, ScoreResponse]
    """The last answer at each stage."""
    said: list[Said]


class Queued(Document):
    """A call in the queue as a board shows it. Of the random share no band, score or reason is shown."""

    call_id: str
    received_at: datetime
    queue_key: datetime
    """Serve the smallest first."""
    queue: str | None
    centre: str | None
    line: str | None
    caller: str | None
    """A short pseudonym; null: no number."""
    last_digits: str | None
    """Of the number; null: none, or the setting does not keep them."""
    state: State
    operator: str | None
    band: BandId | None
    prank_likelihood: float | None
    defer_s: float
    reasons: list[Reason]
    guardrails: list[str]
    earlier_calls: int
    earlier_genuine: int
    earlier_not_genuine: int
    last_call_at: datetime | None
    """When this number rang before; null: it never did, or is not shown."""
    heard_at: datetime
    """When something was last said of the call."""


class QueueDocument(Document):
    """The waiting calls in the order in which they are to be answered."""

    at: datetime
    number: int
    """Of the last change of the board."""
    mode: Literal["pbx", "board"]
    """Who delivers the calls: the PBX, or operators take them from the board."""
    deferral_on: bool
    off_because: str | None
    """Why nothing is deferred or marked, in one word; null: nothing stands against it."""
    waiting: int
    """How many wait in all, also beyond the limit."""
    calls: list[Queued]


class TokenDocument(Document):
    """A short-lived token for what cannot send a header."""

    token: str
    """For the parameter `token` of the badge or the stream."""
    expires_at: datetime


class BadgeDocument(Document):
    """What a call's badge says now, and nothing else of the call."""

    at: datetime
    """By the service's clock."""
    state: Literal["normal", "unsure", "likely_prank", "unscored", "none"]
    """`none`: a call of the random share, which has no badge."""
    prank_likelihood: float | None
    """Null: no score is shown."""
    token_expires_at: datetime | None
    """Null: asked for with a key."""


class Beat(Document):
    """The line is alive."""

    at: datetime
    """By the service's clock."""
    degraded: bool
    """Whether the store is out of reach, or behind: calls that arrive then may not stand in this queue."""


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
