"""Hostile batches: one call that makes no sense keeps no other from its score."""

import json

import httpx
import pytest

from tests.support.hostile import START, deep, looked_at, named, with_call
from tests.support.keyed_service import Keyed


def batch(service: Keyed, content: bytes) -> httpx.Response:
    return looked_at(service.ask("intake", "POST", "/v1/score/batch", content=content))


def test_a_batch_of_more_than_a_thousand_is_refused(service):
    answered = batch(service, json.dumps({"calls": [{}] * 1_001}).encode())
    assert (answered.status_code, named(answered)) == (422, {"calls"})
    assert len(batch(service, json.dumps({"calls": [{}] * 1_000}).encode()).json()["results"]) == 1_000
    assert batch(service, b'{"calls": []}').json() == {"results": []}


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"calls": null}', b'{"calls": {}}', b'{"calls": "a"}', b"5"])
def test_a_batch_that_is_no_list_of_calls_is_refused(service, body):
    answered = batch(service, body)
    assert (answered.status_code, named(answered)) == (422, {"calls"})


def test_in_a_batch_one_that_cannot_be_scored_keeps_no_other_from_it(service):
    wrong = [b"null", b"5", b'"a"', b"[]", b"{}", b'{"call_id": "a"}', b'{"call_id": "\\u0000", "x_a": NaN}',
             deep(b"[", b"]", times=150), b"NaN", b"1e999", b"9" * 400,
             b'{"x_a": "' + b"a" * 70_000 + b'"}']  # fmt: skip
    right = [with_call(call_id=f"beside {place}") for place in range(len(wrong))]
    items = [one for pair in zip(wrong, right, strict=True) for one in pair]
    results = batch(service, b'{"calls": [' + b",".join(items) + b"]}").json()["results"]
    assert [result.get("status") for result in results[::2]] == [422] * len(wrong)
    assert all(result["errors"] for result in results[::2])
    assert [result["call_id"] for result in results[1::2]] == [f"beside {place}" for place in range(len(right))]
    assert all(result["durable"] for result in results[1::2])


def test_a_number_that_is_none_spoils_its_own_call_of_a_batch_alone(service):
    items = START + b'"call_id": "nan", "duration_s": NaN}, ' + with_call(call_id="beside nan")
    results = batch(service, b'{"calls": [' + items + b"]}").json()["results"]
    told = [{warning["field"] for warning in result["warnings"]} for result in results]
    assert told == [{"duration_s", "received_at"}, {"received_at"}]  # they are of January


def test_the_same_call_many_times_in_one_batch_counts_once(service):
    same = with_call(call_id="same", caller="+6281255555555")
    results = batch(service, b'{"calls": [' + b",".join([same] * 50) + b"]}").json()["results"]
    assert all(result == results[0] for result in results)
    asked = {"caller": "+6281255555555"}
    looked_up = service.ask("operator", "POST", "/v1/callers/lookup", json=asked).json()
    assert looked_up["history"]["calls_ever"] == 1.0
    other = with_call(call_id="same", caller="+6281255555556")
    results = batch(service, b'{"calls": [' + b",".join([same, other]) + b"]}").json()["results"]
    assert results[0]["durable"]
    assert (results[1]["status"], results[1]["errors"][0]["field"]) == (409, "caller")


def test_a_call_told_of_two_callers_at_once_is_of_one_of_them(service):
    callers = [f"+62812555566{place:02}" for place in range(20)]
    items = [with_call(call_id="whose", caller=caller) for caller in callers]
    results = batch(service, b'{"calls": [' + b",".join(items) + b"]}").json()["results"]
    assert sorted(result.get("status", 200) for result in results) == [200] + [409] * 19
    told = [service.ask("operator", "POST", "/v1/callers/lookup", json={"caller": caller}).json() for caller in callers]
    assert sum(one["history"]["calls_ever"] for one in told) == 1.0


def test_a_batch_has_a_size(service):
    within = b'{"calls": [' + b" " * 8_000_000 + with_call(call_id="behind blanks") + b"]}"
    assert batch(service, within).json()["results"][0]["durable"]
    beyond = b'{"calls": [' + b" " * 8_400_000 + b"]}"
    answered = batch(service, beyond)
    assert (answered.status_code, named(answered)) == (413, {"(body)"})
    assert batch(service, b'{"calls": [' + b"[" * 1_000_000).status_code == 400
    assert batch(service, b'{"calls": [' + b"0," * 2_000_000 + b"0]}").status_code == 422
