"""Messages of an Amazon SQS queue, standard or FIFO, each a request.

The event: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html. The mapping must have `ReportBatchItemFailures`
(https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html): without it Lambda does not read which
messages are handed back, and deletes them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from app.handlers.sources.batch import BatchResult, Item, Source, SourceFunction
from app.handlers.sources.envelope import Event, Unread, read_records

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.errors import EventError
    from app.handlers.base import LambdaHandler

SQS = "aws:sqs"
FIFO_SUFFIX = ".fifo"  # SQS demands it of a FIFO queue's name, and of no other's
_ALL = "queue"  # the lane of all messages


class SqsAttribute(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """An attribute that the sender gave a message."""

    data_type: str
    string_value: str | None = None
    binary_value: str | None = None


class SqsMessage(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A message of Lambda's event.

    Attributes:
        message_id: The id for handing the message back.
        body: The message's text.
        source: `aws:sqs`.
        queue_arn: The queue's ARN.
        receipt_handle: The handle of this delivery.
        attributes: SQS's attributes, `ApproximateReceiveCount` and `MessageGroupId` among them.
        message_attributes: The sender's attributes.
    """

    message_id: Annotated[str, msgspec.Meta(min_length=1)]
    body: str
    source: str = msgspec.field(name="eventSource")
    queue_arn: str = msgspec.field(name="eventSourceARN", default="")
    receipt_handle: str = ""
    attributes: dict[str, str] = {}
    message_attributes: dict[str, SqsAttribute] = {}

    @property
    def group(self) -> str:
        """Return the message group, or an empty string."""
        return self.attributes.get("MessageGroupId", "")

    @property
    def receive_count(self) -> int:
        """Return the number of times that it was received, this time included; 0 where it is unknown."""
        text = self.attributes.get("ApproximateReceiveCount", "")
        return int(text) if text.isdecimal() else 0


def sqs_handler(
    handler_class: type[LambdaHandler[Any, Any]],
    *,
    fifo: bool = False,
    by_group: bool = False,
    should_process: Callable[[SqsMessage], bool] | None = None,
    request_of: Callable[[SqsMessage], Any] | None = None,
) -> SourceFunction[SqsMessage]:
    """Return a function that handles each message of a batch, and hands back those that failed.

    A message that does not fit fails like any other: after `maxReceiveCount` deliveries the queue's redrive policy
    moves it to the dead-letter queue.

    Args:
        handler_class: The class that handles a message.
        fifo: Order matters: after the first failure nothing more is started, and all the rest is handed back. A queue
            whose name ends in `.fifo` is one in any case. A message handed back untried counts as received, so that a
            message that always fails takes its neighbours to the dead-letter queue: see `by_group`.
        by_group: Order matters within a message group alone: a failure holds up no other group. It implies `fifo`, and
            is the better choice wherever groups do not depend on each other.
        should_process: Returns False for a message that needs no work; it is deleted as if it had been handled.
        request_of: Makes the request of a message, in place of its body as JSON.
    """

    def read(event: Event) -> list[Item[SqsMessage]]:
        return [_item(message, fifo=fifo, by_group=by_group) for message in read_records(event, SqsMessage, SQS)]

    source = Source("message_id", read, _body, _failures)
    return SourceFunction(handler_class, source, should_process, request_of)


def _item(message: SqsMessage | Unread, *, fifo: bool, by_group: bool) -> Item[SqsMessage]:
    """Return a message with its id, and the lane that stops when it fails."""
    record: SqsMessage | EventError
    if isinstance(message, Unread):
        message_id, record = message.needed("messageId"), message.error
        group, queue_arn = message.text("attributes", "MessageGroupId"), message.text("eventSourceARN")
    else:
        message_id, record, group, queue_arn = message.message_id, message, message.group, message.queue_arn
    if by_group:
        return Item(message_id, record, f"group {group}")
    return Item(message_id, record, _ALL if fifo or queue_arn.endswith(FIFO_SUFFIX) else None)


def _body(message: SqsMessage) -> bytes:
    """Return the body as bytes, to be decoded as JSON and nothing else: a sender's `s3://…` is not followed."""
    return message.body.encode("utf-8", "surrogatepass")


def _failures(outcome: BatchResult) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in outcome.again]}
