import numpy as np
import pytest

from model.params import Boosting, Params
from model.training.dataset import prepare_dataset
from model.training.rolling_origin import SETTINGS, choose_settings


@pytest.fixture(scope="module")
def few(labelled_log):
    """A log with 30 genuine calls."""
    return prepare_dataset(labelled_log(np.random.default_rng(2).permutation(600) < 30), Params())


def test_with_few_genuine_calls_the_setting_that_was_worth_most_out_of_time_is_chosen(few):
    params, choice = choose_settings(few, Params())
    assert set(choice["settings"]) == set(SETTINGS)
    assert choice["cuts"] == len(few.origins) - 1
    assert choice["genuine_calls"] == (few.events.outcome[few.calibrate] == 0).sum()
    aucs = [one["auc"] for one in choice["settings"].values()]
    assert choice["settings"][choice["chosen"]]["auc"] >= max(aucs) - 0.002
    assert params.boosting.settings == Boosting(**SETTINGS[choice["chosen"]]).settings
    assert params.model_copy(update={"boosting": Boosting()}) == Params()


@pytest.mark.parametrize("boosting", [Boosting(choose=False), Boosting(max_iter=100)])
def test_what_was_set_by_hand_is_kept(few, boosting):
    params = Params(boosting=boosting)
    assert choose_settings(few, params) == (params, None)


def test_with_genuine_calls_enough_nothing_is_chosen(made):
    assert (made.past.events.outcome[made.past.fit] == 0).sum() > 500
    assert made.trained.choice is made.metrics["choice"] is None
