"""The metrics: what is counted, and what can never be a label."""

import math
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import prometheus_client
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from model.errors import SaringError
from model.scorecard.features import STAGES
from service.contract import requests
from service.telemetry.metric_table import METRICS, PREFIX
from service.telemetry.metrics import BANDS, FIELDS, MAX_QUEUES, Metrics
from service.telemetry.multiprocess import VARIABLE

ROOT = Path(__file__).parents[3]
NUMBER = "6281234567890"


def test_the_page_explains_every_metric_as_the_table_has_it():
    page = (ROOT / "docs" / "telemetry.md").read_text(encoding="utf-8")
    rows = [tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in page.splitlines() if line[:4] == "| `s"]
    expected = [(PREFIX + m.name, m.kind, ", ".join(f"`{label}`" for label in m.labels), m.meaning) for m in METRICS]
    assert [(row[0].strip("`"), *row[1:4]) for row in rows] == expected
    assert all(len(row) == 5 and row[4] for row in rows)


def test_the_registry_gives_the_metrics_of_the_table():
    metrics = filled()
    found = {family.name: family for family in plain(metrics.render("")[0].decode())}
    assert set(found) == {(PREFIX + m.name).removesuffix("_total") for m in METRICS}
    for metric in METRICS:
        family = found[(PREFIX + metric.name).removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind, metric.meaning)
        assert {name for sample in family.samples for name in sample.labels} - {"le"} == set(metric.labels)


def test_the_page_speaks_of_no_metric_or_label_that_there_is_not():
    page = (ROOT / "docs" / "telemetry.md").read_text(encoding="utf-8")
    samples = {sample.name for family in plain(filled().render("")[0].decode()) for sample in family.samples}
    assert set(re.findall(r"\bsaring_[a-z_]+", page)) <= samples | {PREFIX + metric.name for metric in METRICS}
    selectors = set(re.findall(r"[{,(](\w+)=~?\"", page)) | set(re.findall(r"by \((\w+)\)", page))
    assert selectors <= {label for metric in METRICS for label in metric.labels} | {"le"}


def test_one_scored_call_counts_in_everything_that_it_was():
    metrics = Metrics()
    warnings = [{"field": "silence_ratio", "detail": "…"}]
    metrics.scored("opening", "unsure", 42.0, True, ["silence", "redial"], warnings)
    assert value(metrics, "calls_total", stage="opening", band="unsure") == 1
    assert value(metrics, "calls_total", stage="ring", band="unsure") == 0
    assert value(metrics, "deferral_seconds_sum", stage="opening") == 42
    assert value(metrics, "deferral_seconds_bucket", stage="opening", le="60.0") == 1
    assert value(metrics, "deferral_seconds_bucket", stage="opening", le="30.0") == 0
    assert value(metrics, "deferred_total") == value(metrics, "held_out_total") == 1
    assert value(metrics, "guardrails_total", guardrail="silence") == 1
    assert value(metrics, "guardrails_total", guardrail="redial") == 1
    assert value(metrics, "guardrails_total", guardrail="surge") == 0
    assert value(metrics, "warnings_total", field="silence_ratio") == 1


def test_a_call_that_is_not_deferred_counts_in_the_zero_bucket():
    metrics = Metrics()
    metrics.scored("ring", "normal", 0.0, False, [], [])
    assert value(metrics, "deferral_seconds_bucket", stage="ring", le="0.0") == 1
    assert value(metrics, "deferred_total") == value(metrics, "held_out_total") == 0


def test_every_stage_and_band_is_there_before_the_first_call():
    metrics = Metrics()
    assert all(value(metrics, "calls_total", stage=stage, band=band) == 0 for stage in STAGES for band in BANDS)


def test_every_field_of_a_request_that_is_forgiven_has_a_label():
    bodies = [body for body in vars(requests).values() if isinstance(body, type) and issubclass(body, requests.Body)]
    fields = {name for body in bodies for name, field in body.model_fields.items() if not field.is_required()}
    assert {"line", "duration_s", "operator"} <= fields <= set(FIELDS)


def test_words_that_nobody_knows_make_no_labels():
    metrics = Metrics()
    before = labels(metrics)
    for n in range(300):
        metrics.scored(f"stage{n}", f"band{n}", 1.0, False, [f"rail{n}"], [{"field": f"field{n}", "detail": ""}])
        metrics.abandoned(f"band{n}")
        metrics.request("/v1/score", f"M{n}", 200, 0.1)
    assert labels(metrics) - before <= {"/v1/score", "200", "other"}
    assert value(metrics, "warnings_total", field="other") == 300
    assert value(metrics, "requests_total", route="/v1/score", method="other", status="200") == 300


