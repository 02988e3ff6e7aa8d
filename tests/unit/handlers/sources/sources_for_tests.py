"""A handler that does as it is told, and events of each source as AWS documents them."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from app.errors import CloudError, UnprocessableError
from app.handlers.base import LambdaHandler

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pytest

    from app.handlers.invocation import Invocation

ACCOUNT = "111122223333"
STREAM_ARN = f"arn:aws:dynamodb:eu-west-1:{ACCOUNT}:table/parcels/stream/2026-01-01T00:00:00.000"


class Parcel(msgspec.Struct):
    """A request: `do` says what becomes of it."""

    n: int
    do: str = "take"


class Label(msgspec.Struct):
    parcel: int


class ParcelHandler(LambdaHandler[Parcel, Label]):
    """Takes parcels, and remembers which."""

    taken: ClassVar[list[int]] = []
    tried: ClassVar[list[int]] = []

    def handle(self, request: Parcel, invocation: Invocation) -> Label:
        self.tried.append(request.n)
        if request.do == "raise":
            raise ValueError("secret")
        if request.do == "refuse":
            raise UnprocessableError("$.n: secret", "$.n")
        if request.do == "wait":
            raise CloudError("the depot does not answer")
        invocation.logger.info("taken")
        self.taken.append(request.n)
        return Label(request.n)

    @classmethod
    def fresh(cls) -> type[ParcelHandler]:
        """The same without a memory."""
        return type(cls.__name__, (cls,), {"taken": [], "tried": []})


class Clock:
    """A Lambda context whose time runs out after so many looks at it."""

    aws_request_id = "request-1"

    def __init__(self, milliseconds: int = 60_000) -> None:
        self.milliseconds = milliseconds

    def get_remaining_time_in_millis(self) -> int:
        return self.milliseconds


def sqs_event(
    bodies: Sequence[object],
    *,
    groups: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
    queue: str = "parcels",
) -> dict[str, Any]:
    """Messages with these bodies; what is no text is sent as JSON."""
    return {
        "Records": [
            {
                "messageId": ids[row] if ids else f"m-{row}",
                "receiptHandle": f"handle-{row}",
                "body": body if isinstance(body, str) else json.dumps(body),
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": "1767225600000",
                    "SenderId": "AROAEXAMPLE:sender",
                    "ApproximateFirstReceiveTimestamp": "1767225600001",
                    **({"SequenceNumber": str(10**19 + row), "MessageGroupId": groups[row]} if groups else {}),
                },
                "messageAttributes": {
                    "priority": {
                        "stringValue": "high", "stringListValues": [], "binaryListValues": [], "dataType": "String",
                    }
                },
                "md5OfBody": "0" * 32,
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:eu-west-1:{ACCOUNT}:{queue}",
                "awsRegion": "eu-west-1",
            }
            for row, body in enumerate(bodies)
        ]
    }  # fmt: skip


def dynamodb_event(images: Sequence[Mapping[str, Any] | None], start: int = 0, **change: Any) -> dict[str, Any]:
    """Changes with these new images, as attribute values; None stands for an item that was removed."""
    return {
        "Records": [
            {
                "eventID": f"{start + row:032x}",
                "eventName": "REMOVE" if image is None else "MODIFY",
                "eventVersion": "1.1",
                "eventSource": "aws:dynamodb",
                "awsRegion": "eu-west-1",
                "dynamodb": {
                    "ApproximateCreationDateTime": 1767225600,
                    "Keys": {"n": {"N": str(start + row)}},
                    "SequenceNumber": dynamodb_number(start + row),
                    "SizeBytes": 59,
                    "StreamViewType": "NEW_AND_OLD_IMAGES",
                    "OldImage": {"n": {"N": str(start + row)}},
                    **({} if image is None else {"NewImage": dict(image)}),
                    **change,
                },
                "eventSourceARN": STREAM_ARN,
            }
            for row, image in enumerate(images)
        ]
    }


def dynamodb_number(place: int) -> str:
    """The sequence number of the change at a place."""
    return str(7_000_000_000_000_000_000_000_000_000 + place)


def sns_event(messages: Sequence[object]) -> dict[str, Any]:
    """Notifications with these messages."""
    topic = f"arn:aws:sns:eu-west-1:{ACCOUNT}:parcels"
    return {
        "Records": [
            {
                "EventVersion": "1.0",
                "EventSubscriptionArn": f"{topic}:00000000-0000-4000-8000-00000000f001",
                "EventSource": "aws:sns",
                "Sns": {
                    "SignatureVersion": "1",
                    "Timestamp": "2026-01-01T00:00:00.000Z",
                    "Signature": "EXAMPLE",
                    "SigningCertUrl": "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService.pem",
                    "MessageId": f"n-{row}",
                    "Message": message if isinstance(message, str) else json.dumps(message),
                    "MessageAttributes": {"priority": {"Type": "String", "Value": "high"}},
                    "Type": "Notification",
                    "UnsubscribeUrl": "https://sns.eu-west-1.amazonaws.com/?Action=Unsubscribe",
                    "TopicArn": topic,
                    "Subject": None,
                },
            }
            for row, message in enumerate(messages)
        ]
    }


def s3_event(*objects: Mapping[str, Any], event_name: str = "ObjectCreated:Put") -> dict[str, Any]:
    """Events of these objects, as S3 describes them."""
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": "eu-west-1",
                "eventTime": "2026-01-01T00:00:00.000Z",
                "eventName": event_name,
                "userIdentity": {"principalId": "AWS:AIDAEXAMPLE"},
                "requestParameters": {"sourceIPAddress": "192.0.2.1"},
                "responseElements": {"x-amz-request-id": "EXAMPLE000000001", "x-amz-id-2": "EXAMPLE"},
                "s3": {
                    "s3SchemaVersion": "1.0",
                    "configurationId": "parcels",
                    "bucket": {
                        "name": "depot", "ownerIdentity": {"principalId": "A3EXAMPLE"}, "arn": "arn:aws:s3:::depot",
                    },
                    "object": dict(each),
                },
            }
            for each in objects
        ]
    }  # fmt: skip


def eventbridge_event(detail: object, **fields: Any) -> dict[str, Any]:
    """An event with this detail."""
    return {
        "version": "0",
        "id": "00000000-0000-4000-8000-00000000e001",
        "detail-type": "Parcel Sent",
        "source": "depot.parcels",
        "account": ACCOUNT,
        "time": "2026-01-01T00:00:00Z",
        "region": "eu-west-1",
        "resources": [f"arn:aws:ec2:eu-west-1:{ACCOUNT}:instance/i-0aaaaaaaaaaaaaaa1"],
        "detail": detail,
        **fields,
    }


def firehose_event(datas: Sequence[bytes], *, stream: bool = False) -> dict[str, Any]:
    """Records for a transformation, put on Firehose or read by it from a stream of Kinesis."""
    arrived = {"approximateArrivalTimestamp": 1767225600000}
    return {
        "invocationId": "00000000-0000-4000-8000-00000000f002",
        "deliveryStreamArn": f"arn:aws:firehose:eu-west-1:{ACCOUNT}:deliverystream/parcels",
        "region": "eu-west-1",
        **({"sourceKinesisStreamArn": f"arn:aws:kinesis:eu-west-1:{ACCOUNT}:stream/parcels"} if stream else {}),
        "records": [
            {
                "recordId": f"r-{row}",
                "data": base64.b64encode(data).decode(),
                **arrived,
                **({"kinesisRecordMetadata": _origin(row) | arrived} if stream else {}),
            }
            for row, data in enumerate(datas)
        ],
    }


def _origin(row: int) -> dict[str, Any]:
    return {
        "shardId": "shardId-000000000000",
        "partitionKey": f"key-{row}",
        "sequenceNumber": str(10**55 + row),
        "subsequenceNumber": "",
    }


def handed_back(answer: Any) -> list[str]:
    """The identifiers of a partial response, of which nothing else is part."""
    assert set(answer) == {"batchItemFailures"}
    assert all(set(item) == {"itemIdentifier"} for item in answer["batchItemFailures"])
    return [item["itemIdentifier"] for item in answer["batchItemFailures"]]


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What was logged, the metrics' line last."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]
