"""Run a training command: a function with options, whose errors are printed as one line."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import typer

from app.cli.entry import run_command as run_printable

if TYPE_CHECKING:
    from collections.abc import Callable


def run_command(program: str, command: Callable[..., None]) -> None:
    """Run a command; print Millrace's own errors as one line, without a traceback."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # training needs no network
    cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    cli.command()(command)
    run_printable(program, lambda: cli(standalone_mode=False))
