"""The settings of training: `params.yaml`, read once and carried in the release."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from zoneinfo import ZoneInfo, available_timezones

import phonenumbers
import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from model.calls.columns import DEFAULT_LABELS, DISPOSITIONS, GENUINE
from model.calls.phone_numbers import Numbering, numbering_of
from model.errors import ParamsError, list_problems
from model.policy.deferral import DeferralSettings
from model.policy.guardrails import FITTED, GUARDRAIL_NAMES, GUARDRAILS

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]

Number = TypeVar("Number")
#: A number, or None to have it fitted to the centre, which `params.yaml` may say as "fitted".
Fitted = Annotated[Number | None, BeforeValidator(lambda value: None if value == "fitted" else value)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Split(_Strict):
    """How the past is divided, by time: fit, then calibrate and set the policy, then certify."""

    fit: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    calibrate: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2

    @model_validator(mode="after")
    def _leaves_something(self) -> Self:
        if self.fit + self.calibrate >= 1.0:
            raise ValueError("fit and calibrate together leave nothing to certify on")
        return self


class Boosting(_Strict):
    """The boosting that is folded into a scorecard; the names are scikit-learn's."""

    max_iter: Annotated[int, Field(ge=1)] = 200
    learning_rate: Positive = 0.1
    max_leaf_nodes: Annotated[int, Field(ge=2)] = 8
    min_samples_leaf: Annotated[int, Field(ge=1)] = 20
    l2_regularization: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 5.0
    max_bins: Annotated[int, Field(ge=2, le=255)] = 128
    #: At most so many calls of the commoner label are fitted on, drawn at random; the calibration, on calls that
    #: are not thinned out, puts the level right again.
    most_of_a_label: Annotated[int, Field(ge=1_000)] = 500_000
    #: Whether settings that are all as above may give way to simpler ones where genuine calls are few.
    choose: bool = True

    @property
    def settings(self) -> dict[str, Any]:
        """scikit-learn's own settings."""
        return self.model_dump(exclude={"most_of_a_label", "choose"})


class Training(_Strict):
    """How the random share counts beside calls that were deferred or marked (`model.training.label_bias`)."""

    random_share: Literal["ignore", "weight", "only"] = "ignore"


class Rail(_Strict):
    """One guardrail: whether it is on, its cap (absent: fitted to the centre), its limit (absent: the table's own)."""

    enabled: bool = True
    cap: Fitted[Share] = None
    limit: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] | None = None


class Deferral(_Strict):
    """The seconds of the rule."""

    kappa: Fitted[Positive] = None
    base_s: Annotated[float, Field(ge=0.0, le=600.0)] = 120.0
    max_defer_s: Annotated[float, Field(ge=0.0, le=300.0)] = 300.0


class Proof(_Strict):
    """What the certificate is to prove, and how surely."""

    alpha: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.05
    delta: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.05


class Callers(_Strict):
    """What is known of a centre's own numbers and pseudonyms (`model.calls.phone_numbers.Numbering`)."""

    shared: tuple[str, ...] = ()
    pseudonym: str | None = None


def _default_labels() -> dict[str, Literal[0, 1]]:
    return dict(DEFAULT_LABELS)


