"""`saring check` says who the callers of a log were read as."""

import inspect
import json

from service.cli.main import app
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
    assert "calls that show no number: 4" in said
    assert [line.split() for line in said.splitlines() if "Private" in line] == [["Private", "Number", "2"]]
    assert "3 calls in 3 spellings" in said
    assert "1290417" not in said  # no number is shown
    counted = json.loads((tmp_path / "counted.json").read_text())
    assert (counted["numbers"], counted["spellings"], counted["without_number"]) == (2, 4, 4)


def test_a_region_is_asked_for_numbers_without_a_country(tmp_path):
    log = log_of(tmp_path, ["020 7946 0018", "+442079460018"])
    assert "1 number in 2 spellings" in saring("check", log, "--region", "GB")[1]
    assert "2 numbers in 2 spellings" in saring("check", log, "--region", "ID")[1]
    assert "--region: 'ZZ': expected an ISO 3166 region" in saring("check", log, "--region", "ZZ")[1]


def test_the_settings_of_training_say_whose_numbers_are_shared(tmp_path):
    log = log_of(tmp_path, ["(0736) 27411", "trunk-7", "WATI", "0812 9041 7733"])
    (tmp_path / "params.yaml").write_text("callers: {shared: ['+6273627411'], pseudonym: '[A-Z]{4}'}")
    said = saring("check", log, "--params", tmp_path / "params.yaml")[1]
    assert "2 numbers in 2 spellings" in said
    assert [line.split() for line in said.splitlines() if "trunk" in line] == [["trunk-7", "1"]]


def test_digits_that_a_spreadsheet_lost_are_refused_with_their_line_and_without_the_number(tmp_path):
    status, said = saring("check", log_of(tmp_path, ["+6281290417733", "6.28129E+12"]))
    assert status == 1
    assert "line 3         [number]E+12" in said
    assert "digits were lost (scientific notation)" in said


def test_a_log_without_calls_is_no_success(tmp_path):
    status, said = saring("check", log_of(tmp_path, []))
    assert (status, said.strip().endswith("no calls")) == (1, True)


def test_how_a_file_was_read_is_said_once_and_a_mapping_reads_what_an_export_calls_its_own(tmp_path):
    (tmp_path / "EXPORT.CSV").write_bytes(
        "start;who;uniqueid;state\r\n2024-06-01 09:00:00;081290417733;a;Hoax\r\n".encode("utf-16")
    )
    (tmp_path / "mapping.toml").write_text(
        'time_zone = "Asia/Jakarta"\n[columns]\ncall_id = "uniqueid"\nreceived_at = "start"\ncaller = "who"\n'
        'disposition = "state"\ndisposed_at = "start"\n[values.disposition]\nhoax = "prank"\n'
    )
    status, said = saring("check", tmp_path / "EXPORT.CSV", "--map", tmp_path / "mapping.toml")
    assert status == 0, said
    assert said.count("read as CSV in UTF-16, separated by semicolons") == 1
    assert "1 call from 2024-06-01 02:00:00+00:00" in said
    assert ["prank", "1"] in [line.split() for line in said.splitlines()]
    assert saring("check", tmp_path / "EXPORT.CSV")[0] == 1


def test_a_row_later_than_now_is_a_problem(tmp_path):
    (tmp_path / "calls.csv").write_text(HEAD + "a,2099-06-01T09:00:00Z,\n")
    status, said = saring("check", tmp_path / "calls.csv")
    assert (status, "later than now" in said) == (1, True)


def test_every_command_that_takes_a_log_takes_a_mapping():
    parameters = {
        command.name or command.callback.__name__: inspect.signature(command.callback).parameters
        for command in app.registered_commands
    }
    takes = {
        name: "mapping" in given for name, given in parameters.items() if "corrections" in given or name == "rekey"
    }
    assert takes == dict.fromkeys(
        ("check", "train", "score", "evaluate", "drift", "import", "replay", "promote", "rekey"), True
    )
