import math

import numpy as np
import pytest

from model.calls.call_events import events_of, sort_calls
from model.calls.columns import DEFAULT_LABELS, LINES
from model.calls.phone_numbers import Numbering
from model.scorecard.feature_table import FeatureTable
from model.scorecard.features import CALL, FEATURES, NAMES, fill_features, local_time
from model.scorecard.reasons import feature_text


@pytest.fixture(scope="session")
def table(city):
    calls = sort_calls(city.calls)
    return calls, FeatureTable(
        calls, events_of(calls, DEFAULT_LABELS, Numbering("ID"), city.corrections), "Asia/Jakarta"
    )


def test_every_row_of_the_table_is_the_one_that_serving_would_fill(table):
    calls, features = table
    matrix, histories = features.matrix(), features.replay.histories()
    row = np.empty(len(FEATURES))
    for place in range(0, len(calls), 13):
        call = calls.iloc[place]
        received_us = call["received_at"].value // 1_000
        given = {
            "received_us": received_us,
            "line": float(LINES.index(call["line"])),
            "number_shown": float(isinstance(call["caller"], str)),
            "surge_calls": features.surge[place, 0],
            "surge_new": features.surge[place, 1],
            "ended_by": {"caller": 0.0, "operator": 1.0, "network": 2.0}.get(call["ended_by"], math.nan),
        }
        given["local_hour"], given["weekday"] = local_time(received_us, "Asia/Jakarta")
        fill_features(histories[place], np.array([given.get(name, call.get(name)) for name in CALL], dtype=float), row)
        np.testing.assert_array_equal(matrix[place], row)


def test_some_rows_are_those_rows_of_the_whole_table(table):
    calls, features = table
    wanted = np.random.default_rng(1).random(len(calls)) < 0.1
    np.testing.assert_array_equal(features.matrix(wanted), features.matrix()[wanted])
    assert features.matrix(np.zeros(len(calls), dtype=bool)).shape == (0, len(FEATURES))


def test_a_call_without_a_line_is_of_an_unknown_one_and_what_was_not_heard_is_missing(log_of):
    calls = sort_calls(log_of([{"call_id": "a", "received_at": 0}]))
    (row,) = FeatureTable(calls, events_of(calls, DEFAULT_LABELS, Numbering("ID")), "UTC").matrix()
    values = dict(zip(NAMES, row.tolist(), strict=True))
    assert feature_text(FEATURES[NAMES.index("line")], values["line"]) == "line: unknown"
    assert values["number_shown"] == 0.0
    assert values["local_hour"] == 0.0
    assert feature_text(FEATURES[NAMES.index("weekday")], values["weekday"]) == "rings on a Monday"
    for name in ("opening_duration_s", "opening_silence_ratio", "duration_s", "silence_ratio", "ended_by"):
        assert math.isnan(values[name])


def test_a_label_that_comes_earlier_or_later_changes_only_what_is_read_after_it(log_of):
    day = 86_400
    rows = [{"call_id": f"c{n}", "received_at": n * day, "caller": "a1"} for n in range(10)]
    fields = [NAMES.index(name) for name in ("not_genuine_ever", "not_genuine_30d", "closed_odds_30d")]
    others = [place for place in range(len(NAMES)) if "genuine" not in NAMES[place] and "closed" not in NAMES[place]]

    def features(disposed_at):
        rows[0] |= {"disposition": "prank", "disposed_at": disposed_at}
        calls = sort_calls(log_of(rows))
        return FeatureTable(calls, events_of(calls, DEFAULT_LABELS, Numbering("ID")), "UTC").matrix()

    early, late = features(2.5 * day), features(7.5 * day)
    same = (early == late)[:, fields]
    assert same[:3].all()
    assert not same[3:8].any()
    assert same[8:, 0].all()
    np.testing.assert_allclose(early[8:], late[8:], rtol=1e-9)
    np.testing.assert_array_equal(early[:, others], late[:, others])


def test_an_empty_log_has_no_rows(log_of):
    calls = sort_calls(log_of([]))
    table = FeatureTable(calls, events_of(calls, DEFAULT_LABELS, Numbering("ID")), "UTC")
    assert table.matrix().shape == (0, len(FEATURES))
    assert list(table.parts()) == []
