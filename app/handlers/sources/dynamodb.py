"""Changes of a DynamoDB table, off its stream, each a request.

The event: https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html. The mapping must have `ReportBatchItemFailures`
(https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html), else a record that failed is
taken as done with all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from app.errors import EventError
from app.handlers.sources.attributes import item_of
from app.handlers.sources.batch import Item, Outcome, Source, SourceFunction
from app.handlers.sources.envelope import Event, read_records
from app.text import sanitize_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.handlers.base import LambdaHandler

DYNAMODB = "aws:dynamodb"
REMOVE = "REMOVE"
_SHARD = "shard"  # the lane of all records


class DynamoDbChange(msgspec.Struct, frozen=True, rename="pascal", kw_only=True):
    """What DynamoDB says of a change; which images there are depends on the stream's view type.

    Attributes:
        sequence_number: Its place in the shard.
        keys: The item's key, as attribute values (`app.handlers.sources.attributes.item_of` makes them plain).
        new_image: The item after the change, as attribute values.
        old_image: The item before it.
        stream_view_type: Which images the stream holds.
        approximate_creation_date_time: When, in seconds since 1970.
    """

    sequence_number: Annotated[str, msgspec.Meta(min_length=1)]
    keys: dict[str, Any] = {}
    new_image: dict[str, Any] | None = None
    old_image: dict[str, Any] | None = None
    stream_view_type: str = ""
    approximate_creation_date_time: float = 0.0


class DynamoDbIdentity(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Who made a change where it was DynamoDB itself, as when an item's time to live is over."""

    principal_id: str = ""
    type: str = ""


class DynamoDbRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record as Lambda hands it over.

    Attributes:
        change: What changed.
        source: `aws:dynamodb`.
        event_name: `INSERT`, `MODIFY` or `REMOVE`.
        stream_arn: The stream's ARN.
        user_identity: Who changed it, if it was DynamoDB itself.
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
    """A function that handles each change of a batch in order, up to the first that fails: the shard resumes there.

    A record that can never succeed holds its shard until the mapping's `MaximumRetryAttempts` or
    `MaximumRecordAgeInSeconds` sends it to the mapping's on-failure destination: set both.

    Args:
        handler_class: What handles a change.
        should_process: False for a change that needs nothing done.
        request_of: What the handler decodes, instead of the new image (for a `REMOVE` the old one) in plain values.
    """
    source = Source("sequence_number", _read, _image, _resume)
    return SourceFunction(handler_class, source, should_process, request_of)


def _read(event: Event) -> list[Item[DynamoDbRecord]]:
    records = read_records(event, DynamoDbRecord, DYNAMODB)
    return [Item(record.change.sequence_number, record, _SHARD) for record in records]


def _image(record: DynamoDbRecord) -> dict[str, Any]:
    """The item as it is after the change, or was before it was removed."""
    name, image = "NewImage", record.change.new_image
    if record.event_name == REMOVE:
        name, image = "OldImage", record.change.old_image
    if image is None:
        view = sanitize_id(record.change.stream_view_type) or "unknown"
        raise EventError(
            f"record: no {name} in a stream of view type {view}: set NEW_AND_OLD_IMAGES, or give request_of"
        )
    return item_of(image)


def _resume(outcome: Outcome) -> dict[str, Any]:
    """The first record that is not done, alone: the shard resumes there, whatever else is named."""
    return {"batchItemFailures": [{"itemIdentifier": number} for number in outcome.again[:1]]}
