"""Rows that cannot have been so are reported with their lines, and rows that may have been are not."""

import pandas as pd
import pytest

from model.calls.call_log import BrokenLogError, read_calls, read_corrections

NOW = pd.Timestamp("2024-07-01T00:00:00Z").to_pydatetime()
HEAD = "call_id,received_at,answered_at,ended_at,disposition,disposed_at,duration_s\n"
LATER = "a time that is not later than now"
FAR = "a time less than a year away from all other calls"


def text_of(received, answered="", ended="", disposed="", duration=""):
    whole = [f"2024-06-01T{time}+07:00" if time and len(time) == 8 else time for time in (received, answered, ended)]
    return f"c{{}},{','.join(whole)},{'prank' if disposed else ''},{disposed},{duration}\n"


def log_of(*rows):
    return HEAD + "".join(row.format(place) for place, row in enumerate(rows))


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (text_of("09:00:00", "09:00:10", "09:00:32", duration=22), None),
        (text_of("09:00:00", "09:00:10", "09:00:32", duration=33.9), None),  # rounded
        (text_of("09:00:00", "09:00:10", "09:00:10", duration=0), None),
        (text_of("09:00:00", "09:00:10", "09:00:32", duration=22_000), ("duration_s", "(are these milliseconds?)")),
        (text_of("09:00:00", "", "09:00:32", duration=60), ("duration_s", "received_at to ended_at")),
        (text_of("09:00:00", "09:00:40", "09:00:20"), ("ended_at", "a time not before answered_at")),
        (text_of("09:00:40", "", "09:00:20"), ("ended_at", "a time not before received_at")),
        (text_of("09:00:40", "09:00:20", "09:00:50"), ("answered_at", "a time not before received_at")),
        (text_of("2024-07-01T00:09:00Z"), None),
        (text_of("2024-07-01T00:11:00Z"), ("received_at", LATER)),
        (text_of("09:00:00", ended="2031-01-01T00:00:00Z"), ("ended_at", LATER)),
        (text_of("09:00:00", disposed="2031-01-01T00:00:00Z"), ("disposed_at", LATER)),
        (text_of("2099-01-01T00:00:00Z", duration=12), ("received_at", LATER)),
    ],
)
def test_one_thing_that_cannot_be_is_one_problem_in_its_line(log_file, problems_of, row, told):
    path = log_file(log_of(text_of("08:00:00"), text_of("08:10:00"), row))
    if told is None:
        assert len(read_calls(path, now=NOW)) == 3
    else:
        ((line, column, _, expected),) = problems_of(path, now=NOW)
        assert (line, column) == (4, told[0])
        assert expected.endswith(told[1])


def test_without_a_clock_no_row_is_later_than_now(log_file):
    assert len(read_calls(log_file(log_of(*[text_of("2099-01-01T00:00:00Z")] * 3)))) == 3


@pytest.mark.parametrize("place", [0, 1, 3])
@pytest.mark.parametrize("lonely", ["2000-01-01T00:00:00Z", "2022-05-01T00:00:00Z", "2026-05-01T00:00:00Z"])
def test_one_row_years_away_from_all_others_is_told(log_file, problems_of, place, lonely):
    rows = [text_of(f"0{hour}:00:00") for hour in range(3)]
    path = log_file(log_of(*rows[:place], text_of(lonely), *rows[place:]))
    assert [(line, column, expected) for line, column, _, expected in problems_of(path)] == [
        (place + 2, "received_at", FAR)
    ]


def test_a_log_with_a_gap_of_years_or_of_two_calls_is_none(log_file):
    years = [text_of(f"{year}-01-01T00:00:00Z") for year in (2015, 2015, 2019, 2019)]
    assert len(read_calls(log_file(log_of(*years)))) == 4
    assert len(read_calls(log_file(log_of(years[0], years[-1])))) == 2


@pytest.mark.parametrize(
    "totals",
    ["Total,,,,,,61.5", ",,,,,,61.5", "Jumlah,2,,,,,", ",Total,,,,,2", "TOTAL: 2 calls,,,,,,", "Total 2 calls"],
)
def test_a_last_row_of_totals_is_named_as_one(log_file, problems_of, totals):
    path = log_file(log_of(text_of("08:00:00", duration=30), text_of("08:10:00", duration=31.5)) + totals + "\n")
    ((line, column, _, expected),) = problems_of(path)
    assert (line, column) == (4, "(row)")
    assert "looks like one of totals" in expected


def test_what_a_service_took_itself_stays_as_it_was_told(log_file):
    rows = [text_of(f"0{hour}:00:00") for hour in range(3)]
    odd = [text_of("2000-01-01T00:00:00Z"), text_of("09:00:00", "09:00:40", "09:00:20", duration=90)]
    head, *lines = log_of(*rows, *odd).splitlines()
    text = "\n".join([f"{head},release", *(f"{line},1d6f" for line in lines)])
    assert len(read_calls(log_file(text), now=NOW)) == 5


def test_a_correction_later_than_now_is_told(log_file):
    calls = read_calls(log_file(log_of(text_of("08:00:00"))))
    path = log_file("call_id,disposition,disposed_at\nc0,prank,2099-01-01T00:00:00Z\n", "corrections.csv")
    with pytest.raises(BrokenLogError, match=r"line 2, column disposed_at.*not later than now"):
        read_corrections(path, calls, now=NOW)
