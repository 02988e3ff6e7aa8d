"""`handle-lambda-request`: one request to one handler, answered once; for a shell, a container or a batch job.

A command of its own, beside `millrace invoke`: it starts without the whole command tree, and it takes all that it is
asked for from the environment where nothing else can be given.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer

from app.cli import INTERRUPTED
from app.cli.one_request import (
    REQUEST_ID_VARIABLE,
    TIMEOUT_VARIABLE,
    answer,
    chosen_source,
    respond,
    wrong,
)
from app.errors import MillraceError

PROGRAM = "handle-lambda-request"

HANDLER_VARIABLES = ("AWS_LAMBDA_FUNCTION_HANDLER", "_HANDLER")
"""The first that is set counts; Lambda itself sets the second."""

PAYLOAD_VARIABLE = "AWS_LAMBDA_EVENT_PAYLOAD"
LOCATION_VARIABLE = "AWS_LAMBDA_EVENT_RESPONSE_LOCATION"

EPILOG = f"""
\b
A handler is a class (package.module.Class), a function (package.module.function), or a name that `millrace handlers`
lists. A class or function of your own is found where Python looks: put its folder on PYTHONPATH.
\b
environment, where no option says it:
  {", ".join(HANDLER_VARIABLES):<37} the handler
  {PAYLOAD_VARIABLE:<37} the request: JSON, a path, file:///…, s3://… or -
  {LOCATION_VARIABLE:<37} where the response goes
  {TIMEOUT_VARIABLE:<37} seconds that it may take (900)
  {REQUEST_ID_VARIABLE:<37} the invocation's id in logs (made up)
\b
examples:
  handle-lambda-request --handler get-json-from-file --payload '{{"path": "rides.json"}}'
  handle-lambda-request --handler get-json-from-file --payload-file s3://bucket/request.json -o s3://bucket/out.json
  echo '{{"path": "rides.json"}}' | handle-lambda-request --handler get-json-from-file -e - | jq .content
\b
The response is JSON with its keys sorted; where a handler returns nothing, {{}}. Logs go to standard error. Exit code 2
is a wrong command line, 42 a request that the handler does not take, 45 an unknown handler, 47 a file that cannot be
read or written, 51 a handler that failed; docs/handlers.md has all.
"""

Handler = Annotated[
    str | None,
    typer.Option(
        "--handler-qualified-name", "--handler-name", "--handler", metavar="NAME", help="The handler to call."
    ),
]
Payload = Annotated[
    str | None,
    typer.Option(
        "--payload",
        "--event",
        "-e",
        metavar="JSON|PATH|URL|-",
        help="The request: JSON, a path, file:///…, s3://bucket/key, or - for standard input.",
    ),
]
PayloadFile = Annotated[
    str | None,
    typer.Option(
        metavar="PATH|URL|-", help="The same, and never JSON itself: a path, file:///…, s3://bucket/key or -."
    ),
]
ResponseLocation = Annotated[
    str | None,
    typer.Option(
        "--response-location",
        "-o",
        metavar="PATH|URL|-",
        help="Where the response goes: a path, file:///… or s3://bucket/key; standard output without.",
    ),
]


def command() -> typer.Typer:
    """The command, with plain help: it is read in containers' logs too, and starts faster."""
    cli = typer.Typer(
        name=PROGRAM,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 120},
    )
    cli.command(epilog=EPILOG)(handle)
    return cli


def handle(
    handler: Handler = None,
    payload: Payload = None,
    payload_file: PayloadFile = None,
    response_location: ResponseLocation = None,
) -> None:
    """Give a Lambda handler one request in this process, as Lambda would, and write what it returns."""
    name = handler or next(filter(None, map(os.environ.get, HANDLER_VARIABLES)), None)
    if not name:
        wrong(PROGRAM, f"no handler: give --handler NAME, or set {HANDLER_VARIABLES[0]}")
    payload_of = chosen_source(PROGRAM, payload, payload_file, os.environ.get(PAYLOAD_VARIABLE) or None)
    if payload_of is None:
        wrong(PROGRAM, f"no payload: give --payload JSON, --payload-file PATH, or set {PAYLOAD_VARIABLE}")
    location = response_location if response_location is not None else os.environ.get(LOCATION_VARIABLE) or None
    respond(answer(name, payload_of, location), location)


def main() -> None:
    """Runs the command; what a user can mend is one line on standard error and an exit code of its own."""
    try:
        command()(prog_name=PROGRAM)
    except MillraceError as error:
        sys.stderr.write(f"{PROGRAM}: {error.line}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - a container's log is no place for a stack trace
        place = traceback.extract_tb(error.__traceback__)[-1]
        sys.stderr.write(f"{PROGRAM}: {type(error).__name__} at {place.filename}:{place.lineno}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