class Params(_Strict):
    """Everything that training decides by setting."""

    time_zone: str = "Asia/Jakarta"
    region: str = "ID"
    callers: Callers = Callers()
    seed: Annotated[int, Field(ge=0)] = 0
    labels: dict[str, Literal[0, 1]] = Field(default_factory=_default_labels)
    split: Split = Split()
    training: Training = Training()
    boosting: Boosting = Boosting()
    guardrails: dict[str, Rail] = Field(default_factory=dict)
    deferral: Deferral = Deferral()
    certificate: Proof = Proof()

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError("expected a zone of the tz database, such as Asia/Jakarta")
        return ZoneInfo(value).key

    @field_validator("region")
    @classmethod
    def _known_region(cls, value: str) -> str:
        if value not in phonenumbers.SUPPORTED_REGIONS:
            raise ValueError("expected an ISO 3166 region, such as ID")
        return value

    @field_validator("labels")
    @classmethod
    def _known_dispositions(cls, value: dict[str, Literal[0, 1]]) -> dict[str, Literal[0, 1]]:
        for disposition in value:
            if disposition not in DISPOSITIONS:
                raise ValueError(f"{disposition} is not a disposition, expected {', '.join(DISPOSITIONS)}")
        for disposition in GENUINE:
            if value.get(disposition) != 0:
                raise ValueError(f"{disposition} must be 0: every safety promise is about these calls")
        if 1 not in value.values():
            raise ValueError("no disposition has the label 1")
        return value

    @field_validator("guardrails", mode="before")
    @classmethod
    def _fitted_where_it_may_be(cls, value: Any) -> Any:
        for name, rail in value.items() if isinstance(value, dict) else ():
            if name in set(GUARDRAIL_NAMES) - FITTED and isinstance(rail, dict) and rail.get("cap") == "fitted":
                raise ValueError(f"the cap of {name} cannot be fitted, expected a number or nothing")
        return value

    @field_validator("guardrails")
    @classmethod
    def _known_guardrails(cls, value: dict[str, Rail]) -> dict[str, Rail]:
        for name in value:
            if name not in GUARDRAIL_NAMES:
                raise ValueError(f"{name} is not a guardrail, expected {', '.join(GUARDRAIL_NAMES)}")
        return value

    @model_validator(mode="after")
    def _readable_callers(self) -> Self:
        numbering_of(self.region, self.callers.shared, self.callers.pseudonym)
        return self

    @property
    def numbering(self) -> Numbering:
        """How callers are read."""
        return numbering_of(self.region, self.callers.shared, self.callers.pseudonym)

    def caps(self) -> tuple[float, ...]:
        """Return the cap of every guardrail, in their order; NaN where one is off, the table's own if it is fitted."""
        rails = [self.guardrails.get(rail.name, Rail()) for rail in GUARDRAILS]
        return tuple(
            float("nan") if not mine.enabled else rail.cap if mine.cap is None else mine.cap
            for rail, mine in zip(GUARDRAILS, rails, strict=True)
        )

    def fitted_caps(self) -> frozenset[str]:
        """Return the guardrails whose cap is to be fitted to the centre."""
        rails = {name: self.guardrails.get(name, Rail()) for name in FITTED}
        return frozenset(name for name, rail in rails.items() if rail.enabled and rail.cap is None)

    def deferral_settings(self) -> DeferralSettings:
        """Return the seconds of the rule, with the kappa that a fit starts from."""
        given = self.deferral.model_dump()
        if given["kappa"] is None:
            del given["kappa"]
        return DeferralSettings(**given)

    def limits(self) -> tuple[float, ...]:
        """Return the limit of every guardrail, in their order."""
        rails = [self.guardrails.get(rail.name, Rail()) for rail in GUARDRAILS]
        return tuple(
            rail.limit if mine.limit is None else mine.limit for rail, mine in zip(GUARDRAILS, rails, strict=True)
        )


#: Sections of `params.yaml` that are no settings of training: of dvc.yaml, and of the gate
#: (`model.release.promotion_margins`).
PIPELINE = ("data", "evaluation", "promotion")


def read_params(path: Path | None) -> Params:
    """Read `params.yaml`; without a path, the defaults.

    A ParamsError names every setting that is wrong, its value and what was expected.
    """
    if path is None:
        return Params()
    with params_errors(path):
        document: Any = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        if isinstance(document, dict):
            document = {name: value for name, value in document.items() if name not in PIPELINE}
        return Params.model_validate(document)


@contextmanager
def params_errors(path: Path, section: str = "") -> Iterator[None]:
    """Raise a ParamsError that names every wrong setting when a file cannot be read or does not fit its model."""
    try:
        yield
    except ValidationError as error:
        raise ParamsError(f"{path}: {list_problems(error.errors(), section)}") from None
    except (OSError, UnicodeDecodeError, AttributeError, yaml.YAMLError) as error:
        raise ParamsError(f"{path}: cannot be read: {error}") from error
