"""The model card of a release: its report's facts, laid out after Annex IV of the EU AI Act (Regulation 2024/1689)."""

from collections.abc import Iterable, Mapping
from html import escape
from math import isnan
from typing import Any

from model import findings
from model.answer import QUEUE_STAGE, Document, answer
from model.certificate import Certificate
from model.facts import data_facts, end_of, label_facts, made_facts, proof_facts, watch_of
from model.features import STAGES
from model.guardrails import GUARDRAILS
from model.numerals import decimal, duration, known, of_people, span, span_of
from model.policy import Policy
from model.words import CONDITIONS, DISCIPLINES, SHORT_STAGE_NAMES, SLICES, WHEN, YARDSTICKS

_PURPOSE = """Saring scores how likely an emergency call will be closed as not genuine, from call metadata alone: the number's
history, the line, the time, how many others ring, and how long and how silent the opening was. The score sets the order of
the waiting calls, within a bound, and is shown to operators with its reasons. Classifying emergency calls is a high-risk
use (Annex III, 5(d)). This card follows Annex IV; it is not a declaration of conformity, which is the provider's and the
deployer's to make."""

_NOT_FOR = (
    "ending, dropping, diverting or refusing a call: it may only let a call wait longer, within the bound below;",
    "deciding about a person: a score is about a call and the history of a number, which a family, a school or the next "
    "owner of the number may share;",
    "penalties, investigations or reports to the police;",
    "dispatch: it does not tell how urgent a genuine call is;",
    "another centre, another way of closing calls, or another time than those below, without training and certifying anew.",
)

_OVERSIGHT = (
    "An operator may answer any waiting call first; the order is advice to the queue.",
    "A badge tells history and measured facts, never a verdict, and every score is a sum whose parts are shown.",
    "A person must be able to stop all deferral at once. Without Saring the queue is first come, first served.",
    "Without a valid certificate nothing is marked or deferred, whatever the scores.",
    "Callers who have a reason to be feared for (hospitals, chronic patients, threatened people) belong on the protected "
    "list: they are never deferred.",
    "Calls closed as genuine that had been deferred or marked should be reviewed, one by one.",
)

_ROBUSTNESS = (
    "A missing or impossible value is taken as not known; a call that cannot be scored is not deferred.",
    "By construction, closing an earlier call as genuine instead of not genuine never raises a later score, and silence never "
    "raises a deferral while its guardrail is on.",
    "A call is passed only by calls that arrive within its seconds of deferral: a property of the rule, whatever the scores.",
    "Serving reads strict JSON with a checksum for each file; nothing is unpickled.",
    "Numbers can be spoofed, withheld and handed on: the history is that of a number. A flood of new numbers switches "
    "deferral off while the surge guardrail is on.",
)

_RISKS = (
    "A genuine caller waits longer, and in the worst case hangs up, because the number's history is that of others.",
    "Calls that are deferred are abandoned more often and then have no label; scores learnt from them would feed on "
    "themselves. Calls nobody answered are therefore not learnt from.",
    "Labels are what operators closed a call as. A genuine call that was closed as something else is invisible here.",
    "The certificate assumes that genuine callers to come are like those it rests on, and counts several callers for one "
    "incident as independent. Either can break it.",
    "Operators may come to trust the badge too much.",
    "All waits below are simulated: operators who answer out of order and telephone systems that queue calls again differ.",
)


