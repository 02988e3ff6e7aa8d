"""Send the record of a discarded batch to its on-failure destination.

The record's form, and the parts that each kind of destination gets:
https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from app import aws
from app.errors import SettingsError
from app.stream.mapping.invoke import UNHANDLED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.stream.mapping.event import EventSource, Record
    from app.stream.mapping.retries import Batch

SERVICES = ("sqs", "sns", "s3")
_ARN_PARTS = 6


class Destination(Protocol):
    """Takes the records of discarded batches."""

    arn: str

    def check(self) -> None:
        """Check that it exists, so that a wrong name shows before the first failure.

        Raises:
            CloudError: It is not, or cannot be asked.
        """

    def send(self, record: Mapping[str, Any], event: bytes, moment: datetime) -> None:
        """Deliver a record.

        Args:
            record: The invocation record, metadata only.
            event: The whole event that the function was, or would have been, invoked with.
            moment: When the batch was discarded.

        Raises:
            CloudError: It was not delivered.
        """


def open_destination(arn: str, mapping_id: str, unique: Callable[[], str]) -> Destination | None:
    """Open the destination of an ARN; None for an empty one.

    Args:
        arn: The ARN.
        mapping_id: The mapping's UUID, for the names of objects.
        unique: Gives a UUID, likewise.

    Raises:
        SettingsError: It is the ARN of something else.
    """
    if not arn:
        return None
    parts = arn.split(":", _ARN_PARTS - 1)
    service = parts[2] if len(parts) == _ARN_PARTS and parts[0] == "arn" else ""
    if service not in SERVICES:
        raise SettingsError(f"DestinationConfig: {arn!r} is not the ARN of an SQS queue, an SNS topic or an S3 bucket")
    if service == "sqs":
        return Queue(arn)
    return Topic(arn) if service == "sns" else Bucket(arn, mapping_id, unique)


@dataclass
class Queue:
    """An SQS queue, which gets metadata only."""

    arn: str
    _url: str = ""

    def check(self) -> None:
        """Ask for the queue's URL."""
        name = self.arn.split(":")[-1]
        with aws.explaining(f"on-failure queue {name}"):
            self._url = aws.client("sqs").get_queue_url(QueueName=name)["QueueUrl"]

    def send(self, record: Mapping[str, Any], event: bytes, moment: datetime) -> None:  # noqa: ARG002 - the interface
        """Send a message."""
        if not self._url:
            self.check()
        with aws.explaining(f"on-failure destination {self.arn}"):
            aws.client("sqs").send_message(QueueUrl=self._url, MessageBody=msgspec.json.encode(record).decode())


@dataclass
class Topic:
    """An SNS topic, which gets metadata only."""

    arn: str

    def check(self) -> None:
        """Ask for the topic's attributes."""
        with aws.explaining(f"on-failure topic {self.arn}"):
            aws.client("sns").get_topic_attributes(TopicArn=self.arn)

    def send(self, record: Mapping[str, Any], event: bytes, moment: datetime) -> None:  # noqa: ARG002 - the interface
        """Publish a message."""
        with aws.explaining(f"on-failure destination {self.arn}"):
            aws.client("sns").publish(TopicArn=self.arn, Message=msgspec.json.encode(record).decode())


@dataclass
class Bucket:
    """An S3 bucket, which gets the metadata with the whole event as `payload`."""

    arn: str
    mapping_id: str
    unique: Callable[[], str]

    @property
    def name(self) -> str:
        """Return the bucket's name."""
        return self.arn.split(":")[-1]

    def check(self) -> None:
        """Ask for the bucket."""
        with aws.explaining(f"on-failure bucket {self.name}"):
            aws.client("s3").head_bucket(Bucket=self.name)

    def send(self, record: Mapping[str, Any], event: bytes, moment: datetime) -> None:
        """Put an object under AWS's naming convention."""
        shard_id = record["KinesisBatchInfo"]["shardId"]
        key = f"aws/lambda/{self.mapping_id}/{shard_id}/{moment:%Y/%m/%d}/{moment:%Y-%m-%dT%H.%M.%S}-{self.unique()}"
        body = msgspec.json.encode({**record, "payload": event.decode()})
        with aws.explaining(f"on-failure destination {self.arn}"):
            aws.client("s3").put_object(Bucket=self.name, Key=key, Body=body)


def failure_record(
    batch: Batch, source: EventSource, shard_id: str, function: str, moment: datetime, *, request_id: str
) -> dict[str, Any]:
    """Return the invocation record of a batch that is discarded.

    Args:
        batch: The batch, with the reason.
        source: The stream.
        shard_id: The shard.
        function: The function's name, or its ARN.
        moment: When it is discarded.
        request_id: A UUID, for a batch that was never invoked.
    """
    window, answer = batch.closes, batch.answer
    first = window.first if window else batch.records[0]
    last = window.last if window else batch.records[-1]
    arn = function
    if not arn.startswith("arn:"):
        arn = f"arn:aws:lambda:{source.region}:{source.account}:function:{function}"
    record: dict[str, Any] = {
        "requestContext": {
            "requestId": answer.request_id if answer else request_id,
            "functionArn": arn,
            "condition": batch.discard,
            "approximateInvokeCount": batch.invocations,
        },
        "version": "1.0",
        "timestamp": _iso(moment.timestamp()),
        "KinesisBatchInfo": {
            "shardId": shard_id,
            **_range(first, last),
            "batchSize": window.records if window else len(batch.records),
            "streamArn": source.arn,
        },
    }
    if answer is not None:  # otherwise the function was never invoked
        record["responseContext"] = {
            "statusCode": answer.status,
            "executedVersion": "$LATEST",
            "functionError": None if answer.fault is None else UNHANDLED,  # null where it named records that failed
        }
    return record


def _range(first: Record | None, last: Record | None) -> dict[str, str]:
    if first is None or last is None:
        return {}
    return {
        "startSequenceNumber": first.sequence_number,
        "endSequenceNumber": last.sequence_number,
        "approximateArrivalOfFirstRecord": _iso(first.arrived_s),
        "approximateArrivalOfLastRecord": _iso(last.arrived_s),
    }


def _iso(moment_s: float) -> str:
    return datetime.fromtimestamp(moment_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
