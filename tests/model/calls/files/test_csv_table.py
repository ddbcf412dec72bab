"""Texts as people and spreadsheets write them are read as the log that they hold."""

import codecs
import csv
import gzip
import io
import itertools

import pandas as pd
import pytest

from model.calls.call_log import BrokenLogError, read_calls
from model.errors import LogError

T = "2024-01-31T08:15:00+07:00"
ENCODINGS = {
    "utf-8": "UTF-8", "utf-8-sig": "UTF-8", "utf-16": "UTF-16", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16",
    "cp1252": "Windows-1252",
}  # fmt: skip
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
NAMES = ["call_id", "received_at", "caller", "duration_s", "silence_ratio", "x_note"]
ROWS = [
    ["a", T, "081290417733", 12.5, 0.35, 'Ibu "né" – all; of, it | tab\t'],
    ["b", T, "", 1234.5, 0.125, "two\r\nlines"],
    ["c", T, "a1f9c0", 7.0, "", ""],
]


def read(path, **given):
    """Read a log; return it and what was said."""
    said: list[str] = []
    return read_calls(path, tell=said.append, **given), said


def problems_of(path, **given):
    with pytest.raises(BrokenLogError) as caught:
        read_calls(path, **given)
    return [tuple(row) for row in caught.value.problems.itertuples(index=False)]


def text_of(rows, separator=",", decimal=".", line_end="\r\n"):
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator, lineterminator=line_end)
    for row in [NAMES, *rows]:
        writer.writerow([f"{one:,}".translate(str.maketrans(",.", ".,")) if decimal == "," and isinstance(one, float)
                         else one for one in row])  # fmt: skip
    return out.getvalue()


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "calls.csv"
    path.write_bytes(text_of(ROWS).encode())
    return read_calls(path)


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("decimal", ".,")
def test_a_log_is_the_same_in_any_separator_encoding_and_decimal_sign(tmp_path, plain, separator, encoding, decimal):
    files = (("CALLS.CSV", ""), ("calls.csv.gz", ""), ("calls.txt", f"sep={separator}\r\n"))
    name, declared = files[(list(ENCODINGS).index(encoding) + ".,".index(decimal)) % len(files)]
    data = (declared + text_of(ROWS, separator, decimal)).encode(encoding)
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    calls, said = read(path)
    pd.testing.assert_frame_equal(calls, plain)
    packed = ", packed by gzip" if name.endswith("gz") else ""
    comma = ", decimal comma" if decimal == "," else ""
    separated = f"separated by {SEPARATORS[separator]}"
    assert said == [f"{path}: read as CSV in {ENCODINGS[encoding]}{packed}, {separated}{comma}"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16-le", "cp1252"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("declared", ["", "sep=;"])
def test_lines_are_counted_as_they_stand_in_the_file(tmp_path, encoding, line_end, declared):
    path = tmp_path / "calls.csv"
    rows = [["a", T, "", "", "", f"é{line_end}within"], ["b", "soon", "", "", "", ""]]
    text = text_of(rows, ";", line_end=line_end)
    path.write_bytes((declared + line_end * bool(declared) + text).encode(encoding))
    assert [row[:3] for row in problems_of(path)] == [(4 + bool(declared), "received_at", "soon")]


@pytest.mark.parametrize("separator", ",|")
def test_every_row_that_a_quote_swallowed_is_told_with_the_line_of_the_quote(tmp_path, separator):
    whole = [[f"c{n}", T, "081290417733", "1.5", "0.5", f"note {n}"] for n in range(6)]
    for column, closed in itertools.product(range(len(NAMES)), (True, False)):
        rows = [list(row) for row in whole]
        rows[1][column] = '"' + rows[1][column]
        if closed:
            rows[3][column] = '"' + rows[3][column]
        path = tmp_path / "calls.csv"
        path.write_text("\n".join(separator.join(row) for row in [NAMES, *rows]) + "\n")
        told = problems_of(path)
        assert any(row[0] == 3 and "further rows" in row[3] for row in told), (column, closed)
        assert "81290417733" not in str(told)


def test_a_text_of_several_lines_is_no_swallowed_row(tmp_path):
    path = tmp_path / "calls.csv"
    note = f'"said at {T}, and again\n2024-01-31 08:15:00, twice, he said, ""help""\n\n1,2,3"'
    path.write_text(f"{','.join(NAMES)}\na,{T},0812,1.5,0.5,{note}\n")
    assert len(read_calls(path)) == 1


@pytest.mark.parametrize("separator", ",;")
def test_rows_without_any_value_are_left_out_and_said(tmp_path, separator):
    path = tmp_path / "calls.csv"
    empty = separator * (len(NAMES) - 1)
    row = separator.join(["a", T, "", "1", "1", ""])
    last = separator.join(["b", "never", "", "1", "1", ""])
    path.write_text("\n".join([separator.join(NAMES), row, empty, empty]) + "\n")
    calls, said = read(path)
    assert len(calls) == 1
    assert said[1:] == [f"{path}: rows without any value are left out: 2"]
    path.write_text("\n".join([separator.join(NAMES), row, empty, empty, last]) + "\n")
    assert [told[:2] for told in problems_of(path)] == [(5, "received_at")]


@pytest.mark.parametrize(
    "data",
    [codecs.BOM_UTF16_LE + b"c\0a\0l", gzip.compress(b"call_id,received_at", mtime=0)[:-9], b""],
    ids=["utf-16", "gzip", "empty"],
)
def test_a_text_that_is_cut_off_is_one_clear_error(tmp_path, data):
    path = tmp_path / "calls.csv"
    path.write_bytes(data)
    with pytest.raises(LogError, match=r"calls\.csv: (cannot be|the file is empty)"):
        read_calls(path)


def test_an_old_workbook_is_named_as_what_it_is(tmp_path):
    path = tmp_path / "calls.xls"
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512))
    with pytest.raises(LogError, match=r"old Excel .*save it as \.xlsx"):
        read_calls(path)


@pytest.mark.parametrize("line_end", ["", "\n", "\r\n\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_header_alone_is_a_log_without_calls(tmp_path, encoding, line_end):
    path = tmp_path / "calls.csv"
    path.write_bytes(f"call_id;received_at{line_end}".encode(encoding))
    assert len(read_calls(path)) == 0


def test_a_separator_that_is_not_read_is_named(tmp_path):
    path = tmp_path / "calls.csv"
    path.write_text("sep=§\ncall_id§received_at\n", encoding="utf-8")
    with pytest.raises(LogError, match="separated by '§', expected one of commas, semicolons"):
        read_calls(path)


def test_rows_that_are_quoted_as_a_whole_have_one_value_each(tmp_path):
    path = tmp_path / "calls.csv"
    path.write_text(f'call_id,received_at,caller\n"a,{T},081290417733"\n')
    assert problems_of(path) == [(2, "(row)", f'1 values: "a,{T},[number]"', "3 values, one for each column")]


@pytest.mark.parametrize("name", ["calls.csv", "calls.xlsx"])
def test_what_a_file_is_is_told_by_its_bytes_and_not_by_its_name(tmp_path, name):
    path = tmp_path / name
    path.write_text(f"call_id,received_at\na,{T}\n")
    assert len(read_calls(path)) == 1
    path.write_bytes(b"PK\x03\x04 and no workbook")
    with pytest.raises(LogError, match="packed like a workbook"):
        read_calls(path)
