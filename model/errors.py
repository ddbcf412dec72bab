"""Everything that a person can mend, as one tree.

    SaringError
    ├── LogError              a file that cannot be read as a call log
    │   └── BrokenLogError    rows or columns that break the contract, all of them, each with its place
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


class SaringError(Exception):
    """Something that a person can mend."""


class LogError(SaringError):
    """A file that cannot be read as a call log."""


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
