import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.calls.columns import ENDED_BY, LINES
from model.history.caller_history import FIELDS, SIZE
from model.language.catalogue import catalogue
from model.scorecard.features import (
    CALL,
    FEATURES,
    NAMES,
    RATIO,
    SINCE,
    STAGES,
    SUM,
    WEEKDAYS,
    WIDTHS,
    fill_feature_rows,
    fill_features,
    local_time,
)
from model.scorecard.reasons import feature_text

ZONES = ["Asia/Jakarta", "Asia/Jayapura", "Asia/Kathmandu", "Asia/Kolkata", "Europe/Berlin", "Europe/London",
         "America/New_York", "America/St_Johns", "America/Sao_Paulo", "Australia/Lord_Howe", "Pacific/Chatham",
         "Pacific/Apia", "Pacific/Kiritimati", "Africa/Casablanca", "Asia/Tehran", "Antarctica/Troll"]  # fmt: skip
FIRST, LAST = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (2012, 2038))


# -- The table


def test_names_are_unique_and_a_stage_knows_what_the_earlier_ones_know():
    assert len(set(NAMES)) == len(NAMES) == len(FEATURES)
    stages = [STAGES.index(feature.stage) for feature in FEATURES]
    assert stages == sorted(stages)
    for place, stage in enumerate(STAGES):
        assert WIDTHS[stage] == sum(known <= place for known in stages)
        assert {feature.stage for feature in FEATURES[: WIDTHS[stage]]} == set(STAGES[: place + 1])
    assert WIDTHS["ended"] == len(FEATURES)


def test_nothing_of_the_conversation_is_known_before_the_call_has_ended():
    early = {feature.of for feature in FEATURES[: WIDTHS["opening"]]}
    assert not early & {"duration_s", "silence_ratio", "ended_by"}
    ring = {feature.of for feature in FEATURES[: WIDTHS["ring"]]}
    assert not ring & {"opening_duration_s", "opening_silence_ratio"}


@pytest.mark.parametrize("feature", FEATURES, ids=NAMES)
def test_every_feature_says_what_it_is_and_its_value_in_words(feature):
    assert feature.unit
    assert catalogue("en")(f"feature.{feature.name}.meaning")
    assert feature.direction in (-1, 0, 1)
    for value in range(len(feature.words)) if feature.words else (0.0, 1.0, 0.123456, 1e12):
        text = feature_text(feature, float(value))
        assert text
        assert "{" not in text
    unknown = feature_text(feature, math.nan)
    assert "not known" in unknown or "no earlier call" in unknown


def test_what_tells_of_silence_is_marked_and_may_go_either_way():
    silent = {feature.name for feature in FEATURES if feature.silence}
    assert silent == {name for name in NAMES if "silen" in name}
    assert all(feature.direction == 0 for feature in FEATURES if feature.silence)


def test_labels_and_surges_move_a_score_in_one_direction_only():
    for feature in FEATURES:
        fields = {feature.of, feature.per} if feature.how == RATIO else {feature.of}
        genuine = any(field.startswith("genuine") for field in fields)
        not_genuine = any(field.startswith("not_genuine") for field in fields)
        if feature.of.startswith("not_genuine"):
            assert feature.direction == 1
        elif genuine or feature.group == "surge":
            assert feature.direction == -1
        else:
            assert not not_genuine


def test_a_feature_that_moves_in_one_direction_only_is_never_missing():
    row = np.empty(len(FEATURES))
    call = np.full(len(CALL), math.nan)
    call[[CALL.index("surge_calls"), CALL.index("surge_new")]] = 1.0
    fill_features(np.zeros(SIZE), call, row)
    for feature, value in zip(FEATURES, row, strict=True):
        if feature.direction:
            assert not math.isnan(value)


