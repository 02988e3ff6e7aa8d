"""`handlers`, `invoke` and `serve`: the typed handlers as a list, one request to one, and those with a route."""

from __future__ import annotations

import sys
from functools import partial
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from app.cli.examples import example_event
from app.cli.lambda_request import (
    Payload,
    PayloadFile,
    ResponseLocation,
    answer,
    chosen_source,
    respond,
    wrong,
)
from app.cli.terminal import (
    Watched,
    configure_logs,
    is_watched,
    note,
    open_console,
    print_json,
    print_line,
    print_table,
)
from app.domain import INPUT_STREAM
from app.errors import EventError, SettingsError, UnknownHandlerError
from app.handlers.api.handler import ApiLambdaHandler
from app.handlers.base import LambdaFunction
from app.handlers.invocation import process_settings
from app.registry import HANDLERS
from app.text import json_text

STREAM = "stream"

Name = Annotated[str | None, typer.Argument(help="A name of the list, or a dotted one; all of them without.")]
ToInvoke = Annotated[str, typer.Argument(help="A name that `millrace handlers` lists, or package.module.Class.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON: with every name, type and schema.")]
AsMarkdown = Annotated[bool, typer.Option("--markdown", help="Print docs/handlers.md, made from the types.")]
Host = Annotated[str, typer.Option(help="The address to listen on.")]
AnyHost = Annotated[
    bool, typer.Option("--any-host", help="Take a host that others reach, with API_TOKENS: it has no TLS.")
]
Port = Annotated[int, typer.Option(min=0, max=65_535, help="The port; 0 for a free one.")]


class Described(msgspec.Struct, frozen=True):
    """The description of a handler, with the JSON Schemas of its request and its response.

    Attributes:
        name: The short name.
        summary: The first line of its docstring.
        qualified_name: The dotted name.
        route: Method and path, for one that answers HTTP.
        request: A JSON Schema (2020-12).
        response: A JSON Schema, too.
    """

    name: str
    summary: str
    qualified_name: str
    route: str | None
    request: dict[str, Any]
    response: dict[str, Any]


def described(name: str) -> Described:
    """Describe a handler.

    Args:
        name: A short name of the registry, or a dotted one.

    Raises:
        UnknownHandlerError: There is none, or it is a plain function, which has no types.
    """
    function = HANDLERS.find(name)
    if not isinstance(function, LambdaFunction):
        raise UnknownHandlerError(f"{name} is no typed handler: it has no schemas to show")
    handler = function.handler_class
    route = f"{handler.method} {handler.route}" if issubclass(handler, ApiLambdaHandler) else None
    return Described(
        handler.name,
        handler.summary(),
        handler.qualified_name(),
        route,
        handler.request_schema(),
        handler.response_schema(),
    )


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command()(handlers)
    cli.command()(invoke)
    cli.command()(serve)


def handlers(name: Name = None, as_json: AsJson = False, as_markdown: AsMarkdown = False) -> None:
    """List the typed handlers, or show one: its route, and the JSON Schema of its request and its response."""
    if as_markdown:
        if as_json or name is not None:
            wrong("millrace handlers", "--markdown is the whole page: give it alone")
        try:
            from devtools.docs.handlers import handlers as page  # noqa: PLC0415 - the image has no developers' tools
        except ModuleNotFoundError:
            raise SettingsError("--markdown needs a checkout of Millrace: run it there") from None
        for line in page().splitlines():
            print_line(line)
        return
    if name is not None:
        _show(described(name), as_json=as_json)
        return
    found = [described(each) for each in HANDLERS]
    if as_json:
        print_json(found)
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("name", no_wrap=True)  # whole at any width, since it is there to be typed
    for header in ("what it does", "route", "qualified name"):
        table.add_column(header, overflow="fold")
    for each in found:
        table.add_row(each.name, each.summary, each.route or "", each.qualified_name)
    print_table(table)


def invoke(
    name: ToInvoke = STREAM,
    payload: Payload = None,
    payload_file: PayloadFile = None,
    response_location: ResponseLocation = None,
) -> None:
    """Give a handler one request in this process, and print what it returns as JSON.

    Without a payload, `stream` gets an event with one example record. It publishes like the function itself: set
    TEST_RUN=True to compute only. `handle-lambda-request` does the same for scripts and containers.
    """
    configure_logs()
    payload_of = chosen_source("millrace invoke", payload, payload_file, None)
    if payload_of is None:
        if name != STREAM:
            HANDLERS.find(name)  # a name that does not exist comes first
            wrong("millrace invoke", f"no payload: give --payload JSON; `millrace handlers {name}` shows its schema")
        event = example_event(process_settings().pipeline_for(INPUT_STREAM))
        payload_of = partial(bytes, event)
    call = Watched(answer) if is_watched() else answer
    try:
        response = call(name, payload_of, response_location)
    except EventError as error:
        raise EventError(f"{error}; one record alone goes to `millrace explain`") from None
    if isinstance(call, Watched):
        note(call.line)
    respond(response, response_location, indent=response_location is None)


def serve(host: Host = "127.0.0.1", port: Port = 8000, any_host: AnyHost = False) -> None:
    """Answer the handlers that have a route over HTTP on this machine, until Ctrl-C.

    The code that answers in Lambda (app.api_function), one request at a time. Standard output has the URL; below it are
    /openapi.json and /health.
    """
    from app.api_function import lambda_handler  # noqa: PLC0415 - no other command needs the API
    from app.handlers.api.server import serve as answer_http  # noqa: PLC0415 - the same

    def announce(url: str) -> None:
        print_line(url)
        sys.stdout.flush()
        note("Ctrl-C stops")

    answer_http(lambda_handler.open(), host, port, announce=announce, any_host=any_host)


def _show(handler: Described, *, as_json: bool) -> None:
    if as_json:
        print_json(handler)
        return
    out = open_console(soft_wrap=True)  # lines whole, since a schema is there to be copied
    out.print(Text.assemble((handler.name, "bold"), f"  {handler.summary}"))
    out.print(handler.qualified_name)
    if handler.route:
        out.print(handler.route)
    for kind, schema in (("request", handler.request), ("response", handler.response)):
        out.print()
        out.print(Text(kind, "bold"))
        out.print(json_text(schema, indent=2))
