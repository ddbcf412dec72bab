import numpy as np
import pandas as pd
import pytest

from model.boosting.step_functions import platt_parameters
from model.calls.call_events import sort_calls
from model.errors import TrainingError
from model.params import Boosting, Params
from model.scorecard.features import FEATURES, NAMES, STAGES, WIDTHS
from model.scorecard.scorecard import likelihood
from model.training.dataset import prepare_dataset, subsample
from model.training.rolling_origin import train

HOUR, DAY = 3_600, 86_400
SMALL = Boosting(max_iter=30)


def probabilities(card, rows):
    rows = np.ascontiguousarray(rows[:, : len(card.features)])
    return np.array([likelihood(value) for value in card.log_odds(card.contributions(rows, card.features)).tolist()])


# -- Looking back


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
    cards = train(past, Params(boosting=SMALL)).scorecards
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
        trained = train(past, Params(boosting=SMALL))
        _, said = trained.held_out()
        for stage in STAGES:
            slope, _ = platt_parameters(trained.estimators[stage])
            assert slope > 0.0
            found = said[stage].likelihood
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
    trained = train(past, params)
    estimators, cards = trained.estimators, trained.scorecards
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
    fit = subsample(past.fit, past.origins[-1].outcome, 1_000, params.seed)
    kept, all_of_them = (np.bincount(past.events.outcome[rows], minlength=2) for rows in (fit, past.fit))
    assert all_of_them[1] > 3_000
    assert kept.tolist() == [all_of_them[0], 1_000]
    cards = train(past, params).scorecards
    later = past.certify
    for stage in STAGES:
        told = probabilities(cards[stage], past.table.matrix(later)).mean()
        assert told == pytest.approx(past.events.outcome[later].mean(), abs=0.02)


def test_a_stage_learns_only_from_what_it_knows(made):
    for stage in STAGES:
        assert made.estimators[stage].n_features_in_ == WIDTHS[stage]
        assert made.scorecards[stage].features == NAMES[: WIDTHS[stage]]
    take, _, boosting = (part for _, part in made.estimators["ended"].estimator.estimator.boosting.steps)
    for feature, direction in zip(take.kw_args["indices"], boosting.monotonic_cst, strict=True):
        assert FEATURES[feature].direction in (0, direction)


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
        found = probabilities(train(past, params).scorecards["ring"], past.table.matrix(past.certify))
        prank = past.events.outcome[past.certify] == 1
        return (found[prank][:, None] > found[~prank]).mean() + (found[prank][:, None] == found[~prank]).mean() / 2

    assert auc(past) > 0.75
    assert auc(nobody) < 0.6
