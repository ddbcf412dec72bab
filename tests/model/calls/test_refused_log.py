"""A log that breaks the contract is refused, naming line, column, value and what was expected."""

import csv
import io

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from model.calls.call_log import BrokenLogError, read_calls, read_corrections
from model.calls.columns import DISPOSITIONS, LINES
from model.errors import LogError

T = "2024-01-31T08:15:00+07:00"
UNKNOWN = "a column of the contract; an extra column is named "
A_TIME = "a time with an offset, like 2024-01-31T08:15:00+07:00"


def problems_of(path):
    with pytest.raises(BrokenLogError) as caught:
        read_calls(path)
    return [tuple(row) for row in caught.value.problems.itertuples(index=False)]


def utc(text):
    return pd.Timestamp(text).tz_convert("UTC")


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_any_line_end_is_read_and_counted(log_file, line_end):
    text = f"call_id,received_at\na,{T}\n\nb,{T}\nc,soon\n".replace("\n", line_end)
    assert problems_of(log_file(text)) == [(5, "received_at", "soon", A_TIME)]


def test_every_broken_row_is_named_with_line_column_value_and_what_was_expected(log_file):
    names = ["call_id", "received_at", "caller", "line", "opening_silence_ratio", "duration_s", "answered_at",
             "ended_by", "disposition", "disposed_at", "held_out", "x_note"]  # fmt: skip
    lines, expected = [",".join(names)], []

    def add(broken=(), told=(), **values):
        row = {"call_id": f"c{len(lines)}", "received_at": T} | dict(broken) | values
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerow([row.get(name, "") for name in names])
        first = "\n".join(lines).count("\n") + 2
        lines.append(buffer.getvalue().removesuffix("\n"))
        expected.extend((first, *problem) for problem in told)

    add()
    add(x_note="line\nends\n\nwithin")
    add(told=[("call_id", None, "a name of its own")], call_id="")
    add(told=[("call_id", "c1", "a name that no other call has")], call_id="c1")
    lines.append("")
    add(told=[("received_at", "2024-01-31T08:15:00", A_TIME)], received_at="2024-01-31T08:15:00")
    add(told=[("received_at", None, A_TIME)], received_at=" ")
    add(told=[("received_at", "1889-01-31T08:15:00Z", A_TIME)], received_at="1889-01-31T08:15:00Z")
    add(told=[("received_at", "2024-02-30T08:15:00Z", A_TIME)], received_at="2024-02-30T08:15:00Z")
    add(told=[("line", "fax", "one of " + ", ".join(LINES))], line="fax")
    add(told=[("opening_silence_ratio", "1.01", "a share from 0 to 1")], opening_silence_ratio="1.01")
    add(told=[("duration_s", "-1", "seconds from 0 to 86400")], duration_s="-1", x_note="a\nb")
    add(told=[("duration_s", "nan", "seconds from 0 to 86400")], duration_s="nan")
    add(told=[("duration_s", "1,5", "seconds from 0 to 86400")], duration_s="1,5")
    add(told=[("ended_by", "ghost", "one of caller, operator, network")], ended_by="ghost")
    add(told=[("disposition", "hoax", "one of " + ", ".join(DISPOSITIONS))], disposition="hoax", disposed_at=T)
    add(told=[("disposed_at", "soon", A_TIME)], disposition="prank", disposed_at="soon")
    add(told=[("disposed_at", None, "a time, since there is a disposition")], disposition="prank")
    add(told=[("disposition", None, "a disposition, since there is disposed_at")], disposed_at=T)
    early = "2024-01-31T08:14:59+07:00"
    add(told=[("answered_at", utc(early), "a time not before received_at")], answered_at=early)
    add(told=[("disposed_at", utc(early), "a time not before received_at")], disposition="prank", disposed_at=early)
    add(told=[("held_out", "perhaps", "true or false")], held_out="perhaps")
    first = "\n".join(lines).count("\n") + 2
    lines.append(f"ragged,{T}")
    expected.append((first, "(row)", f"2 values: ragged,{T}", "12 values, one for each column"))
    add(
        told=[("line", "tin", "one of " + ", ".join(LINES)), ("held_out", "2", "true or false")],
        line="tin",
        held_out="2",
    )
    add()
    assert sorted(problems_of(log_file("\n".join(lines) + "\n")), key=str) == sorted(expected, key=str)


def test_lines_are_right_far_into_a_long_file(log_file):
    rows = [f'c{n},{T},"{"long " * 20}\n{n}"\n\n' for n in range(20_000)]
    text = "call_id,received_at,x_note\n" + "".join(rows) + f"short,{T}\nlast,never,\n"
    assert [row[:2] for row in problems_of(log_file(text))] == [(60_002, "(row)"), (60_003, "received_at")]


