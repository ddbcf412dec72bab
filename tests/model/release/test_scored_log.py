import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.calls.call_events import events_of, sort_calls
from model.calls.columns import CORRECTION_COLUMNS
from model.calls.phone_numbers import Numbering
from model.policy.stage_scores import stage_scores
from model.release.scored_log import score_log
from model.scorecard.feature_table import FeatureTable
from model.scorecard.features import NAMES, STAGES
from model.scorecard.scorecard import likelihood

HOUR, DAY = 3_600, 86_400
NOT_GENUINE = ["prank", "abusive", "silent", "accidental", "wrong_number", "information"]


def scores_of(calls, release, stage, corrections=None):
    calls = sort_calls(calls)
    table = FeatureTable(calls, events_of(calls, release.labels, release.numbering, corrections), release.time_zone)
    return calls, stage_scores(table, release.scorecards[stage], release.policy)


# -- No look-ahead


@pytest.mark.parametrize("stage", STAGES)
def test_scores_do_not_change_when_later_calls_are_left_out(city, release, stage):
    calls = sort_calls(city.calls)
    cut = calls["received_at"].iloc[2_500]
    earlier = calls[calls["received_at"] < cut]
    whole = score_log(calls, release, stage, city.corrections).iloc[: len(earlier)]
    alone = score_log(earlier, release, stage, city.corrections)
    pd.testing.assert_frame_equal(alone, whole, check_exact=True)


@pytest.mark.parametrize("stage", STAGES)
def test_scores_do_not_change_when_what_became_known_later_is_another(city, release, stage):
    calls = sort_calls(city.calls)
    cut = calls["received_at"].iloc[2_500]
    earlier = int((calls["received_at"] < cut).sum())
    altered = calls.copy()
    late = altered["disposed_at"] >= cut
    altered.loc[late & altered["disposition"].isin(NOT_GENUINE), "disposition"] = "genuine"
    after = altered["received_at"] >= cut
    altered.loc[after, ["caller", "line"]] = ["+6281234567890", "payphone"]
    altered.loc[after, ["duration_s", "silence_ratio"]] = [1.0, 1.0]
    later = city.corrections.copy()
    later.loc[later["disposed_at"] >= cut, "disposition"] = "prank"
    assert late.any()
    assert (later["disposed_at"] >= cut).any()
    one = score_log(calls, release, stage, city.corrections).iloc[:earlier]
    other = score_log(altered, release, stage, later).iloc[:earlier]
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_at_ring_and_opening_a_call_does_not_see_its_own_conversation(city, release):
    calls = sort_calls(city.calls)
    altered = calls.copy()
    altered.loc[calls.index[-1], ["duration_s", "silence_ratio", "ended_by"]] = [1.0, 1.0, "caller"]
    for stage in ("ring", "opening"):
        one, other = score_log(calls, release, stage), score_log(altered, release, stage)
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    assert (
        score_log(calls, release, "ended")["reasons"].iloc[-1]
        != score_log(altered, release, "ended")["reasons"].iloc[-1]
    )


def test_a_label_counts_from_the_moment_after_it_became_known(log_of, release):
    calls = [{"call_id": "told", "received_at": 0, "caller": "a1", "disposition": "prank", "disposed_at": 5 * DAY}]
    moments = [5 * DAY - 1, 5 * DAY, 5 * DAY + 0.000001]
    rows = [{"call_id": f"c{n}", "received_at": at, "caller": "a1"} for n, at in enumerate(moments)]
    log = sort_calls(log_of(calls + rows))
    table = FeatureTable(log, events_of(log, release.labels, Numbering("ID")), release.time_zone)
    known = table.matrix()[:, NAMES.index("not_genuine_ever")]
    assert known.tolist() == [0.0, 0.0, 0.0, 1.0]


# -- The claim


def assert_no_later_score_rises(before, after):
    assert (after.log_odds <= before.log_odds).all()
    assert (after.likelihood <= before.likelihood).all()
    assert (after.guarded <= before.guarded).all()
    assert (after.cap <= before.cap).all()
    assert (after.factor <= before.factor).all()
    assert (after.unguarded <= before.unguarded).all()


@st.composite
def logs(draw):
    """A few callers who ring often, most of whose calls are closed, early or late."""
    moments = st.integers(0, 2 * HOUR) | st.integers(0, 3 * DAY) | st.integers(0, 60 * DAY)
    rows = []
    for number in range(draw(st.integers(2, 14))):
        received = draw(moments)
        row = {
            "call_id": f"c{number:02}",
            "received_at": received,
            "caller": draw(st.sampled_from(["a1", "a1", "a1", "b2"])),
            "line": draw(st.sampled_from(["mobile", "payphone", None])),
            "opening_silence_ratio": draw(st.none() | st.floats(0.0, 1.0)),
            "opening_duration_s": draw(st.none() | st.floats(0.0, 60.0)),
        }
        if draw(st.booleans()):
            row |= {
                "answered_at": received + 5,
                "ended_at": received + draw(st.integers(5, 600)),
                "duration_s": draw(st.floats(0.0, 600.0)),
                "silence_ratio": draw(st.floats(0.0, 1.0)),
            }
        if number == 0 or draw(st.integers(0, 3)):
            row["disposition"] = draw(st.sampled_from([*NOT_GENUINE, "genuine", "test"]))
            row["disposed_at"] = received + draw(st.integers(0, 600) | moments)
        rows.append(row)
    rows[0]["disposition"] = draw(st.sampled_from(NOT_GENUINE))
    return rows


