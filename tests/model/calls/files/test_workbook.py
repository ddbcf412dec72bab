"""A workbook is the log that its sheet holds."""

from datetime import time, timedelta

import openpyxl
import pandas as pd
import pytest

from model.calls.call_log import read_calls
from model.calls.files.mapping import Mapping
from model.errors import LogError

T = "2024-01-31T08:15:00+07:00"
NAIVE = pd.Timestamp("2024-01-31T08:15:00").to_pydatetime()
LOG, OTHER = [["call_id", "received_at"], ["a", T]], [["legend"], ["of colours"]]


@pytest.fixture
def workbook(tmp_path):
    """A function that writes sheets, each a list of rows of cells, into a workbook."""

    def write(*sheets, name="calls.xlsx"):
        book = openpyxl.Workbook()
        book.remove(book.active)
        for rows in sheets:
            sheet = book.create_sheet()
            for row in rows:
                sheet.append(row)
        book.save(tmp_path / name)
        return tmp_path / name

    return write


def test_cells_of_any_type_are_read_as_the_values_that_they_show(workbook):
    path = workbook([
        ["call_id", "received_at", "caller", "line", "duration_s", "held_out"],
        ["a", NAIVE, 81290417733, "Mobile", 12.5, True],
        ["b", T, "081290417733", None, time(0, 1, 2), False],
        [None, None, None, None, None, None],
        [7, "2024-01-31 01:15:00Z", 81290417733.0, "no_sim", timedelta(seconds=90), "true"],
    ], name="CALLS.XLSX")  # fmt: skip
    said = []
    calls = read_calls(path, Mapping(time_zone="Asia/Jakarta"), tell=said.append)
    assert calls["call_id"].tolist() == ["a", "b", "7"]
    assert calls["received_at"].tolist() == [pd.Timestamp("2024-01-31T01:15:00Z")] * 3
    assert calls["caller"].tolist() == ["81290417733", "081290417733", "81290417733"]
    assert calls["line"].dropna().tolist() == ["mobile", "no_sim"]
    assert calls["duration_s"].tolist() == [12.5, 62.0, 90.0]
    assert calls["held_out"].tolist() == [True, False, True]
    assert said == [f"{path}: read as an Excel workbook", f"{path}: rows without any value are left out: 1"]


def test_problems_have_the_row_of_the_sheet(workbook, problems_of):
    path = workbook([[], ["call_id", "received_at"], ["a", T], [], ["b", NAIVE]])
    assert [(line, column, value) for line, column, value, _ in problems_of(path)] == [
        (5, "received_at", "2024-01-31T08:15:00")
    ]


def test_the_sheet_that_names_columns_of_the_log_is_the_log(workbook):
    assert len(read_calls(workbook(OTHER, [], LOG))) == 1
    for sheets in ([LOG, LOG], [OTHER, OTHER]):
        with pytest.raises(LogError, match="2 sheets could be the log"):
            read_calls(workbook(*sheets))
    with pytest.raises(LogError, match="the workbook is empty"):
        read_calls(workbook([]))
