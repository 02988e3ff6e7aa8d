"""One function for many handlers: what it calls, what it refuses, and whose logs and metrics there are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from app.errors import (
    HandlerFailedError,
    HandlerNotAllowedError,
    LocationError,
    RequestError,
    SettingsError,
    UnknownHandlerError,
)
from app.handlers.invocation import process_settings
from app.router_function import RouterHandler, lambda_handler
from tests.handlers_for_tests import LambdaContext, WeighParcelHandler, log_everything, registry_of, written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from app.handlers.base import LambdaFunction
    from app.handlers.invocation import Invocation
    from app.settings import Settings

GET_JSON = "app.domains.general.handlers.GetJSONFromFileHandler"


class FailHandler(WeighParcelHandler):
    """Fails."""

    def handle(self, request: Any, invocation: Invocation) -> Any:  # noqa: ARG002
        raise ZeroDivisionError("with a secret in its text")


@pytest.fixture
def router(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], LambdaFunction[RouterHandler]]]:
    """The router's function, made anew for an allow-list."""

    def make(allowed: str) -> LambdaFunction[RouterHandler]:
        monkeypatch.setenv("ROUTER_HANDLERS", allowed)
        process_settings.cache_clear()
        return RouterHandler.get_handler()

    yield make
    process_settings.cache_clear()


@pytest.fixture
def rides(tmp_path: Path) -> dict[str, str]:
    """A request for a file that there is."""
    (tmp_path / "rides.json").write_text('{"rides": [1, 2]}')
    return {"path": str(tmp_path / "rides.json")}


@pytest.mark.parametrize("name", ["get-json-from-file", GET_JSON])
@pytest.mark.parametrize("allowed", ["get-json-from-file", f" put-json-to-file , {GET_JSON},"])
def test_calls_a_handler_and_its_answer_is_the_answer(
    router: Callable[[str], Any], rides: dict[str, str], name: str, allowed: str
) -> None:
    assert router(allowed)({"handler": name, "event": rides}, None) == {"content": {"rides": [1, 2]}}


def test_takes_json_too(router: Callable[[str], Any], rides: dict[str, str]) -> None:
    event = json.dumps({"handler": "get-json-from-file", "event": rides})
    assert router("get-json-from-file")(event.encode()) == {"content": {"rides": [1, 2]}}


def test_calls_nothing_unless_it_is_allowed(router: Callable[[str], Any], rides: dict[str, str]) -> None:
    event = {"handler": "get-json-from-file", "event": rides}
    with pytest.raises(HandlerNotAllowedError, match=r"^no handler may be called: set ROUTER_HANDLERS to the names"):
        router("")(event)
    with pytest.raises(HandlerNotAllowedError, match=r"^handler get-json-from-file may not be called here"):
        router("put-json-to-file")(event)


@pytest.mark.parametrize("name", ["os.system", "app.cli.main", "nowhere", "bike-predict\n", "app.handlers.base"])
def test_imports_no_name_of_an_event(router: Callable[[str], Any], name: str) -> None:
    with pytest.raises(UnknownHandlerError, match=r"there are get-json-from-file$"):
        router("get-json-from-file")({"handler": name, "event": "true"})


def test_is_not_called_by_itself(router: Callable[[str], Any], rides: dict[str, str]) -> None:
    inner = {"handler": "get-json-from-file", "event": rides}
    with pytest.raises(HandlerNotAllowedError):
        router("get-json-from-file")({"handler": "router", "event": inner})
    for own in ("router", "app.router_function.RouterHandler"):
        with pytest.raises(SettingsError, match=r"^ROUTER_HANDLERS names the router itself"):
            router(f"get-json-from-file,{own}")(inner)


def test_a_wrong_name_in_the_allow_list_is_told_when_it_is_opened(router: Callable[[str], Any]) -> None:
    with pytest.raises(SettingsError, match=r"^ROUTER_HANDLERS: no handler 'get-jsonn': there are bike-predict, "):
        router("get-jsonn").open()


@pytest.mark.parametrize(
    ("event", "field"),
    [
        ({}, "$.handler"),
        ({"handler": "get-json-from-file"}, "$.event"),
        ({"handler": "", "event": {}}, "$.handler"),
        ({"handler": ["get-json-from-file"], "event": {}}, "$.handler"),
        ({"handler": "get-json-from-file", "event": {}, "more": 1}, "$.more"),
        ([], ""),
        (None, ""),
    ],
)
def test_its_own_request_is_strict(router: Callable[[str], Any], event: Any, field: str) -> None:
    with pytest.raises(RequestError) as caught:
        router("get-json-from-file")(event)
    assert caught.value.field == field


def test_the_handlers_errors_are_its_own(router: Callable[[str], Any]) -> None:
    function = router("get-json-from-file")
    with pytest.raises(RequestError, match=r"^\$\.path: object missing required field `path`$"):
        function({"handler": "get-json-from-file", "event": {}})
    with pytest.raises(LocationError, match=r"^/nowhere: cannot be read"):
        function({"handler": "get-json-from-file", "event": {"path": "/nowhere"}})


def test_the_handlers_logs_and_metrics_are_its_own(
    router: Callable[[str], Any], rides: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    log_everything()
    function = router("get-json-from-file")
    function({"handler": "get-json-from-file", "event": rides}, LambdaContext())
    inner, outer = written(capsys).metrics
    assert (inner["handler"], inner["success"], inner["bytes"]) == ("get-json-from-file", 1, 17)
    assert (outer["handler"], outer["success"]) == ("router", 1)
    with pytest.raises(LocationError):
        function({"handler": "get-json-from-file", "event": {"path": "/nowhere"}}, LambdaContext())
    failed = written(capsys)
    assert [(each["handler"], each["failure"]) for each in failed.metrics] == [
        ("get-json-from-file", 1),
        ("router", 1),
    ]
    assert failed.logs[0]["handler"] == "get-json-from-file"
    assert {each["correlation_id"] for each in failed.logs} == {"request-1"}


def test_what_a_handler_should_not_raise_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    registry = registry_of({"fail": f"{FailHandler.__module__}.FailHandler"})
    registry._functions["fail"] = FailHandler.get_handler()  # a test's module is imported by its path
    router = RouterHandler.get_handler()
    router._opened = RouterHandler(registry, ["fail"])
    with pytest.raises(HandlerFailedError, match=r"^handler fail failed with ZeroDivisionError"):
        router({"handler": "fail", "event": {"grams": 1}}, LambdaContext())
    assert "secret" not in written(capsys).text


def test_a_handler_is_opened_once(router: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Settings] = []

    class Once(WeighParcelHandler):
        @classmethod
        def open(cls, settings: Settings) -> Once:
            opened.append(settings)
            return cls()

    registry = registry_of({"once": "nowhere.Once"})
    registry._functions["once"] = Once.get_handler()
    monkeypatch.setattr("app.router_function.HANDLERS", registry)
    function = router("once")
    for grams in (1, 2):
        assert function({"handler": "once", "event": {"grams": grams}}) == {"cents": grams}
    assert len(opened) == 1


def test_says_what_it_takes() -> None:
    assert lambda_handler.handler_class is RouterHandler
    schema = RouterHandler.request_schema()["$defs"]["RouterRequest"]
    assert schema["required"] == ["handler", "event"]
    assert schema["additionalProperties"] is False
    assert msgspec.json.encode(RouterHandler.response_schema()) == b"{}"
