"""The tree of all commands, with those of each domain."""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import Annotated

import typer

from app.cli import doctor, handlers, mapping, model, quarantine, records, run, state, test
from app.cli.terminal import print_line
from app.registry import DOMAINS


def _print_version(asked: bool) -> None:
    if asked:
        print_line(f"millrace {metadata.version('millrace')}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
]


def _options(_version: Version = False) -> None:
    """Declare the options that stand before a command."""


def command_tree() -> typer.Typer:
    """Return the `millrace` command with its subcommands."""
    cli = typer.Typer(
        name="millrace",
        help="Models behind an Amazon Kinesis stream, in-process, with nothing lost.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    cli.callback()(_options)
    for module in (run, handlers, mapping, records, quarantine, state, model, doctor, test):
        module.register(cli)
    for domain in DOMAINS:
        if domain.commands:
            importlib.import_module(domain.commands).register(cli)
    try:
        from devtools import bench, demo  # noqa: PLC0415 - the image has no developers' tools
        from devtools.cloud.cli import app as cloud  # noqa: PLC0415
    except ModuleNotFoundError:
        return cli
    demo.register(cli)
    bench.register(cli)
    cli.add_typer(cloud, name="cloud")
    return cli
