from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from app.errors import EventError, ModelError
from app.handlers.base import LambdaHandler
from app.handlers.sources.sqs import SqsMessage, sqs_handler
from tests.unit.handlers.sources.sources_for_tests import (
    Clock,
    Label,
    Parcel,
    ParcelHandler,
    dynamodb_event,
    eventbridge_event,
    handed_back,
    lines,
    sqs_event,
)

if TYPE_CHECKING:
    from app.handlers.invocation import Invocation
    from app.settings import Settings


def parcels(*does: str) -> list[dict[str, Any]]:
    return [{"n": n, "do": do} for n, do in enumerate(does)]


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def test_each_message_is_a_request_and_none_comes_back() -> None:
    handler = ParcelHandler.fresh()
    assert sqs_handler(handler)(sqs_event(parcels("take", "take"))) == {"batchItemFailures": []}
    assert handler.taken == [0, 1]


def test_an_event_may_come_as_bytes_and_may_be_empty() -> None:
    handler = ParcelHandler.fresh()
    function = sqs_handler(handler)
    assert handed_back(function(json.dumps(sqs_event(parcels("take", "raise"))).encode())) == ["m-1"]
    assert handed_back(function(b'{"Records": []}')) == []
    assert handler.taken == [0]


@pytest.mark.parametrize(
    "body",
    ["", "not JSON", "[]", "{}", '{"n": "1"}', '{"n": 1, "do": 2}', '"s3://bucket/key"', "s3://bucket/key", "[" * 2000],
)
def test_a_body_that_does_not_fit_comes_back_and_its_neighbours_go_on(body: str) -> None:
    handler = ParcelHandler.fresh()
    event = sqs_event([{"n": 0}, body, {"n": 2}])
    assert handed_back(sqs_handler(handler)(event)) == ["m-1"]
    assert handler.tried == [0, 2]


def test_a_body_that_no_encoding_holds_is_refused_as_no_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert handed_back(sqs_handler(ParcelHandler.fresh())(sqs_event(["\ud800"]))) == ["m-0"]
    assert lines(capsys)[0]["message"] == "record failed: RequestError at the whole"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("attributes", None),
        ("messageAttributes", None),
        ("receiptHandle", None),
        ("eventSourceARN", None),
        ("attributes", {"MessageGroupId": None, "ApproximateReceiveCount": "1"}),
    ],
)
def test_a_field_that_is_null_counts_as_missing(field: str, value: object) -> None:
    handler = ParcelHandler.fresh()
    event = sqs_event(parcels("take", "take"))
    event["Records"][0][field] = value
    assert handed_back(sqs_handler(handler)(event)) == []
    assert handler.taken == [0, 1]


@pytest.mark.parametrize(
    ("field", "value"),
    [("body", None), ("body", {"n": 0}), ("attributes", "none"), ("messageAttributes", {"a": 7}), ("receiptHandle", 7)],
)
def test_an_odd_field_fails_its_message_alone(field: str, value: object, capsys: pytest.CaptureFixture[str]) -> None:
    handler = ParcelHandler.fresh()
    event = sqs_event(parcels("take", "take", "take"))
    event["Records"][1][field] = value
    assert handed_back(sqs_handler(handler)(event)) == ["m-1"]
    assert handler.taken == [0, 2]
    assert f"$.Records[1].{field}" in lines(capsys)[1]["message"]


def test_a_message_that_cannot_be_read_stops_its_lane_as_any_other_failure() -> None:
    event = sqs_event(parcels("take", "take", "take"), groups=["a", "b", "a"], queue="parcels.fifo")
    event["Records"][0]["body"] = None
    assert handed_back(sqs_handler(ParcelHandler.fresh())(event)) == ["m-0", "m-1", "m-2"]
    assert handed_back(sqs_handler(ParcelHandler.fresh(), by_group=True)(event)) == ["m-0", "m-2"]


