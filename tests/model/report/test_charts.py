"""Charts of the report."""

import re
from xml.etree.ElementTree import fromstring

import numpy as np

from model.report.charts import Axis
from model.report.render import _templates, draw_scorecard
from model.scorecard.pairs import Pair
from model.scorecard.scorecard import Scorecard


def test_a_dot_without_a_value_is_a_row_without_a_mark():
    draw = _templates().get_template("charts.jinja").module
    with_one, without = (draw.dot(Axis(0.0, 1.0, ()), "night", "not measured", value) for value in (0.5, None))
    fromstring(f"<div>{without}</div>")  # every tag that opens is closed in its turn
    assert "circle" in with_one
    assert "circle" not in without
    assert "not measured" in without


def test_a_pair_of_features_is_a_table_of_what_it_does_to_the_odds(made):
    alone = made.scorecards["opening"]
    edges = np.array([5.0, 9.0]), np.array([0.5])
    table = np.log(np.arange(1.0, 13.0).reshape(4, 3))
    pair = Pair(("opening_duration_s", "opening_silence_ratio"), edges, table, np.full((4, 3), 1 / 12))
    drawn = draw_scorecard(Scorecard("opening", alone.intercept, alone.steps, [pair]))
    assert "<code>opening_duration_s x opening_silence_ratio</code>" in drawn
    text = " ".join(re.sub(r"<[^>]+>", " ", drawn).split())
    for line in ("up to 50 % above 50 % not known", "up to 5 ×1 ×2.0 ×3.0", "up to 9 ×4.0 ×5.0 ×6.0",
                 "above 9 ×7.0 ×8.0 ×9.0", "not known ×10.0 ×11.0 ×12.0"):  # fmt: skip
        assert line in text
