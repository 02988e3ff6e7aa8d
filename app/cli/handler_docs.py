"""What there is to say of each handler, read from its class: for `millrace handlers`, and for docs/handlers.md."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec

from app import errors
from app.cli.schema_tables import Schema, fields_of, objects_of, shape_of, summary_of, table
from app.errors import MillraceError, UnknownHandlerError
from app.handlers.base import LambdaFunction
from app.registry import HANDLERS

if TYPE_CHECKING:
    from collections.abc import Iterator

INTRODUCTION = """\
# Handlers

Made by `millrace handlers --markdown` from the handlers' types; a test holds the two together. A handler is a class
with a typed request and a typed response. The same class answers in Lambda, from the command line, in a container and
in a test. `millrace handlers NAME` prints the JSON Schemas of both.
"""

PAYLOADS = """\
On a command line a payload is JSON, a path, `file:///…`, `s3://bucket/key`, or `-` for standard input. An event is
JSON, or a string `"s3://bucket/key"`: it cannot name a file, since whoever may call a function need not be allowed to
read its files. The handlers whose purpose is files, `get-json-from-file` and `put-json-to-file`, read and write
whatever the function may: put them on the router's list with care.
"""

WRITE_ONE = '''\
```python
# parcels.py
import msgspec

from app.handlers.base import LambdaHandler
from app.handlers.invocation import Invocation


class Parcel(msgspec.Struct, forbid_unknown_fields=True):
    grams: int


class Postage(msgspec.Struct):
    cents: int


class WeighParcelHandler(LambdaHandler[Parcel, Postage]):
    """Says what a parcel costs."""

    def handle(self, request: Parcel, invocation: Invocation) -> Postage:
        invocation.metrics.count("parcels")
        return Postage(cents=request.grams)


lambda_handler = WeighParcelHandler.get_handler()
```

```sh
PYTHONPATH=. handle-lambda-request --handler parcels.WeighParcelHandler --payload '{"grams": 250}'
```
'''

WRITTEN = """\
The types in the brackets are all there is to declare: decoding, schemas and this page follow from them. `open` makes
the handler once for a process, from the settings; `Invocation` brings the ids, the deadline, the logger and the metrics
of one call. A line in `app/registry.py` gives it a name here, in `millrace invoke` and in the router. With a `route` it
is an `ApiLambdaHandler` (`app/handlers/api/handler.py`) and answers HTTP too.

