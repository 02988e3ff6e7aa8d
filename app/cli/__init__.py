"""The `millrace` command: each subcommand is a thin layer over the packages below it."""

from __future__ import annotations

import sys

from app.errors import MillraceError

INTERRUPTED = 130  # the shell's custom for Ctrl-C


def main() -> None:
    """Run the command; an error that a user can mend is one line on standard error, with an exit code of its own."""
    if not sys.flags.safe_path:
        sys.path.append("")  # PIPELINE may name a class in the current folder
    try:
        from app.cli.tree import command_tree  # noqa: PLC0415 - Ctrl-C while it loads is no stack trace either

        command_tree()()
    except MillraceError as error:
        sys.stderr.write(f"millrace: {error.line}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
