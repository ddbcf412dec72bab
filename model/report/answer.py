"""The answer to "what does this release do to genuine callers?", as facts; `templates/answer.jinja` says them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, NamedTuple

from model.certification.certificate import Certificate, StageProof
from model.language.numbers import choose_denominator, format_people, is_known
from model.scorecard.features import QUEUE_STAGE

Document = Mapping[str, Any]
Verdict = Literal["worse", "better", "unsure"]
#: The conditions in which slices are compared, the one that the first page tells of first.
CONDITIONS = ("hang_ups_0.95", "hang_ups_1.2", "hang_ups_2.0", "no_hang_ups_0.95")
#: Below this share of busy time hardly anybody waits.
QUIET = 0.4


class Lost(NamedTuple):
    """Genuine callers who hang up unanswered, each a share and of how many people it is told."""

    rule: tuple[float, int]
    first_come: tuple[float, int]
    same: bool  # whether both are told by the same number


@dataclass(frozen=True)
class Answer:
    """What a release does to genuine callers.

    Parameters
    ----------
    acts : bool
        Whether calls may be deferred at some stage.
    lost, overload : Lost or None
        In busy hours, and with a fifth more work than the operators can do; None when not measured.
    spans : mapping of str to (float, float), or None
        How far the former ranges under `rule` and `first_come`, as shares.
    change : {"worse", "better", "unsure"}
        Whether more or fewer are lost than first come, first served, beyond chance.
    worse : mapping of str to list of str
        The slices that are worse off, each with the conditions in which it is.
    untold : list of str
        The slices of which nothing can be said.
    allowed : tuple of (StageProof, Certificate or None)
        What each stage may do, as a certificate of that stage alone; None when it is the same as at the first.
    busy : float or None
        The share of time that the operators were busy at the calls' own pace.
    """

    acts: bool
    lost: Lost | None
    overload: Lost | None
    spans: Mapping[str, tuple[float, float]] | None
    change: Verdict
    worse: Mapping[str, list[str]]
    untold: list[str]
    allowed: tuple[tuple[StageProof, Certificate | None], ...]
    busy: float | None

    @property
    def quiet(self) -> bool:
        """Whether hardly anybody waits in ordinary hours."""
        return self.busy is not None and self.busy < QUIET


def answer(metrics: Document, certificate: Certificate) -> Answer:
    """Return what a release does to genuine callers; `metrics` as docs/metrics.md says, null: not measured."""
    summary, worse = metrics["summary"] or {}, worse_off(metrics)
    every = (metrics["slices"] or {}).get(CONDITIONS[0], {}).get("all", {})
    untold = (metrics["slices_not_shown_to_gain"] or {}).get(CONDITIONS[0], ())
    return Answer(
        any(proof.deferral.on for proof in certificate.stages),
        losses(_share(summary, "rule"), _share(summary, "first_come")),
        losses(_share(summary, "overload_rule"), _share(summary, "overload_first_come")),
        _spans(summary),
        verdict(every.get("lost_above_first_come_low"), every.get("lost_above_first_come_high"), even=0.0),
        worse,
        [name for name in untold if name not in worse],
        tuple(_allowed(certificate)),
        busy_share(metrics),
    )


def verdict(low: float | None, high: float | None, even: float = 1.0) -> Verdict:
    """Return whether an interval lies wholly above ("worse") or below ("better") an even chance, or neither ("unsure").

    Examples
    --------
    >>> verdict(1.01, 1.2), verdict(0.8, 0.9), verdict(0.8, 1.2), verdict(None, None)
    ('worse', 'better', 'unsure', 'unsure')
    """
    if low is None or high is None or not is_known(low, high):
        return "unsure"
    return "worse" if low > even else "better" if high < even else "unsure"


def worse_off(metrics: Document) -> dict[str, list[str]]:
    """Return the slices that are worse off, each with the conditions in which it is.

    Examples
    --------
    >>> worse_off({"slices_worse_off": {"hang_ups_0.95": ["night"], "hang_ups_1.2": ["night"]}})
    {'night': ['hang_ups_0.95', 'hang_ups_1.2']}
    >>> worse_off({"slices_worse_off": None})
    {}
    """
    found: dict[str, list[str]] = {}
    for condition in CONDITIONS:
        for name in (metrics["slices_worse_off"] or {}).get(condition, ()):
            found.setdefault(name, []).append(condition)
    return found


def busy_share(metrics: Document) -> float | None:
    """Return the share of time that the operators of the replay were busy at the calls' own pace, if known."""
    window = metrics["window"]
    if metrics["summary"] is None or not window["from"] or not is_known(window["mean_handling_s"]):
        return None
    elapsed = datetime.fromisoformat(window["until"]) - datetime.fromisoformat(window["from"])
    seconds = elapsed.total_seconds() * metrics["settings"]["operators"]
    return float(window["calls"] * window["mean_handling_s"] / seconds) if seconds > 0.0 else None


def _share(summary: Document, name: str) -> float | None:
    of_100 = summary.get(f"lost_of_100_{name}")
    return None if of_100 is None else float(of_100) / 100.0


def losses(rule: float | None, first_come: float | None) -> Lost | None:
    """Choose of how many people two shares of callers lost are told; None when either was not measured."""
    if rule is None or first_come is None or not is_known(rule, first_come):
        return None
    whole = choose_denominator([rule, first_come])
    same = format_people(rule, whole) == format_people(first_come, whole)
    return Lost((rule, whole), (first_come, whole), same)


def _spans(summary: Document) -> dict[str, tuple[float, float]] | None:
    found = {}
    for name in ("rule", "first_come"):
        low, high = (_share(summary, f"{name}_{end}") for end in ("low", "high"))
        if low is None or high is None or not is_known(low, high):
            return None
        found[name] = (low, high)
    return found


def _allowed(certificate: Certificate) -> Iterator[tuple[StageProof, Certificate | None]]:
    """Yield the stage that orders the queue first, and then what differs from it."""
    stages = sorted(certificate.stages, key=lambda proof: proof.stage != QUEUE_STAGE)
    for proof in stages:
        alone = replace(certificate, stages=(proof,))
        same = proof is not stages[0] and _promise(proof) == _promise(stages[0])
        yield proof, None if same else alone


def _promise(proof: StageProof) -> tuple[Any, ...]:
    """Return what a certificate's sentence tells of a stage."""
    flag = proof.flag
    proven = flag.threshold is not None
    return (
        proven,
        flag.alpha,
        flag.genuine_callers if proven else flag.missing,
        proof.deferral.on,
        proof.deferral.walled,
    )