def test_a_value_of_a_megabyte_is_a_value(log_file):
    text = f'call_id,received_at,x_note\na,{T},"{"y" * 1_000_000}"\nb,never,\n'
    assert problems_of(log_file(text)) == [(3, "received_at", "never", A_TIME)]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ("call_id,received_at,colour", [("colour", "colour", UNKNOWN + "x_colour")]),
        ("call_id,received_at,x_a,x_a", [("x_a", "x_a", "each column once")]),
        ("call_id,received_at,call_id", [("call_id", "call_id", "each column once")]),
        ("call_id,caller", [("received_at", None, "this column, which is required")]),
        ("caller,line", [
            ("call_id", None, "this column, which is required"),
            ("received_at", None, "this column, which is required"),
        ]),
    ],
)  # fmt: skip
def test_a_column_that_is_unknown_missing_or_there_twice_is_told_once(log_file, names, told):
    width = len(names.split(","))
    row = ",".join(["a", T, *["1"] * 9][:width]) if "received_at" in names else ",".join(["a"] * width)
    row = row if "line" not in names else "a,mobile"
    assert problems_of(log_file(f"{names}\n{row}\n")) == [(0, *problem) for problem in told]


def test_names_on_several_lines_and_blank_lines_before_them_do_not_move_the_count(log_file):
    text = f'\n\ncall_id,received_at,"x_a\nb"\na,{T},1\nb,{T}\nc,never,1\n'
    assert [row[:2] for row in problems_of(log_file(text))] == [(6, "(row)"), (7, "received_at")]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("calls.csv", b"", "empty"),
        ("calls.csv", b"\n\n", "empty"),
        ("calls.csv", b"call_id,caller\na,\x81\n", "line 2 is not UTF-8"),
        ("calls.parquet", b"PAR1, or so it says", "cannot be read"),
    ],
)
def test_a_file_that_is_no_log_is_one_clear_error(tmp_path, name, content, told):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(LogError, match=told):
        read_calls(path)


def test_bytes_that_are_not_utf8_far_into_the_file_are_refused(tmp_path):
    path = tmp_path / "calls.csv"
    rows = "".join(f"c{n},{T},\u00e9\n" for n in range(50_000)).encode()
    path.write_bytes(b"call_id,received_at,caller\n" + rows + b"z," + T.encode() + b",\xe9\n")
    with pytest.raises(LogError, match=r"calls.csv: cannot be read: line 50,002 is not UTF-8"):
        read_calls(path)


@pytest.mark.parametrize("name", ["calls.csv", "calls.parquet"])
def test_a_file_that_is_not_there_is_one_clear_error(tmp_path, name):
    with pytest.raises(LogError, match=f"{name}: there is no such file"):
        read_calls(tmp_path / name)


def test_parquet_rows_that_break_the_contract_are_named(tmp_path):
    path = tmp_path / "calls.parquet"
    pa.parquet.write_table(
        pa.table(
            {
                "call_id": pa.array(["a", "b", "c"]),
                "received_at": pa.array([pd.Timestamp("2024-01-31")] * 3, pa.timestamp("us")),
                "caller": pa.array([None, None, 6.28e12]),
                "duration_s": pa.array([1.0, float("inf"), -1.0]),
                "held_out": pa.array([0, 1, 2]),
            }
        ),
        path,
    )
    naive, number = pd.Timestamp("2024-01-31"), "a number written as text, or a stable pseudonym"
    assert problems_of(path) == [
        (1, "received_at", naive, A_TIME),
        (2, "received_at", naive, A_TIME),
        (2, "duration_s", float("inf"), "seconds from 0 to 86400"),
        (3, "received_at", naive, A_TIME),
        (3, "caller", "[number]", number),
        (3, "duration_s", -1.0, "seconds from 0 to 86400"),
        (3, "held_out", 2, "true or false"),
    ]


def test_the_error_is_one_sentence_with_the_first_problem_and_how_many_more(log_file):
    with pytest.raises(BrokenLogError) as caught:
        read_calls(log_file(f"call_id,received_at,line\na,{T},fax\nb,soon,\n"))
    assert str(caught.value).endswith(
        f"calls.csv: line 2, column line: 'fax', expected one of {', '.join(LINES)}"
        " (and 1 more; `saring check` lists all)"
    )


def test_corrections_of_unknown_calls_or_from_before_the_call_are_named(log_file, log_of):
    calls = read_calls(log_file(f"call_id,received_at\na,{T}\n"))
    path = log_file(
        "call_id,disposition,disposed_at\n"
        f"a,genuine,{T}\n"
        f"b,genuine,{T}\n"
        "a,prank,2024-01-31T08:14:59+07:00\n"
        f"a,,{T}\n"
        f",prank,{T}\n"
        "a,prank,\n"
        f"a,joke,{T}\n",
        "corrections.csv",
    )
    with pytest.raises(BrokenLogError) as caught:
        read_corrections(path, calls)
    assert [(row.line, row.column, row.value) for row in caught.value.problems.itertuples()] == [
        (3, "call_id", "b"),
        (4, "disposed_at", utc("2024-01-31T01:14:59Z")),
        (5, "disposition", None),
        (6, "call_id", None),
        (7, "disposed_at", None),
        (8, "disposition", "joke"),
    ]
