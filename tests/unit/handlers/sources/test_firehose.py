from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from app.errors import EventError
from app.handlers.base import LambdaHandler
from app.handlers.sources import firehose
from app.handlers.sources.firehose import FirehoseRecord, firehose_handler
from tests.unit.handlers.sources.sources_for_tests import (
    Clock,
    Parcel,
    ParcelHandler,
    firehose_event,
    lines,
    sqs_event,
)

if TYPE_CHECKING:
    from app.handlers.invocation import Invocation


def answers(response: Any) -> list[tuple[str, str, bytes | None]]:
    """Each record's id, result and new data."""
    assert set(response) == {"records"}
    return [
        (each["recordId"], each["result"], base64.b64decode(each["data"]) if "data" in each else None)
        for each in response["records"]
    ]


def parcels(*does: str) -> list[bytes]:
    return [msgspec.json.encode({"n": n, "do": do}) for n, do in enumerate(does)]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_each_record_is_answered_with_what_its_handler_returns(compress: Any, *, stream: bool) -> None:
    event = firehose_event([compress(data) for data in parcels("take", "take")], stream=stream)
    found = answers(firehose_handler(ParcelHandler.fresh())(json.dumps(event).encode()))
    assert found == [("r-0", "Ok", b'{"parcel":0}\n'), ("r-1", "Ok", b'{"parcel":1}\n')]


def test_a_failure_is_its_records_alone_in_the_events_order(capsys: pytest.CaptureFixture[str]) -> None:
    event = firehose_event([*parcels("take", "raise", "refuse", "wait", "take"), b"no JSON", b""])
    event["records"].append({"recordId": "r-7", "data": "no base64", "approximateArrivalTimestamp": 1767225600000})
    found = answers(firehose_handler(ParcelHandler.fresh())(event, Clock()))
    assert [record_id for record_id, _, _ in found] == [f"r-{row}" for row in range(8)]
    results = [result for _, result, _ in found]
    assert results == ["Ok", *["ProcessingFailed"] * 3, "Ok", *["ProcessingFailed"] * 3]
    assert {data for _, result, data in found if result != "Ok"} == {None}
    *logged, metrics = lines(capsys)
    assert "secret" not in json.dumps(logged)
    assert (metrics["records"], metrics["processed"], metrics["failed"]) == (8, 2, 6)


def test_what_is_left_out_or_has_no_response_is_dropped() -> None:
    class Weigh(LambdaHandler[Parcel, Parcel | None]):
        """Drops what weighs nothing."""

        def handle(self, request: Parcel, _invocation: Invocation) -> Parcel | None:
            return request if request.n else None

    def wanted(record: FirehoseRecord) -> bool:
        assert record.kinesis_record_metadata is not None
        return record.kinesis_record_metadata.partition_key != "key-2"

    event = firehose_event(parcels("take", "take", "take"), stream=True)
    found = answers(firehose_handler(Weigh, should_process=wanted)(event))
    assert [result for _, result, _ in found] == ["Dropped", "Ok", "Dropped"]


def test_texts_and_bytes_are_the_data_as_they_are() -> None:
    class Upper(LambdaHandler[str, str]):
        """Writes in capitals."""

        def handle(self, request: str, _invocation: Invocation) -> str:
            return request.upper()

    class Raw(LambdaHandler[bytes, bytes]):
        """Turns bytes round."""

        def handle(self, request: bytes, _invocation: Invocation) -> bytes:
            return request[::-1]

    event = firehose_event([b"Hello World", b'{"Hello": "World"}'])
    assert [data for *_, data in answers(firehose_handler(Upper)(event))] == [b"HELLO WORLD", b'{"HELLO": "WORLD"}']
    assert [data for *_, data in answers(firehose_handler(Raw)(event))] == [b"dlroW olleH", b'}"dlroW" :"olleH"{']


class LogEvents(msgspec.Struct, rename="camel"):
    """A record of a CloudWatch Logs subscription."""

    message_type: str
    log_events: list[dict[str, Any]]


class Logs(LambdaHandler[LogEvents, Iterator[dict[str, Any]]]):
    """Makes a line of each log event."""

    def handle(self, request: LogEvents, _invocation: Invocation) -> Iterator[dict[str, Any]]:
        if request.message_type == "DATA_MESSAGE":
            yield from request.log_events


def test_what_a_handler_yields_are_the_lines_of_one_record() -> None:
    data = {"messageType": "DATA_MESSAGE", "logEvents": [{"message": "a"}, {"message": "b"}]}
    control = {"messageType": "CONTROL_MESSAGE", "logEvents": [{"message": "checking"}]}
    event = firehose_event([gzip.compress(json.dumps(each).encode()) for each in (data, control)])
    assert answers(firehose_handler(Logs)(event)) == [
        ("r-0", "Ok", b'{"message":"a"}\n{"message":"b"}\n'),
        ("r-1", "Dropped", None),
    ]


def test_records_whose_data_would_not_fit_lambdas_response_fail_and_the_log_says_what_to_set(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Grow(LambdaHandler[Parcel, str]):
        """Makes much of little."""

        def handle(self, request: Parcel, _invocation: Invocation) -> str:
            return "x" * 1_000_000 * request.n

    event = firehose_event([b'{"n": 2}', b'{"n": 3}', b'{"n": 2}', b'{"n": 0}', b'{"n": 9}'])
    response = firehose_handler(Grow)(event, Clock())
    results = [result for _, result, _ in answers(response)]
    assert results == ["Ok", "ProcessingFailed", "Ok", "Ok", "ProcessingFailed"]
    assert len(msgspec.json.encode(response)) <= firehose.RESPONSE_BYTES
    [line] = [each for each in lines(capsys) if "BufferSizeInMBs" in each.get("message", "")]
    assert (line["records"], line["failed"]) == (5, 2)


def test_the_limit_holds_to_the_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    event = firehose_event(parcels("take", "take", "take"))
    function = firehose_handler(ParcelHandler.fresh())
    size = len(msgspec.json.encode(function(event)))
    margin = 3 * (len("ProcessingFailed") - len("Ok"))  # of a result that all might have had
    monkeypatch.setattr(firehose, "RESPONSE_BYTES", size + margin)
    assert {result for _, result, _ in answers(function(event))} == {"Ok"}
    monkeypatch.setattr(firehose, "RESPONSE_BYTES", size + margin - 1)
    assert [result for _, result, _ in answers(function(event))] == ["Ok", "Ok", "ProcessingFailed"]


def test_without_time_all_records_fail_and_none_is_started() -> None:
    handler = ParcelHandler.fresh()
    found = answers(firehose_handler(handler)(firehose_event(parcels("take", "take")), Clock(1)))
    assert [result for _, result, _ in found] == ["ProcessingFailed"] * 2
    assert handler.tried == []


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (sqs_event([{}]), r"event: not of Firehose \(records from aws:sqs\)"),
        ({"records": []}, r"event: not of Firehose \(keys records\)"),
        ([], "a list, not an object"),
        ({**firehose_event([]), "records": [{"data": "e30="}]}, r"\$\.records\[0\]\.recordId"),
    ],
)
def test_what_is_not_of_firehose_is_named(event: Any, line: str) -> None:
    with pytest.raises(EventError, match=line):
        firehose_handler(ParcelHandler.fresh())(event)
