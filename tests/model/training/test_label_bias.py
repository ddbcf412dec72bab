"""What the system's own doing leaves in its labels is seen where there is a random share, and can be kept out."""

import numpy as np
import pandas as pd
import pytest

from model.calls.call_events import events_of, sort_calls
from model.calls.phone_numbers import Numbering
from model.params import Boosting, Params, Training
from model.training.dataset import prepare_dataset, split_holdout, training_weights
from model.training.label_bias import FEWEST, describe_label_bias, label_bias
from model.training.rolling_origin import train

LABELS = Params().labels


def marked(calls: pd.DataFrame, seed: int, *, share: float = 0.3) -> pd.DataFrame:
    """Say of a log that a service would have deferred half of its calls, and did with all but a random share."""
    rng, calls = np.random.default_rng(seed), sort_calls(calls)
    would = rng.random(len(calls)) < 0.5
    held_out = would & (rng.random(len(calls)) < share)
    calls["held_out"] = pd.array(held_out, dtype="boolean")
    calls["shown_band"] = pd.Series(np.where(would & ~held_out, "unsure", "normal"), dtype="str")
    calls["defer_s"] = np.where(would & ~held_out, 60.0, 0.0)
    calls["release"] = pd.Series(["2025-01-01-abc"] * len(calls), dtype="str")
    return calls


def effect_of(calls: pd.DataFrame) -> dict:
    events = events_of(calls, LABELS, Numbering("ID"))
    likelihood = np.full(len(calls), (events.outcome[events.outcome >= 0] == 1).mean())
    return label_bias(calls, events, np.ones(len(calls), dtype=np.bool_), likelihood)


def test_a_log_that_no_service_wrote_has_no_random_share(city):
    calls = sort_calls(city.calls)
    calls = calls.assign(held_out=pd.array([pd.NA] * len(calls), dtype="boolean"), shown_band=None, defer_s=np.nan,
                         release=None)  # fmt: skip
    effect = effect_of(calls)
    assert (effect["says"], effect["held_out_calls"], effect["measures"]) == ("no_share", 0, None)
    for share in ("ignore", "weight", "only"):
        assert (training_weights(calls, share) == 1.0).all()


def test_where_the_system_does_nothing_to_its_labels_no_sign_is_seen(city):
    said = [effect_of(marked(city.calls, seed))["says"] for seed in range(20)]
    assert said.count("no_sign") >= 18
    assert set(said) <= {"no_sign", "biased"}


def test_callers_who_hang_up_because_they_were_deferred_are_seen(city):
    calls = marked(city.calls, 1)
    _, acted_on = split_holdout(calls)
    lost = acted_on & (np.random.default_rng(2).random(len(calls)) < 0.1) & calls["disposition"].notna().to_numpy()
    calls.loc[lost, "disposition"] = "abandoned"
    effect = effect_of(calls)
    assert effect["says"] == "biased"
    for name in ("without_label", "hung_up"):
        measure = effect["measures"][name]
        assert measure["difference_low"] > 0.0
        assert measure["difference"] == pytest.approx(0.09, abs=0.03)
    assert "hung up" in describe_label_bias(effect)
    assert "not genuine" not in describe_label_bias(effect)


def test_operators_who_believe_the_badge_are_seen(city):
    calls = marked(city.calls, 1)
    _, acted_on = split_holdout(calls)
    believed = acted_on & (calls["disposition"] == "genuine").to_numpy() & (np.arange(len(calls)) % 3 == 0)
    calls.loc[believed, ["disposition", "category"]] = ["prank", None]
    effect = effect_of(calls)
    assert effect["says"] == "biased"
    assert effect["measures"]["not_genuine"]["difference_low"] > 0.0
    assert effect["measures"]["observed_less_predicted"]["difference_low"] > 0.0
    assert effect["measures"]["hung_up"]["difference_low"] <= 0.0


def test_of_a_small_share_nothing_is_said(city):
    calls = marked(city.calls[:1_000], 3, share=0.03)
    effect = effect_of(calls)
    assert 0 < effect["held_out_calls"] < FEWEST
    assert effect["says"] == "cannot_say"
    assert "too few" in describe_label_bias(effect)


def test_the_share_stands_for_what_was_deferred_in_its_own_time_only(city):
    calls = marked(city.calls, 4)
    middle = calls["received_at"].iloc[2_000]
    calls.loc[calls["received_at"] < middle, "held_out"] = False
    calls.loc[calls["received_at"] < middle, "release"] = "2024-01-01-old"
    held_out, acted_on = split_holdout(calls)
    assert not acted_on[:2_000].any()
    for share, kept in (("only", 0.0), ("weight", 0.5)):
        weights = training_weights(calls, share)
        assert (weights[~held_out & ~acted_on] == 1.0).all()
        assert weights.sum() == pytest.approx(len(calls))
        assert weights[acted_on].sum() == pytest.approx(kept * (held_out | acted_on).sum())
        assert weights[held_out].min() > 1.0


def test_training_on_the_share_only_does_not_learn_what_the_system_did(city):
    calls = marked(city.calls, 5)
    _, acted_on = split_holdout(calls)
    believed = acted_on & calls["disposition"].isin(["genuine", "duplicate"]).to_numpy()
    calls.loc[believed, ["disposition", "category"]] = ["prank", None]
    means = {}
    for share in ("ignore", "weight", "only"):
        params = Params(boosting=Boosting(max_iter=20), training=Training(random_share=share))
        past = prepare_dataset(calls, params)
        assert (past.fit & acted_on).any() == (past.calibrate & acted_on).any() == (share != "only")
        cards = train(past, params).scorecards
        rows = past.table.matrix(past.certify)[:, : len(cards["opening"].features)]
        odds = cards["opening"].log_odds(cards["opening"].contributions(rows, cards["opening"].features))
        means[share] = float((1.0 / (1.0 + np.exp(-odds))).mean())
    labelled = calls["disposition"].map(LABELS)[past.calibrate & ~acted_on]
    assert means["only"] == pytest.approx(labelled.mean(), abs=0.04)
    assert means["only"] + 0.03 < means["weight"] < means["ignore"] - 0.03