@settings(max_examples=40)
@given(rows=logs(), retold=st.sampled_from(["genuine", "duplicate"]))
def test_closing_an_earlier_call_as_genuine_instead_never_raises_a_score(log_of, release, rows, retold):
    other = [rows[0] | {"disposition": retold}, *rows[1:]]
    for stage in STAGES:
        _, before = scores_of(log_of(rows), release, stage)
        _, after = scores_of(log_of(other), release, stage)
        assert_no_later_score_rises(before, after)


@settings(max_examples=40)
@given(rows=logs(), retold=st.sampled_from(["genuine", "duplicate"]), later=st.integers(0, 20 * DAY))
def test_correcting_an_earlier_call_to_genuine_never_raises_a_score(log_of, release, rows, retold, later):
    correction = {"call_id": "c00", "disposition": retold, "disposed_at": rows[0]["disposed_at"] + later}
    for stage in STAGES:
        _, before = scores_of(log_of(rows), release, stage)
        _, after = scores_of(log_of(rows), release, stage, log_of([correction], CORRECTION_COLUMNS))
        assert_no_later_score_rises(before, after)


@pytest.mark.parametrize("stage", STAGES)
def test_closing_every_fifth_prank_of_a_city_as_genuine_lowers_scores_and_raises_none(city, release, stage):
    calls = sort_calls(city.calls)
    retold = calls.copy()
    pranks = np.flatnonzero(calls["disposition"].isin(NOT_GENUINE))[::5]
    retold.loc[pranks, "disposition"] = "genuine"
    _, before = scores_of(calls, release, stage)
    _, after = scores_of(retold, release, stage)
    assert_no_later_score_rises(before, after)
    assert (after.log_odds < before.log_odds).sum() > 100
    assert (after.factor < before.factor).any()


# -- One row a call


@pytest.mark.parametrize("stage", STAGES)
def test_one_row_a_call_in_order_of_time_with_exact_reasons(city, release, stage):
    shuffled = city.calls.sample(frac=1.0, random_state=1)
    scored = score_log(shuffled, release, stage, city.corrections)
    assert scored["call_id"].tolist() == sort_calls(city.calls)["call_id"].tolist()
    assert scored.columns.tolist() == [
        "call_id", "stage", "prank_likelihood", "band", "defer_factor", "defer_factor_unguarded",
        "deferral_on", "guardrails", "reasons", "genuine_like", "one_in", "badge",
    ]  # fmt: skip
    intercept = release.scorecards[stage].intercept
    for row in scored.iloc[::40].itertuples():
        reasons = json.loads(row.reasons)
        assert set(reasons[0]) == {"group", "feature", "value", "contribution"}
        sizes = [abs(reason["contribution"]) for reason in reasons]
        assert sizes == sorted(sizes, reverse=True)
        total = likelihood(intercept + sum(reason["contribution"] for reason in reasons))
        assert total == pytest.approx(row.prank_likelihood, abs=1e-12)
    assert set(scored["band"]) <= {"normal", "unsure", "likely_prank"}
    assert ((scored["defer_factor"] > 0.0) == (scored["band"] != "normal")).all()


def test_a_protected_number_is_not_deferred_however_it_is_written(log_of, release, city):
    scored = score_log(city.calls, release, "opening")
    deferred = scored.loc[scored["defer_factor"] > 0.0, "call_id"]
    mine = city.calls.loc[city.calls["call_id"].isin(deferred), "caller"].dropna().iloc[0]
    written = "0" + mine.removeprefix("+62")
    listed = score_log(city.calls, release, "opening", protected=[written, "unknown"])
    theirs = listed["call_id"].isin(city.calls.loc[city.calls["caller"] == mine, "call_id"])
    assert (listed.loc[theirs, "defer_factor"] == 0.0).all()
    assert all("protected" in held for held in listed.loc[theirs, "guardrails"])
    assert not any("protected" in held for held in listed.loc[~theirs, "guardrails"])


def test_a_scoring_of_some_calls_is_the_scoring_of_all(city, release):
    calls = sort_calls(city.calls)
    table = FeatureTable(calls, events_of(calls, release.labels, Numbering("ID")), release.time_zone)
    wanted = np.arange(len(calls)) % 3 == 0
    whole = stage_scores(table, release.scorecards["opening"], release.policy)
    some = stage_scores(table, release.scorecards["opening"], release.policy, wanted)
    for name in ("log_odds", "likelihood", "guarded", "cap", "held", "factor", "unguarded"):
        np.testing.assert_array_equal(getattr(some, name), getattr(whole, name)[wanted])


@pytest.mark.parametrize("stage", STAGES)
def test_an_empty_log_gives_no_rows(log_of, release, stage):
    scored = score_log(log_of([]), release, stage)
    assert len(scored) == 0
    assert scored.columns[0] == "call_id"
