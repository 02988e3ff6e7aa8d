"""`bench`: the repository's benchmarks, in the environment that holds Millrace's peers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import typer  # noqa: TC002 - Typer reads the annotation

from app.errors import SettingsError

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-training" / "bin" / "python"


def register(cli: typer.Typer) -> None:
    """Adds the command; its own arguments, --help too, are the benchmarks'."""
    options = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    cli.command(context_settings=options)(bench)


def bench(context: typer.Context) -> None:
    """Measure Millrace beside its peers in the same run (--help says more)."""
    if not (ROOT / "benchmarks" / "__main__.py").exists():
        raise SettingsError("the benchmarks are not part of the image: clone the repository and run scripts/bench.sh")
    if not PYTHON.exists():
        raise SettingsError("no .venv-training, which holds the peers: scripts/bench.sh makes it and runs this")
    command = [str(PYTHON), "-m", "benchmarks", *context.args]
    sys.exit(subprocess.run(command, cwd=ROOT, check=False).returncode)  # noqa: S603 - our own module
