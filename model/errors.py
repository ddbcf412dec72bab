"""Everything that a person can mend, as one tree.

    SaringError
    ├── LogError              a file that cannot be read as a call log
    │   ├── BrokenLogError    rows or columns that break the contract, all of them, each with its place
    │   └── MappingError      a mapping of names and values that cannot be used
    ├── ParamsError           settings of training that cannot be used
    ├── TrainingError         a log from which no model can be made
    ├── EvaluationError       calls that cannot be evaluated with a release
    ├── ReleaseError          a folder that is not a whole, unchanged release that this version can serve
    │   └── ScorecardError    features that are not those of a scorecard, in its order
    ├── RegistryError         the registry of releases cannot be reached, or does not hold what was asked for
    │   └── PromotionError    a release that may not take over, and why
    ├── StoreError            the store did not take, or could not give, what it was asked
    └── ReplayError           a service that cannot be reached, or that refuses an event of the log

Each is told in one sentence that names what is wrong and what was expected.
"""

from collections.abc import Mapping, Sequence
from typing import Any


def list_problems(problems: Sequence[Mapping[str, Any]], section: str = "") -> str:
    """Return what pydantic found wrong in one line: the place, the value and what was expected of each.

    Examples
    --------
    >>> list_problems([{"loc": ("split", "fit"), "input": 2, "msg": "Input should be less than 1"}])
    'split.fit: 2: Input should be less than 1'
    """
    places = [".".join(map(str, (*filter(None, [section]), *problem["loc"]))) or "the file" for problem in problems]
    return "; ".join(
        f"{place}: {problem['input']!r}: {problem['msg']}" for place, problem in zip(places, problems, strict=True)
    )


class SaringError(Exception):
    """Something that a person can mend."""


class LogError(SaringError):
    """A file that cannot be read as a call log."""


class MappingError(LogError):
    """A mapping of names and values that cannot be used."""


class ParamsError(SaringError):
    """Settings of training that cannot be used."""


class TrainingError(SaringError):
    """A log from which no model can be made."""


class EvaluationError(SaringError):
    """Calls that cannot be evaluated with a release."""


class ReleaseError(SaringError):
    """A folder that is not a whole, unchanged release that this version can serve."""


class ScorecardError(ReleaseError):
    """Features that are not those of a scorecard, in its order."""


class RegistryError(SaringError):
    """The registry of releases cannot be reached, or does not hold what was asked for."""


class PromotionError(RegistryError):
    """A release that may not take over, and why."""


class StoreError(SaringError):
    """The store did not take, or could not give, what it was asked."""


class ReplayError(SaringError):
    """A service that cannot be reached, or that refuses an event of the log."""
