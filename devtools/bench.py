"""Run `millrace bench`: the repository's benchmarks, in the environment with Millrace's peers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import typer  # noqa: TC002 - Typer reads the annotation

from app.cli.terminal import print_line
from app.errors import SettingsError

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".venv-training" / "bin" / "python"


def register(cli: typer.Typer) -> None:
    """Add the command; its arguments, --help too, are handed to the benchmarks."""
    options = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    cli.command(context_settings=options)(bench)


def bench(context: typer.Context) -> None:
    """Measure Millrace and its peers, side by side in one run.

    The peers are installed in .venv-training, which scripts/bench.sh makes. After that --help lists all parts and
    options; benchmarks/README.md explains every row.

    Examples: scripts/bench.sh --quick;  scripts/bench.sh cpu acknowledged
    """
    if PYTHON.exists():
        command = [str(PYTHON), "-m", "benchmarks", *context.args]
        sys.exit(subprocess.run(command, cwd=ROOT, check=False).returncode)  # noqa: S603 - our own module
    if not {"--help", "-h"} & set(context.args):
        raise SettingsError("no .venv-training, which has the peers: scripts/bench.sh makes it and runs this")
    for line in context.get_help().splitlines():
        print_line(line)
