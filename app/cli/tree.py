"""The tree of all commands, with those of each domain."""

from __future__ import annotations

import importlib

import typer

from app.cli import doctor, handlers, mapping, model, quarantine, records, run
from app.registry import DOMAINS


def command_tree() -> typer.Typer:
    """The `millrace` command with all that is below it."""
    cli = typer.Typer(
        name="millrace",
        help="Models behind an Amazon Kinesis stream, in-process, with nothing lost.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    for module in (run, handlers, mapping, records, quarantine, model, doctor):
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
