from __future__ import annotations

import base64
import itertools
from typing import Any

import msgspec
import pytest

from app.errors import EventError
from app.stream.event import read_event, stream_of
from app.stream.testing import MemorySpine
from tests.pipelines_for_tests import EchoPipeline

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


CONSOLE_EVENT: dict[str, Any] = {
    "Records": [
        {
            "kinesis": {
                "partitionKey": "partitionKey-03",
                "kinesisSchemaVersion": "1.0",
                "data": "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0IDEyMy4=",
                "sequenceNumber": "49545115243490985018280067714973144582180062593244200961",
                "approximateArrivalTimestamp": 1428537600,
            },
            "eventSource": "aws:kinesis",
            "eventID": "shardId-000000000000:49545115243490985018280067714973144582180062593244200961",
            "invokeIdentityArn": "arn:aws:iam::EXAMPLE",
            "eventVersion": "1.0",
            "eventName": "aws:kinesis:record",
            "eventSourceARN": "arn:aws:kinesis:EXAMPLE",
            "awsRegion": "us-east-1",
        }
    ]
}  # Lambda's console offers it as a test event


def test_the_test_event_of_the_console_is_a_batch_of_a_stream_named_example() -> None:
    batch, faults = read_event(CONSOLE_EVENT)
    assert (batch.stream, batch.payloads, faults) == ("EXAMPLE", [b"Hello, this is a test 123."], {})


STREAM_ARN = "arn:aws:kinesis:us-east-1:123456789012:stream/rides"


@pytest.mark.parametrize(
    ("arn", "stream"),
    [
        (STREAM_ARN, ("rides", STREAM_ARN)),
        (f"{STREAM_ARN}/consumer/app:1525898737", ("rides", STREAM_ARN)),
        (f"{STREAM_ARN}/consumer/stream:1", ("rides", STREAM_ARN)),
        (STREAM_ARN.replace("aws", "aws-cn", 1), ("rides", STREAM_ARN.replace("aws", "aws-cn", 1))),
        ("arn:aws:kinesis:EXAMPLE", ("EXAMPLE", "arn:aws:kinesis:EXAMPLE")),
        ("", ("", "")),
    ],
)
def test_an_arn_leads_to_its_stream(arn: str, stream: tuple[str, str]) -> None:
    assert stream_of(arn) == stream


def test_a_consumers_events_are_of_the_consumed_stream() -> None:
    event = with_data("e30=", "e30=")
    event["Records"][1]["eventSourceARN"] += "/consumer/dashboard:1525898737"
    batch, faults = read_event(event)
    assert (batch.stream, faults) == ("passenger_events", {})
    assert batch.output_id(0, "s", 0).startswith("passenger_events/")


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize(
    ("field", "value", "column", "read"),
    [
        ("approximateArrivalTimestamp", None, "arrivals_s", 0.0),
        ("approximateArrivalTimestamp", "1665200574.31", "arrivals_s", 1665200574.31),
        ("approximateArrivalTimestamp", "2022-10-08T03:42:54.310Z", "arrivals_s", 1665200574.31),
        ("approximateArrivalTimestamp", "2022-10-08T05:42:54.310+02:00", "arrivals_s", 1665200574.31),
        ("partitionKey", 17, "partition_keys", "17"),
        ("sequenceNumber", 2**63, "sequence_numbers", str(2**63)),
    ],
)
def test_a_field_of_another_type_is_read_where_its_meaning_is_clear(
    field: str, value: Any, column: str, read: object, *, raw: bool
) -> None:
    event = with_data("e30=", "e30=")
    event["Records"][1]["kinesis"][field] = value
    batch, faults = read_event(msgspec.json.encode(event) if raw else event)
    assert not faults
    assert getattr(batch, column)[1] == read


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        *itertools.product(["data"], [None, 12, {"a": 1}, [1], True, msgspec.UNSET]),
        *itertools.product(["partitionKey"], [None, "", 1.5, [1], False, msgspec.UNSET]),
        *itertools.product(["approximateArrivalTimestamp"], ["yesterday", True, {"s": 1}, "inf"]),
    ],
)
def test_a_field_that_is_not_clear_sets_its_record_aside_alone(field: str, value: object, *, raw: bool) -> None:
    event = with_data("e30=", "e30=", "e30=")
    event["Records"][1]["kinesis"][field] = value
    if value is msgspec.UNSET:
        del event["Records"][1]["kinesis"][field]
    batch, faults = read_event(msgspec.json.encode(event) if raw else event)
    assert {row: fault.reason for row, fault in faults.items()} == {1: "bad_envelope"}
    assert field in faults[1].message
    assert batch.sequence_numbers == ["100", "101", "102"]
    assert all(batch.partition_keys)  # the quarantine's stream needs one


def test_a_record_set_aside_for_its_envelope_reaches_the_quarantine_and_its_neighbours_the_output() -> None:
    event = with_data(*["eyJuIjoxfQ=="] * 3)
    event["Records"][1]["kinesis"]["partitionKey"] = None
    spine = MemorySpine(EchoPipeline())
    result = spine.run_event(msgspec.json.encode(event))
    assert result.resume_at is None
    assert len(spine.outputs()) == 2
    assert [(each["reason"], each["source"]["sequence_number"]) for each in spine.quarantined()] == [
        ("bad_envelope", "101")
    ]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("eventSourceARN",), None),
        (("eventID",), None),
        (("eventID",), 7),
        (("kinesis",), None),
        (("kinesis", "sequenceNumber"), None),
        (("kinesis", "sequenceNumber"), 1.5),
        (("kinesis", "sequenceNumber"), -1),
    ],
)
def test_without_the_fields_that_say_where_a_shard_resumes_the_event_is_refused(
    path: tuple[str, ...], value: Any
) -> None:
    event = with_data("e30=", "e30=")
    *parents, last = path
    owner = event["Records"][1]
    for parent in parents:
        owner = owner[parent]
    owner[last] = value
    with pytest.raises(EventError, match=r"^event: "):
        read_event(event)
