"""Run `millrace cloud`: the local cloud from the command line."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from app.cli.terminal import note, print_line, print_table
from app.errors import CloudError
from devtools.cloud.state import DEFAULT_PORT, started_ports

if TYPE_CHECKING:
    from types import ModuleType

EXIT_NOT_UP = 3  # as `systemctl status` of a service that does not run

app = typer.Typer(no_args_is_help=True)

AnyPort = Annotated[
    int | None,
    typer.Option(help="The port it was started on; by default, what this folder started.", min=1, max=65535),
]


@app.callback()
def main() -> None:
    """Start, show and end the local cloud: AWS on this machine, with nothing but Python."""


@app.command()
def up(
    port: Annotated[int, typer.Option(help="The one port of all services.", min=1, max=65535)] = DEFAULT_PORT,
    use_localstack: Annotated[
        bool, typer.Option("--localstack", help="Use LocalStack for the services it has; moto for the rest.")
    ] = False,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay in the foreground, and end it with Ctrl-C.")
    ] = False,
) -> None:
    """Start the local cloud, and print the variables that point AWS clients at it."""
    supervisor = _supervisor()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C, which stops everything
    if foreground and any(one.alive for one in supervisor.status(port)):
        raise CloudError(f"a cloud is up on port {port} already: millrace cloud down --port {port} ends it")
    cloud = supervisor.up(port, use_localstack=use_localstack, log=_log)
    try:
        _log(f"up on {cloud.url}")
        for name, value in cloud.environment.items():
            print_line(f"export {name}={value}")
        if foreground:
            supervisor.watch(port)
    except KeyboardInterrupt:
        _log("ending")
    finally:
        if foreground:
            supervisor.down(port)


@app.command()
def down(port: AnyPort = None) -> None:
    """End the local cloud: the one on --port, or the only one, or that on 4566 where several are up."""
    supervisor = _supervisor()
    ports = started_ports()
    if port is None:
        port = ports[0] if len(ports) == 1 else DEFAULT_PORT
        if len(ports) > 1 and port not in ports:
            raise CloudError(f"clouds are up on ports {_listed(ports)}: choose one with --port")
    _log(f"down on port {port}" if supervisor.down(port) else "nothing was up")
    others = [each for each in ports if each != port]
    if others:
        _log(f"still up on port {_listed(others)}")


@app.command()
def status(port: AnyPort = None) -> None:
    """Show what runs, on --port or on every port that this folder started; exit with 3 unless all of it does."""
    supervisor = _supervisor()
    health = [each for one in ([port] if port else started_ports()) for each in supervisor.status(one)]
    if not health:
        _log("nothing is up")
        raise typer.Exit(EXIT_NOT_UP)
    table = Table("service", "url", "pid", "memory", "")
    for one in health:
        memory = f"{one.memory_bytes / 2**20:.0f} MiB" if one.alive else ""
        table.add_row(one.name, one.url, str(one.pid), memory, "up" if one.alive else Text("ended: up mends it", "red"))
    print_table(table)
    if not all(one.alive for one in health):
        raise typer.Exit(EXIT_NOT_UP)


def _supervisor() -> ModuleType:
    """Import the supervisor, whose packages no image has.

    Raises:
        CloudError: They are not installed.
    """
    try:
        from devtools.cloud import supervisor  # noqa: PLC0415 - --help works without its packages
    except ModuleNotFoundError as error:
        raise CloudError(
            f"the local cloud is not installed ({error.name} is missing): run scripts/cloud.sh, "
            "or pip install -r requirements/cloud.txt"
        ) from None
    return supervisor


def _listed(ports: list[int]) -> str:
    return ", ".join(map(str, ports))


def _log(text: str) -> None:
    note(f"cloud: {text}")  # stdout is for `eval "$(millrace cloud up)"`
