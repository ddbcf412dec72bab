"""The held-out calls that a policy is fitted on, and the groups of genuine callers in them that must not lose by it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from model.arrays import Booleans, Floats, Integers
from model.policy.deferral_curve import HeldOutScores
from model.policy.guardrails import GUARDRAIL_NAMES
from model.queueing.fitting.group_estimates import EVERYBODY

#: A group of fewer genuine calls says too little of what other calls of its kind would live through.
LEAST_CALLS = 20


@dataclass(frozen=True, eq=False)
class HeldOutCalls:
    """Calls as the stage scores them that orders the queue; arrays of one length n, in order of time.

    Parameters
    ----------
    callers : int64 (n,)
        Codes from 0; -1 without a number: each such call is a caller of its own.
    guarded : float64 (n,)
        Scores after the guardrail on silence.
    held : int64 (n,)
        Bit i is set where guardrail i holds, were it on.
    slices : mapping of str to bool (n,)
        Groups of callers by what the log says of them (`model.queueing.caller_groups`).
    """

    received_us: Integers
    handling_s: Floats
    genuine: Booleans
    callers: Integers
    guarded: Floats
    held: Integers
    slices: Mapping[str, Booleans]

    @cached_property
    def scores(self) -> HeldOutScores:
        """Their scores, ranked."""
        return HeldOutScores(self.guarded, self.genuine, self.handling_s)

    @cached_property
    def caller_codes(self) -> NDArray[np.intp]:
        """A code for every caller, int (n,): those without a number have one each."""
        alone = self.callers.max(initial=0) + 1 + np.arange(len(self.callers))
        return np.unique(np.where(self.callers < 0, alone, self.callers), return_inverse=True)[1]

    @cached_property
    def groups(self) -> dict[str, NDArray[np.intp]]:
        """The genuine calls of each group that has `LEAST_CALLS` of them: each slice, each guardrail, and the rest."""
        masks = dict(self.slices)
        masks |= {name: (self.held >> rail & 1).astype(np.bool_) for rail, name in enumerate(GUARDRAIL_NAMES)}
        masks["unguarded"] = self.held == 0
        masks[EVERYBODY] = np.ones(len(self.held), np.bool_)
        found = {name: np.flatnonzero(mask & self.genuine) for name, mask in masks.items()}
        return {name: rows for name, rows in found.items() if len(rows) >= LEAST_CALLS or name == EVERYBODY}

    def replayable(self) -> bool:
        """Whether there is anything to replay: a genuine call, work, and time for it to come in."""
        return bool(self.genuine.any() and np.ptp(self.received_us) > 0 and self.handling_s.sum() > 0.0)
