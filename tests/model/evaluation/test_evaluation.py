import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from model.errors import EvaluationError
from model.evaluation.evaluation import Effort, count_splits, evaluate
from model.evaluation.rehearsal import rehearse
from model.evaluation.window import EvaluationWindow
from model.params import Params
from model.queueing.scenarios import CONDITIONS
from model.release.folder import read_release, to_bytes, write_release
from model.release.pipeline import evaluate_release, make_release

DOCS = Path(__file__).parents[3] / "docs" / "metrics.md"
QUICK = Effort(seeds=2, resamples=20, policy_draws=0)
UNTIL = pd.Timestamp("2025-02-05T00:00:00Z")


@pytest.fixture(scope="module")
def earlier(city, tmp_path_factory):
    """A release made from the first five weeks of the city."""
    now = UNTIL.to_pydatetime()
    made = make_release(city.calls, Params(), now, UNTIL, city.corrections, effort=QUICK)
    folder = tmp_path_factory.mktemp("earlier") / "release"
    write_release(folder, made.files(), made.facts(now))
    return read_release(folder)


@pytest.fixture(scope="module")
def later(city, earlier):
    return evaluate_release(earlier, city.calls, city.corrections, effort=QUICK)


def leaves(document, path=()):
    if isinstance(document, dict):
        for key, value in document.items():
            yield from leaves(value, (*path, key))
    else:
        yield path, document


def test_the_document_is_strict_json_with_sorted_keys(made):
    text = to_bytes(made.metrics).decode()
    assert list(leaves(json.loads(text))) == list(leaves(made.metrics))
    for path in {path[:-1] for path, _ in leaves(made.metrics)}:
        here = made.metrics
        for key in path:
            here = here[key]
        assert list(here) == sorted(here)


def test_every_key_is_explained_in_the_docs(made, later):
    text = DOCS.read_text(encoding="utf-8")
    words = set(re.findall(r"[a-z0-9_.<>]+", text))
    for document in (made.metrics, later):
        for path, _ in leaves(document):
            for key in path:
                plain = re.sub(r"_(low|high)$", "", key)
                stem = re.sub(r"^line_.*", "line_<kind>", plain)
                assert stem in words or any(f".{stem}" in word or f"{stem}." in word for word in words), path


def test_every_number_with_an_interval_lies_in_it_where_callers_are_drawn(made):
    for stage in made.metrics["stages"].values():
        for name in ("auc", "average_precision_genuine", "brier"):
            assert stage[f"{name}_low"] <= stage[name] <= stage[f"{name}_high"]


def test_bands_hold_every_closed_call_once(made):
    window = made.metrics["window"]
    for bands in made.metrics["bands"].values():
        assert sum(band["calls"] for band in bands.values()) == window["closed"]
        assert sum(band["genuine_calls"] for band in bands.values()) == window["genuine"]


def test_the_guardrails_together_are_the_rule_and_without_them_more_of_the_gap_is_closed(made):
    guardrails, waits = made.metrics["guardrails"], made.metrics["waits"]
    free = [condition.name for condition in CONDITIONS if not condition.hang_ups]
    assert guardrails["none"]["gap_closed"] > guardrails["all"]["gap_closed"]
    rule = np.mean([waits[name]["rule"]["gap_closed"] for name in free])
    assert guardrails["all"]["gap_closed"] == pytest.approx(rule, abs=0.1)
    assert guardrails["first_call"]["holds_share_genuine"] > 0.0


def test_the_same_calls_give_the_same_document(city, earlier, later):
    assert to_bytes(evaluate_release(earlier, city.calls, city.corrections, effort=QUICK)) == to_bytes(later)


def test_later_calls_are_evaluated_from_the_releases_until_on(city, later):
    assert pd.Timestamp(later["window"]["from"]) >= UNTIL
    assert later["window"]["calls"] == (city.calls["received_at"] >= UNTIL).sum()
    assert later["evaluated_on"] == "later calls"
    assert later["yardsticks"]["opening"]["unconstrained_boosting"]["auc"] > 0.7


def test_calls_that_were_trained_on_are_not_evaluated_on(city, earlier):
    with pytest.raises(EvaluationError, match="part of the release's training"):
        evaluate_release(earlier, city.calls, since=UNTIL - pd.Timedelta(days=1))


def test_without_later_genuine_calls_there_is_no_evaluation(city, earlier):
    with pytest.raises(EvaluationError, match="none of them genuine"):
        evaluate_release(earlier, city.calls[city.calls["received_at"] < UNTIL])
    false_only = city.calls[
        (city.calls["received_at"] < UNTIL) | ~city.calls["disposition"].isin(["genuine", "duplicate"])
    ]
    with pytest.raises(EvaluationError, match="none of them genuine"):
        evaluate_release(earlier, false_only)


def test_a_log_of_later_calls_only_has_no_yardsticks_and_no_prices(city, earlier):
    found = evaluate_release(earlier, city.calls[city.calls["received_at"] >= UNTIL], effort=QUICK)
    assert found["yardsticks"]["opening"] is None
    assert found["guardrails"] is None
    assert found["waits"] is not None


def test_a_window_without_genuine_calls_gives_nulls_and_no_error(made):
    past = made.past
    rows = past.certify & (past.events.outcome == 1)
    (*_, last) = rehearse(made.trained, made.policy, most=1, draws=0)
    window = EvaluationWindow(past.events, past.table, rows, [replace(last, rows=rows)])
    about = count_splits(past, window) | {"evaluated_on": "out of time"}
    found = evaluate(window, made.policy, made.certificate, about=about, effort=QUICK)
    assert found["stages"]["ring"]["auc"] is None
    assert found["waits"] is found["slices"] is found["summary"] is None
    nobody = np.zeros_like(rows)
    window = EvaluationWindow(past.events, past.table, nobody, [replace(last, rows=nobody)])
    found = evaluate(window, made.policy, made.certificate, about=about, effort=QUICK)
    assert found["window"]["calls"] == 0
