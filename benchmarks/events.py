"""Make events of bike records in AWS's envelope, as Lambda's event source mapping sends them, up to Lambda's 6 MB."""

from __future__ import annotations

import base64
import json
import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENT_BYTES = 6 * 1024 * 1024  # Lambda's limit on a synchronous event
INPUT_STREAM, SHARD = "passenger_events", "shardId-000000000000"
FIRST_SEQUENCE_NUMBER = 49_633_930_873_543_048_396_023_173_467_440_720_160_140_773_540_570_857_474
FIRST_ARRIVAL_S = 1_665_202_866.428
WEATHER_CODES = (1, 2, 3, 4, 7, 10, 26)  # the codes of the London table


def payloads() -> Iterator[bytes]:
    """Yield bike records as a Python producer encodes them, the same ones in every run."""
    chance = random.Random(0)  # noqa: S311 - invented weather needs no secret randomness
    number = 0
    while True:
        temperature = round(chance.gauss(12.5, 5.6), 1)
        features = {
            "t1": temperature,
            "t2": round(temperature - abs(chance.gauss(0.8, 1.5)), 1),
            "hum": round(min(100.0, max(20.0, chance.gauss(72.3, 14.3))), 1),
            "weather_code": chance.choices(WEATHER_CODES, (35, 23, 20, 8, 12, 1, 1))[0],
        }
        yield json.dumps({"features": features, "pred_id": 100_000 + number}).encode()
        number += 1


def event_of(records: int | None) -> tuple[bytes, int]:
    """Return an event's bytes and the number of its records.

    Args:
        records: The number of records; None fills the event to Lambda's limit.
    """
    opening, closing = b'{"Records":[', b"]}"
    parts: list[bytes] = []
    size = len(opening) + len(closing)
    for number, payload in enumerate(payloads()):
        record = json.dumps(_envelope(number, payload), separators=(",", ":")).encode()
        size += len(record) + 1
        if size > EVENT_BYTES or number == records:
            break
        parts.append(record)
    return opening + b",".join(parts) + closing, len(parts)


def _envelope(number: int, payload: bytes) -> dict[str, Any]:
    """Return one record of an event: https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html."""
    sequence_number = str(FIRST_SEQUENCE_NUMBER + 7 * number)
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": str(100_000 + number),
            "sequenceNumber": sequence_number,
            "data": base64.b64encode(payload).decode(),
            "approximateArrivalTimestamp": round(FIRST_ARRIVAL_S + number / 1000, 3),
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{SHARD}:{sequence_number}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": "arn:aws:iam::123456789012:role/lambda-kinesis",
        "awsRegion": "us-east-1",
        "eventSourceARN": f"arn:aws:kinesis:us-east-1:123456789012:stream/{INPUT_STREAM}",
    }
