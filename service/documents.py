"""What goes out over HTTP, as the OpenAPI document describes it."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from service.schemas import Stage

BandId = Literal["unscored", "normal", "unsure", "likely_prank"]
State = Literal["waiting", "taken", "answered", "ended", "abandoned", "closed"]


class Warned(BaseModel):
    """A field that was taken as not known, and why."""

    field: str
    detail: str


class Reason(BaseModel):
    """One exact term of the score, in log-odds."""

    group: Literal["history", "line", "time", "surge", "call"]
    feature: str
    value: float | str | None
    contribution: float
    text: str


class ScoreResponse(BaseModel):
    """What is said of a call. Without a certificate nothing is deferred and nothing is marked."""

    call_id: str
    stage: Stage
    prank_likelihood: float | None
    band: BandId
    defer_factor: float
    defer_s: float
    queue_key: datetime
    queue_key_epoch: float
    expected_wait_s: float | None
    expected_wait_source: Literal["request", "operations", "unknown"]
    reasons: list[Reason]
    guardrails: list[str]
    held_out: bool
    release: str | None
    scored_at: datetime
    durable: bool
    degraded: bool
    warnings: list[Warned]


class ProblemDocument(BaseModel):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[Warned] = []


class BatchResponse(BaseModel):
    """One result or problem for each item, in order."""

    results: list[ScoreResponse | ProblemDocument]


class Kept(BaseModel):
    """An event that was taken note of; `degraded` when it waits in the journal for the store."""

    call_id: str
    durable: bool
    degraded: bool
    warnings: list[Warned]


class Said(BaseModel):
    """One thing that was said of a call."""

    kind: str
    known_at: datetime
    recorded_at: datetime


class CallDocument(BaseModel):
    """All that is known of a call, what was scored, shown and decided, and why; fields named x_* come with it."""

    model_config = ConfigDict(extra="allow")
    call_id: str
    received_at: datetime
    caller: str | None
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
    shown_band: BandId
    held_out: bool
    defer_s: float
    queue_key: datetime
    release: str | None
    history: dict[str, float]
    surge: dict[str, float]
    first_call: bool
    scores: dict[str, Any]
    said: list[Said]


class Queued(BaseModel):
    """A call in the queue as a board shows it. Of the random share no band, score or reason is shown."""

    call_id: str
    received_at: datetime
    queue_key: datetime
    queue: str | None
    centre: str | None
    line: str | None
    caller: str | None
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


class QueueDocument(BaseModel):
    """The waiting calls in the order in which they are to be answered."""

    at: datetime
    number: int
    mode: Literal["pbx", "board"]
    deferral_on: bool
    off_because: str | None
    calls: list[Queued]


class SwitchDocument(BaseModel):
    """Where the switch stands, and who put it there."""

    on: bool
    who: str
    reason: str
    at: datetime | None


class StaffDocument(BaseModel):
    """The staff of a queue; `queue` is null for every queue that is not named."""

    queue: str | None
    operators: int | None
    mean_handling_s: float | None


class OperationsDocument(BaseModel):
    """What people decided and what follows from it."""

    switch: SwitchDocument
    staff: list[StaffDocument]
    mean_handling_s: float | None
    waiting: dict[str, int]
    deferral_on: bool
    off_because: str | None


class CallerDocument(BaseModel):
    """What is known of a caller, under a short pseudonym."""

    caller: str | None
    known: bool
    history: dict[str, float]
    protected: bool


class Erased(BaseModel):
    """What was removed."""

    caller: str | None
    calls: int
    events: int


class TokenDocument(BaseModel):
    """A short-lived token for what cannot send a header."""

    token: str
    expires_at: datetime


class CertificateDocument(BaseModel):
    """What is promised, whether it holds, and until when; in words, in English and Indonesian."""

    state: Literal["valid", "expired", "void"]
    reason: str
    expires_at: datetime
    en: str
    id: str


class DeferralDocument(BaseModel):
    """Whether calls are deferred, and if not, why."""

    on: bool
    off_because: str | None


class MonitorDocument(BaseModel):
    """What the monitor sees: an alarm sounds when an e-value reaches `alarm_at`."""

    e_value: float
    e_value_random_share: float
    alarm_at: float | None
    genuine_callers: int
    genuine_callers_marked: int
    alarmed: bool
    since: datetime | None
    base_rate: float | None


class ModelDocument(BaseModel):
    """The release that is served."""

    release: str
    until: datetime
    created_at: datetime
    time_zone: str
    region: str
    labels: dict[str, int]
    data: dict[str, Any]
    intercepts: dict[str, float]
    certificate: CertificateDocument
    deferral: DeferralDocument
    random_share: float
    monitor: MonitorDocument


class Alive(BaseModel):
    """The process lives, or calls can be scored and kept."""

    status: str
    release: str | None = None
    detail: dict[str, Any] = {}
