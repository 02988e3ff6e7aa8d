"""The start of a Lambda function: one line where it cannot work, and events as bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from types import ModuleType
from typing import Any

import pytest

from app.functions import take_raw_events


class StockMarshaller:
    """As the client's own: dicts in, text out."""

    def unmarshal_request(self, request: bytes, content_type: str = "application/json") -> Any:
        return json.loads(request) if content_type == "application/json" else request

    def marshal_response(self, response: Any) -> tuple[str, str]:
        return json.dumps(response, default=str), "application/json"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A stand-in for the runtime interface client; the real one is tried in the image's tests."""
    module: Any = ModuleType("awslambdaric.lambda_runtime_client")
    module.BaseLambdaRuntimeClient = type("Base", (), {"marshaller": StockMarshaller()})
    module.LambdaRuntimeClient = type("Client", (module.BaseLambdaRuntimeClient,), {})
    monkeypatch.setitem(sys.modules, module.__name__, module)
    found: ModuleType = module
    return found


def test_an_event_reaches_the_handler_as_it_came(client: Any) -> None:
    running = client.LambdaRuntimeClient()  # made before the handler's module is imported, as in Lambda
    assert take_raw_events()
    assert running.marshaller.unmarshal_request(b'{"Records": []}', "application/json") == b'{"Records": []}'


def test_what_is_not_json_is_left_to_the_client(client: Any) -> None:
    take_raw_events()
    assert client.LambdaRuntimeClient.marshaller.unmarshal_request(b"x", "text/plain") == b"x"


def test_an_answer_is_json_and_an_odd_one_is_left_to_the_client(client: Any) -> None:
    take_raw_events()
    marshal = client.LambdaRuntimeClient.marshaller.marshal_response
    body, kind = marshal({"batchItemFailures": []})
    assert (json.loads(body), kind) == ({"batchItemFailures": []}, "application/json")
    assert marshal({"odd": StockMarshaller})[1] == "application/json"
    assert json.loads(marshal({"price": Decimal("1.5")})[0]) == {"price": 1.5}


def test_asking_twice_changes_it_once(client: Any) -> None:
    take_raw_events()
    first = client.LambdaRuntimeClient.marshaller
    assert take_raw_events()
    assert client.LambdaRuntimeClient.marshaller is first


@pytest.mark.parametrize("marshaller", [None, object()])
def test_a_client_of_another_form_is_left_alone(client: Any, marshaller: object) -> None:
    client.BaseLambdaRuntimeClient.marshaller = marshaller
    assert not take_raw_events()
    assert client.BaseLambdaRuntimeClient.marshaller is marshaller


def test_without_the_client_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "awslambdaric.lambda_runtime_client", raising=False)
    assert not take_raw_events()


@pytest.mark.parametrize(
    ("module", "environ", "code"),
    [
        ("lambda_function", {"OUTPUT_STREAM": ""}, 12),
        ("app.lambda_function", {"TEST_RUN": "maybe"}, 10),
        ("app.api_function", {"API_TOKENS": "nothing"}, 10),
        ("app.router_function", {"ROUTER_HANDLERS": "get-jsonn"}, 10),
    ],
)
def test_in_lambda_a_start_that_cannot_work_is_one_line(module: str, environ: dict[str, str], code: int) -> None:
    environment = {**os.environ, "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001", **environ}
    done = subprocess.run(
        [sys.executable, "-c", f"import {module}"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == code
    [line] = done.stderr.splitlines()
    assert json.loads(line)["message"].partition(" ")[0].strip(":") in environ
