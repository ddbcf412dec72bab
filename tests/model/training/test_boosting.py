import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.calls.call_events import sort_calls
from model.errors import TrainingError
from model.params import Boosting, Params, Split
from model.scorecard.features import FEATURES, NAMES, STAGES, WIDTHS
from model.scorecard.scorecard import likelihood
from model.training.boosting import train
from model.training.dataset import prepare_dataset, subsample
from model.training.distillation import platt_parameters

HOUR, DAY = 3_600, 86_400
SMALL = Boosting(max_iter=30)


def probabilities(card, rows):
    rows = np.ascontiguousarray(rows[:, : len(card.features)])
    return np.array([likelihood(value) for value in card.log_odds(card.contributions(rows, card.features)).tolist()])


@pytest.fixture(scope="session")
def labelled_log(log_of):
    """A function that makes a log with a call an hour, closed a minute later, from the labels alone."""

    def labelled_log(genuine, delay_s=60, callers=50):
        rows = [
            {
                "call_id": f"c{n:05}",
                "received_at": n * HOUR,
                "caller": f"caller-{n % callers}",
                "line": "mobile",
                "duration_s": 10.0 + n % 7 + 30 * bool(real),
                "ended_at": n * HOUR + 60,
                "disposition": "genuine" if real else "prank",
                "disposed_at": n * HOUR + delay_s,
            }
            for n, real in enumerate(genuine)
        ]
        return log_of(rows)

    return labelled_log


# -- Looking back


def test_the_splits_are_disjoint_and_in_order_of_time(made):
    past = made.past
    received = past.events.received_us
    splits = [received[rows] for rows in (past.fit, past.calibrate, past.certify)]
    for earlier, later in itertools.pairwise(splits):
        assert len(earlier)
        assert len(later)
        assert earlier.max() < later.min()
    labelled = past.events.outcome >= 0
    assert not ((past.fit | past.calibrate | past.certify) & ~labelled).any()


@given(
    genuine=st.lists(st.booleans(), min_size=6, max_size=60),
    fit=st.floats(0.01, 0.98),
    rest=st.floats(0.01, 0.98),
)
def test_whatever_the_shares_each_split_has_some_of_the_rarer_kind(labelled_log, genuine, fit, rest):
    counts = np.bincount(np.array(genuine, dtype=int), minlength=2)
    params = Params(split=Split(fit=fit, calibrate=(1.0 - fit) * rest))
    if counts.min() < 3:
        with pytest.raises(TrainingError, match=f"{counts[1]} calls closed as genuine and {counts[0]} as not genuine"):
            prepare_dataset(labelled_log(genuine), params)
        return
    past = prepare_dataset(labelled_log(genuine), params)
    rarer = past.events.outcome == (0 if counts[1] < counts[0] else 1) if counts[0] != counts[1] else None
    if rarer is not None:
        assert (past.fit & rarer).any()
        assert (past.calibrate & rarer).any()
        assert ((past.events.received_us >= past.events.received_us[past.calibrate].max()) & rarer).any()


def test_calls_too_young_for_their_label_are_neither_calibrated_on_nor_certified(labelled_log):
    genuine = [n % 3 == 0 for n in range(600)]
    log, soon = labelled_log(genuine, delay_s=2 * DAY), labelled_log(genuine)["disposed_at"]
    log["disposed_at"] = log["disposed_at"].where(np.arange(600) % 2 == 0, soon)
    until = log["received_at"].iloc[-1]
    past = prepare_dataset(log, Params(), until)
    young = past.events.received_us > past.until_us - 2 * DAY * 1_000_000
    assert past.maturity_s == 2 * DAY
    assert past.too_young == young.sum() > 40
    assert (young & (past.events.outcome >= 0)).sum() > 20
    assert not ((past.calibrate | past.certify) & young).any()
    assert past.certify.any()


def test_until_leaves_out_what_became_known_later(city):
    until = city.calls["received_at"].sort_values().iloc[3_000]
    past = prepare_dataset(city.calls, Params(), until, city.corrections)
    calls = sort_calls(city.calls)
    earlier = calls[calls["received_at"] < until]
    assert past.calls["call_id"].tolist() == earlier["call_id"].tolist()
    late = (earlier["disposed_at"] >= until).to_numpy()
    assert late.any()
    early_correction = city.corrections.loc[city.corrections["disposed_at"] < until, "call_id"]
    uncorrected = late & ~earlier["call_id"].isin(early_correction).to_numpy()
    assert (past.events.outcome[uncorrected] == -1).all()
    assert (past.events.label_us < past.until_us).all()
    assert (past.events.outcome_us[past.fit] < past.until_us).all()


@pytest.mark.parametrize("genuine", [0, 1, 2])
def test_too_few_genuine_calls_are_told_with_their_count(labelled_log, genuine):
    with pytest.raises(TrainingError, match=f"{genuine} calls closed as genuine and {100 - genuine} as not genuine"):
        prepare_dataset(labelled_log([n < genuine for n in range(100)]), Params())


def test_a_log_without_labels_or_without_calls_is_told_so(log_of, labelled_log):
    with pytest.raises(TrainingError, match="0 calls closed as genuine and 0 as not genuine"):
        prepare_dataset(log_of([]), Params())
    log = labelled_log([True, False] * 20)
    with pytest.raises(TrainingError, match="0 calls closed as genuine"):
        prepare_dataset(log, Params(), log["received_at"].iloc[0])


