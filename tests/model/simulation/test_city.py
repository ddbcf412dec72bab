"""A made-up city: how many call, when, and by what rules the log is kept."""

import numpy as np
import pandas as pd
import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from model.calls.columns import CATEGORIES, DISPOSITIONS, ENDED_BY, GENUINE, LINES
from model.simulation.city import cities, simulate
from model.simulation.personas import load_city
from model.simulation.sampling import Spread, apportion, assign_groups, deal
from tests.support.statistics.city_logs import a_log, final_dispositions, labels

TEXTS = ["call_id", "caller", "line", "centre", "queue", "ended_by", "disposition", "category", "x_persona"]
TIMES = ["received_at", "answered_at", "ended_at", "disposed_at"]
NUMBERS = ["opening_duration_s", "opening_silence_ratio", "duration_s", "silence_ratio"]
ORDER = [
    *["call_id", "received_at", "caller", "line", "centre", "queue", *NUMBERS],
    *["answered_at", "ended_at", "ended_by", "disposition", "disposed_at", "category", "x_persona"],
]
ANONYMOUS = ["withheld", "no_sim"]


@pytest.mark.parametrize("seed", [0, 1, 2, 2024])
def test_bengkulu_takes_13746_calls_of_which_106_are_genuine_whatever_the_seed(seed: int) -> None:
    log = a_log("bengkulu", seed)
    assert len(log.calls) == 13_746
    assert final_dispositions(log).isin(GENUINE).sum() == 106
    local = log.calls["received_at"].dt.tz_convert("Asia/Jakarta")
    assert local.dt.year.eq(2024).all()


@pytest.mark.parametrize("city", cities())
def test_every_call_lies_in_the_citys_period(city: str) -> None:
    plan = load_city(city)
    starts, ends = pd.Timestamp(plan.starts, tz=plan.time_zone), pd.Timestamp(plan.ends, tz=plan.time_zone)
    assert a_log(city).calls["received_at"].between(starts, ends, inclusive="left").all()


def test_the_metro_has_jakartas_share_of_pranks_and_semarangs_of_genuine_calls() -> None:
    final = final_dispositions(a_log("metro"))
    assert final.isin(["prank", "abusive"]).mean() == pytest.approx(0.23, abs=0.03)
    assert 0.35 < final.isin(GENUINE).mean() < 0.50


def test_the_same_seed_gives_the_same_bits_and_another_seed_another_city() -> None:
    once, again, other = (simulate("storm", seed, calls=4000) for seed in (7, 7, 8))
    pd.testing.assert_frame_equal(once.calls, again.calls, check_exact=True)
    pd.testing.assert_frame_equal(once.corrections, again.corrections, check_exact=True)
    for column in ("received_at", "caller", "duration_s", "opening_silence_ratio"):
        assert not once.calls[column].equals(other.calls[column])


@pytest.mark.parametrize("calls", [0, 1, 23, 5000])
def test_a_city_has_as_many_calls_as_it_was_asked_for(calls: int) -> None:
    log = simulate("metro", 3, calls=calls)
    assert len(log.calls) == calls
    assert list(log.calls.columns) == ORDER
    assert list(log.corrections.columns) == ["call_id", "disposition", "category", "disposed_at"]


def test_callers_grow_with_calls() -> None:
    few, many = (simulate("bengkulu", 1, calls=n).calls["caller"].nunique() for n in (5_000, 50_000))
    assert 7 < many / few < 13


def test_an_unknown_city_or_a_negative_size_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match=r"'atlantis'.*bengkulu"):
        simulate("atlantis")
    with pytest.raises(ValueError, match="-1"):
        simulate("bengkulu", calls=-1)


@pytest.mark.parametrize("city", cities())
def test_a_log_keeps_the_contract_of_columns_types_and_words(city: str) -> None:
    calls = a_log(city).calls
    assert list(calls.columns) == ORDER
    assert all(isinstance(calls[name].dtype, pd.StringDtype) for name in TEXTS)
    assert all(str(calls[name].dtype) == "datetime64[us, UTC]" for name in TIMES)
    assert all(calls[name].dtype == np.float64 for name in NUMBERS)
    for name, words in {
        "line": LINES,
        "ended_by": ENDED_BY,
        "disposition": DISPOSITIONS,
        "category": CATEGORIES,
    }.items():
        assert set(calls[name].dropna()) <= set(words)
    assert calls[["call_id", "received_at", "line", "ended_at", "ended_by", "x_persona"]].notna().all(axis=None)
    assert calls[NUMBERS].fillna(0).ge(0).all(axis=None)
    assert calls[["opening_silence_ratio", "silence_ratio"]].fillna(0).le(1).all(axis=None)


