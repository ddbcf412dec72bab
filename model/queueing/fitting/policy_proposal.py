"""The shape and caps by which genuine callers gain most while no group gives way more than the work does."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from model.arrays import Floats
from model.policy.deferral_curve import CurveShape
from model.policy.guardrails import GUARDRAIL_NAMES

if TYPE_CHECKING:
    from model.queueing.fitting.exposure import Exposure

CAPS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
GRID: dict[str, tuple[float, ...]] = {
    "ramp_from": (0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8),
    "ramp_width": (0.02, 0.1, 0.2, 0.3),
    "rarer_enough": (0.25, 0.5, 0.7, 0.9),
}
#: The climb starts from each of these ramps, with the fitted caps open and where they start.
RAMPS = (0.35, 0.5, 0.65)
#: What a group that gives way a hundredth too much costs while climbing, in hundredths of the gain; and what any costs.
PENALTY, BROKEN = 4.0, 0.03
LEAST_STEP = 1e-4

Proposal = tuple[CurveShape, tuple[float, ...]]


class Candidate(NamedTuple):
    """The settings of a policy that a replay can tell apart: the curve's shape, kappa, and a cap for each guardrail."""

    shape: CurveShape
    kappa: float
    caps: tuple[float, ...]


class Proposals:
    """Climbs over the grid, a step or two of one setting at a time.

    Parameters
    ----------
    caps : sequence of float
        Of every guardrail; those that are not fitted stay.
    fitted : sequence of str
        Guardrails whose cap may be fitted.
    """

    def __init__(self, exposure: "Exposure", caps: Sequence[float], fitted: Sequence[str]) -> None:
        self._exposure, self._caps = exposure, tuple(caps)
        self._rails = [GUARDRAIL_NAMES.index(name) for name in fitted]

    def best(self, margins: Floats) -> Proposal:
        """Return the best proposal that keeps every group's upper end, and its margin, at or below that of the work."""
        opened = tuple(1.0 if rail in self._rails else cap for rail, cap in enumerate(self._caps))
        starts = [(CurveShape(ramp, 0.1, 0.5), caps) for ramp in RAMPS for caps in {opened, self._caps}]
        return max((self._climb(start, margins) for start in starts), key=lambda end: self._worth(end, margins))

    def _worth(self, proposal: Proposal, margins: Floats) -> float:
        shares = self._exposure.of(*proposal)
        excess = float(np.maximum(shares.upper + margins - 1.0, 0.0).sum())
        return shares.gain - PENALTY * excess - (BROKEN if excess > 0.0 else 0.0)

    def _climb(self, proposal: Proposal, margins: Floats) -> Proposal:
        worth = self._worth(proposal, margins)
        while True:
            steps = [(self._worth(step, margins), step) for step in self._steps(proposal)]
            best, step = max(steps, key=lambda pair: pair[0])
            if best <= worth + LEAST_STEP:
                return proposal
            proposal, worth = step, best

    def _steps(self, proposal: Proposal) -> Iterator[Proposal]:
        shape, caps = proposal
        for name, values in GRID.items():
            place = values.index(getattr(shape, name))
            for other in (place - 2, place - 1, place + 1, place + 2):
                if 0 <= other < len(values):
                    yield shape._replace(**{name: values[other]}), caps
        for rail in self._rails:
            for cap in CAPS:
                if cap != caps[rail]:
                    yield shape, (*caps[:rail], cap, *caps[rail + 1 :])
