"""A call log as it is read and written."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.calls.call_log import join_logs, read_calls, read_corrections, write_log
from model.calls.caller_text import read_text
from model.calls.columns import COLUMNS, CORRECTION_COLUMNS
from model.errors import LogError

T = "2024-01-31T08:15:00+07:00"


def utc(text):
    return pd.Timestamp(text).tz_convert("UTC")


def test_columns_in_any_order_with_extra_ones_and_offsets_of_every_kind_are_read_right(log_file):
    path = log_file(
        "\ufeffdisposition,x_note,received_at,call_id,disposed_at,line,caller,duration_s,silence_ratio,held_out\r\n"
        'prank,"two\r\nlines, ""quoted""",'
        "2024-01-31T08:15:00+07:00,a,2024-01-31T01:20:00Z, Mobile ,0812,61.5,1,TRUE\r\n"
        ",,2024-01-31 03:00:00.123456+0200,b,,,,,0,false\r\n"
        "\r\n"
        "Genuine,plain,2024-01-31t01:16:00z,c,2024-01-31T01:20:00-00:30,no_sim,NA,1e1,,0\r\n"
    )
    calls = read_calls(path)
    assert calls.columns.tolist() == [column.name for column in COLUMNS] + ["x_note"]
    assert calls["call_id"].tolist() == ["a", "b", "c"]
    assert calls["received_at"].dtype == "datetime64[us, UTC]"
    assert calls["received_at"].tolist() == [
        utc("2024-01-31T01:15:00Z"), utc("2024-01-31T01:00:00.123456Z"), utc("2024-01-31T01:16:00Z"),
    ]  # fmt: skip
    assert calls["disposed_at"].dropna().tolist() == [utc("2024-01-31T01:20:00Z"), utc("2024-01-31T01:50:00Z")]
    assert calls["disposition"].dropna().tolist() == ["prank", "genuine"]
    assert calls["line"].dropna().tolist() == ["mobile", "no_sim"]
    assert calls["caller"].dropna().tolist() == ["0812", "NA"]
    assert calls["duration_s"].dropna().tolist() == [61.5, 10.0]
    assert calls["silence_ratio"].dropna().tolist() == [1.0, 0.0]
    assert calls["held_out"].tolist() == [True, False, False]
    assert calls["x_note"].tolist()[0] == 'two\r\nlines, "quoted"'
    assert calls["ended_at"].dropna().tolist() == [utc("2024-01-31T01:16:01.5Z"), utc("2024-01-31T01:16:10Z")]


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_city_is_read_back_as_it_was_written(city, tmp_path, ending):
    path, beside = tmp_path / f"calls{ending}", tmp_path / f"corrections{ending}"
    write_log(city.calls, path)
    write_log(city.corrections, beside)
    calls = read_calls(path)
    for name in city.calls:
        pd.testing.assert_series_equal(calls[name], city.calls[name], check_dtype=name != "x_persona")
    pd.testing.assert_frame_equal(read_corrections(beside, calls)[list(city.corrections)], city.corrections)
    assert calls["defer_s"].isna().all()


words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6).map(str.strip)
callers = words.filter(lambda text: read_text(text).shape != "cut")  # "0E0" has lost digits, and is refused


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(callers, words, st.none() | st.floats(0.0, 86_400.0), st.none() | st.booleans())))
@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_any_text_survives_writing_and_reading(log_of, tmp_path, ending, rows):
    log = log_of(
        [
            {"call_id": f"c{n}", "received_at": n / 7, "caller": caller or None, "centre": centre or None,
             "duration_s": duration, "held_out": held_out}
            for n, (caller, centre, duration, held_out) in enumerate(rows)
        ]
    )  # fmt: skip
    path = tmp_path / f"calls{ending}"
    write_log(log, path)
    calls = read_calls(path)
    for name in ("call_id", "received_at", "caller", "centre", "duration_s", "held_out"):
        pd.testing.assert_series_equal(calls[name], log[name])


