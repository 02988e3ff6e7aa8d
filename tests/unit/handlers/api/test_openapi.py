"""The OpenAPI document: valid by the specification's own schema, and true of what is answered."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import jsonschema
import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from app.handlers.api.application import Api
from app.handlers.api.handler import ApiLambdaHandler
from app.settings import Settings
from tests.unit.handlers.api.rides import HANDLERS, KINDS, GetRideHandler, Ride, api, ask

TOKENS = {hashlib.sha256(b"t").hexdigest(): "*"}
document = json.loads(ask(api(), "HTTP API", "GET", "/openapi.json").text)


def holds(value: Any, schema: dict[str, Any]) -> None:
    """Raises unless a value is of a schema of the document."""
    jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(value)


@pytest.mark.parametrize("settings", [{}, {"api_tokens": TOKENS}], ids=["gateway", "tokens"])
def test_the_document_is_openapi_3_1(settings: dict[str, Any]) -> None:
    found = json.loads(ask(api(**settings), "REST API", "GET", "/openapi.json").text)
    assert found["openapi"] == "3.1.0"
    OpenAPIV31SpecValidator(found).validate()


def test_an_api_without_handlers_has_a_document_too() -> None:
    OpenAPIV31SpecValidator(Api([], Settings()).openapi()).validate()


def test_each_handler_is_one_operation() -> None:
    found = {
        operation["operationId"]: (path, method, operation["summary"])
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    assert found == {
        each.name: (each.route.replace("<", "{").replace(">", "}"), each.method.lower(), each.summary())
        for each in HANDLERS
    }


def test_fields_stand_where_they_are_sent() -> None:
    get = document["paths"]["/rides/{ride_id}"]["get"]
    put = document["paths"]["/rides/{ride_id}"]["put"]
    where = {each["name"]: (each["in"], each["required"]) for each in get["parameters"] if "name" in each}
    assert where == {
        "ride_id": ("path", True),
        "label": ("query", False),
        "tags": ("query", False),
        "minutes": ("query", False),
        "isReturn": ("query", False),
    }
    assert "requestBody" not in get
    body = put["requestBody"]
    assert body["required"] is False  # the path gives the only field that must be given
    assert body["content"]["application/json"]["schema"]["required"] == []
    assert set(body["content"]["application/json"]["schema"]["properties"]) == {"label", "tags", "minutes", "isReturn"}
    assert [each["$ref"].rpartition("/")[2] for each in put["parameters"][1:]] == [
        "x-client-version", "x-log-level", "x-correlation-id",
    ]  # fmt: skip


def test_who_must_say_who_they_are() -> None:
    secured = Api(HANDLERS, Settings(api_tokens=TOKENS)).openapi()["paths"]
    assert document["paths"]["/rides/{ride_id}"]["put"]["security"] == [{"bearer": ["rides:write"]}]
    assert "security" not in document["paths"]["/rides/{ride_id}"]["get"]
    assert secured["/rides/{ride_id}"]["get"]["security"] == [{"bearer": []}]
    assert "401" not in document["paths"]["/rides/{ride_id}"]["get"]["responses"]


@pytest.mark.parametrize(
    ("kind", "method", "target", "template", "body"),
    [(kind, *each) for kind in KINDS for each in (
        ("GET", "/rides/7?label=a&tags=b", "/rides/{ride_id}", None),
        ("GET", "/rides/seven", "/rides/{ride_id}", None),
        ("GET", "/rides/count?limit=5", "/rides/count", None),
        ("PUT", "/rides/7", "/rides/{ride_id}", {}),
        ("POST", "/rides", "/rides", [{"rideId": 1}]),
        ("POST", "/rides", "/rides", [{"rideId": "1"}]),
        ("POST", "/fail", "/fail", {"rideId": 1, "label": "409"}),
        ("POST", "/fail", "/fail", {"rideId": 1, "label": "422"}),
        ("POST", "/fail", "/fail", {"rideId": 1, "label": "503"}),
        ("POST", "/fail", "/fail", {"rideId": 1}),
    )],
)  # fmt: skip
def test_what_is_answered_is_what_the_document_says(
    kind: str, method: str, target: str, template: str, body: Any
) -> None:
    found = ask(api(), kind, method, target, body)
    responses = document["paths"][template][method.lower()]["responses"]
    response = responses[str(found.status)]
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
    holds(found.json, response["content"][found.headers["content-type"]]["schema"])


def test_a_request_by_the_document_is_taken() -> None:
    schema = document["paths"]["/rides"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    holds({"rideId": 1}, schema)
    holds([{"rideId": 1}], schema)
    with pytest.raises(jsonschema.ValidationError):
        holds({"rideId": "1"}, schema)


def test_a_response_that_may_be_nothing_has_two_answers() -> None:
    maybe = type("MaybeHandler", (GetRideHandler,), {"response_type": Ride | None, "__doc__": "Maybe."})
    responses = Api([maybe], Settings()).openapi()["paths"]["/rides/{ride_id}"]["get"]["responses"]
    assert {"200", "204"} <= set(responses)
    assert set(document["paths"]["/rides/{ride_id}"]["delete"]["responses"]) & {"200", "204"} == {"204"}


def test_two_types_of_one_name_are_told_apart() -> None:
    def handler(name: str, kind: Any) -> Any:
        return type(name, (GetRideHandler,), {"name": name, "route": f"/{name}", "request_type": kind, "__doc__": "x"})

    other = msgspec.defstruct("Ride", [("other", int)], module="elsewhere")
    found = Api([handler("one", Ride), handler("two", other)], Settings()).openapi()
    OpenAPIV31SpecValidator(found).validate()
    assert [each["name"] for each in found["paths"]["/two"]["get"]["parameters"] if "name" in each] == ["other"]


def test_the_class_that_is_subclassed_has_no_route_of_its_own() -> None:
    assert not hasattr(ApiLambdaHandler, "route")
