"""`millrace cloud`: the local cloud from the command line."""

from __future__ import annotations

import signal
from importlib.util import find_spec
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from app.errors import CloudError

EXIT_NOT_UP = 3  # what `systemctl status` says of a service that does not run

app = typer.Typer(no_args_is_help=True)

Port = Annotated[int, typer.Option(help="The one port of all services.", min=1, max=65535)]


@app.callback()
def main() -> None:
    """The local cloud: AWS on this machine, with nothing but Python."""
    if find_spec("psutil") is None:
        raise CloudError(
            "the local cloud is not installed: run scripts/cloud.sh, or pip install -r requirements/cloud.txt"
        )


@app.command()
def up(
    port: Port = 4566,
    use_localstack: Annotated[
        bool, typer.Option("--localstack", help="LocalStack for what it has here; moto for the rest.")
    ] = False,
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay, and end it with Ctrl-C.")] = False,
) -> None:
    """Start the local cloud, and print the variables that point AWS clients at it."""
    from devtools.cloud import supervisor  # noqa: PLC0415 # its packages are in no image

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C: nothing stays behind
    if foreground and any(one.alive for one in supervisor.status(port)):
        raise CloudError(f"a cloud is up on port {port} already: millrace cloud down --port {port} ends it")
    cloud = supervisor.up(port, use_localstack=use_localstack, say=_say)
    try:
        _say(f"up on {cloud.url}")
        typer.echo("".join(f"export {name}={value}\n" for name, value in cloud.environment.items()), nl=False)
        if foreground:
            supervisor.watch(port)
    except KeyboardInterrupt:
        _say("ending")
    finally:
        if foreground:
            supervisor.down(port)


@app.command()
def down(port: Port = 4566) -> None:
    """End the local cloud."""
    from devtools.cloud import supervisor  # noqa: PLC0415

    _say("down" if supervisor.down(port) else "nothing was up")


@app.command()
def status(port: Port = 4566) -> None:
    """Show what runs; exit with 3 unless all of it does."""
    from devtools.cloud import supervisor  # noqa: PLC0415

    health = supervisor.status(port)
    if not health:
        _say("nothing is up")
        raise typer.Exit(EXIT_NOT_UP)
    table = Table("service", "url", "pid", "memory", "")
    for one in health:
        memory = f"{one.memory_bytes / 2**20:.0f} MiB" if one.alive else ""
        table.add_row(one.name, one.url, str(one.pid), memory, "up" if one.alive else "[red]ended[/]: up mends it")
    Console().print(table)
    if not all(one.alive for one in health):
        raise typer.Exit(EXIT_NOT_UP)


def _say(text: str) -> None:
    typer.echo(f"cloud: {text}", err=True)  # stdout is for `eval "$(millrace cloud up)"`
