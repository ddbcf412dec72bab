"""Writes the report (HTML) and the model card (Markdown, after Annex IV of the EU AI Act) of a release."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from model.certification.certificate import Certificate
from model.language.catalogue import catalogue
from model.language.numbers import KINDS, is_known
from model.policy.guardrails import GUARDRAILS
from model.policy.policy import Policy
from model.queueing.caller_groups import SLICES
from model.report import charts
from model.report.answer import CONDITIONS, Document, answer, losses, verdict
from model.report.step_charts import scorecard_charts
from model.scorecard.features import QUEUE_STAGE, STAGES
from model.scorecard.scorecard import Scorecard
from model.training import label_bias


def report(
    metrics: Document,
    certificate: Certificate,
    scorecards: Mapping[str, Scorecard],
    policy: Policy,
    facts: Mapping[str, Any],
) -> str:
    """Return the report of a release: one HTML file, the answer first, nothing from the network.

    Parameters
    ----------
    metrics : mapping
        As docs/metrics.md says; null is told in words.
    scorecards : mapping of str to Scorecard
        By stage.
    facts : mapping
        As the manifest holds them: release, created_at, until, time_zone, region, labels, data, params, ...
    """
    return _rendered(
        "report.html",
        metrics,
        certificate,
        policy,
        facts,
        settings=list(flatten_settings(facts["params"])),
        charts={stage: scorecard_charts(scorecards[stage]) for stage in STAGES},
    )


def model_card(metrics: Document, certificate: Certificate, policy: Policy, facts: Mapping[str, Any]) -> str:
    """Return the model card of a release (Markdown); the parameters are those of `report`."""
    card = _rendered("model_card.md", metrics, certificate, policy, facts)
    # Markdown needs no quotation marks escaped, and reads better without.
    card = card.replace("&#39;", "'").replace("&#34;", '"')
    return re.sub(r"\n{3,}", "\n\n", card)


def draw_scorecard(scorecard: Scorecard) -> str:
    """Return every step function of a scorecard as HTML, for a page of one's own."""
    return str(_templates().get_template("charts.jinja").module.scorecard(scorecard_charts(scorecard)))  # type: ignore[attr-defined]


def flatten_settings(settings: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Yield nested settings, each under its dotted name.

    Examples
    --------
    >>> list(flatten_settings({"split": {"fit": 0.5}, "limit": None, "on": True}))
    [('split.fit', '0.5'), ('limit', 'as built in'), ('on', 'yes')]
    """
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flatten_settings(value, f"{before}{name}.")
        elif value is None:
            yield f"{before}{name}", "as built in"
        else:
            yield f"{before}{name}", {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _rendered(
    template: str, metrics: Document, certificate: Certificate, policy: Policy, facts: Mapping[str, Any], **more: Any
) -> str:
    found = answer(metrics, certificate)
    names = {"m": metrics, "c": certificate, "f": facts, "a": found, "policy": policy, "zone": facts["time_zone"]}
    return _templates().get_template(template).render(**names, **more)


def _lines(text: str) -> list[str]:
    """Return the sentences that a macro wrote, one a line."""
    return [line.strip() for line in text.splitlines() if line.strip()]


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("model.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.do"],
    )
    environment.filters |= {**KINDS, "lines": _lines}
    environment.tests["known"] = is_known
    environment.globals |= {
        "ax": charts,
        "en": catalogue("en"),
        "id": catalogue("id"),
        "own_effect": label_bias.describe_label_bias,
        "told_losses": losses,
        "verdict": verdict,
        "CONDITIONS": CONDITIONS,
        "GUARDRAILS": GUARDRAILS,
        "QUEUE_STAGE": QUEUE_STAGE,
        "SLICES": SLICES,
        "STAGES": STAGES,
    }
    return environment
