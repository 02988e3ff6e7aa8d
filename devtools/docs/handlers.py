"""Make the page `docs/handlers.md`: every typed handler with its request, its response and an example."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from app.cli.handlers import Described, described
from app.registry import HANDLERS
from devtools.docs.schema_tables import fields_of, objects_of, shape_of, summary_of, table

if TYPE_CHECKING:
    from collections.abc import Iterator

INTRODUCTION = """\
# Handlers

A handler is a class with a typed request and a typed response. The same class answers in Lambda, from the command line,
in a container and in a test. `millrace handlers NAME` prints the JSON Schemas of both types.

This page is made from the types by `python -m devtools.docs`; a test compares the two.
"""

PAYLOADS = """\
On a command line a payload is JSON, a path, `file:///…`, `s3://bucket/key`, or `-` for standard input. An event is
JSON, or a string `"s3://bucket/key"`: it cannot name a file, since whoever may call a function need not be allowed to
read its files. The handlers for files, `get-json-from-file` and `put-json-to-file`, read and write
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
The types in the brackets are all that is declared: decoding, schemas and this page follow from them. `open` makes the
handler once for a process, from the settings; `Invocation` has the ids, the deadline, the logger and the metrics of one
call. A `HandlerSpec` in its domain's `DOMAIN` (`app/domain.py`) gives it a name here, in `millrace invoke` and in the
router. With a `route` it is an `ApiLambdaHandler` (`app/handlers/api/handler.py`) and answers HTTP too.

Behind a queue, a stream, a topic, a bucket or a bus, each record is a request of its own:
"""

OF_RECORDS = """\
- `should_process` of each of these functions is asked before a record has to be a request. It skips what is not meant
  for the handler, such as the control records that AWS DMS writes between the rows.
- A handler whose request type is `str`, `bytes`, `Any` or `object` takes text that is not JSON. JSON of the type is
  decoded first: with `str` the body `"a"` is `a`, with `bytes` a JSON string is base64, and `{"n": 1}` is itself.
- A handler that yields, with the response type `Iterator[Postage]`, gives any number of responses to one request.
  Behind Kinesis each is an output of its own, with the record's partition key; where one response is asked for, it is
  their list. None of them counts if the handler raises before the last.
- Firehose gets the response as the record's data: JSON with a line end, or `str` and `bytes` as they are. What a
  handler yields becomes the lines of one record. With None, or where `should_process` is False, the record is dropped.
- A field of the envelope that is null counts as missing, and a number or time as text is read. Any other odd field is
  its record's fault alone. Without the id by which a record is handed back, or the source, the event is refused as a
  whole.
"""

ENDINGS = """\
## When a handler fails

On the command line an error that a handler raises on purpose is one line and an exit code; over HTTP it is a status
and problem details: [exit codes and statuses](exit-codes.md).
"""

SOURCES = (
    ("sqs", "sqs_handler", "the body's JSON", "handed back by message id; of a FIFO queue with all behind it"),
    ("dynamodb", "dynamodb_stream_handler", "the new image, or the last", "the shard resumes at the first of them"),
    ("kinesis", "kinesis_handler", "the record's JSON", "quarantined, or the shard resumes at the first of them"),
    ("sns", "sns_handler", "the message's JSON", "the event fails, and Lambda tries it again"),
    ("firehose", "firehose_handler", "the record's JSON", "answered as `ProcessingFailed`: Firehose keeps them in S3"),
    ("s3", "s3_handler", "the object's bucket, key and size", "the event fails, and Lambda tries it again"),
    ("eventbridge", "eventbridge_handler", "the detail", "the event fails, and Lambda tries it again"),
)

_REQUEST_HEADER = ["field", "type", "required", "default", "constraints", "description"]
_RESPONSE_HEADER = ["field", "type", "constraints", "description"]


def handlers() -> str:
    """Make the page."""
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
    yield ENDINGS


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
    """Return a command that calls a handler of the registry."""
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
            [
                "HTTP, for those with a route",
                "`app.api_function.lambda_handler` (API Gateway, function URL, ALB, VPC Lattice); `millrace serve`",
            ],
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
    yield OF_RECORDS
