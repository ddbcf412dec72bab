"""`saring check` says who the callers of a log were read as."""

import json

from tests.support.call_histories import saring

HEAD = "call_id,received_at,caller\n"


def log_of(folder, callers: list[str]):
    rows = [f'c{place},2024-06-01T09:{place:02}:00+07:00,"{text}"' for place, text in enumerate(callers)]
    (folder / "calls.csv").write_text(HEAD + "".join(f"{row}\n" for row in rows))
    return folder / "calls.csv"


def test_callers_are_counted_by_person_and_calls_without_a_number_by_word(tmp_path):
    callers = [
        "+6281290417733",
        "081290417733",
        "0812 9041 7733",
        "Private Number",
        "Private Number",
        "",
        "112",
        "a1f9c0",
    ]
    status, said = saring("check", log_of(tmp_path, callers), "--out", tmp_path / "counted.json")
    assert status == 0
    assert "2 numbers in 4 spellings" in said
    assert "4 calls show no number" in said
    assert [line.split() for line in said.splitlines() if "Private" in line] == [["Private", "Number", "2"]]
    assert "3 calls in 3 spellings" in said
    assert "1290417" not in said  # no number is shown
    counted = json.loads((tmp_path / "counted.json").read_text())
    assert (counted["numbers"], counted["spellings"], counted["without_number"]) == (2, 4, 4)


def test_a_region_is_asked_for_numbers_without_a_country(tmp_path):
    log = log_of(tmp_path, ["020 7946 0018", "+442079460018"])
    assert "1 number in 2 spellings" in saring("check", log, "--region", "GB")[1]
    assert "2 numbers in 2 spellings" in saring("check", log, "--region", "ID")[1]


def test_digits_that_a_spreadsheet_lost_are_refused_with_their_line_and_without_the_number(tmp_path):
    status, said = saring("check", log_of(tmp_path, ["+6281290417733", "6.28129E+12"]))
    assert status == 1
    assert "line 3         [number]E+12" in said
    assert "digits were lost (scientific notation)" in said


def test_a_log_without_calls_is_no_success(tmp_path):
    status, said = saring("check", log_of(tmp_path, []))
    assert (status, said.strip().endswith("no calls")) == (1, True)
