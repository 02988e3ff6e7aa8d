"""Run a command of the whole tree in this process, at a terminal or in a pipe, and read all that it wrote."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest
import typer.main

from app.cli.entry import run_command
from app.cli.tree import command_tree
from app.errors import CloudError
from app.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_CODE = re.compile(r"\b\w+(Error|Exception) at ")


def is_printable(text: str) -> bool:
    """Whether a text has no unprintable characters but line ends and tabs."""
    return all(letter.isprintable() or letter in "\n\t" for letter in text)


class Terminal(io.TextIOWrapper):
    """Standard output or standard error in memory, as a terminal or a pipe."""

    def __init__(self, *, is_terminal: bool) -> None:
        self._bytes = io.BytesIO()
        super().__init__(self._bytes, encoding="utf-8", write_through=True)
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal

    @property
    def text(self) -> str:
        self.flush()
        return self._bytes.getvalue().decode()


def commands(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All commands below a group, each with its path."""
    for name, child in getattr(tree, "commands", {}).items():
        yield from commands(child, (*path, name))
    if not hasattr(tree, "commands"):
        yield path, tree


ROOT = typer.main.get_command(command_tree())
TREE = dict(commands(ROOT))


class Run:
    """What a command wrote, and its exit code; all of it is printable, and no exception escaped."""

    def __init__(self, arguments: Sequence[str], *, is_terminal: bool, command: Any = ROOT) -> None:
        stdout, stderr = Terminal(is_terminal=is_terminal), Terminal(is_terminal=is_terminal)
        self.code: object = 0
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(stdout),
            contextlib.redirect_stderr(stderr),
        ):
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO())))
            patch.setattr(logger, "propagate", logger.propagate)
            patch.setattr(logger, "handlers", [*logger.handlers])  # a command adds one, and plain lines at a terminal
            for handler in logger.handlers:
                patch.setattr(handler, "formatter", handler.formatter)
            try:
                run_command("it", lambda: command.main(arguments, prog_name="it", standalone_mode=False))
            except SystemExit as ended:
                self.code = ended.code
        self.out, self.err = stdout.text, stderr.text
        assert is_printable(self.out), arguments
        assert is_printable(self.err), arguments
        assert not _CODE.search(self.err), (arguments, self.err)


def start_nothing(monkeypatch: pytest.MonkeyPatch, folder: Path, fault: str) -> None:
    """Let commands that would start a server, a cloud or thousands of histories fail at once; show no colours."""

    def fails(*_: Any, **__: Any) -> None:
        raise CloudError(fault)

    for started in ("devtools.cloud.supervisor.up", "devtools.cloud.supervisor.down", "app.handlers.api.server.serve",
                    "app.stream.testing.checker.check_all"):  # fmt: skip
        monkeypatch.setattr(started, fails)
    monkeypatch.setattr("devtools.bench.PYTHON", folder / "nowhere")
    monkeypatch.setenv("MILLRACE_CLOUD_DIR", str(folder / "cloud"))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TERM", "dumb")  # a terminal that shows no colours: every escape sequence is somebody else's
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
