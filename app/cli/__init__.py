"""The `millrace` command: everything a person does with Millrace, each command a thin layer over the rooms below."""

from __future__ import annotations

import sys

import typer

from app.cli import demo, quarantine, records, run
from app.errors import MillraceError

cli = typer.Typer(
    name="millrace",
    help="Models behind an Amazon Kinesis stream, in-process, with nothing lost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for module in (run, records, quarantine, demo):
    module.register(cli)

INTERRUPTED = 130  # the shell's custom for Ctrl-C


def main() -> None:
    """Runs the command; what a user can mend is one line on standard error and an exit code of its own."""
    _mount_cloud()
    try:
        cli(standalone_mode=True)
    except MillraceError as error:
        sys.stderr.write(f"millrace: {error}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # `millrace drain | head`
        sys.stderr.close()
        sys.exit(0)


def _mount_cloud() -> None:
    """Adds `millrace cloud` where its packages are installed: the image does without them."""
    try:
        from app.cloud.cli import app as cloud  # noqa: PLC0415
    except ModuleNotFoundError:
        return
    cli.add_typer(cloud, name="cloud")
