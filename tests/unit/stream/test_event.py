from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from app.errors import EventError
from app.stream.event import read_event

# The event of the project's seed document, as Lambda's console takes it.
SEED_EVENT: dict[str, Any] = {
    "Records": [
        {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": "1",
                "sequenceNumber": "123456789123456789123456789",
                "data": "ewogICAgICAgICJmZWF0dXJlcyI6IHsKICAgICAgICAgICAgInQxIjogMiwKICAgICAgICAgICAgInQyIjogMywK"
                "ICAgICAgICAgICAgImh1bSI6IDUwLAogICAgICAgICAgICAid2VhdGhlcl9jb2RlIjogMgogICAgICAgIH0sIAogICAgICAgICJw"
                "cmVkX2lkIjogMTIzCiAgICB9",
                "approximateArrivalTimestamp": 1665200574.31,
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": "shardId-000000000000:123456789012345678901234567890",
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": "arn:aws:iam::123456789012:role/lambda-kinesis",
            "awsRegion": "us-east-1",
            "eventSourceARN": "arn:aws:kinesis:us-east-1:123456789012:stream/passenger_events",
        }
    ]
}


def with_data(*datas: str) -> dict[str, Any]:
    """The seed's event with other data, a record each."""
    record = SEED_EVENT["Records"][0]
    return {
        "Records": [
            {**record, "kinesis": {**record["kinesis"], "data": data, "sequenceNumber": str(100 + row)}}
            for row, data in enumerate(datas)
        ]
    }


@pytest.mark.parametrize("event", [SEED_EVENT, msgspec.json.encode(SEED_EVENT)], ids=["dict", "raw bytes"])
def test_the_seeds_event_becomes_columns(event: dict[str, Any] | bytes) -> None:
    batch, faults = read_event(event)
    assert not faults
    assert batch.stream == "passenger_events"
    assert batch.shards == ["shardId-000000000000"]
    assert batch.partition_keys == ["1"]
    assert batch.sequence_numbers == ["123456789123456789123456789"]
    assert batch.arrivals_s == [1665200574.31]
    assert msgspec.json.decode(batch.payloads[0])["pred_id"] == 123


NOT_BASE64 = ["a*k=", "aGk", "aG k=", "aGk=\n", "_-8=", "\u00e9\u00e9\u00e9\u00e9"]


@pytest.mark.parametrize(
    ("bad", "raw"), [(bad, raw) for bad in NOT_BASE64 for raw in (False, True)] + [("\ud800", False)]
)
def test_bad_base64_is_one_records_fault(bad: str, *, raw: bool) -> None:
    good = base64.b64encode(b"{}").decode()
    event: Any = with_data(good, bad, good)
    batch, faults = read_event(msgspec.json.encode(event) if raw else event)
    assert list(faults) == [1]
    assert faults[1].reason == "bad_base64"
    assert batch.payloads[0] == batch.payloads[2] == b"{}"
    assert batch.sequence_numbers == ["100", "101", "102"]


def test_an_event_without_records_is_an_empty_batch() -> None:
    batch, faults = read_event(b'{"Records": []}')
    assert len(batch) == 0
    assert not faults


@pytest.mark.parametrize(
    ("event", "named"),
    [
        ({"Records": [{"eventSource": "aws:sqs", "body": "x"}]}, "aws:sqs"),
        ({"Records": [{"EventSource": "aws:sns"}]}, "aws:sns"),
        ({"source": "aws.events", "detail-type": "Scheduled Event"}, "aws.events"),
        ({"resource": "/", "httpMethod": "GET"}, "resource, httpMethod"),
        ({"Records": [{}]}, "unnamed source"),
        ([], "a list"),
        (b"hello", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff", "not JSON"),
        ({"Records": [{"eventSource": "aws:kinesis"}]}, "Records[0]"),
    ],
)
def test_what_is_not_from_kinesis_is_refused_with_its_source_named(event: Any, named: str) -> None:
    with pytest.raises(EventError, match=r"^event: ") as refused:
        read_event(event)
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_record_without_a_sequence_number_names_its_place() -> None:
    event = with_data("e30=", "e30=")
    del event["Records"][1]["kinesis"]["sequenceNumber"]
    with pytest.raises(EventError, match=r"Records\[1\].*sequenceNumber"):
        read_event(event)


def test_records_of_two_streams_are_refused() -> None:
    event = with_data("e30=", "e30=")
    event["Records"][1]["eventSourceARN"] += "-2"
    with pytest.raises(EventError, match="2 streams"):
        read_event(event)


@pytest.mark.parametrize("number", ["", "12a", "\u0661"])
def test_a_sequence_number_that_is_none_is_refused(number: str) -> None:
    event = with_data("e30=")
    event["Records"][0]["kinesis"]["sequenceNumber"] = number
    with pytest.raises(EventError, match="sequence number"):
        read_event(event)


def test_names_that_would_break_an_id_are_refused() -> None:
    event = with_data("e30=")
    event["Records"][0]["eventID"] = 'shard"/x:1'
    with pytest.raises(EventError, match="not a shard name"):
        read_event(event)
