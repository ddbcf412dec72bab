"""The search over the boosting's settings: forward in time, on the fit period only, and honest about what it found."""

import re
from pathlib import Path

import numpy as np
import pytest

from model.call_log import write_log
from model.city import simulate
from model.errors import TrainingError
from model.events import ordered
from model.params import Boosting, Params, read_params, with_boosting
from model.search import SPACE, Ground, search
from model.training import look_back
from tests.past import saring

PARAMS = Path(__file__).parents[1] / "params.yaml"
#: So few and so slow steps say hardly more than the base rate.
POOR = Boosting(max_iter=2, learning_rate=0.01)


@pytest.fixture(scope="module")
def small_city():
    """A log so small that a trial takes less than a second."""
    return simulate("metro", 1, calls=1_500)


@pytest.fixture(scope="module")
def past(small_city):
    return look_back(small_city.calls, Params())


def test_settings_that_learn_next_to_nothing_are_beaten_and_good_ones_are_not(past):
    told = []
    found = search(past, Params(boosting=POOR), 4, told.append)
    assert sum(told) == found.trials == 4
    assert found.better
    assert found.difference.high < 0.0
    assert found.judged[1] < found.judged[0]
    assert "Better than" in found.sentence()
    again = search(past, Params(boosting=found.boosting), 2)
    assert not again.better
    assert "keep those" in again.sentence()


def test_nothing_after_the_fit_period_is_looked_at_and_nothing_that_was_not_known_yet(small_city, past):
    calls = ordered(small_city.calls)
    end = calls["received_at"][past.fit].max()
    altered = calls.copy()
    altered.loc[altered["received_at"] > end, ["opening_duration_s", "opening_silence_ratio"]] = 0.0
    other = look_back(altered, Params())
    assert (other.fit == past.fit).all()
    one, two = Ground(past), Ground(other)
    assert one.loss(Params(boosting=POOR)) == two.loss(Params(boosting=POOR))
    assert (one.judged(Params(boosting=POOR)) == two.judged(Params(boosting=POOR))).all()
    for before, after in (*one._search, one._judge):
        assert one._known_us[before].max() < one._received_us[after].min()
        assert not (before & after).any()


def test_a_log_with_too_few_calls_of_a_kind_is_one_clear_error(city):
    genuine = np.flatnonzero(city.calls["disposition"].isin(["genuine", "duplicate"]))
    few = city.calls.drop(index=genuine[8:])
    with pytest.raises(TrainingError, match="too few to search with"):
        search(look_back(few, Params()), Params(), 2)


def test_the_command_writes_settings_only_when_they_are_better_and_keeps_the_rest(small_city, tmp_path):
    write_log(small_city.calls, tmp_path / "calls.parquet")
    poor = with_boosting(PARAMS.read_text(encoding="utf-8"), POOR)
    (tmp_path / "poor.yaml").write_text(poor)
    words = ("search", "--calls", tmp_path / "calls.parquet", "--out", tmp_path / "better.yaml")
    status, said = saring(*words, "--trials", 4, "--params", tmp_path / "poor.yaml")
    assert status == 0, said
    assert "->" in said
    better = read_params(tmp_path / "better.yaml")
    assert better.boosting != POOR
    assert better.model_copy(update={"boosting": POOR}) == read_params(tmp_path / "poor.yaml")
    comments = [re.findall("#.*", (tmp_path / name).read_text()) for name in ("better.yaml", "poor.yaml")]
    assert comments[0] == comments[1]
    status, said = saring("search", "--calls", tmp_path / "calls.parquet", "--out", tmp_path / "none.yaml",
                          "--trials", 2, "--params", tmp_path / "better.yaml")  # fmt: skip
    assert status == 0
    assert "keep those" in said
    assert not (tmp_path / "none.yaml").exists()


def test_what_is_searched_over_are_settings_of_the_boosting():
    assert set(SPACE) <= set(Boosting.model_fields)
    assert with_boosting("seed: 1\n", Boosting()).startswith("seed: 1\nboosting:\n  max_iter: 200\n")
