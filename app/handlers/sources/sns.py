"""Notifications of an Amazon SNS topic, each a request.

The event: https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html. SNS calls the function asynchronously: there are
no partial responses, and a function that fails is called again with the same event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from app.handlers.sources.batch import Item, Source, SourceFunction, all_or_nothing
from app.handlers.sources.envelope import Event, Unread, read_records

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.handlers.base import LambdaHandler

SNS = "aws:sns"


class SnsAttribute(msgspec.Struct, frozen=True, rename="pascal", kw_only=True):
    """An attribute that the publisher gave a message."""

    type: str
    value: str


class SnsNotification(msgspec.Struct, frozen=True, rename="pascal", kw_only=True):
    """A message with what SNS adds to it."""

    message_id: Annotated[str, msgspec.Meta(min_length=1)]
    message: str
    subject: str | None = None
    topic_arn: str = ""
    timestamp: str = ""
    message_attributes: dict[str, SnsAttribute] = {}


class SnsRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record of Lambda's event."""

    notification: SnsNotification = msgspec.field(name="Sns")
    source: str = msgspec.field(name="EventSource")
    subscription_arn: str = msgspec.field(name="EventSubscriptionArn", default="")


def sns_handler(
    handler_class: type[LambdaHandler[Any, Any]],
    *,
    should_process: Callable[[SnsRecord], bool] | None = None,
    request_of: Callable[[SnsRecord], Any] | None = None,
) -> SourceFunction[SnsRecord]:
    """Return a function that handles each notification, and fails when one of them failed.

    Args:
        handler_class: The class that handles a notification.
        should_process: Returns False for a notification that needs no work.
        request_of: Makes the request of a notification, in place of its message as JSON.
    """
    source = Source("message_id", _read, _message, all_or_nothing, correlated=True)
    return SourceFunction(handler_class, source, should_process, request_of)


def _read(event: Event) -> list[Item[SnsRecord]]:
    """Read the records; one without an id of its own has its index for one."""
    return [
        Item(record.text("Sns", "MessageId") or str(row), record.error)
        if isinstance(record, Unread)
        else Item(record.notification.message_id, record)
        for row, record in enumerate(read_records(event, SnsRecord, SNS))
    ]


def _message(record: SnsRecord) -> bytes:
    """Return the message as bytes, to be decoded as JSON and nothing else."""
    return record.notification.message.encode("utf-8", "surrogatepass")
