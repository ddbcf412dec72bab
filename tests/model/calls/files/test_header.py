"""What stands where the names of the columns should is named as what it is, and no caller's number is printed."""

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.calls.call_log import BrokenLogError, read_calls, write_log
from model.errors import LogError

T = "2024-01-31T08:15:00+07:00"
ROW = [
    "0812", "081290000001", "112", "from-trunk", '"""081290000001"" <081290000001>"', "PJSIP/trunk-1", "PJSIP/op1-2",
    "Queue", "intake", "2024-06-01 09:00:00", "2024-06-01 09:00:05", "2024-06-01 09:00:40", "40", "35",
    "NO ANSWER", "DOCUMENTATION", "1717207200.1", "",
]  # fmt: skip


@pytest.mark.parametrize("separator", ",;\t|")
def test_a_first_line_of_values_is_no_header(log_file, separator):
    text = f"{separator.join(['a', T, '0812-9041-7733', 'mobile'])}\n" * 3
    with pytest.raises(LogError, match="the first line is not a header") as caught:
        read_calls(log_file(text))
    assert "Asterisk" not in str(caught.value)
    assert "9041" not in str(caught.value)


@pytest.mark.parametrize("first", [ROW, [ROW[4], *ROW[1:4], *ROW[5:16], ROW[0], *ROW[16:]], ROW[:16]])
def test_a_cdr_of_asterisk_is_named_with_the_command_that_imports_one(log_file, first):
    with pytest.raises(LogError, match=r"not a header.*Asterisk CDR.*saring import-asterisk") as caught:
        read_calls(log_file((",".join(first) + "\n") * 2))
    assert "81290000001" not in str(caught.value)


@pytest.mark.parametrize("index", [[0, 1, 2], [7, 0, 3], [3, 12, 900]])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("again", [False, True])
def test_the_index_of_a_pandas_table_is_named_and_left_out(tmp_path, index, ending, again):
    path = tmp_path / f"calls.{ending}"
    calls = pd.DataFrame({"call_id": ["a", "b", "c"], "received_at": [T] * 3, "caller": ["081290417733"] * 3}, index)
    if again:  # read without its index, and written with a new one
        calls = calls.rename_axis("Unnamed: 0").reset_index()
    if ending == "csv":
        calls.to_csv(path)
    else:
        calls.to_parquet(path)
    said = []
    assert read_calls(path, tell=said.append)["call_id"].tolist() == ["a", "b", "c"]
    assert "index of a pandas table and is left out" in str(said)


@pytest.mark.parametrize(("values", "told"), [("081290417733", "a name"), ("x", "a name"), ("", None)])
def test_any_other_column_without_a_name_is_refused_unless_it_is_empty(log_file, problems_of, values, told):
    path = log_file(f"call_id,received_at,\na,{T},{values}\nb,{T},{values}\n")
    if told:
        assert problems_of(path) == [(0, "(column 3)", None, told)]
    else:
        assert len(read_calls(path)) == 2


numbers = st.sampled_from(
    ["081290417733", "+6281290417733", "0812-9041-7733", "(0736) 27411", "0812 9041 7733", "sip:081290417733@10.0.0.5",
     "0812,9041,7733", "6281290417733.0", '"Wati" <081290417733>']
)  # fmt: skip
NAMES = ["call_id", "received_at", "caller", "line", "duration_s", "disposition", "disposed_at", "held_out", "x_a"]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_no_refusal_prints_a_callers_number_wherever_it_stands(tmp_path, ending, data):
    columns = data.draw(st.permutations(NAMES))
    names = [data.draw(st.sampled_from([name, name, data.draw(numbers)])) for name in columns]
    if ending == "parquet":
        names = list(dict.fromkeys(names))
    rows = data.draw(st.lists(st.lists(numbers, min_size=len(names), max_size=len(names)), min_size=1, max_size=3))
    path = tmp_path / f"calls.{ending}"
    table = pd.DataFrame(rows, columns=range(len(names)), dtype="str").set_axis(names, axis="columns")
    write_log(table, path) if ending == "parquet" else table.to_csv(path, index=False)
    said = []
    try:
        read_calls(path, tell=said.append)
    except LogError as error:
        problems = error.problems.astype(str).to_csv() if isinstance(error, BrokenLogError) else ""
        told = f"{error}{problems}{said}".replace(str(path), "")
        for digits in ("9041", "7733", "27411"):
            assert digits not in told
