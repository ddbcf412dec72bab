"""The reasons of a score."""

import math
import re

import pytest

from model.scorecard.features import FEATURES, NAMES
from model.scorecard.reasons import feature_text, reasons


def test_reasons_come_largest_first_with_words_for_codes_and_null_for_what_is_not_known():
    values, contributions = [0.0] * len(FEATURES), [0.0] * len(FEATURES)
    for name, value, contribution in (
        ("line", 2.0, -0.5),
        ("weekday", 6.0, 0.25),
        ("opening_duration_s", math.nan, 2.0),
        ("calls_1h", 3.0, -1.0),
    ):
        values[NAMES.index(name)], contributions[NAMES.index(name)] = value, contribution
    found = [(reason["feature"], reason["value"], reason["contribution"]) for reason in reasons(values, contributions)]
    assert found == [
        ("opening_duration_s", None, 2.0),
        ("calls_1h", 3.0, -1.0),
        ("line", "payphone", -0.5),
        ("weekday", "Sunday", 0.25),
    ]


def test_in_words_each_reason_says_what_an_operator_reads():
    (reason,) = reasons([3.0], [-1.0], in_words=True)
    assert reason["text"] == "3 calls around the last hour"
    assert reason["group"] == "history"


def test_an_average_call_has_no_reasons():
    assert reasons([1.0] * len(FEATURES), [0.0] * len(FEATURES)) == []


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_every_feature_is_said_in_indonesian_too(feature):
    values = [math.nan, *range(len(feature.words))] if feature.words else [math.nan, 0.0, 0.05, 1.0, 3.14159, 1234.5]
    for value in values:
        english, indonesian = feature_text(feature, float(value)), feature_text(feature, float(value), "id")
        assert english != indonesian
        assert "{" not in indonesian
        assert math.isnan(value) or re.sub(r"[^\d]", "", english) == re.sub(r"[^\d]", "", indonesian)
