"""Groups of callers, by what the log says of their calls: nobody in any of them may lose by the policy."""

import numpy as np

from model.arrays import Booleans, Floats, Integers
from model.calls.columns import LINES
from model.history.caller_history import SILENT_RATIO
from model.scorecard.features import NAMES

#: field 2.1: frequent callers make five calls a month or more.
CHRONIC_CALLS = 5.0
STORM = 3.0
NIGHT_FROM, NIGHT_UNTIL = 22.0, 6.0

#: The slices by name, all genuine callers first.
SLICES = (
    "all", "silent", "audio_missing", "no_number", "shared_phone", "chronic", "first_call", "storm", "night",
    *(f"line_{line}" for line in LINES),
)  # fmt: skip


def slice_masks(features: Floats, callers: Integers, not_genuine: Booleans) -> dict[str, Booleans]:
    """Return which calls belong to each slice, by what their log's own columns and history say: bool (n,) each.

    Parameters
    ----------
    features : float64 (n, len(NAMES))
        At the last stage.
    callers : int64 (n,)
        -1 without a number.
    not_genuine : bool (n,)
        Whether the call's number also has calls closed as not genuine, at any time in the log.
    """
    column = {name: features[:, place] for place, name in enumerate(NAMES)}
    opening, heard = column["opening_silence_ratio"], column["silence_ratio"]
    hour = column["local_hour"]
    found = {
        "all": np.ones(len(features), np.bool_),
        "silent": (opening >= SILENT_RATIO) | (heard >= SILENT_RATIO),
        "audio_missing": np.isnan(opening),
        "no_number": callers < 0,
        "shared_phone": (callers >= 0) & not_genuine,
        "chronic": column["calls_30d"] >= CHRONIC_CALLS,
        "first_call": (callers >= 0) & np.isnan(column["since_last_h"]),
        "storm": np.maximum(column["surge_calls"], column["surge_new"]) >= STORM,
        "night": (hour >= NIGHT_FROM) | (hour < NIGHT_UNTIL),
    }
    return found | {f"line_{line}": column["line"] == code for code, line in enumerate(LINES)}