def test_the_page_of_features_is_the_table():
    page = (Path(__file__).parents[3] / "docs" / "features.md").read_text(encoding="utf-8")
    rules = {-1: "only lower it", 0: "either way", 1: "only raise it"}
    rows = [
        f"| `{f.name}` | {f.stage} | {f.group} | {f.unit} | {catalogue('en')(f'feature.{f.name}.meaning')} "
        f"| {rules[f.direction]} |"
        for f in FEATURES
    ]
    head = ["| feature | known from | group | unit | meaning | a higher value may |", "|---|---|---|---|---|---|"]
    assert "\n".join([*head, *rows]) + "\n" in page


# -- The values


@given(st.lists(st.floats(0.0, 1e6), min_size=SIZE, max_size=SIZE), st.sampled_from(STAGES))
def test_a_row_is_made_of_history_and_call_as_the_table_says(sums, stage):
    history = np.array(sums)
    history[0], history[1] = 2e15, 1e15
    call = np.arange(1.0, len(CALL) + 1)
    call[0] = 2e15 + 7.2e9
    row = np.empty(WIDTHS[stage])
    fill_features(history, call, row)
    for feature, value in zip(FEATURES, row, strict=False):
        if feature.how == SUM:
            expected = history[FIELDS.index(feature.of)]
        elif feature.how == RATIO:
            expected = (history[FIELDS.index(feature.of)] + feature.plus) / (
                history[FIELDS.index(feature.per)] + feature.with_
            )
        elif feature.how == SINCE:
            expected = 2.0 if feature.name == "since_last_h" else (1e15 + 7.2e9) / 86.4e9
        else:
            expected = call[CALL.index(feature.of)]
        assert value == expected


def test_without_history_means_are_their_priors_and_times_are_missing():
    row = np.empty(len(FEATURES))
    fill_features(np.zeros(SIZE), np.zeros(len(CALL)), row)
    values = dict(zip(NAMES, row.tolist(), strict=True))
    assert values["closed_odds_30d"] == 1.0
    assert values["mean_duration_30d"] == 60.0
    assert values["mean_silence_30d"] == 0.4
    assert values["short_share_30d"] == 0.5
    assert values["silent_share_30d"] == 0.25
    assert math.isnan(values["since_last_h"])
    assert math.isnan(values["since_first_d"])


def test_many_rows_are_each_as_one():
    rng = np.random.default_rng(1)
    histories, calls = rng.random((50, SIZE)), rng.random((50, len(CALL)))
    rows, row = np.empty((50, len(FEATURES))), np.empty(len(FEATURES))
    fill_feature_rows(histories, calls, rows)
    for place in range(50):
        fill_features(histories[place], calls[place], row)
        np.testing.assert_array_equal(rows[place], row)


def test_codes_are_those_of_the_words():
    words = {feature.name: feature.words for feature in FEATURES if feature.words}
    assert words == {
        "line": LINES,
        "number_shown": ("not shown", "shown"),
        "weekday": WEEKDAYS,
        "ended_by": ENDED_BY,
    }


# -- Local time


def by_the_tz_database(second, zone):
    local = datetime.fromtimestamp(second, UTC).astimezone(ZoneInfo(zone))
    return (local.hour * 60 + local.minute) / 60.0, float(local.weekday())


@given(st.integers(FIRST, LAST), st.sampled_from(ZONES))
def test_local_time_is_that_of_the_tz_database(second, zone):
    assert local_time(second * 1_000_000 + 999_999, zone) == by_the_tz_database(second, zone)


@pytest.mark.parametrize("zone", ZONES)
def test_local_time_is_right_to_the_minute_around_every_change_of_the_clocks(zone):
    changes, offset = 0, None
    moment, end = datetime(2023, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
    while moment < end:
        here = moment.astimezone(ZoneInfo(zone)).utcoffset()
        if offset is not None and here != offset:
            changes += 1
            for minute in range(-70, 70):
                second = int((moment + timedelta(minutes=minute)).timestamp())
                assert local_time(second * 1_000_000, zone) == by_the_tz_database(second, zone)
        offset, moment = here, moment + timedelta(hours=1)
    assert changes or zone not in ("Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns", "Africa/Casablanca")
