from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import pytest

from app.errors import EventError, NoOutputStreamError, TooLargeError, UnacknowledgedError
from app.handlers.base import LambdaHandler
from app.handlers.sources.kinesis import HandlerPipeline, KinesisRecord, goes_whole, kinesis_handler
from app.stream.aggregation_writer import Packer
from app.stream.testing import FakeStreams, MemorySpine, event_of, sequence_number
from tests.unit.handlers.sources.sources_for_tests import (
    Clock,
    Label,
    Parcel,
    ParcelHandler,
    handed_back,
    lines,
    sqs_event,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.handlers.invocation import Invocation
    from app.stream.pipeline import Pipeline


@pytest.fixture(autouse=True)
def _streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTPUT_STREAM", "labels")
    monkeypatch.setenv("QUARANTINE_STREAM", "aside")
    monkeypatch.setenv("PARTIAL_RESPONSES", "True")


def parcels(*does: str) -> list[bytes]:
    return [msgspec.json.encode({"n": n, "do": do}) for n, do in enumerate(does)]


def resumes_at(answer: Any) -> list[str]:
    return handed_back({"batchItemFailures": answer["batchItemFailures"]})


def decoded(records: Sequence[tuple[str, bytes]]) -> list[dict[str, Any]]:
    return [msgspec.json.decode(data) for _, data in records]


def test_each_record_is_a_request_and_each_response_an_output_of_its_key() -> None:
    handler, streams = ParcelHandler.fresh(), FakeStreams()
    answer = kinesis_handler(handler, service=streams)(event_of(parcels("take", "take"), ["a", "b"]), Clock())
    assert resumes_at(answer) == []
    assert [key for key, _ in streams.records["labels"]] == ["a", "b"]
    first = decoded(streams.records["labels"])[0]
    assert first["parcel"] == 0
    assert first["id"] == f"input/shardId-000000000000/{sequence_number(0)}/0/parcel/0"
    assert first["source"]["sequence_number"] == sequence_number(0)


def test_what_cannot_succeed_is_set_aside_with_its_reason_and_its_neighbours_go_on() -> None:
    handler, streams = ParcelHandler.fresh(), FakeStreams()
    payloads = [*parcels("take", "raise", "refuse", "take"), b"not JSON", b'{"n": "4"}']
    assert resumes_at(kinesis_handler(handler, service=streams)(event_of(payloads), Clock())) == []
    aside = decoded(streams.records["aside"])
    assert [each["reason"] for each in aside] == ["handler_error", "unprocessable", "not_json", "mistyped_field"]
    assert aside[0]["message"] == "ValueError"  # what it said may be anything
    assert handler.tried == [0, 1, 2, 3]  # each once: nothing was halved
    assert handler.taken == [0, 3]


def test_what_may_pass_is_handed_back_and_nothing_behind_it_is_started() -> None:
    handler, streams = ParcelHandler.fresh(), FakeStreams()
    answer = kinesis_handler(handler, service=streams)(event_of(parcels("take", "wait", "take")), Clock())
    assert resumes_at(answer) == [sequence_number(1)]
    assert handler.tried == [0, 1]
    assert len(streams.records["labels"]) == 1


def test_without_partial_responses_the_batch_comes_back_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARTIAL_RESPONSES", "False")
    with pytest.raises(UnacknowledgedError, match="2 of 3 records are not safe"):
        kinesis_handler(ParcelHandler.fresh(), service=FakeStreams())(event_of(parcels("take", "wait", "take")))


def test_records_of_an_aggregate_are_requests_of_their_own() -> None:
    handler, streams, packer = ParcelHandler.fresh(), FakeStreams(), Packer()
    for key, payload in zip("ab", parcels("take", "take"), strict=True):
        packer.add(key, payload)
    assert resumes_at(kinesis_handler(handler, service=streams)(event_of([packer.pack()]), Clock())) == []
    assert handler.taken == [0, 1]
    assert [key for key, _ in streams.records["labels"]] == ["a", "b"]


def test_once_half_the_time_is_up_the_rest_is_handed_back_and_the_outputs_still_go_out() -> None:
    tried: list[int] = []

    class Slow(LambdaHandler[Parcel, Label]):
        """Takes most of the time that there is for parcel 1."""

        def handle(self, request: Parcel, invocation: Invocation) -> Label:
            tried.append(request.n)
            if request.n == 1:
                invocation.deadline._at_s -= 40  # as if 40 seconds had passed
            return Label(request.n)

    streams = FakeStreams()
    answer = kinesis_handler(Slow, service=streams)(event_of(parcels(*["take"] * 4)), Clock(60_000))
    assert resumes_at(answer) == [sequence_number(2)]
    assert tried == [0, 1]
    assert [each["parcel"] for each in decoded(streams.records["labels"])] == [0, 1]


class Quiet(LambdaHandler[Parcel, None]):
    """Returns nothing."""

    def handle(self, request: Parcel, _invocation: Invocation) -> None:
        if request.do == "raise":
            raise TooLargeError("$.n: large", "$.n")


def test_a_handler_without_responses_needs_no_output_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OUTPUT_STREAM")
    streams = FakeStreams()
    assert resumes_at(kinesis_handler(Quiet, service=streams)(event_of(parcels("take", "raise")), Clock())) == []
    assert [each["reason"] for each in decoded(streams.records["aside"])] == ["too_large"]
    assert list(streams.records) == ["aside"]


def test_a_handler_with_responses_says_which_stream_it_needs() -> None:
    with pytest.raises(
        NoOutputStreamError, match="handler parcel would have nowhere to go: set OUTPUT_STREAMS=far:<str"
    ):
        kinesis_handler(ParcelHandler.fresh(), role="far", service=FakeStreams())(event_of([]))


def test_a_handler_with_responses_needs_the_output_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OUTPUT_STREAM")
    with pytest.raises(NoOutputStreamError, match="set OUTPUT_STREAM, or TEST_RUN=True"):
        kinesis_handler(ParcelHandler.fresh(), service=FakeStreams()).open()


def test_responses_may_go_to_the_stream_of_a_role(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTPUT_STREAMS", "far:islands")
    streams = FakeStreams()
    kinesis_handler(ParcelHandler.fresh(), role="far", service=streams)(event_of(parcels("take")), Clock())
    assert list(streams.records) == ["islands"]


def test_a_test_run_shows_the_responses_and_needs_no_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OUTPUT_STREAM")
    monkeypatch.setenv("TEST_RUN", "True")
    streams = FakeStreams()
    answer = kinesis_handler(ParcelHandler.fresh(), service=streams)(event_of(parcels("take")))
    assert [each["parcel"] for each in answer["predictions"]] == [0]
    assert streams.calls == []


def test_a_record_may_be_left_out_or_read_otherwise() -> None:
    handler, streams = ParcelHandler.fresh(), FakeStreams()
    seen: list[KinesisRecord] = []

    def wanted(record: KinesisRecord) -> bool:
        seen.append(record)
        return record.partition_key != "b"

    function = kinesis_handler(
        handler, should_process=wanted, request_of=lambda record: record.value["parcel"], service=streams
    )
    payloads = [b'{"parcel": {"n": 1}}', b"{}", b'{"parcel": {}}', b"[]"]
    assert resumes_at(function(event_of(payloads, ["a", "b", "c", "d"]), Clock())) == []
    assert handler.taken == [1]
    reasons = {(each["reason"], each["message"].split(":")[0]) for each in decoded(streams.records["aside"])}
    assert reasons == {("request_refused", "$.n"), ("handler_error", "TypeError")}
    assert (seen[0].stream, seen[0].sequence_number) == ("input", sequence_number(0))


class Ride(msgspec.Struct):
    """A row of a table that AWS DMS replicates to a stream."""

    data: Parcel


class RideHandler(LambdaHandler[Ride, Label]):
    """Takes the parcel of a row."""

    def handle(self, request: Ride, _invocation: Invocation) -> Label:
        return Label(request.data.n)


def replicated(record_type: str, operation: str, **data: Any) -> bytes:
    """A record as AWS DMS writes it; a control record has no data."""
    metadata = {
        "timestamp": "2026-01-01T00:00:00.000000Z",
        "record-type": record_type,
        "operation": operation,
        "partition-key-type": "schema-table",
        "schema-name": "depot",
        "table-name": "parcels",
    }
    return msgspec.json.encode({**({"data": data} if data else {}), "metadata": metadata})


def test_a_record_that_is_not_wanted_is_skipped_before_it_has_to_be_a_request(
    capsys: pytest.CaptureFixture[str],
) -> None:
    streams = FakeStreams()
    function = kinesis_handler(
        RideHandler,
        should_process=lambda record: record.value["metadata"]["record-type"] == "data",
        service=streams,
    )
    payloads = [
        replicated("control", "create-table"),
        replicated("data", "load", n=1),
        replicated("data", "load", n="2"),
        b'{"metadata": {"record-type": "data"}}',
    ]
    assert resumes_at(function(event_of(payloads), Clock())) == []
    assert [each["parcel"] for each in decoded(streams.records["labels"])] == [1]
    assert [each["reason"] for each in decoded(streams.records["aside"])] == ["mistyped_field", "missing_field"]
    metrics = lines(capsys)[-1]
    assert (metrics["skipped"], metrics["emitted"], metrics["quarantined"]) == (1, 1, 2)


TEXTS = [b"x^2 is a text, not zlib.", b'{"n": 1}', b'"quoted"', b"12", "h\u00e9".encode(), b"\xef\xbb\xbfmarked"]


@pytest.mark.parametrize("hooked", [False, True])
@pytest.mark.parametrize(
    ("kind", "requests"),
    [
        (str, ["x^2 is a text, not zlib.", '{"n": 1}', "quoted", "12", "h\u00e9", "marked"]),
        (bytes, [b"x^2 is a text, not zlib.", b'{"n": 1}', b'"quoted"', b"12", "h\u00e9".encode(), b"marked"]),
        (Any, ["x^2 is a text, not zlib.", {"n": 1}, "quoted", 12, "h\u00e9", "marked"]),
        (object, ["x^2 is a text, not zlib.", {"n": 1}, "quoted", 12, "h\u00e9", "marked"]),
        (Annotated[str, msgspec.Meta(max_length=9)], ['{"n": 1}', "quoted", "12", "h\u00e9", "marked"]),
    ],
)
def test_a_handler_of_texts_takes_what_is_not_json(kind: Any, requests: list[Any], *, hooked: bool) -> None:
    seen: list[Any] = []

    class Listen(LambdaHandler[kind, None]):
        """Hears texts."""

        def handle(self, request: Any, _invocation: Invocation) -> None:
            seen.append(request)

    streams = FakeStreams()
    function = kinesis_handler(Listen, should_process=(lambda _: True) if hooked else None, service=streams)
    assert resumes_at(function(event_of([*TEXTS, b"\xff"]), Clock())) == []
    assert seen == requests
    reasons = [each["reason"] for each in decoded(streams.records["aside"])]
    assert reasons == [*["out_of_range"] * (len(TEXTS) - len(requests)), "not_utf8"]


class Cut(LambdaHandler[Parcel, Iterator[Label | None]]):
    """Cuts a parcel into as many as its number says."""

    def handle(self, request: Parcel, _invocation: Invocation) -> Iterator[Label | None]:
        for part in range(request.n):
            yield Label(part)
            if request.do == "raise":
                raise ValueError("secret")
        yield None


def test_a_handler_that_yields_gives_an_output_for_each_response() -> None:
    streams = FakeStreams()
    payloads = [b'{"n": 2}', b'{"n": 0}', b'{"n": 3, "do": "raise"}', b'{"n": 1}']
    assert resumes_at(kinesis_handler(Cut, service=streams)(event_of(payloads, list("abcd")), Clock())) == []
    found = [
        (key, each["parcel"], each["id"].rpartition("/")[2])
        for (key, _), each in zip(streams.records["labels"], decoded(streams.records["labels"]), strict=True)
    ]
    assert sorted(found) == [("a", 0, "0"), ("a", 1, "1"), ("d", 0, "0")]
    assert [each["reason"] for each in decoded(streams.records["aside"])] == ["handler_error"]


class Numbered(msgspec.Struct):
    id: int


class Tagged(msgspec.Struct, tag="tagged", tag_field="source"):
    n: int


class Listed(msgspec.Struct, array_like=True):
    n: int


@pytest.mark.parametrize(
    ("response_type", "whole"),
    [
        (Label, True),
        (Label | None, True),
        (Numbered, False),  # it would have two ids
        (Label | Numbered, False),
        (Tagged, False),
        (Listed, False),
        (dict[str, int], False),  # it might have any field
        (list[int], False),
        (Any, False),
    ],
)
def test_a_response_goes_as_it_is_where_its_type_leaves_room_for_id_and_source(response_type: Any, whole: bool) -> None:
    assert goes_whole(response_type) is whole


def test_other_responses_stand_under_one_name() -> None:
    class Number(LambdaHandler[Parcel, Numbered | None]):
        """Numbers parcels."""

        def handle(self, request: Parcel, _invocation: Invocation) -> Numbered | None:
            return Numbered(request.n) if request.n else None

    streams = FakeStreams()
    assert resumes_at(kinesis_handler(Number, service=streams)(event_of(parcels("take", "take")), Clock())) == []
    [output] = decoded(streams.records["labels"])
    assert output["response"] == {"id": 1}
    assert output["id"].endswith("/0/number/0")


def test_an_event_of_another_source_is_named() -> None:
    with pytest.raises(EventError, match="comes from aws:sqs, not from aws:kinesis"):
        kinesis_handler(ParcelHandler.fresh(), service=FakeStreams())(sqs_event([{}]))


def test_a_handler_is_a_pipeline_of_the_spine_as_any_other(capsys: pytest.CaptureFixture[str]) -> None:
    pipeline: Pipeline[Any] = HandlerPipeline(ParcelHandler.fresh()())
    assert pipeline.explain(Parcel(1)) == {"handler": "parcel", "request": {"n": 1, "do": "take"}}
    assert MemorySpine(pipeline).processor.pipeline.record_type is Parcel
    kinesis_handler(ParcelHandler.fresh(), service=FakeStreams())(event_of(parcels("take", "raise")), Clock())
    *logged, metrics = lines(capsys)
    assert [(line["message"], line["sequence_number"]) for line in logged[:2]] == [
        ("taken", sequence_number(0)),
        ("record failed: ValueError", sequence_number(1)),
    ]
    assert "secret" not in json.dumps(logged)
    assert (metrics["handler"], metrics["pipeline"], metrics["stream"]) == ("parcel", "parcel", "input")
    assert (metrics["records"], metrics["emitted"], metrics["quarantined"], metrics["success"]) == (2, 1, 1, 1)