def test_parquet_is_read_from_whatever_type_holds_the_value(tmp_path):
    path = tmp_path / "calls.parquet"
    times = pa.array([pd.Timestamp(T), pd.Timestamp(T)], pa.timestamp("ns", "Asia/Jakarta"))
    pa.parquet.write_table(
        pa.table(
            {
                "x_extra": pa.array([[1, 2], None]),
                "received_at": times,
                "disposed_at": pa.array([T, None], pa.string_view()),
                "disposition": pa.array(["Prank", None]).dictionary_encode(),
                "line": pa.array(["mobile", None], pa.large_string()),
                "call_id": pa.array([7, 8]),
                "caller": pa.array([6281234567890, None]),
                "duration_s": pa.array([12, None], pa.int16()),
                "silence_ratio": pa.array([0.25, float("nan")], pa.float32()),
                "held_out": pa.array([True, None]),
                "category": pa.nulls(2),
                "answered_at": pa.nulls(2),
            }
        ),
        path,
    )
    calls = read_calls(path)
    assert calls["call_id"].tolist() == ["7", "8"]
    assert calls["caller"].dropna().tolist() == ["6281234567890"]
    assert calls["received_at"].tolist() == [utc(T)] * 2
    assert calls["disposed_at"].dropna().tolist() == [utc(T)]
    assert calls["disposition"].dropna().tolist() == ["prank"]
    assert calls["duration_s"].dropna().tolist() == [12.0]
    assert calls["silence_ratio"].dropna().tolist() == [0.25]
    assert calls["held_out"].dropna().tolist() == [True]
    assert calls["x_extra"].tolist()[0].tolist() == [1, 2]


def test_a_log_without_calls_is_a_log(log_file):
    calls = read_calls(log_file("call_id,received_at\r\n"))
    assert len(calls) == 0
    assert calls["received_at"].dtype == "datetime64[us, UTC]"


def test_one_call_may_be_corrected_more_than_once(log_file):
    calls = read_calls(log_file(f"call_id,received_at\na,{T}\n"))
    path = log_file(f"disposed_at,disposition,call_id\n{T},genuine,a\n{T},prank,a\n", "corrections.csv")
    assert read_corrections(path, calls)["disposition"].tolist() == ["genuine", "prank"]
    assert read_corrections(path, calls).columns.tolist() == [column.name for column in CORRECTION_COLUMNS]


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_log_that_cannot_be_written_leaves_nothing_half_written(city, tmp_path, ending):
    target = tmp_path / f"calls{ending}"
    target.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_log(city.calls, target)
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_an_earlier_log_stays_when_the_new_one_cannot_be_written(city, tmp_path, ending):
    target = tmp_path / f"calls{ending}"
    write_log(city.calls, target)
    before = target.read_bytes()

    class Unwritable:
        def __str__(self):
            raise OverflowError("no text")

        __repr__ = __str__

    with pytest.raises((OverflowError, pa.ArrowException)):
        write_log(city.calls.assign(x_odd=[Unwritable()] * len(city.calls)), target)
    assert target.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_writing_over_an_earlier_log_replaces_it(city, tmp_path):
    target = tmp_path / "calls.csv"
    write_log(city.calls, target)
    write_log(city.calls.iloc[:3], target)
    assert np.array_equal(read_calls(target)["call_id"], city.calls["call_id"].iloc[:3])


def test_a_name_in_capitals_is_written_as_what_it_says(city, tmp_path):
    write_log(city.calls.iloc[:3], tmp_path / "CALLS.CSV")
    write_log(city.calls.iloc[:3], tmp_path / "CALLS.PARQUET")
    assert (tmp_path / "CALLS.CSV").read_bytes().startswith(b"call_id,")
    assert (tmp_path / "CALLS.PARQUET").read_bytes().startswith(b"PAR1")


def test_logs_are_joined_when_no_call_stands_in_two_of_them(city):
    years = {Path("2023.csv"): city.calls[:1_000], Path("2024.csv"): city.calls[1_000:]}
    pd.testing.assert_frame_equal(join_logs(years), city.calls)
    years[Path("2025.csv")] = city.calls[998:1_002]
    with pytest.raises(LogError) as told:
        join_logs(years)
    assert str(told.value) == (
        "2025.csv: call_id: 4 calls stand in another log too, the first of them in 2023.csv, "
        "expected call_ids that no other log has"
    )