def test_the_fifty_first_queue_is_other_and_an_empty_queue_is_0():
    metrics = Metrics()
    metrics.waiting({f"queue {n}": 2 for n in range(MAX_QUEUES + 30)} | {"": 1})
    queues = {sample.labels["queue"]: sample.value for sample in family(metrics, "saring_waiting_calls").samples}
    assert len(queues) == MAX_QUEUES + 1
    assert queues["other"] == 61
    metrics.waiting({"queue 1": 5})
    queues = {sample.labels["queue"]: sample.value for sample in family(metrics, "saring_waiting_calls").samples}
    assert queues["queue 1"] == sum(queues.values()) == 5


def test_a_number_in_the_place_of_a_queue_never_becomes_a_label():
    metrics = Metrics()
    metrics.waiting({f"+{NUMBER}": 1, "0812-3456-7890": 1, "fire": 1})
    assert labels(metrics) >= {"fire", "other"}
    assert NUMBER not in metrics.render("")[0].decode()
    assert "0812" not in metrics.render("")[0].decode()
    assert value(metrics, "waiting_calls", queue="other") == 2


def test_what_is_not_known_is_nan_or_0_and_a_release_follows_another():
    metrics = Metrics()
    metrics.operators(None)
    assert math.isnan(value(metrics, "operators_on_duty"))
    metrics.operators(3)
    assert value(metrics, "operators_on_duty") == 3
    metrics.certificate(datetime(2027, 1, 1, tzinfo=UTC))
    assert value(metrics, "certificate_expires_timestamp_seconds") == 1_798_761_600
    metrics.certificate(None)
    assert value(metrics, "certificate_expires_timestamp_seconds") == 0
    metrics.release("a")
    metrics.release("b")
    assert (value(metrics, "release_info", release="a"), value(metrics, "release_info", release="b")) == (0, 1)


@pytest.mark.parametrize("accept", ["", "*/*", "text/plain; version=x", "text/plain;version=0.0.4;q=0.5"])
def test_without_a_wish_the_answer_is_the_plain_format(accept):
    body, media_type = filled().render(accept)
    assert media_type.startswith("text/plain; version=0.0.4")
    assert len(list(plain(body.decode()))) == len(METRICS)


@pytest.mark.parametrize("version", ["; version=1.0.0", "", "; version=x", "; version=99"])
def test_openmetrics_is_given_to_who_asks_for_it(version):
    body, media_type = filled().render(f"application/openmetrics-text{version},text/plain;q=0.1")
    assert media_type.startswith("application/openmetrics-text; version=1.0.0")
    assert len(list(openmetrics(body.decode()))) == len(METRICS)


def test_nothing_is_registered_globally():
    filled()
    assert not [family for family in prometheus_client.REGISTRY.collect() if family.name.startswith(PREFIX)]


def test_a_changed_environment_is_told_and_not_half_followed(monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(SaringError, match=r"PROMETHEUS_MULTIPROC_DIR.*before the service starts"):
        Metrics()


def test_a_folder_for_counting_that_is_not_there_is_told(tmp_path):
    code = "from service.telemetry.metrics import Metrics; Metrics()"
    environment = os.environ | {VARIABLE: str(tmp_path / "nowhere")}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert "nowhere' is not a folder" in done.stderr


def filled() -> Metrics:
    """Metrics with at least one sample of each."""
    metrics = Metrics()
    metrics.request("/v1/score", "POST", 200, 0.002)
    metrics.degraded("store")
    metrics.waiting({"fire": 1})
    metrics.release("a")
    metrics.not_kept()
    metrics.journal_kept()
    metrics.journal_drained(1)
    metrics.committed(0.001, 3, 1)
    metrics.deferral(switch_on=True, on=False)
    return metrics


def value(metrics: Metrics, name: str, **labels: str) -> float:
    found = metrics.registry.get_sample_value(PREFIX + name, labels)
    assert found is not None
    return found


def family(metrics: Metrics, name: str):
    return next(family for family in metrics.registry.collect() if family.name == name)


def labels(metrics: Metrics) -> set[str]:
    return {
        word for family in metrics.registry.collect() for sample in family.samples for word in sample.labels.values()
    }
