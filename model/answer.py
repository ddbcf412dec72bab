"""The answer to "what does this release do to genuine callers?", in sentences that a supervisor reads."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from model.certificate import Certificate
from model.numerals import at_most, count, day, decimal, duration, known, people, span, span_of, whole_for
from model.policy import Policy
from model.promise import WORDS, Language, percent
from model.words import ANSWER, SLICES, WHEN

Document = Mapping[str, Any]
#: The stage whose scores order the replayed queue.
QUEUE_STAGE = "opening"
#: Below this share of busy time hardly anybody waits.
QUIET = 0.4


class Answer(NamedTuple):
    """The answer in one language.

    Parameters
    ----------
    language : {"en", "id"}
    title, status : str
        The heading, and whether the queue is changed at all.
    acts : bool
        Whether calls may be deferred at some stage.
    lead : str
        The first figure.
    points : list of str
        The figures that follow.
    worse_title : str
        Empty when no slice is worse off.
    worse : list of str
        The slices that are worse off, or one sentence that none is.
    untold : str
        The slices of which nothing can be said; may be empty.
    allowed_title : str
    allowed : list of str
        The certificate's sentence for each stage.
    expiry : str
    promised_title, promise, outside : str
        The sentence of the deferral, and what it does not cover.
    how : str
        What "busy hours" are; empty when nothing was replayed.
    """

    language: Language
    title: str
    status: str
    acts: bool
    lead: str
    points: list[str]
    worse_title: str
    worse: list[str]
    untold: str
    allowed_title: str
    allowed: list[str]
    expiry: str
    promised_title: str
    promise: str
    outside: str
    how: str


def answer(metrics: Document, certificate: Certificate, policy: Policy, zone: str, language: Language) -> Answer:
    """Say what a release does to genuine callers.

    Parameters
    ----------
    metrics : mapping
        As docs/metrics.md says; what is null is said to be not measured.
    certificate : Certificate
    policy : Policy
    zone : str
        IANA name; days are local.
    language : {"en", "id"}
    """
    words = ANSWER[language]
    acts = any(proof.deferral.on for proof in certificate.stages)
    summary = metrics["summary"]
    points = list(_points(metrics, certificate, language))
    if summary is None:
        lead = words["no_waits"].format(genuine=count(metrics["window"]["genuine"], language))
        worse: list[str] = []
    else:
        lead = _lost(summary, "", words["busy" if acts else "if_busy"], language)
        worse = list(_worse(metrics, language))
    none_worse = words["none_worse"].format(groups=count(len(_groups(metrics)), language))
    return Answer(
        language,
        words["title"],
        words["on" if acts else "off"],
        acts,
        lead,
        points,
        words["worse" if acts else "if_worse"] if worse else "",
        worse or ([none_worse] if summary is not None else []),
        _untold(metrics, language),
        words["allowed"],
        _allowed(certificate, language),
        words["until"].format(expires=day(certificate.expires_at, zone, language)),
        words["promised" if acts else "if_promised"],
        words["sentence"].format(cap=count(policy.deferral.max_defer_s, language)),
        f"{words['sentence_means']} {words['outside']}",
        _how(metrics, zone, language) if summary is not None else "",
    )


def worse_off(metrics: Document) -> dict[str, list[str]]:
    """Give the slices that are worse off, each with the conditions in which it is; empty when none was measured.

    Examples
    --------
    >>> worse_off({"slices_worse_off": {"hang_ups_0.95": ["night"], "hang_ups_1.2": ["night"]}})
    {'night': ['hang_ups_0.95', 'hang_ups_1.2']}
    >>> worse_off({"slices_worse_off": None})
    {}
    """
    found: dict[str, list[str]] = {}
    for condition in WHEN:
        for name in (metrics["slices_worse_off"] or {}).get(condition, ()):
            found.setdefault(name, []).append(condition)
    return found


def busy_share(metrics: Document) -> float | None:
    """Give the share of time that the operators of the replay were busy at the calls' own pace; None if not known."""
    window = metrics["window"]
    if not window["from"] or not known(window["mean_handling_s"]):
        return None
    elapsed = datetime.fromisoformat(window["until"]) - datetime.fromisoformat(window["from"])
    seconds = elapsed.total_seconds() * metrics["settings"]["operators"]
    return float(window["calls"] * window["mean_handling_s"] / seconds) if seconds > 0.0 else None


def _allowed(certificate: Certificate, language: Language) -> list[str]:
    """Say the certificate's sentence of the stage that orders the queue, and then what differs from it."""
    stages = sorted(certificate.stages, key=lambda proof: proof.stage != QUEUE_STAGE)
    found: list[str] = []
    for proof in stages:
        said = replace(certificate, stages=(proof,)).sentence(language)
        stage = WORDS[language][proof.stage]
        like = bool(found) and said.removeprefix(stage) == found[0].removeprefix(WORDS[language][QUEUE_STAGE])
        found.append(ANSWER[language]["same"].format(stage=stage) if like else said)
    return found


def _groups(metrics: Document) -> Mapping[str, Any]:
    return (metrics["slices"] or {}).get("hang_ups_0.95") or {}


def _lost(summary: Document, label: str, when: str, language: Language) -> str:
    words = ANSWER[language]
    rule, first = (_hundredth(summary[f"lost_of_100_{label}{name}"]) for name in ("rule", "first_come"))
    if not known(rule, first):
        return words["no_waits"].format(genuine=count(summary["genuine_calls"], language))
    whole = whole_for([rule, first])
    said = {name: people(share, language, whole) for name, share in (("rule", rule), ("first", first))}
    key = ("overload" if label else "lead") + ("_same" if said["rule"] == said["first"] else "")
    return words[key].format(when=when, whole=count(whole, language), **said)