def test_a_body_that_is_not_json_is_the_request_of_a_handler_of_texts() -> None:
    seen: list[str] = []

    class Listen(LambdaHandler[str, None]):
        """Hears texts."""

        def handle(self, request: str, _invocation: Invocation) -> None:
            seen.append(request)

    assert handed_back(sqs_handler(Listen)(sqs_event(["Test message.", "", "s3://bucket/key", "\ud800"]))) == ["m-3"]
    assert seen == ["Test message.", "", "s3://bucket/key"]  # nothing is fetched


def test_what_a_handler_yields_is_asked_for_to_the_end() -> None:
    seen: list[int] = []

    class Count(LambdaHandler[Parcel, Iterator[int]]):
        """Counts to a number."""

        def handle(self, request: Parcel, _invocation: Invocation) -> Iterator[int]:
            for number in range(request.n):
                seen.append(number)
                yield number

    assert handed_back(sqs_handler(Count)(sqs_event([{"n": 2}]))) == []
    assert seen == [0, 1]
    assert Count.get_handler()({"n": 3}) == [0, 1, 2]
    assert Count.response_schema() == {"type": "array", "items": {"type": "integer"}}


def test_when_all_fail_all_come_back_without_an_error() -> None:
    function = sqs_handler(ParcelHandler.fresh())
    assert handed_back(function(sqs_event(parcels("raise", "refuse", "wait")))) == ["m-0", "m-1", "m-2"]


def test_a_fifo_queue_gets_the_first_failure_and_all_behind_it() -> None:
    handler = ParcelHandler.fresh()
    event = sqs_event(parcels("take", "raise", "take", "take"), groups=["a", "a", "b", "a"])
    assert handed_back(sqs_handler(handler, fifo=True)(event)) == ["m-1", "m-2", "m-3"]
    assert handler.tried == [0, 1]


def test_a_fifo_queue_is_known_by_its_name() -> None:
    handler = ParcelHandler.fresh()
    event = sqs_event(parcels("raise", "take"), groups=["a", "b"], queue="parcels.fifo")
    assert handed_back(sqs_handler(handler)(event)) == ["m-0", "m-1"]
    assert handler.tried == [0]


def test_by_group_a_failure_holds_up_its_own_group_alone() -> None:
    handler = ParcelHandler.fresh()
    event = sqs_event(parcels("raise", "take", "take", "take"), groups=["a", "b", "a", "b"], queue="parcels.fifo")
    assert handed_back(sqs_handler(handler, by_group=True)(event)) == ["m-0", "m-2"]
    assert handler.tried == [0, 1, 3]


def test_a_message_that_is_twice_in_a_batch_is_handled_and_named_once() -> None:
    handler = ParcelHandler.fresh()
    event = sqs_event(parcels("raise", "raise", "take", "take"), ids=["x", "x", "y", "y"])
    assert handed_back(sqs_handler(handler)(event)) == ["x"]
    assert handler.tried == [0, 2]


def test_once_the_time_is_up_nothing_is_started_and_the_rest_comes_back() -> None:
    clock = Clock()

    class Slow(LambdaHandler[Parcel, Label]):
        """Takes all the time that there is for parcel 1."""

        def handle(self, request: Parcel, invocation: Invocation) -> Label:
            if request.n == 1:
                invocation.deadline._at_s = 0  # as if the time had passed
            return Label(request.n)

    assert handed_back(sqs_handler(Slow)(sqs_event(parcels("take", "take", "take", "take")), clock)) == ["m-2", "m-3"]


def test_a_function_without_time_starts_nothing() -> None:
    handler = ParcelHandler.fresh()
    assert handed_back(sqs_handler(handler)(sqs_event(parcels("take", "take")), Clock(1))) == ["m-0", "m-1"]
    assert handler.tried == []


