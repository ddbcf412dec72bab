"""Live requests are read by the log's grammar: callers, words, numbers and times as people write them."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

NUMBER = "+6281234567890"
CALL = {"call_id": "a", "received_at": "2026-01-31T08:15:00+07:00", "caller": NUMBER, "line": "mobile"}


@pytest.fixture(scope="module")
def shared(serving, tmp_path_factory, release_folder: Path) -> Iterator[httpx.Client]:
    with serving(tmp_path_factory.mktemp("grammar"), release_folder) as client:
        yield client


def fields_warned_of(answer: httpx.Response) -> list[str]:
    """Give the fields of an answer's warnings; that the call is of January is one, too."""
    fields = [warning["field"] for warning in answer.json()["warnings"]]
    assert fields.pop() == "received_at"
    return fields


#: One person, as trunks, spreadsheets and people write the number.
SPELLINGS = [
    NUMBER, "081234567890", "6281234567890", "006281234567890", "+62081234567890", "0812 3456 7890", "'081234567890",
    "sip:+6281234567890@10.0.0.5;user=phone", "<sip:081234567890@10.0.0.5:5060>", "tel:081234567890;phone-context=+62",
    '"Ibu Wati" <081234567890>', '="081234567890"', "6281234567890.0", "0812-3456-7890 ext 2", 81234567890,
    6281234567890, 6281234567890.0,
]  # fmt: skip


def test_one_person_is_one_caller_however_the_number_is_written(shared):
    callers = set()
    for place, spelt in enumerate(SPELLINGS):
        call_id = f"spelt {place}"
        answer = shared.post("/v1/score", json=CALL | {"call_id": call_id, "caller": spelt})
        assert fields_warned_of(answer) == []
        known = shared.get(f"/v1/calls/{call_id}").json()
        callers.add(known["caller"])
        assert known["history"]["calls_ever"] == 0.0  # all rang at the same moment: none had before
    assert len(callers) == 1
    assert shared.post("/v1/callers/lookup", json={"caller": 81234567890}).json()["caller"] in callers


@pytest.mark.parametrize(
    ("field", "spelt", "value"),
    [
        ("line", "MOBILE", "mobile"),
        ("line", " No_SIM ", "no_sim"),
        ("attestation", "a", "A"),
        ("attestation", "FAILED", "failed"),
        ("opening_duration_s", "12.5", 12.5),
        ("opening_duration_s", "12,5", 12.5),
        ("opening_duration_s", "0.125", 0.125),
        ("opening_silence_ratio", "0,5", 0.5),
    ],
)
def test_a_word_in_any_casing_and_a_number_as_a_text_are_read(shared, field, spelt, value):
    call_id = f"{field} {spelt.strip()}"
    answer = shared.post("/v1/score", json=CALL | {"call_id": call_id, field.removeprefix("opening_"): spelt})
    assert fields_warned_of(answer) == []
    assert shared.get(f"/v1/calls/{call_id}").json()[field] == value


@pytest.mark.parametrize(
    "spelt",
    ["2026-01-31 08:15:00+07", "2026-01-31T08:15:00+0700", "2026-01-31 01:15:00Z", "2026-01-31t01:15:00.000z"],
)
def test_a_time_is_read_as_databases_and_programs_write_it(shared, spelt):
    call_id = f"at {spelt}"
    body = b"\xef\xbb\xbf" + json.dumps(CALL | {"call_id": call_id, "received_at": spelt}).encode()
    assert fields_warned_of(shared.post("/v1/score", content=body)) == []
    assert shared.get(f"/v1/calls/{call_id}").json()["received_at"] == "2026-01-31T01:15:00.000000+00:00"
    path = f"/v1/calls/{call_id}".replace("+", "%2B")
    ended = {"ended_at": spelt.replace(":15:", ":16:"), "ended_by": "Caller", "duration_s": "31,5"}
    assert shared.post(f"{path}/ended", json=ended).json()["warnings"] == []
    closed = {"disposition": "Genuine", "disposed_at": spelt.replace(":15:", ":17:")}
    assert shared.post(f"{path}/disposition", json=closed).json()["warnings"] == []
    known = shared.get(path).json()
    assert (known["ended_by"], known["duration_s"], known["disposition"]) == ("caller", 31.5, "genuine")


def test_a_batch_is_read_by_the_same_grammar(shared):
    item = CALL | {"call_id": "of a batch", "line": "Landline", "caller": 81234567890, "duration_s": "12,5"}
    body = b"\xef\xbb\xbf" + json.dumps({"calls": [item]}).encode()
    (result,) = shared.post("/v1/score/batch", content=body).json()["results"]
    assert [warning["field"] for warning in result["warnings"]] == ["received_at"]
    known = shared.get("/v1/calls/of a batch").json()
    assert (known["line"], known["opening_duration_s"]) == ("landline", 12.5)