Behind a queue, a stream, a topic, a bucket or a bus, each record is a request of its own:
"""

ENDINGS = """\
What a handler raises on purpose is one line with an exit code on the command line, and a status where the API answers;
below 500 the line is the answer's, from 500 on only the log has it. A success is 0, and the status that the handler
says, 200 without; 2 is a wrong command line, 130 Ctrl-C. Whatever else is raised becomes a `HandlerFailedError`.
"""

SOURCES = (
    ("sqs", "sqs_handler", "the body's JSON", "handed back by message id; of a FIFO queue with all behind it"),
    ("dynamodb", "dynamodb_stream_handler", "the new image, or the last", "the shard resumes at the first of them"),
    ("kinesis", "kinesis_handler", "the record's JSON", "quarantined, or the shard resumes at the first of them"),
    ("sns", "sns_handler", "the message's JSON", "the event fails, and Lambda tries it again"),
    ("s3", "s3_handler", "the object's place and facts", "the event fails, and Lambda tries it again"),
    ("eventbridge", "eventbridge_handler", "the detail", "the event fails, and Lambda tries it again"),
)

_REQUEST_HEADER = ["field", "type", "required", "default", "constraints", "description"]
_RESPONSE_HEADER = ["field", "type", "constraints", "description"]


class Described(msgspec.Struct, frozen=True):
    """A handler: what it is called, what it does, and the JSON Schema of what it takes and gives.

    Attributes:
        name: Short.
        summary: The first line of its docstring.
        qualified_name: Dotted.
        route: Method and path, for one that answers HTTP.
        request: A JSON Schema (2020-12).
        response: The same.
    """

    name: str
    summary: str
    qualified_name: str
    route: str | None
    request: Schema
    response: Schema


def described(name: str) -> Described:
    """What there is to say of a handler.

    Args:
        name: A short name of the registry, or a dotted one.

    Raises:
        UnknownHandlerError: There is none such, or it is a plain function, which has no types.
    """
    function = HANDLERS.find(name)
    if not isinstance(function, LambdaFunction):
        raise UnknownHandlerError(f"{name} is no typed handler: it has no schemas to show")
    handler = function.handler_class
    path = getattr(handler, "route", None)
    return Described(
        handler.name,
        handler.summary(),
        handler.qualified_name(),
        f"{getattr(handler, 'method', 'POST')} {path}" if path else None,
        handler.request_schema(),
        handler.response_schema(),
    )


def markdown() -> str:
    """The page docs/handlers.md, whole."""
    return "\n".join(_parts())


def _parts() -> Iterator[str]:
    yield INTRODUCTION
    found = [described(name) for name in HANDLERS]
    rows = [[f"[`{each.name}`](#{each.name})", each.summary, f"`{each.route}`" if each.route else ""] for each in found]
    yield table(["handler", "what it does", "route"], rows)
    for each in found:
        yield from _handler(each)
    yield from _calling()
    yield from _writing()
    yield from _errors()


def _handler(handler: Described) -> Iterator[str]:
    yield f"## {handler.name}\n"
    yield f"{handler.summary} `{handler.qualified_name}`{f', `{handler.route}`' if handler.route else ''}\n"
    yield f"Request: {shape_of(handler.request)}.\n"
    for name, schema in objects_of(handler.request):
        rows = [
            [f"`{field.name}`", field.type, "yes" if field.required else "", *field[3:]] for field in fields_of(schema)
        ]
        strict = " No other fields." if schema.get("additionalProperties") is False else ""
        yield f"**`{name}`**: {summary_of(schema)}{strict}\n"
        yield table(_REQUEST_HEADER, rows)
    yield f"Response: {shape_of(handler.response)}.\n"
    for name, schema in objects_of(handler.response):
        yield f"**`{name}`**: {summary_of(schema)}\n"
        yield table(
            _RESPONSE_HEADER,
            [
                [f"`{field.name}`", field.type, field.constraints, field.description or _absent(field.required)]
                for field in fields_of(schema)
            ],
        )
    yield f"```sh\n{example(handler.name)}\n```\n"


def example(name: str) -> str:
    """A command that calls a handler of the registry."""
    spec = HANDLERS[name]
    variables = "".join(f"{variable}={value} " for variable, value in spec.variables.items())
    option = "" if spec.example is None else f" --payload '{json.dumps(spec.example)}'"
    return f"{variables}millrace invoke {name}{option}"


def _absent(required: bool) -> str:
    return "" if required else "may be left out"


def _calling() -> Iterator[str]:
    yield "## Calling one\n"
    yield table(
        ["from", "how"],
        [
            ["Lambda", "`lambda_handler = TheHandler.get_handler()`, and that as the function's handler"],
            ["a shell", "`millrace invoke NAME --payload JSON`"],
            [
                "a script, a container",
                "`handle-lambda-request --handler NAME --payload JSON`; `--help` has the variables",
            ],
            ["another function", "`app.router_function.lambda_handler`, where `ROUTER_HANDLERS` names it"],
            ["HTTP", "`app.api_function.lambda_handler`, or `millrace serve` on loopback, for those with a route"],
            ["a test", "`TheHandler().handle(request, invocation)`, or `TheHandler.get_handler()(event)`"],
        ],
    )
    yield PAYLOADS


def _writing() -> Iterator[str]:
    yield "## Writing one\n"
    yield WRITE_ONE
    yield WRITTEN
    yield table(
        ["in `app.handlers.sources`", "a request is", "records that fail are"],
        [[f"`{module}.{function}(TheHandler)`", request, failure] for module, function, request, failure in SOURCES],
    )


def _errors() -> Iterator[str]:
    yield "## Exit codes and statuses\n"
    yield ENDINGS
    kinds = sorted(_below(MillraceError), key=lambda kind: kind.exit_code)
    rows = [
        [f"`{kind.__name__}`", str(kind.exit_code), str(kind.status), (kind.__doc__ or "").partition("\n")[0]]
        for kind in kinds
        if kind.__module__ == errors.__name__
    ]
    yield table(["error", "exit code", "status", "when"], rows)


def _below(kind: type[MillraceError]) -> Iterator[type[MillraceError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _below(each)
