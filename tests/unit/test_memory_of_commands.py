"""Commands in a process with little memory, given what is made to fill it: one line each, and no MemoryError."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest

from app.budgets import MOST_ELEMENTS, MOST_REQUEST_BYTES
from app.stream.testing import event_of
from tests.commands_for_tests import run_command

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MOST_MEMORY_BYTES = 512 * 1024 * 1024  # of data, what the command has imported included
LISTS = b"[" + b"[]," * (12 * MOST_ELEMENTS) + b"[]]"
ONE_FIELD = b'{"a":' * 50 + b"0" + b"}" * 50
BOMBS: dict[str, Callable[[], bytes]] = {
    "a list of empty lists": lambda: LISTS,
    "records that are empty lists": lambda: b'{"Records":' + LISTS + b"}",
    "objects in objects": lambda: b"[" + b",".join([ONE_FIELD] * 100_000) + b"]",
    "zeros": lambda: bytes(2 * MOST_REQUEST_BYTES),
    "a record of lists": lambda: event_of([b'{"input":' + LISTS[: 3 * MOST_ELEMENTS] + b"[]]}"]),
    "records that inflate": lambda: event_of([gzip.compress(b'{"input":' + LISTS[: 60 * 1024] + b"[]]}")] * 1000),
}
COMMANDS: dict[str, tuple[str, list[str]]] = {
    "explain": ("millrace", ["explain"]),
    "invoke": ("millrace", ["invoke", "--payload-file"]),
    "feed": ("millrace", ["feed"]),
    "mapping": ("millrace", ["mapping", "--from"]),
    "a request": ("handle-lambda-request", ["--handler", "get-json-from-file", "--payload-file"]),
    "a file in a request": ("handle-lambda-request", ["--handler", "get-json-from-file", "--payload"]),
}
ON_ALERTS = ("explain", "invoke")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "pipeline"), [*((name, "bike") for name in COMMANDS), *((name, "alerts-technique") for name in ON_ALERTS)]
)
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_command_refuses_what_would_fill_its_memory(bomb: str, name: str, pipeline: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb.json"
    path.write_bytes(BOMBS[bomb]())
    command, arguments = COMMANDS[name]
    given = json.dumps({"path": str(path)}) if name == "a file in a request" else str(path)
    environ = {"TEST_RUN": "True", "PIPELINE": pipeline}
    ended = run_command(command, [*arguments, given], environ=environ, memory_bytes=MOST_MEMORY_BYTES)
    assert ended.returncode >= 0, ended.returncode  # not killed
    for sign in ("Traceback", "MemoryError", "cannot allocate"):
        assert sign not in ended.stdout + ended.stderr
    if ended.returncode:
        assert len(ended.stderr.strip().splitlines()[-1]) < 500