@pytest.mark.parametrize("city", cities())
def test_names_of_calls_are_unique_and_follow_time(city: str) -> None:
    calls = a_log(city).calls
    assert calls["received_at"].is_monotonic_increasing
    assert calls["call_id"].is_unique
    assert calls["call_id"].is_monotonic_increasing
    assert calls["call_id"].str.len().nunique() == 1


@pytest.mark.parametrize("city", cities())
def test_numbers_are_valid_and_null_exactly_where_the_line_shows_none(city: str) -> None:
    calls = a_log(city).calls
    assert calls["caller"].isna().equals(calls["line"].isin(ANONYMOUS))
    some = calls.dropna(subset="caller").drop_duplicates("caller")[["caller", "line"]].sample(300, random_state=0)
    for number, line in some.itertuples(index=False):
        parsed = phonenumbers.parse(number)
        assert phonenumbers.is_valid_number(parsed), number
        assert phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164) == number
        if line in ("mobile", "landline", "payphone"):
            assert number.startswith("+628") == (line == "mobile")


def test_a_telephone_that_shows_its_number_keeps_its_line() -> None:
    shown = a_log("shared").calls.dropna(subset="caller")
    assert shown.groupby("caller")["line"].nunique().max() == 1


def test_the_digits_of_a_number_tell_nothing_of_who_calls() -> None:
    log = a_log("metro")
    once = log.calls["line"].eq("mobile") & labels(log).notna() & ~log.calls["caller"].duplicated()
    digits = log.calls.loc[once, "caller"].str[1:].astype("int64")
    assert roc_auc_score(labels(log)[once], digits) == pytest.approx(0.5, abs=0.015)


@pytest.mark.parametrize("city", cities())
def test_nothing_is_known_before_it_happened(city: str) -> None:
    calls = a_log(city).calls
    answered = calls["answered_at"].notna()
    assert calls["disposition"].notna().equals(calls["disposed_at"].notna())
    assert (calls["disposed_at"].dropna() >= calls["ended_at"][calls["disposed_at"].notna()]).all()
    assert (calls["ended_at"] >= calls["received_at"]).all()
    assert (calls["answered_at"][answered] > calls["received_at"][answered]).all()
    talk_s = (calls["ended_at"] - calls["answered_at"])[answered].dt.total_seconds()
    np.testing.assert_allclose(talk_s, calls["duration_s"][answered], atol=2e-6)
    heard_s = (calls["ended_at"] - calls["received_at"]).dt.total_seconds()
    assert (heard_s >= calls["opening_duration_s"].fillna(0)).all()


@pytest.mark.parametrize("city", cities())
def test_a_call_nobody_answered_has_no_conversation(city: str) -> None:
    calls = a_log(city).calls
    unheard = calls["disposition"].isin(["abandoned", "unanswered"])
    assert unheard.any()
    assert calls.loc[unheard, ["answered_at", "duration_s", "silence_ratio"]].isna().all(axis=None)
    assert calls.loc[~unheard, ["answered_at", "duration_s"]].notna().all(axis=None)


def test_audio_is_missing_on_some_lines_more_than_on_others() -> None:
    calls = a_log("metro").calls
    missing = calls["opening_silence_ratio"].isna().groupby(calls["line"]).mean()
    assert missing["text"] == 1
    assert 0 < missing["mobile"] < missing["no_sim"] < missing["alarm"]
    assert calls["opening_silence_ratio"].isna().equals(calls["opening_duration_s"].isna())


@given(st.dictionaries(st.text(max_size=3), st.floats(0.001, 1e6), min_size=1, max_size=9), st.integers(0, 10**7))
def test_a_total_is_apportioned_without_remainder(mix: dict[str, float], total: int) -> None:
    parts = apportion(mix, total)
    exact = np.array(list(mix.values())) * total / sum(mix.values())
    assert parts.sum() == total
    assert np.all(np.abs(parts - exact) < 1 + 1e-6)


@given(st.integers(0, 300), st.floats(0.1, 50), st.floats(0, 2), st.integers(0, 2**32))
def test_groups_are_runs_without_a_gap(n: int, median: float, spread: float, seed: int) -> None:
    group = assign_groups(n, Spread(median, spread, most=40), np.random.default_rng(seed))
    assert np.array_equal(np.unique(group), np.arange(group.max() + 1 if n else 0))
    assert np.all(np.diff(group) >= 0)
    assert n == 0 or np.bincount(group).max() <= 40


@given(st.integers(0, 10**6))
def test_outcomes_are_dealt_equally_often_whatever_the_seed(seed: int) -> None:
    hand = deal({"genuine": 0.2, "prank": 0.8}, 10, np.random.default_rng(seed))
    assert sorted(hand) == ["genuine"] * 2 + ["prank"] * 8