def model_card(metrics: Document, certificate: Certificate, policy: Policy, facts: Mapping[str, Any]) -> str:
    """Write the model card of a release.

    Parameters
    ----------
    metrics : mapping
        As docs/metrics.md says; null is told in words.
    certificate : Certificate
    policy : Policy
    facts : mapping
        As the manifest holds them.

    Returns
    -------
    str
        Markdown.
    """
    zone = facts["time_zone"]
    said = answer(metrics, certificate, policy, zone, "en")
    cap = f"at most {duration(policy.deferral.max_defer_s)}"
    rails = [
        (rail.name, rail.words["en"], "off" if isnan(cap_of) else f"cap {cap_of:g}, limit {limit:g}")
        for rail, cap_of, limit in zip(GUARDRAILS, policy.caps, policy.limits, strict=True)
    ]
    parts = [
        f"# Model card: Saring, release {facts['release']}",
        said.status,
        _items([said.lead, *said.points]),
        *([f"**{said.worse_title}:**"] if said.worse_title else []),
        _items(said.worse) if said.worse else "",
        said.untold,
        "## 1. Purpose",
        _PURPOSE,
        "### What it must not be used for",
        _items(_NOT_FOR),
        "## 2. What it may do",
        _items(said.allowed),
        f"{said.promised_title}: *{said.promise}* {said.outside}",
        "## 3. How it works",
        "Three scorecards (as the phone rings, as the call joins the queue, after the call). Each is a sum of step functions, "
        f"one a feature, folded from gradient boosting and calibrated; `scorecard.json` holds all of it. Deferral is {cap}, "
        f"kappa {policy.deferral.kappa:g}, base {policy.deferral.base_s:g} s. Guardrails cap it:",
        _table(("guardrail", "in words", "setting"), rails),
        "## 4. Data",
        _table(("what", ""), data_facts(metrics, facts)),
        "Labels:",
        _table(("closed as", "means"), [(words, label) for label, words in label_facts(facts["labels"])]),
        "## 5. Human oversight",
        _items(_OVERSIGHT),
        "## 6. Metrics",
        said.how,
        "### Ranking and calibration, of 100, with 95 % intervals",
        _table(("stage", "score", "pairs in order (AUC)", "average precision of genuine"), list(_ranking(metrics))),
        findings.glass(metrics),
        findings.expected(metrics["stages"][QUEUE_STAGE]),
        "### Genuine callers, simulated",
        _waits(metrics),
        "### Groups of genuine callers",
        _fairness(metrics),
        "## 7. Accuracy, robustness, security",
        _items(_ROBUSTNESS),
        "## 8. Certificate",
        end_of(certificate, zone),
        *_proofs(certificate),
        "It does not cover: genuine callers unlike those it rests on; several callers for one incident; the stages "
        "together; wrong labels; any single caller; the worst wait.",
        "## 9. Logging and watching",
        "The service keeps for each call what was known, the score and its reasons, the guardrails, the seconds, and the "
        f"release; numbers only as a keyed hash. {watch_of(certificate)}",
        "## 10. Risks that remain",
        _items(_RISKS),
        "## 11. Version",
        _table(("what", ""), made_facts(facts, certificate)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _ranking(metrics: Document) -> Iterable[tuple[str, ...]]:
    for stage in STAGES:
        others = metrics["yardsticks"][stage] or {}
        for name, label in YARDSTICKS.items():
            row = metrics["stages"][stage] if name == "scorecard" else others.get(name)
            if row is not None:
                figures = (_figure(row, key) for key in ("auc", "average_precision_genuine"))
                yield SHORT_STAGE_NAMES[stage], label, *figures


def _figure(row: Document, key: str) -> str:
    value = None if row[key] is None else 100.0 * row[key]
    low, high = (None if row[f"{key}{end}"] is None else 100.0 * row[f"{key}{end}"] for end in ("_low", "_high"))
    return decimal(value) + (f" ({span(low, high)})" if known(low, high) else "")


def _waits(metrics: Document) -> str:
    if metrics["waits"] is None:
        return "Not measured."
    rows = []
    for condition, words in CONDITIONS.items():
        for name, label in DISCIPLINES.items():
            row = metrics["waits"][condition][name]
            ends = span_of(row["lost_share_low"], row["lost_share_high"])
            lost = of_people(row["lost_share"]) + (f" ({ends})" if ends else "")
            lost = lost if condition.startswith("hang_ups") else "nobody hangs up"
            waits = (duration(row[key]) for key in ("mean_wait_s", "p95_wait_s", "p99_9_wait_s", "longest_wait_s"))
            rows.append((words, label, lost, *waits, f"×{decimal(row['longest_ratio'], 2)}"))
    heads = ("load", "rule", "lost", "mean wait", "95th percentile", "99.9th", "longest", "anybody's longest")
    return _table(heads, rows)


def _fairness(metrics: Document) -> str:
    if not metrics["slices"]:
        return "Not measured."
    rows = []
    for condition in WHEN:
        for name, row in metrics["slices"].get(condition, {}).items():
            ratio = span(row["wait_ratio_low"], row["wait_ratio_high"], 2) or "too few callers"
            waits = (duration(row[key]) for key in ("mean_wait_first_come_s", "mean_wait_s"))
            lost = (of_people(row[key]) for key in ("lost_first_come", "lost"))
            rows.append((WHEN[condition]["en"], SLICES[name]["en"], str(row["calls"]), *waits, ratio, *lost))
    heads = (
        "when", "genuine callers", "calls", "wait, first come", "wait, this release", "times as long", "lost, first come",
        "lost, this release",
    )  # fmt: skip
    return _table(heads, rows)


def _proofs(certificate: Certificate) -> Iterable[str]:
    for proof in certificate.stages:
        yield _table((SHORT_STAGE_NAMES[proof.stage], ""), proof_facts(proof, certificate))


def _items(texts: Iterable[str]) -> str:
    return "\n".join(f"- {_plain(text)}" for text in texts)


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join("| " + " | ".join(_plain(text).replace("|", "\\|") for text in line) + " |" for line in lines)


def _plain(text: str) -> str:
    """Keep what came from a log or a setting from being read as HTML."""
    return escape(text, quote=False)
