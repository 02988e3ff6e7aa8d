"""The `millrace` command: each subcommand is a thin layer over the packages below it."""

from __future__ import annotations

import sys

from app.cli.entry import run_command


def main() -> None:
    """Run the `millrace` command."""
    if not sys.flags.safe_path:
        sys.path.append("")  # PIPELINE may name a class in the current folder

    def command() -> object:
        from app.cli.tree import command_tree  # noqa: PLC0415 - Ctrl-C while it loads is no stack trace either

        return command_tree()(prog_name="millrace", standalone_mode=False)

    run_command("millrace", command)
