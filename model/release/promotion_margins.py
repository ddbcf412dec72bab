"""How much worse than the champion a challenger may be: the section `promotion` of `params.yaml`."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from model.params import params_errors
from model.queueing.caller_groups import SLICES

Measure = Literal["auc", "wait"]
Margin = Annotated[float, Field(ge=0.0, le=1.0)]
#: What is read when nobody names another file.
DEFAULT_PATH = Path("params.yaml")


class SliceMargins(BaseModel):
    """The margins of one slice; what is not given is that of every slice."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    auc: Margin | None = None
    wait: Margin | None = None


class Margins(BaseModel):
    """The margins of the gate.

    Parameters
    ----------
    auc : float
        Of the area under the ROC curve, 0 to 1, of all genuine callers.
    wait : float
        Of the mean wait of genuine callers, as a share of that under first come, first served.
    slice_auc, slice_wait : float
        The same within one slice of genuine callers.
    slices : mapping of str to SliceMargins
        Slices with margins of their own.
    least_callers : int
        A slice of fewer callers is told and not judged: chance alone would decide.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    auc: Margin = 0.03
    wait: Margin = 0.05
    slice_auc: Margin = 0.05
    slice_wait: Margin = 0.1
    slices: dict[str, SliceMargins] = Field(default_factory=lambda: {"silent": SliceMargins(auc=0.03, wait=0.05)})
    least_callers: Annotated[int, Field(ge=2)] = 10

    @field_validator("slices")
    @classmethod
    def _known_slices(cls, value: dict[str, SliceMargins]) -> dict[str, SliceMargins]:
        for name in value:
            if name not in SLICES or name == "all":
                raise ValueError(f"{name} is not a slice, expected {', '.join(one for one in SLICES if one != 'all')}")
        return value

    def of(self, name: str, measure: Measure) -> float:
        """Return the margin of a slice, or of "all".

        Examples
        --------
        >>> margins = Margins(slices={"silent": {"auc": 0.01}})
        >>> margins.of("all", "auc"), margins.of("silent", "auc"), margins.of("silent", "wait")
        (0.03, 0.01, 0.1)
        """
        if name == "all":
            return self.auc if measure == "auc" else self.wait
        own: float | None = getattr(self.slices.get(name, SliceMargins()), measure)
        return own if own is not None else self.slice_auc if measure == "auc" else self.slice_wait


def read_margins(path: Path | None) -> Margins:
    """Read the section `promotion` of a file, by default of `params.yaml` here; without it, the defaults.

    A ParamsError names every setting that is wrong.
    """
    if path is None:
        if not DEFAULT_PATH.is_file():
            return Margins()
        path = DEFAULT_PATH
    with params_errors(path, "promotion"):
        document: Any = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        return Margins.model_validate(document.get("promotion") or {})
