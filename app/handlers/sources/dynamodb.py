"""Changes of a DynamoDB table, from its stream, each a request.

The event: https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html. The mapping must have `ReportBatchItemFailures`
(https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html), else a record that failed is
taken as done with all others.

Attribute values, `{"N": "1"}`, become plain values with nothing lost
(https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html):

    S      text                      SS   list of text
    N      int, or Decimal           NS   list of int and Decimal
    B      bytes                     BS   list of bytes
    BOOL   bool                      L    list
    NULL   None                      M    dict

A number has up to 38 digits, and a double about 16: so a whole one is an int, any other a Decimal, and the request's
type decides (a field `float` takes either and rounds, `int` and `Decimal` keep every digit). Sets are lists, since JSON
has no sets; a field `set[str]` takes one. boto3's `TypeDeserializer` is not used here: an event has binary values in
base64, a fault must come with its path, and the function would pay for importing a client that it never calls.
"""

from __future__ import annotations

import base64
import binascii
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from app.errors import EventError, RequestError
from app.handlers.sources.batch import BatchResult, Item, Source, SourceFunction
from app.handlers.sources.envelope import Event, Unread, read_records
from app.text import sanitize_id, seconds_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.handlers.base import LambdaHandler

DYNAMODB = "aws:dynamodb"
REMOVE = "REMOVE"
_CREATED = "ApproximateCreationDateTime"
_SHARD = "shard"  # the lane of all records
MAX_DEPTH = 32  # DynamoDB's own limit on nesting
MAX_EXPONENT = 130  # DynamoDB's numbers end at 9.9e125 and begin at 1e-130; a larger exponent would fill the memory
MAX_NUMBER_CHARACTERS = 200  # 38 digits written out, with up to 130 zeros before or behind them
_NUMBER = re.compile(r"-?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)


class DynamoDbChange(msgspec.Struct, frozen=True, rename="pascal", kw_only=True):
    """A change of an item; the stream's view type decides which images it has.

    Attributes:
        sequence_number: The record's sequence number in its shard.
        keys: The item's key, as attribute values (`item_of` makes them plain).
        new_image: The item after the change, as attribute values.
        old_image: The item before it.
        stream_view_type: The images that the stream holds.
        approximate_creation_date_time: The time of the change, in seconds since 1970.
    """

    sequence_number: Annotated[str, msgspec.Meta(min_length=1)]
    keys: dict[str, Any] = {}
    new_image: dict[str, Any] | None = None
    old_image: dict[str, Any] | None = None
    stream_view_type: str = ""
    approximate_creation_date_time: float = 0.0


class DynamoDbIdentity(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The author of a change that DynamoDB itself made, as when an item's time to live is over."""

    principal_id: str = ""
    type: str = ""


class DynamoDbRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record of Lambda's event.

    Attributes:
        change: The change.
        source: `aws:dynamodb`.
        event_name: `INSERT`, `MODIFY` or `REMOVE`.
        stream_arn: The stream's ARN.
        user_identity: The author of the change, if it was DynamoDB itself.
    """

    change: DynamoDbChange = msgspec.field(name="dynamodb")
    source: str = msgspec.field(name="eventSource")
    event_name: str = msgspec.field(name="eventName")
    stream_arn: str = msgspec.field(name="eventSourceARN", default="")
    user_identity: DynamoDbIdentity | None = msgspec.field(name="userIdentity", default=None)


def dynamodb_stream_handler(
    handler_class: type[LambdaHandler[Any, Any]],
    *,
    should_process: Callable[[DynamoDbRecord], bool] | None = None,
    request_of: Callable[[DynamoDbRecord], Any] | None = None,
) -> SourceFunction[DynamoDbRecord]:
    """Return a function that handles each change in order, up to the first that fails: the shard resumes there.

    A record that can never succeed holds its shard until the mapping's `MaximumRetryAttempts` or
    `MaximumRecordAgeInSeconds` sends it to the mapping's on-failure destination: set both.

    Args:
        handler_class: The class that handles a change.
        should_process: Returns False for a change that needs no work.
        request_of: Makes the request of a change, in place of its new image (of a `REMOVE`, its old one).
    """
    source = Source("sequence_number", _read, _image, _resume)
    return SourceFunction(handler_class, source, should_process, request_of)


def _read(event: Event) -> list[Item[DynamoDbRecord]]:
    return [
        Item(record.needed("dynamodb", "SequenceNumber"), record.error, _SHARD)
        if isinstance(record, Unread)
        else Item(record.change.sequence_number, record, _SHARD)
        for record in read_records(event, DynamoDbRecord, DYNAMODB, _with_seconds)
    ]


def _with_seconds(item: dict[str, Any]) -> dict[str, Any]:
    """Return a record with its time in seconds, where it can be read as a time."""
    change = item.get("dynamodb")
    seconds = seconds_of(change.get(_CREATED)) if isinstance(change, dict) else None
    return item if seconds is None else {**item, "dynamodb": {**item["dynamodb"], _CREATED: seconds}}


def _image(record: DynamoDbRecord) -> dict[str, Any]:
    """Return the item after the change, or before its removal."""
    name, image = "NewImage", record.change.new_image
    if record.event_name == REMOVE:
        name, image = "OldImage", record.change.old_image
    if image is None:
        view = sanitize_id(record.change.stream_view_type) or "unknown"
        raise EventError(
            f"record: no {name} in a stream of view type {view}: set NEW_AND_OLD_IMAGES, or give request_of"
        )
    return item_of(image)


def _resume(outcome: BatchResult) -> dict[str, Any]:
    """Return the first record that is not done: the shard resumes there, whatever else is named."""
    return {"batchItemFailures": [{"itemIdentifier": number} for number in outcome.again[:1]]}


def item_of(image: Mapping[str, Any], path: str = "$") -> dict[str, Any]:
    """Return an item, or an image of one, as plain values.

    Raises:
        RequestError: A value is not of DynamoDB's format; `field` has its path.
    """
    return {name: value_of(value, f"{path}.{name}") for name, value in image.items()}


def value_of(attribute: object, path: str = "$", depth: int = 0) -> Any:  # noqa: ANN401 - one of the table's
    """Return one attribute value as a plain value.

    Raises:
        RequestError: It is not of DynamoDB's format; `field` has its path.
    """
    if not isinstance(attribute, dict) or len(attribute) != 1:
        raise _fault(path, "not an attribute value of one type")
    if depth > MAX_DEPTH:
        raise _fault(path, f"nested deeper than {MAX_DEPTH}")
    [(kind, value)] = attribute.items()
    if kind == "M" and isinstance(value, dict):
        return {name: value_of(each, f"{path}.{name}", depth + 1) for name, each in value.items()}
    if kind == "L" and isinstance(value, list):
        return [value_of(each, f"{path}[{row}]", depth + 1) for row, each in enumerate(value)]
    if kind in _SETS and isinstance(value, list):
        return [_SETS[kind](each, f"{path}[{row}]") for row, each in enumerate(value)]
    if kind in _SCALARS:
        return _SCALARS[kind](value, path)
    raise _fault(path, "of no type that DynamoDB has")


def _text(value: object, path: str) -> str:
    if not isinstance(value, str):
        raise _fault(path, "not text")
    return value


def _number(value: object, path: str) -> int | Decimal:
    text = value if isinstance(value, str) and len(value) <= MAX_NUMBER_CHARACTERS else ""
    if not _NUMBER.fullmatch(text):
        raise _fault(path, "not a number")
    number = Decimal(text)
    if abs(number.adjusted()) > MAX_EXPONENT:
        raise _fault(path, "a number that DynamoDB cannot hold")
    return int(number) if number == number.to_integral_value() else number


def _bytes(value: object, path: str) -> bytes:
    try:
        return base64.b64decode(_text(value, path).encode(), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise _fault(path, "not base64") from None


def _flag(value: object, path: str) -> bool:
    if not isinstance(value, bool):
        raise _fault(path, "not a boolean")
    return value


def _null(value: object, path: str) -> None:
    if value is not True:
        raise _fault(path, "not NULL")


_SCALARS: Mapping[str, Callable[[object, str], Any]] = {
    "S": _text, "N": _number, "B": _bytes, "BOOL": _flag, "NULL": _null,
}  # fmt: skip
_SETS: Mapping[str, Callable[[object, str], Any]] = {"SS": _text, "NS": _number, "BS": _bytes}


def _fault(path: str, fault: str) -> RequestError:
    return RequestError(f"{path}: {fault}", path, "$")  # the names on the way are the item's own
