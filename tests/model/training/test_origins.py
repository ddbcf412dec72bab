import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import TrainingError
from model.params import Boosting, Params, Split
from model.training.dataset import prepare_dataset
from model.training.origins import fewest_callers
from model.training.rolling_origin import train

DAY = 86_400
FEW = Params(boosting=Boosting(max_iter=10))


def test_the_models_of_each_cut_know_only_what_was_labelled_before_the_calls_that_they_score(made, labelled_log):
    rare = prepare_dataset(labelled_log([n % 15 == 0 for n in range(600)], delay_s=2 * DAY), Params())
    assert len(made.past.origins) == 3
    assert len(rare.origins) == 5
    for past in (made.past, rare):
        received = past.events.received_us
        for origin in past.origins:
            if not origin.rows.any():
                continue
            cut = received[origin.rows].min()
            known = past.events.label_us < cut
            assert origin.block.any()
            assert received[origin.fit].max() < cut
            assert set(np.flatnonzero(origin.fit)) <= set(past.events.label_row[known])
            assert not (origin.block & ~origin.rows).any()
        rows = np.sum([origin.rows for origin in past.origins], axis=0)
        assert rows.max() == 1
        assert not ((past.fit | past.calibrate | past.certify) & (past.events.outcome < 0)).any()
        assert not (past.fit & past.certify).any()


def test_a_label_that_was_corrected_after_a_cut_counts_at_it_as_it_stood(labelled_log):
    log = labelled_log([n % 4 == 0 for n in range(400)])
    corrected = log["call_id"].iloc[[5]]
    corrections = log.loc[[5], ["call_id"]].assign(
        disposition="genuine", category=None, disposed_at=log["disposed_at"].iloc[-1]
    )
    past = prepare_dataset(log, Params(), corrections=corrections)
    row = past.calls["call_id"].tolist().index(corrected.item())
    assert past.events.outcome[row] == 0
    assert [origin.outcome[row] for origin in past.origins[:-1]] == [1] * (len(past.origins) - 1)


@given(
    genuine=st.lists(st.booleans(), min_size=6, max_size=60),
    fit=st.floats(0.01, 0.98),
    rest=st.floats(0.01, 0.98),
)
def test_whatever_the_shares_each_part_has_some_of_the_rarer_kind(labelled_log, genuine, fit, rest):
    counts = np.bincount(np.array(genuine, dtype=int), minlength=2)
    params = Params(split=Split(fit=fit, calibrate=(1.0 - fit) * rest))
    if counts.min() < 3:
        with pytest.raises(TrainingError, match=f"{counts[1]} calls closed as genuine and {counts[0]} as not genuine"):
            prepare_dataset(labelled_log(genuine), params)
        return
    past = prepare_dataset(labelled_log(genuine), params)
    rarer = past.events.outcome == (0 if counts[1] < counts[0] else 1) if counts[0] != counts[1] else None
    if rarer is not None:
        for origin in past.origins[:-1]:
            assert (origin.fit & rarer).any()
            assert (origin.block & rarer).any()


def test_calls_too_young_for_their_label_are_neither_learnt_from_nor_counted_on(labelled_log):
    genuine = [n % 3 == 0 for n in range(600)]
    log, soon = labelled_log(genuine, delay_s=2 * DAY), labelled_log(genuine)["disposed_at"]
    log["disposed_at"] = log["disposed_at"].where(np.arange(600) % 2 == 0, soon)
    until = log["received_at"].iloc[-1]
    past = prepare_dataset(log, Params(), until)
    young = past.events.received_us > past.until_us - 2 * DAY * 1_000_000
    assert past.maturity_s == 2 * DAY
    assert past.too_young == young.sum() > 40
    assert (young & (past.events.outcome >= 0)).sum() > 20
    assert not ((past.fit | past.calibrate | past.certify) & young).any()
    assert past.calibrate.any()


@pytest.mark.parametrize(("genuine", "kept"), [(120, False), (240, True)])
def test_calls_are_kept_for_a_certificate_only_where_one_is_possible(labelled_log, genuine, kept):
    real = np.zeros(3_000, dtype=bool)
    real[np.linspace(50, 2_950, genuine).astype(int)] = True
    past = prepare_dataset(labelled_log(real, callers=3_000), Params())
    assert past.proof_size.needed == fewest_callers(Params())
    assert past.proof_size.callers == pytest.approx(0.3 * genuine, abs=1)
    assert past.proof_size.enough == past.certify.any() == kept
    assert (past.fit | past.certify).sum() == (past.events.outcome >= 0).sum()


def test_of_a_named_centre_alone_everything_is_measured_and_all_logs_are_learnt_from(labelled_log):
    rng = np.random.default_rng(3)
    log = labelled_log(rng.random(1_000) < 0.2).assign(centre=pd.Series(rng.choice(["north", "south"], 1_000)))
    past = prepare_dataset(log, FEW, centre="north")
    trained = train(past, FEW)
    north = (past.calls["centre"] == "north").to_numpy()
    assert past.mine.tolist() == north.tolist()
    assert not ((past.calibrate | past.certify) & ~north).any()
    assert (past.fit & ~north).sum() > 100
    assert not (trained.held_out()[0] & ~north).any()
    assert not any((rows & ~north).any() for rows, _ in trained.out_of_time())
    assert past.proof_size.callers < prepare_dataset(log, FEW).proof_size.callers


def test_a_centre_that_no_call_is_of_is_told_with_those_there_are(labelled_log):
    log = labelled_log([n % 3 == 0 for n in range(60)])
    for names, told in ((["north", "south"] * 30, "north, south"), ([None] * 60, "none is named")):
        named = log.assign(centre=pd.Series(names, dtype="str"))
        with pytest.raises(TrainingError, match=f"centre: no call is of 'west', expected one of the log's: {told}"):
            prepare_dataset(named, FEW, centre="west")


def test_a_stricter_promise_takes_more_callers():
    by_delta = [fewest_callers(Params(certificate={"delta": delta})) for delta in (0.2, 0.05, 0.01)]
    assert by_delta == sorted(set(by_delta))
    assert fewest_callers(Params(certificate={"alpha": 0.2})) < fewest_callers(Params())


def test_what_was_said_of_a_call_out_of_time_does_not_change_with_what_came_after_it(labelled_log):
    rng = np.random.default_rng(1)
    real = rng.random(800) < 0.1
    log = labelled_log(real)
    past = prepare_dataset(log, FEW)
    later = int(np.flatnonzero(past.origins[2].rows)[0])
    changed = log.copy()
    changed.loc[later:, "duration_s"] = rng.uniform(0.0, 100.0, len(log) - later)
    other = prepare_dataset(changed, FEW)
    assert [one.rows.tolist() for one in past.origins] == [one.rows.tolist() for one in other.origins]
    (rows, said), (same, again) = (train(one, FEW).held_out(2) for one in (past, other))
    assert rows.tolist() == same.tolist()
    assert rows.sum() > 100
    for stage in said:
        np.testing.assert_allclose(said[stage].guarded, again[stage].guarded, rtol=0.0, atol=1e-12)
    assert not np.array_equal(*(train(one, FEW).held_out()[1]["ended"].guarded for one in (past, other)))
