"""Which pairs of features get a table, and what stands in it."""

import numpy as np
import pytest

from model.boosting.pairs import MOST_PAIRS, Judged, Residuals, choose_pairs, fit_pair, strongest_pairs
from model.boosting.turns import EVIDENCE
from model.scorecard.features import FEATURES, NAMES, WIDTHS

HEARD, SILENT = "opening_duration_s", "opening_silence_ratio"
CALLS = 8_000


def cut(seed, together):
    """Make a cut whose boosting knows one feature, of calls of which two others say something only together."""
    rng = np.random.default_rng(seed)

    def calls():
        rows = rng.random((CALLS, WIDTHS["opening"]))
        rows[rng.random(CALLS) < 0.2, NAMES.index(SILENT)] = np.nan
        alike = (rows[:, NAMES.index(HEARD)] > 0.5) == (rows[:, NAMES.index(SILENT)] > 0.5)
        said = 2.0 * rows[:, 0] - 1.0
        log_odds = said + np.where(alike & ~np.isnan(rows[:, NAMES.index(SILENT)]), 4.0 * together, 0.0)
        return rows, said, (rng.random(CALLS) < 1.0 / (1.0 + np.exp(-log_odds))).astype(np.int8)

    (rows, said, label), (ahead, said_later, later) = calls(), calls()
    left = Residuals(rows, label, np.ones(CALLS), said)
    return Judged(left, ahead, said_later, later, np.ones(CALLS), np.full(CALLS, -1))


@pytest.mark.parametrize("seed", range(3))
def test_what_two_features_say_only_together_is_found(seed):
    assert choose_pairs([cut(seed, 0.3), cut(seed + 10, 0.3)])[0] == (HEARD, SILENT)


@pytest.mark.parametrize("seed", range(3))
def test_where_later_calls_do_not_gain_there_is_no_pair(seed):
    learnt, later = cut(seed, 0.3), cut(seed + 10, 0.0)
    assert strongest_pairs(learnt.left, 1) == [(HEARD, SILENT)]
    assert choose_pairs([later._replace(left=learnt.left)]) == []
    assert choose_pairs([cut(seed + 20, 0.0)]) == []


def test_later_calls_of_one_caller_are_one_witness():
    one = cut(0, 0.3)
    assert choose_pairs([one._replace(callers=np.zeros(CALLS, dtype=np.int64))]) == []


def test_never_more_than_a_few():
    assert len(choose_pairs([cut(0, 0.3)])) <= MOST_PAIRS


def test_a_pair_is_of_ordered_features_that_no_label_moves_and_not_of_time():
    every = strongest_pairs(cut(0, 0.3).left, 1_000)
    assert len(every) > 20
    for name in {name for pair in every for name in pair}:
        feature = FEATURES[NAMES.index(name)]
        assert feature.direction == 0
        assert not feature.words
        assert feature.group != "time"
    assert all(NAMES.index(first) < NAMES.index(second) for first, second in every)


def test_a_cell_without_the_evidence_says_nothing():
    left = cut(0, 0.3).left
    few = np.arange(CALLS) < 2_000
    pair = fit_pair(Residuals(*(part[few] for part in left)), (HEARD, SILENT))
    genuine = np.zeros(pair.contributions.shape)
    np.add.at(genuine, pair.cells(left.rows[few & (left.label == 0)]), 1)
    assert (genuine >= EVIDENCE).any()
    assert (genuine < EVIDENCE).any()
    assert (pair.contributions[genuine < EVIDENCE] == 0.0).all()
    assert (pair.contributions[genuine >= EVIDENCE] != 0.0).any()


def test_what_is_not_known_has_cells_of_its_own():
    pair = fit_pair(cut(0, 0.3).left, (HEARD, SILENT))
    rows = np.full((2, WIDTHS["opening"]), 0.9)
    rows[1, NAMES.index(SILENT)] = np.nan
    first, second = pair.cells(rows)
    assert (first == len(pair.edges[0])).all()
    assert second.tolist() == [len(pair.edges[1]), len(pair.edges[1]) + 1]
