"""Events of an Amazon S3 bucket, each a request.

The event: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html. S3 calls the
function asynchronously: there are no partial responses, and a function that fails is called again with the same event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import msgspec

from app.errors import RequestError
from app.handlers.sources.batch import Item, Source, SourceFunction, all_or_nothing
from app.handlers.sources.envelope import Event, Unread, read_records

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.handlers.base import LambdaHandler

S3 = "aws:s3"


class S3Object(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The request: a handler takes this type, or one with those of its fields that it needs.

    A field that the event does not have (a deletion has no size) is left out, so that a type's own default holds.

    Attributes:
        bucket: The bucket's name.
        key: The object's key, URL-decoded.
        event_name: The kind of event, such as `ObjectCreated:Put`.
        event_time: The time of the event, ISO 8601.
        region: The bucket's region.
        size: The object's size in bytes.
        etag: The object's entity tag.
        version_id: The object's version, in a bucket with versions.
        sequencer: Orders events of one key: the later has the greater one, when the shorter is padded with zeros.
    """

    bucket: str
    key: str
    event_name: str
    event_time: str | None = None
    region: str | None = None
    size: int | None = None
    etag: str | None = None
    version_id: str | None = None
    sequencer: str | None = None


class _Bucket(msgspec.Struct, frozen=True):
    name: str


class S3ObjectFacts(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An object in an event; its key is URL-encoded."""

    key: str
    size: int | None = None
    e_tag: str | None = None
    version_id: str | None = None
    sequencer: str | None = None


class S3Facts(msgspec.Struct, frozen=True, kw_only=True):
    """The bucket and the object of an event."""

    bucket: _Bucket
    object: S3ObjectFacts


class S3Record(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A record of Lambda's event."""

    s3: S3Facts
    event_name: str
    source: str = msgspec.field(name="eventSource")
    event_time: str | None = None
    aws_region: str | None = None


def s3_handler(
    handler_class: type[LambdaHandler[Any, Any]],
    *,
    should_process: Callable[[S3Record], bool] | None = None,
    request_of: Callable[[S3Record], Any] | None = None,
) -> SourceFunction[S3Record]:
    """Return a function that handles each event of an object, and fails when one of them failed.

    Args:
        handler_class: The class that handles an event.
        should_process: Returns False for an event that needs no work.
        request_of: Makes the request of an event, in place of the fields of an `S3Object`.
    """
    source = Source("object_event", _read, _fields, all_or_nothing)
    return SourceFunction(handler_class, source, should_process, request_of)


def object_of(record: S3Record) -> S3Object:
    """Return the request that a record becomes.

    Raises:
        RequestError: The key is not URL-encoded UTF-8.
    """
    facts = record.s3.object
    try:
        key = unquote_plus(facts.key, errors="strict")
    except UnicodeDecodeError:
        raise RequestError("$.s3.object.key: not URL-encoded UTF-8", "$.s3.object.key") from None
    return S3Object(
        bucket=record.s3.bucket.name,
        key=key,
        event_name=record.event_name,
        event_time=record.event_time,
        region=record.aws_region,
        size=facts.size,
        etag=facts.e_tag,
        version_id=facts.version_id,
        sequencer=facts.sequencer,
    )


def _read(event: Event) -> list[Item[S3Record]]:
    """Read the records; one has no id of its own, so bucket, index and sequencer are its id, without its key."""
    return [
        Item(str(row), record.error)
        if isinstance(record, Unread)
        else Item(f"{record.s3.bucket.name}/{row}/{record.s3.object.sequencer or ''}", record)
        for row, record in enumerate(read_records(event, S3Record, S3))
    ]


def _fields(record: S3Record) -> Any:  # noqa: ANN401 - what JSON is made of
    return msgspec.to_builtins(object_of(record))
