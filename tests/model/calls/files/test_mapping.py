"""An export in other names, words and local times is read by its mapping, which is refused where it does not fit."""

import re
from pathlib import Path

import pandas as pd
import pytest

from model.calls.call_log import read_calls
from model.calls.files.mapping import Mapping, read_mapping
from model.errors import MappingError

NAMES = {"call_id": "uniqueid", "received_at": "start", "disposition": "state", "disposed_at": "end"}
WORDS = {"disposition": {"ANSWERED": "genuine", "No Answer": "unanswered", "BUSY": ""}}


def text_of(rows):
    return "uniqueid,start,end,state,lastapp\n" + "".join(f"{row}\n" for row in rows)


def test_columns_and_values_get_the_names_of_the_contract(log_file):
    rows = ["1,2024-06-01T09:00:00Z,2024-06-01T09:00:40Z,answered,Queue",
            "2,2024-06-01T09:01:00Z,2024-06-01T09:01:40Z,NO ANSWER,Queue",
            "3,2024-06-01T09:02:00Z,2024-06-01T09:02:40Z,BUSY,Queue",
            "4,2024-06-01T09:03:00Z,2024-06-01T09:03:40Z,prank,Queue"]  # fmt: skip
    path = log_file(text_of(rows))
    calls = read_calls(path, Mapping(columns=NAMES | {"ended_at": "end"}, values=WORDS, other_columns="leave_out"))
    assert calls["disposition"].fillna("").tolist() == ["genuine", "unanswered", "", "prank"]
    assert calls["disposed_at"].notna().tolist() == [True, True, False, True]
    assert calls["ended_at"].notna().all()
    kept = read_calls(path, Mapping(columns=NAMES | {"x_app": "lastapp"}, values=WORDS))
    assert kept["x_app"].tolist() == ["Queue"] * 4
    kept = read_calls(path, Mapping(columns=NAMES, values=WORDS, other_columns="keep"))
    assert kept["x_lastapp"].tolist() == ["Queue"] * 4


def test_a_column_that_is_not_there_and_a_value_that_is_not_mapped_are_told(log_file, problems_of):
    path = log_file(text_of(["1,2024-06-01T09:00:00Z,2024-06-01T09:00:40Z,FAILED,x"]))
    mapping = Mapping(columns=NAMES | {"queue": "dcontext"}, values=WORDS, other_columns="leave_out")
    absent, unmapped = problems_of(path, mapping)
    assert absent == (0, "queue", "dcontext", "a column of the file, since the mapping names it")
    assert unmapped[:3] == (2, "disposition", "FAILED")
    assert unmapped[3].endswith("or a value that the mapping names")
    assert [problem[1] for problem in problems_of(path, Mapping(columns=NAMES, values=WORDS))][:1] == ["lastapp"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('timezone = "UTC"', "unknown key timezone; expected columns, values"),
        ('time_zone = "Jakarta"', "time_zone: 'Jakarta'.*Asia/Jakarta"),
        ('[columns]\ncaler = "src"', "columns.caler: expected a column of the contract"),
        ('[values.dispo]\na = "prank"', "values.dispo: expected a column of the contract"),
        ('[values.disposition]\na = "hoax"', 'values.disposition."a": \'hoax\', expected one of genuine, .*, or ""'),
        ('double_hour = "first"', "double_hour: expected time_zone beside it"),
        ('time_zone = "UTC"\ndouble_hour = "both"', "double_hour: 'both'"),
        ('decimal = ";"', "decimal: ';'"),
        ("[columns", "cannot be read as TOML"),
    ],
)
def test_a_mapping_that_cannot_be_is_refused_by_its_key(log_file, text, told):
    with pytest.raises(MappingError, match=r"mapping\.toml: " + told):
        read_mapping(log_file(text, "mapping.toml"))
    with pytest.raises(MappingError, match=r"none\.toml: cannot be read"):
        read_mapping(Path("none.toml"))