def test_a_split_with_one_kind_of_call_is_told_with_its_counts(labelled_log):
    genuine = [True] * 20 + [False] * 20
    past = prepare_dataset(labelled_log(genuine), Params())
    with pytest.raises(TrainingError, match=r"split (fit|calibrate): \d+ calls closed as genuine and \d+ as not"):
        train(past, Params())


# -- Training


@pytest.mark.parametrize("genuine", [3, 5, 20])
def test_a_few_genuine_calls_are_enough_to_train(labelled_log, genuine):
    real = np.zeros(1_500, dtype=bool)
    real[np.linspace(50, 1_450, genuine).astype(int)] = True
    past = prepare_dataset(labelled_log(real), Params())
    _, cards = train(past, Params(boosting=SMALL))
    for stage in STAGES:
        found = probabilities(cards[stage], past.table.matrix())
        assert np.isfinite(found).all()
        assert found.mean() > 0.9


def test_labels_of_pure_chance_still_train_and_score_near_the_base_rate(labelled_log):
    for seed in range(4):
        real = np.random.default_rng(seed).random(1_200) < 0.3
        log = labelled_log(real)
        log["duration_s"] = np.random.default_rng(seed + 100).uniform(10.0, 60.0, len(log))
        past = prepare_dataset(log, Params())
        estimators, cards = train(past, Params(boosting=SMALL))
        for stage in STAGES:
            slope, _ = platt_parameters(estimators[stage])
            assert slope > 0.0
            found = probabilities(cards[stage], past.table.matrix(past.certify))
            assert found.mean() == pytest.approx(0.7, abs=0.08)
            assert found.std() < 0.1


def test_a_score_that_says_the_opposite_of_later_calls_is_in_effect_their_base_rate(labelled_log):
    log = labelled_log([n % 3 == 0 for n in range(900)])
    turned = sort_calls(log)
    second = np.arange(len(turned)) >= 450
    long = turned["duration_s"] >= 40
    turned.loc[second, "duration_s"] = np.where(long, 12.0, 45.0)[second]
    params = Params(boosting=SMALL)
    past = prepare_dataset(turned, params)
    estimators, cards = train(past, params)
    slope, _ = platt_parameters(estimators["ended"])
    assert slope == pytest.approx(1e-6)
    found = probabilities(cards["ended"], past.table.matrix())
    base_rate = past.events.outcome[past.calibrate].mean()
    np.testing.assert_allclose(found, base_rate, atol=1e-4)
    rows = past.table.matrix()
    np.testing.assert_allclose(found, estimators["ended"].predict_proba(rows)[:, 1], rtol=0.0, atol=1e-12)


def test_a_model_of_thinned_calls_still_tells_the_share_of_later_calls(labelled_log):
    rng = np.random.default_rng(3)
    log = labelled_log(rng.random(9_000) < 0.12, callers=400)
    params = Params(boosting=Boosting(max_iter=30, most_of_a_label=1_000))
    past = prepare_dataset(log, params)
    fit = subsample(past, params)
    kept, all_of_them = (np.bincount(past.events.outcome[rows], minlength=2) for rows in (fit, past.fit))
    assert all_of_them[1] > 3_000
    assert kept.tolist() == [all_of_them[0], 1_000]
    _, cards = train(past, params)
    later = past.certify
    for stage in STAGES:
        told = probabilities(cards[stage], past.table.matrix(later)).mean()
        assert told == pytest.approx(past.events.outcome[later].mean(), abs=0.02)


def test_a_stage_learns_only_from_what_it_knows(made):
    for stage in STAGES:
        assert made.estimators[stage].n_features_in_ == WIDTHS[stage]
        assert made.scorecards[stage].features == NAMES[: WIDTHS[stage]]
    directions = {feature.name: feature.direction for feature in FEATURES}
    boosting = made.estimators["ended"].estimator.estimator
    assert list(boosting.monotonic_cst) == [directions[name] for name in NAMES]


# -- History matters


def test_history_tells_what_a_call_alone_cannot_even_when_every_label_comes_a_week_late(log_of):
    rng = np.random.default_rng(5)
    callers, weeks = 300, 26
    leaning = rng.normal(0.0, 2.5, callers)
    rows = []
    for week in range(weeks):
        leaning += rng.normal(0.0, 0.3, callers)
        for caller in np.flatnonzero(rng.random(callers) < 0.6):
            received = (week * 7 + rng.random() * 7) * DAY
            prank = rng.random() < 1.0 / (1.0 + np.exp(-leaning[caller]))
            rows.append(
                {
                    "call_id": f"c{len(rows)}",
                    "received_at": received,
                    "caller": f"caller-{caller}",
                    "line": "mobile",
                    "disposition": "prank" if prank else "genuine",
                    "disposed_at": received + 7 * DAY,
                }
            )
    log = log_of(rows)
    params = Params(boosting=SMALL)
    past = prepare_dataset(log, params)
    nobody = prepare_dataset(log.assign(caller=pd.Series(None, index=log.index, dtype="str")), params)

    def auc(past):
        found = probabilities(train(past, params)[1]["ring"], past.table.matrix(past.certify))
        prank = past.events.outcome[past.certify] == 1
        return (found[prank][:, None] > found[~prank]).mean() + (found[prank][:, None] == found[~prank]).mean() / 2

    assert auc(past) > 0.75
    assert auc(nobody) < 0.6
