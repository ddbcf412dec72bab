"""What a person is told is held against later calls, caller by caller, and the report says it in plain words."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from model.evaluation.likeness_coverage import SHARES, coverage, measure_likeness, one_call_a_caller
from model.language.catalogue import catalogue
from model.scorecard.features import STAGES


def test_every_closed_call_has_one_badge_and_one_step_and_every_caller_counts_once(made):
    for stage in STAGES:
        found, window = made.metrics["likeness"][stage], made.metrics["window"]
        for parts in (list(found["badges"].values()), found["one_in"]):
            assert sum(part["calls"] for part in parts) == window["closed"]
            assert sum(part["genuine_calls"] for part in parts) == window["genuine"]
        assert found["genuine_like"]["callers"] == window["genuine_callers"]
        assert [row["at_most"] for row in found["genuine_like"]["shares"]] == list(SHARES)
        assert "all" not in found["genuine_like"]["slices"]
        for row in found["one_in"]:
            if row["genuine_calls"]:
                assert row["observed"] == pytest.approx(row["calls"] / row["genuine_calls"], rel=1e-5)
                assert row["observed_low"] < row["observed"] < row["observed_high"]


def test_one_call_of_each_caller_is_drawn_and_which_does_not_hang_on_their_order():
    callers = np.repeat(np.arange(400), 2)
    drawn = one_call_a_caller(callers)
    assert sorted(callers[drawn].tolist()) == list(range(400))
    assert 150 < (drawn % 2 == 0).sum() < 250


def test_the_share_observed_is_told_with_an_interval():
    uniform = (np.arange(1_000) + 0.5) / 1_000
    for row in coverage(uniform):
        assert row["observed"] == row["at_most"]
        assert row["observed_low"] < row["at_most"] < row["observed_high"]


#: Thirty genuine callers who were told 0.01 to 0.08, and ten pranks above.
SAID = SimpleNamespace(
    genuine_like=np.linspace(0.01, 0.1, 40),
    one_in=np.where(np.arange(40) < 20, 30.0, 300.0),
    guarded=np.full(40, 0.9),
    factor=np.ones(40),
)
WINDOW = SimpleNamespace(
    scores={"opening": SAID},
    closed=np.ones(40, np.bool_),
    callers=np.arange(40),
    genuine=np.arange(40) < 30,
    genuine_slices=lambda: {"all": np.ones(30, np.bool_), "night": np.arange(30) < 3, "storm": np.zeros(30, np.bool_)},
)


def test_callers_who_are_not_like_the_earlier_ones_are_told_of_in_a_note():
    found = measure_likeness(WINDOW, "opening", 0.5)
    assert "30 genuine callers" in found["genuine_like"]["note"]
    assert list(found["genuine_like"]["slices"]) == ["night"]
    assert found["badges"]["prank_like"]["calls"] == (SAID.genuine_like <= 0.05).sum()
    assert [(row["one_in"], row["genuine_calls"]) for row in found["one_in"]] == [(30, 20), (300, 10)]
    without = measure_likeness(WINDOW, "opening", None)
    assert without["badges"]["prank_like"]["calls"] == 0


def test_the_first_page_says_what_the_badge_said_and_what_came(made):
    page = made.files()["report.html"].decode()
    found = made.metrics["likeness"]["opening"]
    for language in ("en", "id"):
        words = catalogue(language)
        row = found["badges"]["like_emergencies"]
        told = words("answer.badge.like_emergencies", all=made.metrics["window"]["genuine"], calls=row["calls"],
                     genuine=row["genuine_calls"])  # fmt: skip
        assert told in page
        step = found["one_in"][0]
        assert words("answer.one_in", step=step["one_in"], calls=step["calls"], observed=step["observed"]) in page


def test_where_nothing_is_said_the_first_page_says_so(made):
    nothing = made.metrics | {"likeness": dict.fromkeys(STAGES)}
    page = replace(made, metrics=nothing).files()["report.html"].decode()
    assert catalogue("en")("answer.no_badges") in page
    assert catalogue("id")("answer.no_badges") in page
    before = {name: value for name, value in made.metrics.items() if name != "likeness"}
    assert catalogue("en")("answer.no_badges") in replace(made, metrics=before).files()["report.html"].decode()
