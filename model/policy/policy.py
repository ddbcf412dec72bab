"""What a score means for a call: its band, and the share of a full deferral.

The guardrails (`model.policy.guardrails`) leave a guarded score and a cap. The guarded score decides the band and, by a
fitted curve (`model.policy.deferral_curve`), the defer_factor. Seconds come later (`model.policy.deferral`), from the
factor and the queue. What the same score says to a person is in `model.policy.likeness`.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np

from model.arrays import Floats
from model.policy.deferral import DeferralSettings
from model.policy.deferral_curve import DEFAULT_SHAPE, CurveShape, FactorCurve
from model.policy.guardrails import GUARDRAIL_NAMES, GUARDRAILS
from model.policy.likeness import Likeness
from model.scorecard.features import STAGES


class Band(IntEnum):
    """What a call is shown as, in order; what is missing or wrong stands at the harmless end."""

    UNSCORED = 0
    NORMAL = 1
    UNSURE = 2
    LIKELY_PRANK = 3

    @property
    def id(self) -> str:
        """The name used in files and over HTTP, such as "likely_prank"."""
        return self.name.lower()


@dataclass(frozen=True)
class Policy:
    """Guardrails and, for each stage, the curve from guarded score to defer_factor.

    Parameters
    ----------
    curves, unguarded : mapping of str to FactorCurve
        By stage, fitted with the guardrails on and off: what they cost is the difference.
    caps, limits : tuple of float
        By guardrail; a cap of NaN switches it off.
    shape : CurveShape
        What the curves were fitted with.
    likeness : mapping of str to Likeness
        By stage, what a guarded score says to a person; without a stage that has too few genuine calls.
    fit : mapping, optional
        How the policy was fitted to the centre (`model.queueing.fitting.policy_fit`); None where shape, kappa and caps
        are those that a centre starts from.
    """

    curves: Mapping[str, FactorCurve]
    unguarded: Mapping[str, FactorCurve]
    caps: tuple[float, ...] = tuple(guardrail.cap for guardrail in GUARDRAILS)
    limits: tuple[float, ...] = tuple(guardrail.limit for guardrail in GUARDRAILS)
    deferral: DeferralSettings = field(default_factory=DeferralSettings)
    shape: CurveShape = DEFAULT_SHAPE
    likeness: Mapping[str, Likeness] = field(default_factory=dict)
    fit: Mapping[str, Any] | None = None

    @cached_property
    def settings(self) -> tuple[Floats, Floats]:
        """Caps and limits, as `apply_guardrails` takes them."""
        return np.array(self.caps), np.array(self.limits)

    def with_every_guardrail(self) -> "Policy":
        """Return the policy with every guardrail on, so that scoring a call tells of each whether it holds."""
        caps = tuple(rail.cap if math.isnan(cap) else cap for rail, cap in zip(GUARDRAILS, self.caps, strict=True))
        return replace(self, caps=caps)

    def to_json(self) -> dict[str, Any]:
        """Return strict JSON."""
        return {
            "deferral": asdict(self.deferral),
            "guardrails": {
                guardrail.name: {
                    "enabled": not math.isnan(cap),
                    "cap": None if math.isnan(cap) else cap,
                    "limit": limit,
                    "meaning": guardrail.meaning,
                }
                for guardrail, cap, limit in zip(GUARDRAILS, self.caps, self.limits, strict=True)
            },
            "curves": {stage: self.curves[stage].to_json() for stage in STAGES},
            "curves_without_guardrails": {stage: self.unguarded[stage].to_json() for stage in STAGES},
            "shape": self.shape._asdict(),
            "fit": self.fit,
            "likeness": {stage: self.likeness[stage].to_json() for stage in STAGES if stage in self.likeness},
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Policy":
        """Read what `to_json` wrote."""
        rails = [document["guardrails"][name] for name in GUARDRAIL_NAMES]
        return cls(
            {stage: FactorCurve.from_json(document["curves"][stage]) for stage in STAGES},
            {stage: FactorCurve.from_json(document["curves_without_guardrails"][stage]) for stage in STAGES},
            tuple(float(rail["cap"]) if rail["enabled"] else math.nan for rail in rails),
            tuple(float(rail["limit"]) for rail in rails),
            DeferralSettings(**document["deferral"]),
            CurveShape(**document.get("shape", {})),
            {stage: Likeness.from_json(tables) for stage, tables in document.get("likeness", {}).items()},
            document.get("fit"),
        )


def band_of(guarded: float, factor: float, threshold: float | None) -> Band:
    """Return the band of a scored call: no deferral is `normal`, and only a certified threshold flags.

    Examples
    --------
    >>> [band_of(0.99, factor, threshold).id for factor, threshold in ((0.0, 0.9), (0.4, None), (0.4, 0.9))]
    ['normal', 'unsure', 'likely_prank']
    """
    if factor <= 0.0:
        return Band.NORMAL
    return Band.LIKELY_PRANK if threshold is not None and guarded > threshold else Band.UNSURE
