"""What releases made at earlier moments would have said of the calls that came next: the out-of-time evaluation."""

from typing import TYPE_CHECKING

import numpy as np

from model.evaluation.window import HeldOut, Rehearsal
from model.queueing.scenarios import DRAWS, OPERATORS
from model.scorecard.features import QUEUE_STAGE
from model.training.centre_policy import set_policy

if TYPE_CHECKING:
    from model.policy.policy import Policy
    from model.training.rolling_origin import Trained


def rehearse(
    trained: "Trained", policy: "Policy", most: int, *, operators: int = OPERATORS, draws: int = DRAWS
) -> list[Rehearsal]:
    """Return the calls after each cut but the first, each with the release that could have been made at the cut.

    Its models, its calibration and its policy know nothing that came after the cut. Of a log whose last calls were kept
    for the certificate, the last is the release itself.

    Parameters
    ----------
    policy : Policy
        The release's own.
    most : int
        At most so many, the last ones.
    operators, draws : int
        As `set_policy` takes them.
    """
    past, found = trained.past, []
    for place in range(max(1, len(trained.models) - most - 1), len(trained.models)):
        origin, served = trained.models[place].origin, place == len(trained.platts)
        if not origin.block.any() or trained.platts[place - 1] is None:
            continue
        rows, scores = trained.held_out(place)
        mine = policy if served else set_policy(past, rows, scores, trained.params, operators=operators, draws=draws)
        made_of = HeldOut(past, trained.params, origin, rows, scores[QUEUE_STAGE])
        found.append(Rehearsal(origin.rows, trained.scorecards_of(place, place), mine, made_of))
    nothing = Rehearsal(np.zeros_like(past.mine), trained.scorecards, policy, made_of=None)
    return found[-most:] or [nothing]
