"""Every door reads a caller in the same way: a score, a look-up, the protected list, an erasure, a log."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.calls.call_events import events_of, sort_calls
from model.history.caller_history import FIELDS
from model.history.log_histories import LogHistories
from model.release.scored_log import score_log
from tests.support.call_histories import saring

SPELT = (
    "+62{}", "0{}", "62{}", "0062{}", "+620{}", "sip:+62{}@10.0.0.5;user=phone", "<sip:0{}@pbx:5060>;tag=1",
    "tel:0{};phone-context=+62", '"Ibu Wati" <0{}>', "'0{}", '="0{}"', "62{}.0", " 0{} ", "0{} ext 2",
    "\u200e+62{}\u202c",
    "0{} pesawat 4", "+62 (0){}", "0{}@10.0.0.5", "\uff10{}", "\u0660{}",
)  # fmt: skip
#: Kinds of text without a number: words, a word with a digit, an address, a code, a keypad, a placeholder, a null.
NOBODY = (
    "",
    "Number withheld",
    "unknown1",
    "sip:anonymous@anonymous.invalid",
    "110",
    "86282452253",
    "9999999999",
    "(null)",
)
START = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def client(serving, tmp_path_factory, release_folder):
    with serving(tmp_path_factory.mktemp("callers"), release_folder, replay=True, deadline_ms=5_000) as client:
        client.headers["Saring-Clock"] = "as-recorded"
        yield client


def tell(client, call_id: str, at: datetime, caller: str, disposition: str = "") -> dict:
    said = {
        "call_id": call_id,
        "received_at": at.isoformat(),
        "caller": caller,
        "duration_s": 4.0,
        "silence_ratio": 0.9,
    }
    answer = client.post("/v1/score", json=said)
    assert answer.status_code == 200, answer.text
    over = (at + timedelta(seconds=20)).isoformat()
    assert client.post(f"/v1/calls/{call_id}/ended", json={"ended_at": over}).status_code == 200
    if disposition:
        closed = {"disposition": disposition, "disposed_at": over}
        assert client.post(f"/v1/calls/{call_id}/disposition", json=closed).status_code == 200
    return answer.json()


def calls_of(client, caller: str) -> float:
    return client.post("/v1/callers/lookup", json={"caller": caller}).json()["history"]["calls_ever"]


@given(
    st.integers(81_200_000_000, 81_299_999_999), st.lists(st.sampled_from(SPELT), min_size=1, max_size=4),
    st.sampled_from(SPELT), st.uuids(),
)  # fmt: skip
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whoever_is_found_and_erased_in_one_spelling_is_so_in_all(client, number, spelt, other, name):
    for place, form in enumerate(spelt):
        tell(client, f"{name} {place}", START + timedelta(hours=place), form.format(number), "genuine")
    assert calls_of(client, other.format(number)) == len(spelt)
    erased = client.post("/v1/callers/erase", json={"caller": other.format(number), "reason": "asked for it"})
    assert erased.json()["calls"] == len(spelt), erased.text
    assert {calls_of(client, form.format(number)) for form in SPELT} == {0.0}


def test_a_text_without_a_number_is_answered_as_an_empty_caller_whatever_was_said_of_it(client):
    for place, nobody in enumerate(NOBODY * 3):
        tell(client, f"prank {place}", START + timedelta(days=60, minutes=place), nobody, "prank")
    at = START + timedelta(days=90)
    answers = [tell(client, f"nobody {place}", at, nobody) for place, nobody in enumerate(NOBODY)]
    for answer in answers:
        assert "no_number" in answer["guardrails"]
        assert {**answer, "call_id": ""} == {**answers[0], "call_id": "", "scored_at": answer["scored_at"]}


def test_a_protected_caller_is_protected_in_every_spelling_live_and_in_a_log(
    serving, tmp_path, release, release_folder, log_of
):
    number = 81_290_417_733
    words = ("--database", f"sqlite:///{tmp_path / 'saring.db'}", "--release", release_folder,
             "--key-file", tmp_path / "saring.key")  # fmt: skip
    with serving(tmp_path, release_folder):
        pass  # it makes the store and its keys
    assert saring("protect", "add", "-", "--reason", "clinic", *words, given=SPELT[5].format(number))[0] == 0
    rows = [{"call_id": f"c{place}", "received_at": START + timedelta(days=place), "caller": form.format(number)}
            for place, form in enumerate(SPELT)]  # fmt: skip
    with serving(tmp_path, release_folder, replay=True, deadline_ms=5_000) as client:
        client.headers["Saring-Clock"] = "as-recorded"
        live = [tell(client, row["call_id"], row["received_at"], row["caller"])["guardrails"] for row in rows]
    assert all("protected" in held for held in live)
    log = log_of([row | {"received_at": place * 86_400.0} for place, row in enumerate(rows)])
    past = score_log(log, release, stage="ring", protected=[SPELT[8].format(number)])
    assert all("protected" in held for held in past["guardrails"])
    histories = LogHistories(events_of(sort_calls(log), release.labels, release.numbering)).histories()
    np.testing.assert_array_equal(histories[:, FIELDS.index("calls_ever")], range(len(SPELT)))
