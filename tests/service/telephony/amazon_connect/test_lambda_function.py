"""The Lambda of deploy/amazon-connect, called as Amazon Connect calls it, with a real service behind it."""

import importlib.util
from collections.abc import Callable, Iterator

import pytest

from tests.support.processes import CHECKOUT, free_port

Handler = Callable[[dict, object], dict[str, str]]


@pytest.fixture
def function(monkeypatch) -> Iterator[Callable[..., Handler]]:
    """Give what makes the function that asks a service."""
    made = []

    def make(url: str, key: str) -> Handler:
        monkeypatch.setenv("SARING_URL", url)
        monkeypatch.setenv("SARING_KEY", key)
        path = CHECKOUT / "deploy" / "amazon-connect" / "lambda_function.py"
        spec = importlib.util.spec_from_file_location("lambda_function", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        made.append(module.saring)
        return module.lambda_handler

    yield make
    for client in made:
        client.close()


def event(call_id: str, caller: dict | None) -> dict:
    """What Amazon Connect tells, as its documentation has it."""
    contact = {
        "Attributes": {},
        "Channel": "VOICE",
        "ContactId": call_id,
        "CustomerEndpoint": caller,
        "InitialContactId": call_id,
        "InitiationMethod": "INBOUND",
        "PreviousContactId": call_id,
        "SystemEndpoint": {"Address": "+62736112", "Type": "TELEPHONE_NUMBER"},
    }
    return {"Details": {"ContactData": contact, "Parameters": {}}, "Name": "ContactFlowEvent"}


def number(of_it: str) -> dict[str, str]:
    return {"Address": of_it, "Type": "TELEPHONE_NUMBER"}


def test_a_prankster_is_put_back_by_whole_minutes_and_never_by_more_than_was_decided(service, prankster, function):
    staff = {"operators": 1, "mean_handling_s": 60}
    assert service.ask("admin", "PUT", "/v1/operations", json=staff).status_code == 200
    for place in range(5):
        service.ring(f"before {place}", caller=f"+62811000{place:03}")
    told = function(service.url, service.keys["intake"])(event("4a573372-1f28-4e26-b97b-a", number(prankster)), None)
    known = service.known("4a573372-1f28-4e26-b97b-a")
    assert told["band"] == known["shown_band"]
    assert known["defer_s"] >= 60.0
    assert told["step_s"] == str(int(known["defer_s"] // 60 * 60))
    assert all(isinstance(value, str) for value in told.values())  # a flow reads nothing else


@pytest.mark.parametrize("caller", [None, {}, number("anonymous"), number("+62811000999")])
def test_a_call_without_a_past_or_a_number_is_not_put_back(service, function, caller):
    told = function(service.url, service.keys["intake"])(event(f"call of {caller}", caller), None)
    assert told["step_s"] == "0"


def test_without_saring_nobody_is_put_back(function, prankster):
    told = function(f"http://127.0.0.1:{free_port()}", "key")(event("b", number(prankster)), None)
    assert told == {"step_s": "0", "defer_s": "0.000", "band": "unscored"}
