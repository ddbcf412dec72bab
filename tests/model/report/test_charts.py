"""Charts of the report."""

from xml.etree.ElementTree import fromstring

from model.report.charts import Axis
from model.report.render import _templates


def test_a_dot_without_a_value_is_a_row_without_a_mark():
    draw = _templates().get_template("charts.jinja").module
    with_one, without = (draw.dot(Axis(0.0, 1.0, ()), "night", "not measured", value) for value in (0.5, None))
    fromstring(f"<div>{without}</div>")  # every tag that opens is closed in its turn
    assert "circle" in with_one
    assert "circle" not in without
    assert "not measured" in without
