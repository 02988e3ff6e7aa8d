"""Run a training command: a function with options, whose errors are printed as one line."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import typer

from app.errors import MillraceError

if TYPE_CHECKING:
    from collections.abc import Callable


def run_command(program: str, command: Callable[..., None]) -> None:
    """Run a command; print Millrace's own errors as one line, without a traceback."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # training needs no network
    try:
        typer.run(command)
    except MillraceError as error:
        print(f"{program}: {error.line}", file=sys.stderr)
        sys.exit(error.exit_code)
