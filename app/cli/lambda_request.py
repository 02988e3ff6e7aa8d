"""`handle-lambda-request`: one request to one handler, answered once; for a shell, a container or a batch job.

A command of its own, besides `millrace invoke`: it starts without the whole command tree, and reads from environment
variables whatever its options do not give.
"""

from __future__ import annotations

import json
import math
import os
import sys
import traceback
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import msgspec
import typer

from app import telemetry
from app.cli.entry import run_command
from app.errors import HandlerFailedError, LocationError, MillraceError, SettingsError
from app.handlers.base import LambdaFunction
from app.handlers.invocation import FRAMES_LOGGED, process_settings
from app.handlers.request import UNREADABLE, check_elements, read_source, refused
from app.registry import HANDLERS
from app.storage.location import STANDARD, check_location, read_location, write_location
from app.stream.deadline import LONGEST_TIMEOUT_S, LocalContext
from app.text import printable_json, without_bom

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = "handle-lambda-request"

HANDLER_VARIABLES = ("AWS_LAMBDA_FUNCTION_HANDLER", "_HANDLER")
"""The first that is set counts; Lambda itself sets the second."""

PAYLOAD_VARIABLE = "AWS_LAMBDA_EVENT_PAYLOAD"
LOCATION_VARIABLE = "AWS_LAMBDA_EVENT_RESPONSE_LOCATION"
TIMEOUT_VARIABLE = "AWS_LAMBDA_FUNCTION_TIMEOUT"
REQUEST_ID_VARIABLE = "AWS_LAMBDA_REQUEST_ID"

WRONG_COMMAND_LINE = 2  # the shell's custom

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
        metavar="PATH|URL|-", help="Like --payload, but never JSON itself: a path, file:///…, s3://bucket/key or -."
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
    """Make the command, with plain help: it is read in containers' logs too, and starts faster."""
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
    """Run the `handle-lambda-request` command."""
    run_command(PROGRAM, lambda: command()(prog_name=PROGRAM, standalone_mode=False))


def wrong(program: str, line: str) -> NoReturn:
    """End the process for a wrong command line, with one line that says how to mend it."""
    telemetry.write_line(f"{program}: {line}")
    raise typer.Exit(WRONG_COMMAND_LINE)


def chosen_source(
    program: str, payload: str | None, payload_file: str | None, otherwise: str | None
) -> Callable[[], bytes] | None:
    """Return a function that reads the request's JSON from its source, or None if no option names one.

    Args:
        program: The command's name, for messages.
        payload: JSON, or anything else that `read_source` takes.
        payload_file: A path or URL, never JSON itself: a file's name may look like JSON.
        otherwise: In place of `payload`, where neither is given.
    """
    if payload is not None and payload_file is not None:
        wrong(program, "--payload and --payload-file both name a request: give one of them")
    if payload_file is not None:
        return partial(read_location, payload_file, named=True)
    source = otherwise if payload is None else payload
    return None if source is None else partial(read_source, source)


def answer(name: str, payload: Callable[[], bytes], response_location: str | None) -> Any:  # noqa: ANN401 - any JSON
    """Call a handler as Lambda would, in this process.

    Mistakes of the command line are found before the handler runs.

    Args:
        name: A short name of the registry, or a dotted name.
        payload: Reads the request's JSON.
        response_location: Where the response will go; it is checked, and nothing is written yet.

    Returns:
        The handler's response, as values that JSON has.

    Raises:
        MillraceError: A name, a location or the request is wrong, or the handler raised.
    """
    if response_location is not None:
        check_location(response_location)
    timeout_s, request_id = _timeout_s(), os.environ.get(REQUEST_ID_VARIABLE, "")
    function = HANDLERS.find(name)
    data = without_bom(payload())
    if isinstance(function, LambdaFunction):
        # A string may name an object in S3, as in an event that Lambda has parsed; the handler decodes all else itself.
        event = _parsed(data) if data.lstrip().startswith(b'"') else data
        _with_failures_logged(name, function.open)  # before the clock starts; a wrong setting is no failed invocation
        return function(event, LocalContext(timeout_s, request_id=request_id))
    event = _parsed(data)
    process_settings()
    context = LocalContext(timeout_s, request_id=request_id)
    return _with_failures_logged(name, lambda: msgspec.to_builtins(function(event, context), str_keys=True))


def respond(response: Any, location: str | None, *, indent: bool = False) -> None:  # noqa: ANN401 - any JSON
    """Write a response as JSON, None as `{}`: sorted by key, or indented and in its own order for a person.

    Raises:
        LocationError: It cannot be written.
        CloudError: S3 does not answer, or refuses.
    """
    data = printable_json(_encoded({} if response is None else response, indent=indent))
    if location is not None and location != STANDARD:
        write_location(location, data)
        return
    try:
        write_location(STANDARD, data + b"\n")
    except BrokenPipeError:  # its reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python would try the rest again when it ends
        raise LocationError(f"standard output: cannot be written: {error.strerror}") from None


def _timeout_s() -> float:
    text = os.environ.get(TIMEOUT_VARIABLE, "").strip()
    try:
        seconds = float(text or LONGEST_TIMEOUT_S)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise SettingsError(f"{TIMEOUT_VARIABLE} is {text!r}: set a number of seconds")
    return seconds


def _parsed(data: bytes) -> Any:  # noqa: ANN401 - any JSON
    check_elements(data)
    try:
        return msgspec.json.decode(data)
    except UNREADABLE as error:
        raise refused(error, data) from None


def _with_failures_logged(name: str, work: Callable[[], Any]) -> Any:  # noqa: ANN401 - the work's own result
    """Do work outside an invocation of a typed handler, and log its failures as an invocation would."""
    try:
        return work()
    except MillraceError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, its text may quote a payload
        frames = [
            f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)
        ]
        extra = {"exception": type(error).__name__, "frames": frames[-FRAMES_LOGGED:], "handler": name}
        telemetry.logger.error("handler failed", extra=extra)
        raise HandlerFailedError(f"handler {name} failed with {type(error).__name__}; the log has where") from None


def _encoded(response: Any, *, indent: bool) -> bytes:  # noqa: ANN401 - any JSON
    """Encode by the standard library, since msgspec writes null for NaN."""
    try:
        if indent:
            return json.dumps(response, allow_nan=False, ensure_ascii=False, indent=2).encode()
        return json.dumps(response, allow_nan=False, ensure_ascii=False, sort_keys=True).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise HandlerFailedError(f"the handler returned what is no JSON ({type(error).__name__})") from None


if __name__ == "__main__":
    main()