def berlin(log_file, *times, **also):
    path = log_file("call_id,received_at\n" + "".join(f"c{n},{time}\n" for n, time in enumerate(times)))
    return path, Mapping(time_zone="Europe/Berlin", **also)


def test_a_time_without_an_offset_is_of_the_zone_and_one_with_it_is_its_own(log_file, problems_of):
    path, mapping = berlin(log_file, "2024-01-31 08:15:00", "2024-07-31T08:15:00.5", "2024-07-31T08:15:00Z")
    assert read_calls(path, mapping)["received_at"].tolist() == [
        pd.Timestamp(f"2024-{time}Z") for time in ("01-31T07:15:00", "07-31T06:15:00.5", "07-31T08:15:00")
    ]
    assert [problem[0] for problem in problems_of(path)] == [2, 3]


def test_the_hour_that_comes_twice_is_refused_unless_the_mapping_says_which_and_one_that_never_came_always(
    log_file, problems_of
):
    path, mapping = berlin(log_file, "2024-10-27T01:59:59", "2024-10-27T02:30:00", "2024-10-27T03:00:00")
    ((line, _, _, expected),) = problems_of(path, mapping)
    assert (line, "Europe/Berlin showed this hour twice" in expected) == (3, True)
    for which, hour in (("first", 0), ("second", 1)):
        path, mapping = berlin(log_file, "2024-10-27T02:30:00", double_hour=which)
        assert read_calls(path, mapping)["received_at"].tolist() == [pd.Timestamp(f"2024-10-27T0{hour}:30:00Z")]
    path, mapping = berlin(log_file, "2024-03-31T02:30:00", double_hour="first")
    ((line, _, _, expected),) = problems_of(path, mapping)
    assert (line, "put forward over it" in expected) == (2, True)


@pytest.mark.parametrize(
    ("written", "form"),
    [("31.07.2024 08:15", "%d.%m.%Y %H:%M"), ("07/31/24 8:15:00 AM", "%m/%d/%y %I:%M:%S %p"),
     ("31.07.2024 08:15 +0200", "%d.%m.%Y %H:%M %z")],
)  # fmt: skip
def test_times_in_another_form_are_read_by_it(log_file, problems_of, written, form):
    path, mapping = berlin(log_file, written, "2024-07-31T06:15:00Z", time_format=form)
    assert read_calls(path, mapping)["received_at"].tolist() == [pd.Timestamp("2024-07-31T06:15:00Z")] * 2
    path, mapping = berlin(log_file, written, "31-07-2024", time_format=form)
    assert [problem[:3] for problem in problems_of(path, mapping)] == [(3, "received_at", "[number]")]


def test_a_naive_time_of_a_parquet_file_is_of_the_zone(tmp_path):
    path = tmp_path / "calls.parquet"
    pd.DataFrame({"call_id": ["a"], "received_at": [pd.Timestamp("2024-01-31T08:15:00")]}).to_parquet(path)
    calls = read_calls(path, Mapping(time_zone="Asia/Jakarta"))
    assert calls["received_at"].tolist() == [pd.Timestamp("2024-01-31T01:15:00Z")]


def test_the_example_of_the_docs_is_read(tmp_path):
    text = (Path(__file__).parents[4] / "docs/call-log.md").read_text(encoding="utf-8")
    toml, export = (re.search(rf"```{kind}\n(.*?)```", text, re.DOTALL)[1] for kind in ("toml", "csv"))
    (tmp_path / "mapping.toml").write_text(toml, encoding="utf-8")
    (tmp_path / "export.csv").write_text(export, encoding="utf-8")
    calls = read_calls(tmp_path / "export.csv", read_mapping(tmp_path / "mapping.toml"))
    assert calls["disposition"].tolist() == ["genuine", "prank", "unanswered"]
    assert calls["received_at"].iloc[0] == pd.Timestamp("2024-06-01T02:00:00Z")
    assert calls["duration_s"].dropna().tolist() == [35.5, 1234.0]
