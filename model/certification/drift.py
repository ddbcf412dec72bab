"""Whether calls still look like those that a release was made from.

Each feature and score by its population stability index (Siddiqi 2006, Credit risk scorecards, chapter 9) over the bins
of the profile, with an allowance for chance: calls of one caller and of one day are alike, so chance gives more than
their number says. Beside them the share of new numbers, the base rate, calibration, late labels and the calls of a
week. Only numpy: the service looks at its own calls in the same way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import log, sqrt
from typing import Any

import numpy as np

from model.arrays import Booleans, Integers
from model.certification.profile import (
    BINNED,
    DAY_US,
    SCORES,
    Clusters,
    Sample,
    Share,
    bin_codes,
    is_categorical,
    measure_shares,
)
from model.language.catalogue import catalogue, in_each_language
from model.language.texts import LANGUAGES, Language
from model.scorecard.features import FEATURES, NAMES

#: docs/drift.md shows what these four give in quiet years and in one that changes.
WORTH_TELLING = 0.1
TIMES_CHANCE = 20.0
STANDARD_ERRORS = 5.0
ODDS = 1.5
#: So many days are looked at, at most and at least: whole weeks, since weekdays differ.
DAYS, FEWEST_DAYS = 28, 7
#: Fewer days than the most suffice when they hold so many calls.
ENOUGH_CALLS = 3_000
FEWEST_CALLS, FEWEST_CLOSED, FEWEST_OF_A_KIND, FEWEST_WEEKS = 200, 100, 10, 4
#: They change as long as a log grows, whatever the callers do: shown, and no reason for an alarm.
GROWING = frozenset({"genuine_ever", "not_genuine_ever", "since_first_d", "surge_new"})

#: One text in each language.
Texts = Mapping[Language, str]


@dataclass(frozen=True)
class Finding:
    """One measure compared.

    Parameters
    ----------
    name : str
        A feature, a score, or new_numbers, not_genuine, calibration, labelled_in_time, calls_a_week.
    meaning, change : mapping of language to str
        What it is, and how it changed, in words.
    size, limit : float or None
        How much it moved and from where on that is an alarm; None when it cannot be said. A population stability index
        for features and scores; for the others the change in log-odds (of calls a week: in their logarithm).
    """

    name: str
    meaning: Texts
    change: Texts
    size: float | None
    limit: float | None
    moved: bool

    @property
    def share_of_limit(self) -> float:
        """How near it came to its limit; below 0 when it cannot be said, or no alarm would follow."""
        if self.name in GROWING:
            return -0.5
        return -1.0 if self.size is None or not self.limit else self.size / self.limit


@dataclass(frozen=True)
class Drift:
    """What the calls of some days show; `findings` start with the nearest to its limit, or the furthest beyond it.

    Too few calls to say anything give no findings.
    """

    calls: int
    days: float
    findings: tuple[Finding, ...]

    @property
    def alarm(self) -> bool:
        """Whether anything moved beyond its limit."""
        return any(finding.moved for finding in self.findings)

    @property
    def of_scores(self) -> bool:
        """Whether a score moved that the queue goes by: the certificate does not hold for such calls."""
        return any(finding.moved and finding.name in SCORES[:2] for finding in self.findings)

    def sentence(self, language: Language) -> str:
        """Return the outcome in one sentence.

        Examples
        --------
        >>> Drift(12, 3.0, ()).sentence("en")
        'Too few calls to say whether they have changed: 12 in 3 days.'
        """
        moved = sum(finding.moved for finding in self.findings)
        found = "too_few" if not self.findings else "moved" if moved else "steady"
        facts = {"calls": self.calls, "days": round(self.days), "moved": moved, "looked": len(self.findings)}
        return catalogue(language)(f"drift.{found}", **facts)

    def document(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "calls": self.calls,
            "days": round(self.days, 1),
            "alarm": self.alarm,
            "sentence": {language: self.sentence(language) for language in LANGUAGES},
            "findings": [asdict(finding) for finding in self.findings],
        }


def measure_drift(fingerprint: Mapping[str, Any], sample: Sample) -> Drift:
    """Compare calls, such as `select_recent_calls`, with the profile of a release (`build_profile`)."""
    if len(sample) < FEWEST_CALLS or sample.days < FEWEST_DAYS - 1:
        return Drift(len(sample), sample.days, ())
    clusters = sample.clusters()
    findings = [_stability(name, fingerprint["binned"][name], sample, clusters) for name in BINNED]
    findings += _shares(fingerprint, sample, clusters)
    findings.sort(key=lambda finding: (not finding.moved, -finding.share_of_limit))
    return Drift(len(sample), sample.days, tuple(findings))


def select_recent_calls(received_us: Integers, now_us: int) -> Booleans:
    """Return which calls are to be looked at: those of as few whole weeks before `now_us` as hold `ENOUGH_CALLS`.

    Examples
    --------
    >>> int(select_recent_calls(np.arange(40) * DAY_US, 40 * DAY_US).sum())
    28
    """
    for days in range(FEWEST_DAYS, DAYS + 1, 7):
        rows = (received_us >= now_us - days * DAY_US) & (received_us < now_us)
        if rows.sum() >= ENOUGH_CALLS:
            break
    return np.asarray(rows, dtype=np.bool_)


def _stability(name: str, then: Mapping[str, Any], sample: Sample, clusters: Clusters) -> Finding:
    edges, before = np.array(then["edges"]), np.array(then["shares"])
    codes = bin_codes(sample.values(name), edges, words=is_categorical(name))
    now = clusters.shares(codes, len(before))
    parts = (now - before) * np.log(now / before)
    size = float(parts.sum())
    by_chance = (np.array(then["variances"]) + clusters.shares_variance(codes, now)) / before
    limit = WORTH_TELLING + TIMES_CHANCE * float(by_chance.sum())
    most = int(np.argmax(parts))
    words = FEATURES[NAMES.index(name)].words if name in NAMES else ()
    held = _bin(most, edges.tolist(), words)
    numbers = {"then": float(before[most]), "now": float(now[most])}
    change = {language: catalogue(language)("drift.bin_moved", bin=said, **numbers) for language, said in held.items()}
    return Finding(name, _meaning(name), change, size, limit, size > limit and name not in GROWING)


def _shares(fingerprint: Mapping[str, Any], sample: Sample, clusters: Clusters) -> list[Finding]:
    then, now = fingerprint["shares"], measure_shares(sample, clusters, fingerprint["late_s"])
    found = [_share(name, then[name], now[name]) for name in ("new_numbers", "not_genuine", "labelled_in_time")]
    return [*found, _calibration(then, now), _volume(then["calls_a_week"], now["calls_a_week"])]


def _volume(then: Sequence[float] | None, now: Share | None) -> Finding:
    """Compare the calls of a week; how much weeks differ is what those of the profile say."""
    name = "calls_a_week"
    if not then or not now or then[2] < FEWEST_WEEKS or not then[0] or not now[0]:
        return _undetermined(name)
    size, error = abs(log(now[0] / then[0])), sqrt(max(then[1], then[0]) * (1.0 / then[2] + 1.0 / now[2]))
    limit = max(log(ODDS), size * STANDARD_ERRORS * error / max(abs(now[0] - then[0]), 1e-12))
    return Finding(
        name, _meaning(name), in_each_language("drift.count_moved", then=then[0], now=now[0]), size, limit, size > limit
    )


def _share(name: str, then: Sequence[float] | None, now: Share | None) -> Finding:
    if then is None or now is None or min(then[2], now[2]) < FEWEST_CLOSED:
        return _undetermined(name)
    change = in_each_language("drift.share_moved", then=then[0], now=now[0])
    both = (then[0] * then[2] + now[0] * now[2]) / (then[2] + now[2])
    alike = max(_design_effect(then), _design_effect(now))
    error = sqrt(_bernoulli_variance(both) * alike * (1.0 / then[2] + 1.0 / now[2]))
    return _compare_shares(
        name, change, then[0], now[0], both * min(then[2], now[2]), error, fell_only=name == "labelled_in_time"
    )


def _calibration(then: Mapping[str, Any], now: Mapping[str, Share | None]) -> Finding:
    """Compare observed with predicted, in the light of how far apart they were when the release was made."""
    name, observed, predicted = "calibration", now["not_genuine"], now["predicted"]
    before, said = then["not_genuine"], then["predicted"]
    if not (observed and predicted and before and said) or observed[2] < FEWEST_CLOSED:
        return _undetermined(name)
    expected = min(1.0, max(0.0, predicted[0] + before[0] - said[0]))
    error = sqrt(
        _bernoulli_variance(expected) * max(_design_effect(before), _design_effect(observed)) / observed[2] + said[1]
    )
    change = in_each_language("drift.unexpected", then=expected, now=observed[0])
    return _compare_shares(name, change, expected, observed[0], expected * observed[2], error)


def _compare_shares(
    name: str, change: Texts, then: float, now: float, expected: float, error: float, *, fell_only: bool = False
) -> Finding:
    """Return whether a share moved: by more than chance gives, and by enough to matter."""
    of_a_kind = min(expected, expected / then * (1.0 - then)) if then else 0.0
    if of_a_kind < FEWEST_OF_A_KIND or not error:
        return _undetermined(name)
    size = abs(_log_odds(now) - _log_odds(then))
    # As far as the difference of the shares is from what chance gives, so far is that of their odds.
    limit = max(log(ODDS), size * STANDARD_ERRORS * error / max(abs(now - then), 1e-12)) if size else log(ODDS)
    return Finding(name, _meaning(name), change, size, limit, size > limit and not (fell_only and now > then))


def _meaning(name: str) -> Texts:
    said = in_each_language(f"feature.{name}.meaning" if name in NAMES else f"drift.measure.{name}")
    if name not in GROWING:
        return said
    return {language: catalogue(language)("drift.grows", meaning=text) for language, text in said.items()}


def _bin(place: int, edges: list[float], words: tuple[str, ...]) -> Texts:
    """Return which values a bin holds; those after the last edge's: above it (or another word), not known.

    Examples
    --------
    >>> _bin(1, [0.5, 2.0], ()), _bin(0, [1.0], ("mobile", "landline"))["id"], _bin(3, [0.5, 2.0], ())["en"]
    ({'en': 'above 0.5 up to 2', 'id': 'di atas 0,5 sampai 2'}, 'telepon rumah', 'not known')
    """
    if place > len(edges):
        return in_each_language("drift.bin.unknown")
    if words and place < len(edges):
        return in_each_language(f"value.{words[int(edges[place])]}")
    if place == len(edges):
        kind = "another" if words else "above" if edges else "known"
        return in_each_language(f"drift.bin.{kind}", low=edges[-1] if edges else None)
    return in_each_language(f"drift.bin.{'between' if place else 'up_to'}", low=edges[place - 1], high=edges[place])


def _undetermined(name: str) -> Finding:
    return Finding(name, _meaning(name), in_each_language("drift.too_few_of_a_kind"), None, None, moved=False)


def _design_effect(share: Sequence[float]) -> float:
    """Return the design effect: how many calls tell as much as one alone would (Kish 1965, Survey sampling)."""
    spread = _bernoulli_variance(share[0])
    return max(1.0, share[1] * share[2] / spread) if spread else 1.0


def _bernoulli_variance(share: float) -> float:
    return share * (1.0 - share)


def _log_odds(share: float) -> float:
    kept = min(max(share, 0.001), 0.999)
    return log(kept / (1.0 - kept))
