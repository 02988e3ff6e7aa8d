"""Who reads or writes a location that a request, an event or a record names asks first whether it is allowed."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from app.errors import RequestError
from app.handlers.base import LambdaHandler

APP = Path(__file__).parents[3] / "app"
OPENS = {"read_location", "write_location", "open_objects"}
CHECKS = "check_allowed"
# Their locations are a person's or a setting's.
OF_A_PERSON = {"app/handlers/request.py", "app/cli", "app/doctor", "app/domains/alerts/cli"}
OF_A_SETTING = {"app/inference/bundle.py", "app/storage", "app/stream/runtime.py"}


def _names(path: Path) -> set[str]:
    return {
        node.func.id
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }


def test_every_module_that_opens_a_location_from_outside_checks_it() -> None:
    unchecked = [
        name
        for path in sorted(APP.rglob("*.py"))
        if (name := path.relative_to(APP.parent).as_posix())
        and not any(name == each or name.startswith(f"{each}/") for each in OF_A_PERSON | OF_A_SETTING)
        and (called := _names(path)) & OPENS
        and CHECKS not in called
    ]
    assert unchecked == ["app/jobs/context.py"]  # by `located`, which checks


class EchoHandler(LambdaHandler[str, str]):
    """Returns what it is given."""

    def handle(self, request: str, invocation: object) -> str:  # noqa: ARG002 - the handler's
        """Return it."""
        return request


def test_an_event_that_names_the_object_with_its_request_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_LOCATIONS", "s3://bucket/requests")
    with pytest.raises(RequestError, match=r"^request: s3://bucket/requests2/a is below none of ALLOWED_LOCATIONS$"):
        EchoHandler.get_handler()("s3://bucket/requests2/a")
