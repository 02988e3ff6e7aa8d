"""JSON that is nested very deep: every reader that refuses broken JSON refuses it too."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import app
from app.cli.records import _as_json
from app.stream.replay import _read

if TYPE_CHECKING:
    from collections.abc import Iterator

DEEP = b'{"id":"1","more":' + b"[" * 50_000 + b"]" * 50_000 + b"}"
DECODER_ERRORS = frozenset(("MsgspecError", "DecodeError", "JSONDecodeError"))
ANY = frozenset(("RecursionError", "RuntimeError", "Exception", "BaseException", "UNREADABLE"))
"""Names that take a RecursionError; UNREADABLE is a tuple with it."""


def _names(handler: ast.ExceptHandler) -> set[str]:
    found = ast.walk(handler.type) if handler.type else ()
    return {
        each.attr if isinstance(each, ast.Attribute) else each.id
        for each in found
        if isinstance(each, ast.Attribute | ast.Name)
    }


def _incomplete() -> Iterator[str]:
    root = Path(app.__file__).parent
    for path in sorted(root.rglob("*.py")):
        text = path.read_text()
        tree = ast.parse(text) if any(name in text for name in DECODER_ERRORS) else ast.Module([], [])
        for node in ast.walk(tree):
            if isinstance(node, ast.Try):
                names = set[str]().union(*map(_names, node.handlers))
                if names & DECODER_ERRORS and not names & ANY:
                    yield f"{path.relative_to(root)}:{node.lineno}"


def test_whoever_takes_a_decoders_error_takes_that_of_deep_nesting() -> None:
    assert list(_incomplete()) == []


def test_a_nested_line_in_the_quarantine_stops_no_replay() -> None:
    assert _read(DEEP + b"\n" + DEEP, "here") == []


def test_a_nested_result_is_shown_in_base64() -> None:
    shown = _as_json(DEEP)
    assert isinstance(shown, dict)
    assert list(shown) == ["data_base64"]
