"""The model card of a release: its report's facts, laid out after Annex IV of the EU AI Act (Regulation 2024/1689)."""

import re
from collections.abc import Iterable, Mapping
from html import escape
from importlib.resources import files
from math import isnan
from string import Template
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
    template = files("model.templates").joinpath("model_card.md").read_text(encoding="utf-8")
    text = Template(template).substitute(
        release=_plain(facts["release"]),
        status=said.status,
        answer=_items([said.lead, *said.points]),
        worse=(f"**{said.worse_title}:**\n\n" if said.worse_title else "") + _items(said.worse),
        untold=said.untold,
        allowed=_items(said.allowed),
        promised_title=said.promised_title,
        promise=said.promise,
        outside=said.outside,
        cap=duration(policy.deferral.max_defer_s),
        kappa=f"{policy.deferral.kappa:g}",
        base_s=f"{policy.deferral.base_s:g}",
        guardrails=_table(("guardrail", "in words", "cap", "limit"), _guardrails(policy)),
        data=_table(("what", ""), data_facts(metrics, facts)),
        labels=_table(("label", "closed as"), label_facts(facts["labels"])),
        how=said.how or "Nothing was replayed: there were no genuine calls to replay.",
        ranking=_table(("stage", "score", "pairs in order (AUC)", "average precision of genuine"), _ranking(metrics)),
        glass=findings.glass(metrics),
        expected=findings.expected(metrics["stages"][QUEUE_STAGE]),
        waits=_waits(metrics),
        slices=_fairness(metrics),
        ends=end_of(certificate, zone),
        proofs="\n\n".join(
            _table((SHORT_STAGE_NAMES[proof.stage], ""), proof_facts(proof, certificate))
            for proof in certificate.stages
        ),
        watch=watch_of(certificate),
        made=_table(("what", ""), made_facts(facts, certificate)),
    )
    return re.sub(r"\n{3,}", "\n\n", text)


def _guardrails(policy: Policy) -> Iterable[tuple[str, ...]]:
    for rail, cap, limit in zip(GUARDRAILS, policy.caps, policy.limits, strict=True):
        yield rail.name, rail.words["en"], "off" if isnan(cap) else f"{cap:g}", f"{limit:g}"


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
    both = [f"{what}, {rule}" for what in ("wait", "lost") for rule in ("first come", "this release")]
    heads = ("when", "genuine callers", "calls", *both[:2], "times as long", *both[2:])
    return _table(heads, rows)


def _items(texts: Iterable[str]) -> str:
    return "\n".join(f"- {_plain(text)}" for text in texts)


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join("| " + " | ".join(_plain(text).replace("|", "\\|") for text in line) + " |" for line in lines)


def _plain(text: str) -> str:
    """Keep what came from a log or a setting from being read as HTML."""
    return escape(text, quote=False)
