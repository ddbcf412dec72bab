import numpy as np

from model.calls.columns import LINES
from model.evaluation.slices import LEAST_CALLERS, Outcomes, compare_slices, not_shown_to_gain, worse_off
from model.queueing.caller_groups import slice_masks
from model.scorecard.features import NAMES


def features(**columns):
    n = len(next(iter(columns.values())))
    rows = np.zeros((n, len(NAMES)))
    for name, values in columns.items():
        rows[:, NAMES.index(name)] = values
    return rows


def lived(first_s, rule_s, lost_first=0.0, lost=0.0):
    first, rule = np.broadcast_arrays(np.asarray(first_s, dtype=float), rule_s)
    over = np.column_stack([rule - first > 5.0, rule - first > 30.0]).astype(float)
    return Outcomes(first, rule.astype(float), over, np.full(len(first), lost_first), np.full(len(first), lost))


def test_slices_come_from_what_the_log_says():
    rows = features(
        opening_silence_ratio=[0.95, np.nan, 0.2, 0.1],
        silence_ratio=[np.nan, 0.99, 0.1, np.nan],
        local_hour=[23.5, 5.9, 6.0, 12.0],
        calls_30d=[0.0, 7.2, 4.9, 0.0],
        since_last_h=[np.nan, 3.0, 40.0, np.nan],
        surge_new=[1.0, 3.0, 1.0, 1.0],
        line=[LINES.index(name) for name in ("mobile", "payphone", "mobile", "withheld")],
    )
    found = slice_masks(rows, np.array([4, 5, 6, -1]), np.array([False, True, False, False]))
    members = {name: np.flatnonzero(mask).tolist() for name, mask in found.items() if mask.any()}
    assert members == {
        "all": [0, 1, 2, 3],
        "silent": [0, 1],
        "audio_missing": [1],
        "no_number": [3],
        "shared_phone": [1],
        "chronic": [1],
        "first_call": [0],
        "storm": [1],
        "night": [0, 1],
        "line_mobile": [0, 2],
        "line_payphone": [1],
        "line_withheld": [3],
    }


def test_a_slice_that_waits_longer_is_named_and_one_that_waits_less_is_not():
    n = 200
    rng = np.random.default_rng(1)
    first = rng.exponential(60.0, n)
    rule = np.where(np.arange(n) < 100, first * 1.3, first * 0.7)
    masks = {"worse": np.arange(n) < 100, "better": np.arange(n) >= 100, "nobody": np.zeros(n, dtype=bool)}
    found = compare_slices(lived(first, rule), masks, np.arange(n), resamples=200)
    assert set(found) == {"worse", "better"}
    assert worse_off(found) == ["worse"]
    assert not_shown_to_gain(found) == []
    assert found["worse"]["wait_ratio_low"] > 1.0 > found["better"]["wait_ratio_high"]
    assert found["better"]["over_5_s"] == 0.0 < found["worse"]["over_5_s"]


def test_callers_lost_more_often_are_worse_off_even_if_they_wait_less():
    found = compare_slices(lived([10.0] * 50, 8.0, 0.1, 0.2), {"all": np.ones(50, dtype=bool)}, np.arange(50), 50)
    assert found["all"]["wait_ratio_high"] < 1.0
    assert worse_off(found) == ["all"]


def test_one_caller_who_rings_a_hundred_times_proves_nothing():
    found = compare_slices(
        lived([10.0] * 100, 15.0), {"chronic": np.ones(100, dtype=bool)}, np.zeros(100, dtype=int), 50
    )
    assert found["chronic"]["callers"] == 1 < LEAST_CALLERS
    assert np.isnan(found["chronic"]["wait_ratio_low"])
    assert worse_off(found) == []
    assert not_shown_to_gain(found) == ["chronic"]


def test_without_genuine_calls_there_are_no_slices():
    nothing = np.zeros(0)
    empty = Outcomes(nothing, nothing, np.zeros((0, 2)), nothing, nothing)
    assert compare_slices(empty, {"all": nothing.astype(bool)}, nothing.astype(int), 10) == {}
