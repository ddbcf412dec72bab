"""The report that a person reads of a release: one HTML file, the answer first, nothing from the network."""

from collections.abc import Mapping
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from model import findings
from model.answer import QUEUE_STAGE, Answer, Document, answer
from model.certificate import Certificate
from model.facts import data_facts, end_of, flat, label_facts, made_facts, proof_facts, watch_of
from model.features import STAGES
from model.numerals import count, day, of_people
from model.plots import reliability, table
from model.policy import Policy
from model.scorecard import Scorecard
from model.step_plots import scorecard_plots
from model.words import STAGE_NAMES


def report(
    metrics: Document,
    certificate: Certificate,
    scorecards: Mapping[str, Scorecard],
    policy: Policy,
    facts: Mapping[str, Any],
) -> str:
    """Write the report of a release.

    Parameters
    ----------
    metrics : mapping
        As docs/metrics.md says; null is told in words.
    certificate : Certificate
    scorecards : mapping of str to Scorecard
        By stage.
    policy : Policy
    facts : mapping
        As the manifest holds them: release, created_at, until, time_zone, region, labels, data, params, ...

    Returns
    -------
    str
        A whole HTML page.
    """
    zone, stages = facts["time_zone"], metrics["stages"]
    indonesian, english = (answer(metrics, certificate, policy, zone, language) for language in ("id", "en"))
    short = {stage: name.partition(":")[0] for stage, name in STAGE_NAMES.items()}
    template = files("model.templates").joinpath("report.html").read_text(encoding="utf-8")
    return Template(template).substitute(
        {f"{stage}_name": escape(STAGE_NAMES[stage]) for stage in STAGES},
        **{stage: scorecard_plots(scorecards[stage]) for stage in STAGES},
        release=escape(facts["release"]),
        subtitle=escape(_subtitle(metrics, facts)),
        answers=_answer(indonesian) + _answer(english),
        off_note=escape(_simulated(certificate)),
        losses=findings.losses(metrics),
        gaps=findings.gaps(metrics),
        waits=findings.waits(metrics),
        slices=findings.fairness(metrics),
        guardrails=findings.prices(metrics),
        ranking=findings.ranking(metrics, "auc", findings.PAIRS),
        precision=findings.ranking(metrics, "average_precision_genuine", findings.HUNDRED),
        glass=escape(findings.glass(metrics)),
        base=of_people(stages[QUEUE_STAGE]["base_rate_genuine"]),
        expected=escape(findings.expected(stages[QUEUE_STAGE])),
        reliability="".join(reliability(stages[stage]["reliability"] or [], short[stage]) for stage in STAGES),
        sentence="".join(f"<p>{escape(said)}</p>" for said in (*english.allowed, end_of(certificate, zone))),
        proofs=_proofs(certificate, short),
        cap=count(policy.deferral.max_defer_s),
        watch=escape(watch_of(certificate)),
        data=table(data_facts(metrics, facts)),
        labels=table(label_facts(facts["labels"])),
        made=table(made_facts(facts, certificate)),
        settings=table(flat(facts["params"])),
    )


def _subtitle(metrics: Document, facts: Mapping[str, Any]) -> str:
    zone, window = facts["time_zone"], metrics["window"]
    made = f"Made on {day(facts['created_at'], zone)} from {count(facts['data']['calls'])} calls."
    if not window["from"]:
        return f"{made} There were no calls to measure it on."
    seen = "Training had not seen them." if metrics["evaluated_on"] == "certify split" else "They came after training."
    return (
        f"{made} Measured on {count(window['closed'])} closed calls of {day(window['from'], zone)} to "
        f"{day(window['until'], zone)}, {count(window['genuine'])} of them genuine. {seen}"
    )


def _answer(said: Answer) -> str:
    worse = ""
    if said.worse_title:
        worse = f'<div class="warning" role="note"><h3>{escape(said.worse_title)}</h3>{_items(said.worse)}</div>'
    elif said.worse:
        worse = f"<p>{escape(said.worse[0])}</p>"
    notes = {
        name: f'<p class="small">{escape(text)}</p>' if text else ""
        for name, text in said._asdict().items()
        if name in ("untold", "how")
    }
    return (
        f'<section lang="{said.language}"><h2>{escape(said.title)}</h2>'
        f'<p class="status{" acts" if said.acts else ""}">{escape(said.status)}</p>'
        f'<p class="lead">{escape(said.lead)}</p>{_items(said.points)}{worse}{notes["untold"]}'
        f"<h3>{escape(said.allowed_title)}</h3>{_items(said.allowed)}<p>{escape(said.expiry)}</p>"
        f"<h3>{escape(said.promised_title)}</h3><blockquote>{escape(said.promise)}</blockquote>"
        f"<p>{escape(said.outside)}</p>{notes['how']}</section>"
    )


def _items(texts: list[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>"


def _simulated(certificate: Certificate) -> str:
    said = "Simulated: the recorded calls, replayed under different rules for who is answered next."
    if certificate.stage(QUEUE_STAGE).deferral.on:
        return said
    return (
        f"{said} This release does not defer calls, so \u201cThis release\u201d shows what it would do if it were "
        "allowed to."
    )


def _proofs(certificate: Certificate, names: Mapping[str, str]) -> str:
    columns = [list(proof_facts(proof, certificate)) for proof in certificate.stages]
    rows = [(pairs[0][0], *(said for _, said in pairs)) for pairs in zip(*columns, strict=True)]
    return table(rows, ("", *(names[proof.stage] for proof in certificate.stages)))
