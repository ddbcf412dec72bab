"""What goes out over HTTP of the centre and the service as a whole, as the OpenAPI document describes it."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from service.contract.answers import Document, FieldWarning


class SwitchDocument(Document):
    """Where the switch stands, and who put it there."""

    on: bool
    who: str
    reason: str
    at: datetime | None = Field(description="Null: nobody ever put it.")


class StaffDocument(Document):
    """The staff of a queue."""

    queue: str | None = Field(description="Null: every queue that is not named.")
    operators: int | None = Field(description="On duty; null: not known.")
    mean_handling_s: float | None


class OperationsDocument(Document):
    """What people decided and what follows from it."""

    switch: SwitchDocument
    staff: list[StaffDocument]
    mean_handling_s: float | None = Field(
        description="Mean seconds for which an operator handles a call: as told, else of the last calls; "
        "null: not known."
    )
    waiting: dict[str, int] = Field(description='How many calls wait, by queue; "" is a call without one.')
    deferral_on: bool
    off_because: str | None = Field(
        description="Why nothing is deferred or marked, in one word; null: nothing stands against it."
    )
    warnings: list[FieldWarning] = Field(
        default=[], description="What was told just now and is doubted; it holds all the same."
    )


class CallerDocument(Document):
    """What is known of a caller."""

    caller: str | None = Field(description="A short pseudonym; null: the text shows no number.")
    known: bool
    history: dict[str, float | None]
    protected: bool = Field(description="Whether the caller is on the protected list, and never deferred.")


class Erased(Document):
    """What was removed."""

    caller: str | None
    calls: int
    events: int


class CertificateDocument(Document):
    """What is promised, whether it holds, and until when; in words, in English and Indonesian."""

    state: Literal["valid", "expired", "void"]
    reason: str
    expires_at: datetime
    en: str
    id: str


class DeferralDocument(Document):
    """Whether calls are deferred, and if not, why."""

    on: bool
    off_because: str | None


class MonitorDocument(Document):
    """What the monitor sees: an alarm sounds when an e-value reaches `alarm_at`."""

    e_value: float
    e_value_random_share: float
    alarm_at: float | None = Field(description="Null: this release marks nobody, so there is nothing to watch.")
    genuine_callers: int
    genuine_callers_marked: int
    alarmed: bool
    since: datetime | None
    base_rate: float | None = Field(
        description="Share of recently closed calls that were not genuine, 0 to 1; null: too few were closed."
    )


class DriftMeasure(Document):
    """One measure of drift."""

    name: str
    meaning: dict[str, str] = Field(description="In English (`en`) and Indonesian (`id`).")
    change: dict[str, str] = Field(description="What it was when the release was made, and what it is now, in words.")
    size: float | None = Field(description="How far it moved; null: too few calls to say.")
    limit: float | None = Field(description="From where on that is an alarm.")
    moved: bool


class DriftDocument(Document):
    """Whether the latest calls look like those that the release was made from."""

    at: datetime = Field(description="When that was looked at; it is once an hour.")
    calls: int
    days: float
    alarm: bool
    sentence: dict[str, str] = Field(description="In English (`en`) and Indonesian (`id`).")
    measures: list[DriftMeasure] = Field(description="Those nearest to their limit, or furthest beyond it.")


class ShadowStage(Document):
    """How the challenger compares at one stage; differences are challenger minus champion, of likelihoods 0 to 1."""

    calls: int
    mean_difference: float
    mean_absolute_difference: float
    rank_correlation: float | None = Field(
        description="Spearman's, of the last 5,000 calls, -1 to 1; null: too few, or all alike."
    )
    other_band: int = Field(description="How many calls would be in another band, were both certificates in force.")
    waits_more: int = Field(description="How many would be given a larger share of a full deferral.")
    waits_less: int


class ShadowGenuine(Document):
    """What both said of calls that were then closed as genuine: the mean likelihood of a prank, lower is better."""

    calls: int
    champion: float | None
    challenger: float | None


class ShadowDocument(Document):
    """The challenger, scored on live calls after their answer; nobody who takes calls is shown any of it."""

    release: str
    since: datetime
    waiting: int = Field(description="Calls that were answered and not yet compared.")
    skipped: int = Field(description="Calls that were not compared because too many waited.")
    failed: int
    stages: dict[str, ShadowStage]
    genuine: ShadowGenuine


class NamedDocument(Document):
    """What an alias of the registry names."""

    version: int
    release: str
    refused: str | None = Field(description="Why it is not taken up; null: it is.")


class RegistryDocument(Document):
    """What was seen in the registry last."""

    looked_at: datetime
    champion: NamedDocument | None
    challenger: NamedDocument | None


class MergedCaller(Document):
    """A caller without a valid number who calls from more lines than one person has; seen by this process."""

    caller: str = Field(description="A short pseudonym.")
    shape: Literal["possible", "pseudonym"] = Field(description="What the number, or name, was taken for.")
    calls: int
    lines: list[str] = Field(description="Kinds of line.")
    centres: int = Field(description="How many, 3 at most.")
    at_once: int = Field(description="Most calls at one time, of its last 20.")
    since: datetime
    last_call: str


class ModelDocument(Document):
    """The release that is served."""

    release: str
    until: datetime = Field(description="It was trained on what was known then.")
    created_at: datetime
    time_zone: str
    region: str = Field(description="ISO 3166, for numbers without a country code.")
    labels: dict[str, int] = Field(description="Which dispositions count as genuine (0) and as not genuine (1).")
    data: dict[str, Any] = Field(description="The fingerprint of what it was trained on.")
    intercepts: dict[str, float] = Field(description="Of each stage, in log-odds.")
    certificate: CertificateDocument
    deferral: DeferralDocument
    random_share: float = Field(description="Share of the calls that would be deferred and are not, 0 to 1.")
    monitor: MonitorDocument
    drift: DriftDocument | None = Field(
        description="Null: not yet looked at, or the release has no fingerprint of the calls that it was made from."
    )
    merged_callers: list[MergedCaller] = Field(description="Probably many people each: a shared number, or a word.")
    shadow: ShadowDocument | None = Field(
        description="Null: there is no challenger. Of this process's calls, since it took up challenger and champion."
    )
    registry: RegistryDocument | None = Field(description="Null: a release folder is served, and no registry followed.")


class Alive(Document):
    """The process lives, or calls can be scored and kept."""

    status: str
    release: str | None = None
    journal: int | None = Field(None, description="How many events this process's journal holds for the store.")
