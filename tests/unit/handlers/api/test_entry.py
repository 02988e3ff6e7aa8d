"""The API as Lambda starts it, and what importing it costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from app.api_function import lambda_handler
from app.handlers.api.application import Api
from app.handlers.api.lambda_events import LambdaAdapter
from app.handlers.invocation import process_settings
from app.settings import Settings
from tests.handlers_for_tests import LambdaContext
from tests.unit.handlers.api.rides import EVENTS, Reply, http_event, reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(autouse=True)
def _settings_read_anew() -> Iterator[None]:
    process_settings.cache_clear()
    yield
    process_settings.cache_clear()


def test_the_first_event_opens_the_api() -> None:
    made: list[Api] = []

    def make() -> Api:
        made.append(Api([], Settings()))
        return made[-1]

    function = LambdaAdapter(make)
    assert made == []
    for _ in range(2):
        assert reply(function(http_event("GET", "/health"), LambdaContext())).json == {"status": "ok"}
    assert made == [function.open()]


@pytest.mark.parametrize("make", EVENTS.values(), ids=EVENTS)
def test_bikes_are_predicted_over_http_one_or_many(make: Callable[..., dict[str, Any]]) -> None:
    def predict(body: Any) -> Reply:
        return reply(lambda_handler(make("POST", "/bike/predictions", json.dumps(body)), LambdaContext()))

    record = {"features": {"t1": 2, "t2": 3, "hum": 50, "weather_code": 2}, "pred_id": 123}
    one, many = predict(record), predict([record, {**record, "pred_id": 124}])
    assert (one.status, many.status) == (200, 200)
    assert [each["prediction"]["pred_id"] for each in one.json["predictions"]] == [123]
    assert [each["prediction"]["pred_id"] for each in many.json["predictions"]] == [123, 124]
    wrong = predict([record, {**record, "features": {**record["features"], "t1": "warm"}}])  # type: ignore[dict-item]
    assert (wrong.status, [each["index"] for each in wrong.json["quarantined"]]) == (200, [1])
    assert "$.features.t1" in wrong.json["quarantined"][0]["message"]
    wrong = predict({**record, "features": {**record["features"], "t1": "warm"}})  # type: ignore[dict-item]
    assert (wrong.status, wrong.json["field"]) == (400, "$.features.t1")


def test_the_document_of_the_api_is_valid() -> None:
    found = lambda_handler.open().openapi()
    OpenAPIV31SpecValidator(found).validate()
    assert "/bike/predictions" in found["paths"]


def test_a_setting_that_cannot_be_ends_the_start_with_one_line() -> None:
    environment = {**os.environ, "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1", "API_MIN_CLIENT_VERSION": "two"}
    found = subprocess.run(
        [sys.executable, "-c", "import app.api_function"], env=environment, capture_output=True, text=True, check=False
    )
    assert found.returncode == 10
    [line] = found.stderr.splitlines()
    assert json.loads(line)["message"].startswith("API_MIN_CLIENT_VERSION is 'two'")


def test_an_api_imports_its_framework_and_no_more() -> None:
    program = (
        "import sys, app.handlers.api.handler, app.registry\n"
        "assert not [name for name in sys.modules if name.startswith(('starlette', 'asyncio'))]\n"
        "import app.handlers.api.lambda_events\n"
        "from app.settings import Settings\n"
        "made = app.handlers.api.application.Api([], Settings())\n"
        "app.handlers.api.lambda_events.LambdaAdapter(lambda: made).open()\n"
        "assert 'starlette.routing' in sys.modules\n"
        "absent = 'pydantic', 'boto3', 'numpy', 'uvicorn', 'aws_lambda_powertools'\n"
        "assert not [name for name in sys.modules if name.split('.')[0] in absent]\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
