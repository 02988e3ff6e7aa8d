"""Hold records and make events of them.

The form of an event: https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EVENT_BYTES = 6 * 1024 * 1024  # Lambda's limit on a synchronous event, envelope and base64 included
LOCAL_ACCOUNT = "123456789012"  # of ARNs made up here; AWS's own examples have it, and so has moto
_HEAD, _TAIL = b'{"Records":[', b"]}"


@dataclass(slots=True)
class Record:
    """One record between the stream and the function.

    Attributes:
        sequence_number: Its number in the shard.
        partition_key: Its key: records of one key stay in order.
        arrived_s: When the stream took it, in seconds since 1970.
        encoded: Its part of an event, as JSON; emptied once the record is done.
        done: Whether it has been acknowledged, filtered out, or sent to the on-failure destination.
    """

    sequence_number: str
    partition_key: str
    arrived_s: float
    encoded: bytes
    done: bool = False


@dataclass(frozen=True, slots=True)
class EventSource:
    """The stream that records come from, named as in events."""

    arn: str

    @property
    def region(self) -> str:
        """Return the region in the ARN."""
        return self.arn.split(":")[3]

    @property
    def account(self) -> str:
        """Return the account in the ARN."""
        return self.arn.split(":")[4]

    def envelope(self, shard_id: str, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return a record of GetRecords in the form that it has in an event."""
        return {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": record["PartitionKey"],
                "sequenceNumber": record["SequenceNumber"],
                "data": base64.b64encode(record["Data"]).decode(),
                "approximateArrivalTimestamp": record["ApproximateArrivalTimestamp"].timestamp(),
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": f"{shard_id}:{record['SequenceNumber']}",
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": f"arn:aws:iam::{self.account}:role/millrace",
            "awsRegion": self.region,
            "eventSourceARN": self.arn,
        }


def event_of_encoded(encoded: Sequence[bytes], more: Mapping[str, Any] | None = None) -> bytes:
    """Join encoded records to an event, with more top-level fields (a window's) if there are any."""
    body = _HEAD + b",".join(encoded)
    return body + _TAIL if not more else body + b"]," + msgspec.json.encode(more)[1:]


def event_bytes(encoded_bytes: int, records: int, more_bytes: int = 0) -> int:
    """Return the length of an event of that many records with that many bytes together."""
    return len(_HEAD) + len(_TAIL) + encoded_bytes + max(0, records - 1) + more_bytes


def build_event(stream: str, shard_id: str, records: Sequence[Mapping[str, Any]], region: str = "us-east-1") -> bytes:
    """Make the event that Lambda would hand over for records of GetRecords."""
    source = EventSource(f"arn:aws:kinesis:{region}:{LOCAL_ACCOUNT}:stream/{stream}")
    return event_of_encoded([msgspec.json.encode(source.envelope(shard_id, record)) for record in records])
