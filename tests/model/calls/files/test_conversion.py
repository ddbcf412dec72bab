"""A value is the same in whatever type and spelling a file holds it, and refused where it may be two."""

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from model.calls.call_log import read_calls
from model.calls.columns import DISPOSITIONS, LINES
from model.calls.files.mapping import Mapping

T = "2024-01-31T08:15:00+07:00"


def log_of(durations, separator=";"):
    rows = "".join(f'c{n}{separator}{T}{separator}"{duration}"\n' for n, duration in enumerate(durations))
    return separator.join(["call_id", "received_at", "duration_s"]) + "\n" + rows


@pytest.mark.parametrize("text", ["1.234", "12,345", "123,456"])
@pytest.mark.parametrize("separator", ";,")
def test_a_number_that_may_be_two_is_refused_unless_the_file_or_the_mapping_says_which(
    log_file, problems_of, separator, text
):
    point, comma = float(text.replace(",", "")), float(text.replace(".", "").replace(",", "."))
    path = log_file(log_of([text, "7"], separator))
    if separator == "," and "." in text:  # what everybody writes who separates by commas
        assert read_calls(path)["duration_s"].tolist() == [point, 7.0]
    else:
        ((*place, expected),) = problems_of(path)
        assert place == [2, "duration_s", text if len(text) < 7 else NUMBER]
        assert "decimal" in expected
    for sign, value in ((".", point), (",", comma)):
        wanted = value if value <= 86_400.0 else None
        assert_read(path, wanted, problems_of, Mapping(decimal=sign))
        assert_read(log_file(log_of([text, f"0{sign}5"], separator), "said.csv"), wanted, problems_of)


NUMBER = "[number]"


def assert_read(path, wanted, problems_of, *given):
    if wanted is None:
        assert [problem[:2] for problem in problems_of(path, *given)] == [(2, "duration_s")]
    else:
        assert read_calls(path, *given)["duration_s"].iloc[0] == wanted


def test_numbers_that_disagree_on_the_decimal_sign_are_refused(log_file, problems_of):
    assert [problem[:3] for problem in problems_of(log_file(log_of(["1,5", "2,5", "3.5"])))] == [
        (4, "duration_s", "3.5")
    ]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_duration_of_any_unit_is_seconds(tmp_path, unit):
    path = tmp_path / "calls.parquet"
    pa.parquet.write_table(pa.table({
        "call_id": ["a", "b"], "received_at": [T, T],
        "duration_s": pa.array(pd.to_timedelta([12, None], unit="s").as_unit(unit)),
    }), path)  # fmt: skip
    assert read_calls(path)["duration_s"].dropna().tolist() == [12.0]


@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64(), pa.float64(), pa.string()])
def test_a_caller_is_the_same_as_text_as_a_whole_number_and_as_a_float(tmp_path, kind):
    path = tmp_path / "calls.parquet"
    callers = pa.array([6281290417733, None], pa.int64()).cast(kind)
    pa.parquet.write_table(pa.table({"call_id": ["a", "b"], "received_at": [T, T], "caller": callers}), path)
    assert read_calls(path)["caller"].dropna().tolist() == ["6281290417733"]


@pytest.mark.parametrize("casing", [str.upper, str.title, str.swapcase])
def test_lines_and_dispositions_are_read_in_any_casing(log_file, casing):
    rows = [(line, disposition) for line in LINES for disposition in DISPOSITIONS]
    body = "".join(f"c{n},{T},{casing(line)},{casing(word)},{T}\n" for n, (line, word) in enumerate(rows))
    calls = read_calls(log_file("call_id,received_at,line,disposition,disposed_at\n" + body))
    assert list(zip(calls["line"], calls["disposition"], strict=True)) == rows


@pytest.mark.parametrize("offset", ["+07", "+0700", "+07:00"])
@pytest.mark.parametrize("between", "Tt ")
def test_times_are_read_as_rfc_3339_and_as_postgresql_write_them(log_file, offset, between):
    calls = read_calls(log_file(f"call_id,received_at\na,2024-01-31{between}08:15:00.25{offset}\n"))
    assert calls["received_at"].tolist() == [pd.Timestamp("2024-01-31T01:15:00.25Z")]


@pytest.mark.parametrize("column", ["duration_s", "opening_duration_s"])
@pytest.mark.parametrize(("lengths", "suspected"), [((22_000, 31_000, 9_000), True), ((22, 3_100, 9), False)])
def test_lengths_that_look_like_milliseconds_are_suspected_aloud(log_file, column, lengths, suspected):
    body = "".join(f"c{n},{T},{length}\n" for n, length in enumerate(lengths))
    said = []
    read_calls(log_file(f"call_id,received_at,{column}\n{body}"), tell=said.append)
    assert any(f"{column}: " in note and "milliseconds?" in note for note in said) is suspected