def test_a_skipped_message_counts_as_done_and_another_request_may_be_made_of_one() -> None:
    handler = ParcelHandler.fresh()
    seen: list[SqsMessage] = []

    def urgent(message: SqsMessage) -> bool:
        seen.append(message)
        return message.message_id != "m-0"

    function = sqs_handler(handler, should_process=urgent, request_of=lambda message: {"n": len(message.body)})
    assert handed_back(function(sqs_event(["-", "--", "---"], groups=["a", "b", "c"]))) == []
    assert handler.taken == [2, 3]
    assert [(each.group, each.receive_count) for each in seen] == [("a", 1), ("b", 1), ("c", 1)]
    assert seen[0].message_attributes["priority"].string_value == "high"


def test_a_hook_that_raises_fails_its_message_alone() -> None:
    handler = ParcelHandler.fresh()
    function = sqs_handler(handler, should_process=lambda message: bool(json.loads(message.body)["n"] or 1 // 0))
    assert handed_back(function(sqs_event(parcels("take", "take")))) == ["m-0"]
    assert handler.taken == [1]


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (dynamodb_event([{}]), "event: comes from aws:dynamodb, not from aws:sqs: check the trigger"),
        (eventbridge_event({}), r"event: no list of Records \(from depot.parcels\)"),
        ({"Records": [{"eventSource": "aws:sqs"}]}, r"event: \$\.Records\[0\]\.messageId: object missing"),
        ({"Records": [{"eventSource": "aws:sqs", "messageId": "", "body": ""}]}, r"Records\[0\]\.messageId: expected"),
        ({"Records": [{}]}, "an unnamed source, not from aws:sqs"),
        ({"Records": [{"eventSource": nested(5000)}]}, "comes from a list, not from aws:sqs"),
        ({"Records": [{"eventSource": "aws:sqs", 1: 2}]}, r"event: \$\.Records\[0\]"),
        (b'{"Records": ' + b"[" * 5000, "event: not JSON"),
        (b"{", "event: not JSON"),
        (None, "a NoneType"),
    ],
)
def test_an_event_of_another_source_is_named(event: Any, line: str) -> None:
    with pytest.raises(EventError, match=line):
        sqs_handler(ParcelHandler.fresh())(event)


def test_the_handler_is_opened_once_and_a_batch_comes_back_whole_where_it_cannot_be() -> None:
    opened: list[int] = []

    class Counted(ParcelHandler):
        """Counts how often it is opened."""

        @classmethod
        def open(cls, _settings: Settings) -> Counted:
            opened.append(1)
            if len(opened) == 1:
                raise ModelError("no model")
            return cls()

    function = sqs_handler(Counted)
    with pytest.raises(ModelError):
        function(sqs_event(parcels("take")))
    for _ in range(2):
        assert handed_back(function(sqs_event(parcels("take")))) == []
    assert len(opened) == 2


def test_logs_have_ids_and_reasons_and_one_line_of_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    function = sqs_handler(ParcelHandler.fresh(), should_process=lambda message: message.message_id != "m-4")
    event = sqs_event([*parcels("take", "raise", "refuse", "wait", "take"), {"n": "secret"}])
    function(event, Clock())
    *logged, metrics = lines(capsys)
    assert "secret" not in json.dumps(logged)
    assert all(line["request_id"] == line["correlation_id"] == "request-1" for line in logged)
    taken, raised, refused, waited, unfit, summary = logged
    assert (taken["message"], taken["message_id"]) == ("taken", "m-0")
    assert (raised["message"], raised["message_id"]) == ("record failed: ValueError", "m-1")
    assert any("sources_for_tests.py" in frame for frame in raised["frames"])
    assert refused["message"] == "record failed: UnprocessableError at $.n"
    assert waited["message"] == "record failed: the depot does not answer"
    assert unfit["message"] == "record failed: RequestError at $.n"
    assert (summary["records"], summary["again"], summary["first"]) == (6, 4, "m-1")
    counts = {name: metrics[name] for name in ("records", "processed", "failed", "skipped", "not_started", "repeated")}
    assert counts == {"records": 6, "processed": 1, "failed": 4, "skipped": 1, "not_started": 0, "repeated": 0}
    assert (metrics["handler"], metrics["success"]) == ("parcel", 1)
