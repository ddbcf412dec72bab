"""The guardrails: the rules that keep calls from being deferred, in one table.

Those with a cap limit the deferral of a call. The one on silence takes what silence added to the score away again,
exactly, since a score is a sum: no call is deferred for longer than it would be if its silence said nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.arrays import Booleans, Floats, Integers
from model.history.caller_history import FIELDS
from model.kernels import kernel, log_kernel
from model.scorecard.features import CALL


@dataclass(frozen=True, slots=True)
class Guardrail:
    """One rule that keeps calls from being deferred; the catalogues hold what an operator reads of it, by its name.

    Parameters
    ----------
    cap : float
        The largest defer_factor (before the scale s) where it holds, 0 to 1.
    limit : float
        The number that its condition compares with.
    meaning : str
        What the limit is, for whoever sets it.
    """

    name: str
    cap: float
    limit: float
    meaning: str


GUARDRAILS: tuple[Guardrail, ...] = (
    Guardrail("first_call", 0.0, 0.0, "calls from this number so far, without one alone in which nobody spoke"),
    Guardrail("closed_genuine", 0.0, 0.5, "calls closed as genuine, half-life thirty days: 0.5 is one call thirty days ago"),
    Guardrail("silence", 1.0, 0.0, "the most, in log-odds, that a feature of silence may add"),
    Guardrail("no_number", 0.1, 0.0, "not used"),
    Guardrail("surge", 0.0, 3.0, "new numbers in the last ten minutes against the usual"),
    Guardrail("redial", 0.0, 3.0, "unanswered calls from this number around the last day, above which it no longer holds"),
    Guardrail("protected", 0.0, 0.0, "not used"),
)  # fmt: skip
#: Of the service alone: where the network attests numbers, a past that is not attested puts nobody back.
UNATTESTED = Guardrail("unattested", 0.0, 0.0, "not used")
SHOWN = (*GUARDRAILS, UNATTESTED)
GUARDRAIL_NAMES = tuple(guardrail.name for guardrail in GUARDRAILS)
#: Those whose cap may be fitted to the centre; the protected list is never deferred, and silence has no cap.
FITTED = frozenset({"first_call", "closed_genuine", "no_number", "surge", "redial"})
FIRST_CALL, CLOSED_GENUINE, SILENCE, NO_NUMBER, SURGE, REDIAL, PROTECTED = range(len(GUARDRAILS))

_CALLS, _GENUINE = FIELDS.index("calls_ever"), FIELDS.index("genuine_30d")
_UNANSWERED_1H, _UNANSWERED_1D = FIELDS.index("unanswered_1h"), FIELDS.index("unanswered_1d")
_SHOWN, _SURGE_NEW = CALL.index("number_shown"), CALL.index("surge_new")
_SILENT_EVER, _LISTENED = FIELDS.index("silent_ever"), FIELDS.index("listened_ever")
_NOT_GENUINE, _GENUINE_EVER = FIELDS.index("not_genuine_ever"), FIELDS.index("genuine_ever")
#: An unanswered call two hours ago still counts as a reason to ring again.
_RECENTLY_UNANSWERED = 0.25


def guardrail_names(held: int) -> list[str]:
    """Return the names of the guardrails whose bits are set.

    Examples
    --------
    >>> guardrail_names(0b1001)
    ['first_call', 'no_number']
    """
    return [name for place, name in enumerate(GUARDRAIL_NAMES) if held >> place & 1]


def lowest_cap(held: Integers, caps: Sequence[float]) -> Floats:
    """Return the lowest cap among the guardrails that hold on each call; 1 without any.

    Parameters
    ----------
    held : int64 (n,)
        Bit i is set where guardrail i holds.
    caps : sequence of float
        By guardrail; one of NaN does not count.

    Examples
    --------
    >>> lowest_cap(np.array([0b0, 0b1, 0b11]), (0.5, 0.25)).tolist()
    [1.0, 0.5, 0.25]
    """
    lowest = np.ones(len(held))
    for rail, cap in enumerate(caps):
        if cap < 1.0:
            lowest = np.where(held >> rail & 1, np.minimum(lowest, cap), lowest)
    return lowest


@kernel
def _nobody_spoke(history: Floats) -> bool:
    """Whether the one earlier call was silent: anybody may ring in another's number and say nothing."""
    # However it was closed: to correct it to genuine may not take the guardrail away.
    closed_unheard = history[_NOT_GENUINE] + history[_GENUINE_EVER] >= 1.0 and history[_LISTENED] == 0.0
    return bool(history[_CALLS] == 1.0 and (history[_SILENT_EVER] >= 1.0 or closed_unheard))


@kernel
def apply_guardrails(
    history: Floats,
    call: Floats,
    contributions: Floats,
    silent: Booleans,
    protected: bool,
    caps: Floats,
    limits: Floats,
) -> tuple[float, float, int]:
    """Apply every guardrail to one call.

    Parameters
    ----------
    history, call : float64
        As `fill_features` takes them.
    contributions : float64 (d,)
        Of the scorecard, in log-odds.
    silent : bool (d,)
        Which of them tell of silence, alone or together with something else.
    protected : bool
        Whether the number is on the protected list.
    caps, limits : float64 (len(GUARDRAILS),)
        A cap that is NaN switches its guardrail off.

    Returns
    -------
    relief : float
        Log-odds to take off the score.
    cap : float
        The lowest cap that holds, 0 to 1.
    held : int
        Bit i is set when guardrail i holds.
    """
    relief = 0.0
    for term in range(len(contributions)):
        if silent[term] and contributions[term] > limits[SILENCE]:
            relief += contributions[term] - limits[SILENCE]
    shown = call[_SHOWN] > 0.0
    cap, held = 1.0, 0
    for rule in range(len(caps)):
        if math.isnan(caps[rule]):
            holds = False
        elif rule == FIRST_CALL:
            earlier = history[_CALLS] - (1.0 if _nobody_spoke(history) else 0.0)
            holds = shown and earlier <= limits[rule]
        elif rule == CLOSED_GENUINE:
            holds = history[_GENUINE] >= limits[rule]
        elif rule == SILENCE:
            holds = relief > 0.0
        elif rule == NO_NUMBER:
            holds = not shown
        elif rule == SURGE:
            holds = call[_SURGE_NEW] > limits[rule]
        elif rule == REDIAL:
            unanswered = history[_UNANSWERED_1D]
            holds = history[_UNANSWERED_1H] >= _RECENTLY_UNANSWERED and unanswered <= limits[rule]
        else:
            holds = protected
        if holds:
            held |= 1 << rule
            cap = min(cap, caps[rule])
    return (0.0 if math.isnan(caps[SILENCE]) else relief), cap, held


@log_kernel
def apply_guardrails_to_rows(
    histories: Floats,
    calls: Floats,
    contributions: Floats,
    silent: Booleans,
    protected: Booleans,
    caps: Floats,
    limits: Floats,
    relief: Floats,
    cap: Floats,
    held: Integers,
) -> None:
    """Apply every guardrail to many calls, into the last three arrays."""
    for row in range(len(calls)):
        relief[row], cap[row], held[row] = apply_guardrails(
            histories[row], calls[row], contributions[row], silent, protected[row], caps, limits
        )
