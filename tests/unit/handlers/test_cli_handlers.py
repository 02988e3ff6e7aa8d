"""`millrace handlers`: the handlers as a list, and one with its schemas."""

from __future__ import annotations

import base64
import json
import re
from importlib import metadata
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from app.cli.examples import example_event
from app.cli.handlers import described
from app.cli.tree import command_tree
from app.errors import UnknownHandlerError
from app.registry import HANDLERS, example_record

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "handlers.md"


def millrace(*arguments: str, expect: int = 0) -> str:
    """What the command prints."""
    done = CliRunner().invoke(command_tree(), arguments)
    assert done.exit_code == expect, done.output
    return done.output


def test_lists_every_handler() -> None:
    shown = millrace("handlers")
    for name in HANDLERS:
        handler = HANDLERS.handler_class(name)
        assert re.search(rf"^{name} .*{re.escape(handler.qualified_name())}", shown, re.MULTILINE)
        assert handler.summary() in shown
    assert "POST /bike/predictions" in shown


def test_a_narrow_terminal_cuts_no_name_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.cli.terminal.PIPE_WIDTH", 60)
    shown = millrace("handlers")
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 60
    for name in HANDLERS:
        assert re.search(rf"^{name} ", shown, re.MULTILINE)


def test_lists_them_for_programs() -> None:
    found = json.loads(millrace("handlers", "--json"))
    assert [each["name"] for each in found] == list(HANDLERS)
    assert found == [json.loads(millrace("handlers", each["name"], "--json")) for each in found]
    assert {each["name"]: each["route"] for each in found if each["route"]}["bike-predict"] == "POST /bike/predictions"


@pytest.mark.parametrize("name", ["get-json-from-file", "tests.handlers_for_tests.WeighParcelHandler"])
def test_shows_one_with_its_schemas(name: str) -> None:
    shown = millrace("handlers", name)
    handler = described(name)
    assert handler.qualified_name in shown
    for schema in (handler.request, handler.response):
        assert msgspec.json.format(msgspec.json.encode(schema), indent=2).decode() in shown


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("handlers", "nothing"),
        ("handlers", "app.cli.main"),
        ("handlers", "app.nowhere.Handler"),
        ("invoke", "nothing"),
        ("invoke", "app.nowhere.Handler"),
    ],
)
def test_what_is_no_typed_handler_is_one_line(command: str, name: str) -> None:
    done = CliRunner().invoke(command_tree(), [command, name])
    assert isinstance(done.exception, UnknownHandlerError)
    assert "\n" not in str(done.exception)


def test_the_page_is_printed_and_stands_alone() -> None:
    assert millrace("handlers", "--markdown") == PAGE.read_text()
    for arguments in (("--json",), ("stream",)):
        assert "--markdown is the whole page" in millrace("handlers", "--markdown", *arguments, expect=2)


def test_the_version_is_the_installed_packages() -> None:
    assert millrace("--version") == f"millrace {metadata.version('millrace')}\n"


@pytest.mark.parametrize("pipeline", ["bike", "alerts", "alerts-technique"])
def test_the_stream_is_invoked_with_a_record_that_its_pipeline_takes(
    pipeline: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = json.loads(example_event(pipeline))
    payload = base64.b64decode(event["Records"][0]["kinesis"]["data"])
    assert payload == example_record(pipeline)
    monkeypatch.setenv("PIPELINE", pipeline)
    assert "quarantined" not in json.loads(millrace("explain"))