def _range(metrics: Document, language: Language) -> str:
    words, summary = ANSWER[language], metrics["summary"]
    blocks = words["weeks" if metrics["settings"]["block_days"] == 7 else "days"]
    spans = {}
    for name, key in (("rule", "rule_span"), ("first_come", "first_span")):
        low, high = (_hundredth(summary[f"lost_of_100_{name}{end}"]) for end in ("_low", "_high"))
        spans[key] = span_of(low, high, language)
    return words["range"].format(blocks=blocks, whole=100, **spans) if all(spans.values()) else ""


def _hundredth(of_100: float | None) -> float | None:
    return None if of_100 is None else of_100 / 100.0


def _points(metrics: Document, certificate: Certificate, language: Language) -> Iterator[str]:
    words, summary, window = ANSWER[language], metrics["summary"], metrics["window"]
    if summary is not None:
        every = _groups(metrics).get("all", {})
        low, high = every.get("lost_above_first_come_low"), every.get("lost_above_first_come_high")
        told = "unsure" if low is None or high is None else "fewer" if high < 0 else "more" if low > 0 else "unsure"
        sure = words[told].format(callers=count(window["genuine_callers"], language))
        yield f"{_range(metrics, language)} {sure}".strip()
        yield _lost(summary, "overload_", "", language)
        rule = metrics["waits"]["hang_ups_0.95"]["rule"]
        if known(rule["longest_ratio"], summary["longest_held_back_s"]):
            yield words["price"].format(
                ratio=decimal(rule["longest_ratio"], 1, language),
                span=span(rule["longest_ratio_low"], rule["longest_ratio_high"], 1, language),
                held=duration(summary["longest_held_back_s"], language),
            )
    flag = certificate.stage(QUEUE_STAGE).flag
    marked = metrics["bands"][QUEUE_STAGE]["likely_prank"]["genuine_calls"]
    said = words["none_marked" if flag.threshold is None else "marked"].format(
        marked=count(marked, language), genuine=count(window["genuine"], language)
    )
    set_here = flag.threshold is not None and metrics["evaluated_on"] == "certify split"
    yield f"{said} {words['in_sample']}" if set_here else said
    key = "promise" if flag.threshold is not None else "no_promise" if flag.genuine_callers else "no_callers"
    yield words[key].format(
        callers=count(flag.genuine_callers, language),
        confidence=percent(1.0 - certificate.delta, language),
        alpha=at_most(flag.alpha, language),
        best=at_most(flag.best_alpha, language),
        missing=count(flag.missing, language),
    )


def _worse(metrics: Document, language: Language) -> Iterator[str]:
    words = ANSWER[language]
    for name, conditions in worse_off(metrics).items():
        row = metrics["slices"][conditions[0]][name]
        when = WHEN[conditions[0]][language]
        parts = []
        if known(row["wait_ratio_low"]) and row["wait_ratio_low"] > 1.0:
            rule, first = (duration(row[key], language) for key in ("mean_wait_s", "mean_wait_first_come_s"))
            ratio = span(row["wait_ratio_low"], row["wait_ratio_high"], 2, language)
            parts.append(words["worse_wait"].format(rule=rule, first=first, span=ratio, when=when))
        if known(row["lost_above_first_come_low"]) and row["lost_above_first_come_low"] > 0.0:
            whole = whole_for([row["lost"], row["lost_first_come"]])
            rule, first = (people(row[key], language, whole) for key in ("lost", "lost_first_come"))
            parts.append(words["worse_lost"].format(rule=rule, first=first, whole=count(whole, language), when=when))
        if conditions[1:]:
            whens = ", ".join(WHEN[condition][language] for condition in conditions[1:])
            parts.append(words["worse_also"].format(whens=whens))
        size = words["worse_calls"].format(calls=count(row["calls"], language), callers=count(row["callers"], language))
        yield f"{SLICES[name][language]}: {'; '.join(parts)} ({size})."


def _untold(metrics: Document, language: Language) -> str:
    told = worse_off(metrics)
    names = [name for name in (metrics["slices_not_shown_to_gain"] or {}).get("hang_ups_0.95", ()) if name not in told]
    rows = _groups(metrics)
    listed = [f"{SLICES[name][language]} ({count(rows[name]['calls'], language)})" for name in names]
    number = count(len(listed), language)
    return ANSWER[language]["untold"].format(number=number, names=", ".join(listed)) if listed else ""


def _how(metrics: Document, zone: str, language: Language) -> str:
    words, window, settings = ANSWER[language], metrics["window"], metrics["settings"]
    busy = busy_share(metrics)
    if busy is None:
        return ""
    per_hour = busy * settings["operators"] * 3600.0 / window["mean_handling_s"]
    said = words["how"].format(
        calls=count(window["calls"], language),
        since=day(window["from"], zone, language),
        until=day(window["until"], zone, language),
        operators=count(settings["operators"], language),
        per_hour=decimal(per_hour, 1 if per_hour < 10.0 else 0, language),
        handling=duration(window["mean_handling_s"], language),
        busy=people(busy, language),
        patience=duration(settings["mean_patience_genuine_s"], language),
    )
    return f"{said} {words['quiet']}" if busy < QUIET else said
