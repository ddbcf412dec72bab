"""The OpenAPI document is the truth: what it says the service does, and an integrator can work from it alone."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema

from service.security.api_keys import Role
from tests.support.keyed_service import NOBODY, Keyed

#: Here a body that breaks its schema may be taken: `forgiven` sees that the answer then names what was not.
FORGIVING = ("score", "batch", "answered", "ended", "disposition", "reopen")
POSITIVE = "positive_data_acceptance"
PHASES = ("examples", "coverage", "fuzzing", "stateful")
ROUNDS, MANY_ROUNDS = 8, 60
# A document cannot say "up to now", so times are drawn from the past; what lies ahead is in hostile/test_bodies.py.
_TIMES = st.datetimes(datetime(1990, 1, 2), datetime(2026, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
schemathesis.openapi.format("date-time", _TIMES.map(datetime.isoformat))


@pytest.fixture(scope="module")
def document(service: Keyed) -> dict[str, Any]:
    return service.ask("scientist", "GET", "/openapi.json").json()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def within(node: Any, key: str) -> Iterator[Any]:
    """Find every value of a key, however deep."""
    for name, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if name == key:
            yield value
        yield from within(value, key)


# What it says


def test_the_document_is_valid_and_every_reference_leads_somewhere(document):
    assert document["openapi"].startswith("3.1.")
    schemathesis.openapi.from_dict(document).validate()
    for reference in within(document, "$ref"):
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"]
    names = [operation["operationId"] for _, operation in operations(document)]
    assert len(names) == len(set(names))
    for link in within(document, "operationId"):
        assert link in names
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.Draft202012Validator({**schema, "components": document["components"]})


def test_the_document_is_the_same_for_everybody_who_has_a_key(service):
    assert len({service.ask(who, "GET", "/openapi.json").content for who in Role}) == 1
    assert service.ask(NOBODY, "GET", "/openapi.json").status_code == 401


def test_every_operation_has_a_summary_a_description_and_says_who_may(document):
    assert document["info"]["description"]
    for name, operation in operations(document):
        assert operation["summary"] != operation["operationId"].replace("_", " ").title(), name  # FastAPI's own
        assert len(operation["description"]) > len("Say that it lives."), name
        assert operation["tags"][0] in [tag["name"] for tag in document["tags"]], name
        public = operation["security"] == []
        assert public == (name in ("GET /healthz", "GET /readyz")), name
        for parameter in operation.get("parameters", []):
            assert parameter["description"], (name, parameter["name"])


def test_every_problem_is_documented_as_a_problem_document(document):
    for name, operation in operations(document):
        assert {"200", "400", "421"} <= set(operation["responses"]), name
        if operation["security"]:
            assert "401" in operation["responses"], name
        for status, response in operation["responses"].items():
            assert response["description"]
            if status != "200":
                ((media_type, content),) = response["content"].items()
                assert media_type == "application/problem+json", (name, status)
                assert content["schema"] == {"$ref": "#/components/schemas/ProblemDocument"}


def request_schemas(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    schemas = document["components"]["schemas"]
    wanted = [next(within(operation["requestBody"], "$ref")) for _, operation in operations(document)
              if "requestBody" in operation]  # fmt: skip
    found: dict[str, dict[str, Any]] = {}
    while wanted:
        name = wanted.pop().rsplit("/", 1)[1]
        if name not in found:
            found[name] = schemas[name]
            wanted.extend(within(schemas[name], "$ref"))
    return found


def test_every_field_of_a_request_says_its_meaning_unit_and_range(document):
    found = request_schemas(document)
    assert len(found) == 12
    for schema, field, node in ((s, f, n) for s, body in found.items() for f, n in body["properties"].items()):
        text, where = node.get("description", ""), (schema, field)
        assert len(text) > 10, where
        for one in (node, *node.get("anyOf", [])):
            if "maximum" in one:
                assert f"{one['minimum']:,.0f} to {one['maximum']:,.0f}" in text, where
            if one.get("type") == "string" and "maxLength" in one:
                assert str(one["maxLength"]) in text, where
            if one.get("format") == "date-time":
                assert "RFC 3339 with an offset" in text, where
        if field.endswith("_s"):
            assert re.search(r"\b[Ss]econds\b", text), where


def test_the_examples_of_the_document_tell_the_life_of_a_call(service, document):
    examples = {
        operation["operationId"]: (*name.split(" "), operation["requestBody"]["content"]["application/json"]["example"])
        for name, operation in operations(document)
        if "requestBody" in operation
    }
    call_id = examples["score"][2]["call_id"]
    told = ("score", "batch", "take", "release", "reopen", "answered", "ended", "disposition", "tokens", "operate",
            "lookup")  # fmt: skip
    assert {*told, "erase_caller"} == set(examples)
    for name in (*told, "erase_caller"):
        method, path, body = examples[name]
        answered = service.ask("admin", method, path.replace("{call_id}", call_id), json=body)
        assert answered.status_code == 200, (name, answered.text)
        # That the example is of another day is warned of.
        assert {one["field"] for one in answered.json().get("warnings", [])} <= {"received_at"}, name


def test_a_path_says_all_the_methods_that_it_takes(service):
    for who in ("admin", "operator"):
        refused = service.ask(who, "DELETE", "/v1/operations")
        assert refused.status_code == 405
        assert refused.headers["allow"] == "GET, PUT"
        assert refused.headers["content-type"] == "application/problem+json"


# What it does


@schemathesis.check
def forgiven(ctx, response, case) -> None:
    """A body that breaks its schema and is taken all the same names in its warnings every field that was not."""
    name = case.operation.definition.raw.get("operationId")
    if name not in FORGIVING or response.status_code != 200:
        return
    schemas = case.operation.schema.raw_schema["components"]["schemas"]
    sent, answer = json.loads(response.request.body), response.json()
    pairs = zip(sent["calls"], answer["results"], strict=True) if name == "batch" else [(sent, answer)]
    properties = schemas[{"score": "ScoreRequest", "batch": "ScoreRequest"}.get(name, name.title())]["properties"]
    for body, told in pairs:
        if "warnings" in told:  # else, of a batch, a problem in its place
            wrong = {field for field in properties.keys() & body if not fits(properties[field], body[field])}
            assert wrong <= {warning["field"] for warning in told["warnings"]}, (body, told)


@schemathesis.check
def rightly_refused(ctx, response, case) -> None:
    """A body that keeps to its schema is refused only for what no schema can say."""
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code != 422:
        return
    for error in response.json()["errors"]:
        assert re.match("expected a time from 1990 up to now|a telephone number|words without it", error["detail"])


def fits(schema: dict[str, Any], value: object) -> bool:
    return jsonschema_rs.is_valid(schema, value)


def failures(service: Keyed, who: str, rounds: int, phases: tuple[str, ...] = PHASES) -> tuple[int, list[str]]:
    """Let schemathesis ask everything with all of its checks on; gives how many requests it made, and what failed."""
    checks = {
        # Nothing is switched off. Where the contract forgives, 200 is right, and `forgiven` looks closer.
        "negative_data_rejection": {"expected-statuses": [200, 400, 401, 403, 404, 405, 409, 413, 422]},
        # What a schema cannot say is "up to now" and "shows a number"; `rightly_refused` looks closer.
        POSITIVE: {"expected-statuses": [200, 401, 403, 404, 409, 422]},
    }
    forgives = {"include-operation-id": list(FORGIVING), "checks": checks}
    erases = {"include-operation-id": "erase_caller", "checks": {"positive_data_acceptance": checks[POSITIVE]}}
    config = {
        "seed": 1,
        "headers": service.by(who),
        "request-timeout": 20,
        "max-stream-events": 1,
        "generation": {"max-examples": rounds, "deterministic": True, "database": "none"},
        "phases": {name: {"enabled": name in phases} for name in PHASES},
        "operations": [forgives, erases],
    }
    schema = schemathesis.openapi.from_url(
        f"{service.client.base_url}/openapi.json",
        headers=service.by("admin"),
        config=SchemathesisConfig.from_dict(config),
    )
    asked, found = 0, []
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            found.append(str(getattr(event, "value", None) or getattr(event, "exception", event)))
        if isinstance(event, events.ScenarioFinished):
            asked += len(event.recorder.interactions)
            for case_id, checked in event.recorder.checks.items():
                answered = event.recorder.interactions[case_id].response
                for check in (one for one in checked if one.status is Status.FAILURE):
                    failure = check.failure_info.failure
                    told = f"{event.label}: {check.name}: {failure.title}: {failure.message}"
                    body = answered and (answered.status_code, answered.content[:300])
                    found.append(f"{told}\n{check.failure_info.code_sample}\n{body}")
    return asked, found


def test_everything_that_is_asked_by_the_document_is_answered_by_it(service):
    asked, found = failures(service, "admin", ROUNDS)
    assert not found, "\n\n".join(found[:5])
    assert asked > 500


@pytest.mark.parametrize("who", [NOBODY, "intake", "operator", "scientist"])
def test_a_role_is_answered_by_the_document_too(service, who):
    asked, found = failures(service, who, 2, ("examples", "fuzzing"))
    assert not found, "\n\n".join(found[:5])
    assert asked > 40


@pytest.mark.slow
@pytest.mark.parametrize("who", [NOBODY, *Role])
def test_everything_is_answered_by_the_document_many_times(service, who):
    _, found = failures(service, who, MANY_ROUNDS)
    assert not found, "\n\n".join(found[:5])
