"""SNS, S3 and EventBridge: no partial responses, so that a failure has to fail the event."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import pytest

from app.errors import EventError, HandlerFailedError, RequestError, UnacknowledgedError
from app.handlers.base import LambdaHandler
from app.handlers.sources.dynamodb import dynamodb_stream_handler
from app.handlers.sources.eventbridge import eventbridge_handler
from app.handlers.sources.s3 import S3Object, s3_handler
from app.handlers.sources.sns import sns_handler
from tests.unit.handlers.sources.sources_for_tests import (
    Clock,
    ParcelHandler,
    dynamodb_event,
    eventbridge_event,
    lines,
    s3_event,
    sns_event,
    sqs_event,
)

if TYPE_CHECKING:
    from app.handlers.invocation import Invocation


def test_a_notification_is_a_request_and_its_id_ties_the_logs_together(capsys: pytest.CaptureFixture[str]) -> None:
    handler = ParcelHandler.fresh()
    assert sns_handler(handler)(sns_event([{"n": 3}]), Clock()) is None
    assert handler.taken == [3]
    taken, metrics = lines(capsys)
    assert (taken["correlation_id"], taken["message_id"], taken["request_id"]) == ("n-0", "n-0", "request-1")
    assert (metrics["records"], metrics["processed"], metrics["success"]) == (1, 1, 1)


def test_all_notifications_are_handled_before_the_event_fails(capsys: pytest.CaptureFixture[str]) -> None:
    handler = ParcelHandler.fresh()
    messages = ["Hello", {"n": 1}, {"n": 2, "do": "raise"}, {"n": 3}]
    with pytest.raises(UnacknowledgedError, match=r"2 of 4 records are not done \(n-0, n-2\)"):
        sns_handler(handler)(sns_event(messages))
    assert handler.taken == [1, 3]
    metrics = lines(capsys)[-1]
    assert (metrics["processed"], metrics["failed"], metrics["failure"]) == (2, 2, 1)


def test_only_the_first_ids_are_in_the_one_line() -> None:
    with pytest.raises(
        UnacknowledgedError, match=r"7 of 7 records are not done \(n-0, n-1, n-2, n-3, n-4 and 2 more\)"
    ):
        sns_handler(ParcelHandler.fresh())(sns_event(["?"] * 7))


def test_a_notification_may_be_left_out_or_read_otherwise() -> None:
    handler = ParcelHandler.fresh()
    function = sns_handler(
        handler,
        should_process=lambda record: record.notification.message != "no",
        request_of=lambda record: {"n": len(record.notification.message_attributes)},
    )
    function(sns_event(["no", "yes"]))
    assert handler.taken == [1]


class Listen(LambdaHandler[str, str]):
    """Repeats a text."""

    heard: ClassVar[list[str]] = []

    def handle(self, request: str, _invocation: Invocation) -> str:
        self.heard.append(request)
        return request


def test_a_message_that_is_not_json_is_the_request_of_a_handler_of_texts() -> None:
    Listen.heard.clear()
    sns_handler(Listen)(sns_event(["Hello from SNS!", "s3://bucket/key", {"n": 1}]))
    assert Listen.heard == ["Hello from SNS!", "s3://bucket/key", '{"n": 1}']  # nothing is fetched


def test_a_handler_of_texts_takes_what_a_source_has_parsed() -> None:
    Listen.heard.clear()
    eventbridge_handler(Listen)(eventbridge_event({"n": 1}))
    dynamodb_stream_handler(Listen)(dynamodb_event([{"n": {"N": "2.50"}}]))
    s3_handler(Listen)(s3_event({"key": "in/a"}))
    assert Listen.heard[0] == '{"n":1}'
    assert Listen.heard[1] == '{"n":2.50}'
    assert json.loads(Listen.heard[2])["key"] == "in/a"


def test_a_notification_with_an_odd_field_fails_alone_and_one_with_null_fields_is_read() -> None:
    handler = ParcelHandler.fresh()
    event = sns_event([{"n": 1}, {"n": 2}, {"n": 3}])
    event["Records"][0]["Sns"] |= {"MessageAttributes": None, "Timestamp": None, "TopicArn": None}
    event["Records"][1]["Sns"]["Message"] = None
    event["Records"][2]["Sns"]["MessageId"] = None
    with pytest.raises(UnacknowledgedError, match=r"2 of 3 records are not done \(n-1, 2\)"):
        sns_handler(handler)(event)
    assert handler.taken == [1]


class Store(LambdaHandler[S3Object, None]):
    """Remembers objects."""

    def __init__(self) -> None:
        self.seen: list[S3Object] = []

    def handle(self, request: S3Object, _invocation: Invocation) -> None:
        self.seen.append(request)


def stored(event: Any, **hooks: Any) -> list[S3Object]:
    function = s3_handler(Store, **hooks)
    function(event)
    handler: Any = function.open()
    seen: list[S3Object] = handler.seen
    return seen


def test_an_object_of_s3_is_the_request_with_its_key_decoded() -> None:
    facts = {"key": "in/red+flower%2B%C3%A9.jpg", "size": 1024, "eTag": "d41d8", "versionId": "096", "sequencer": "0A"}
    assert stored(s3_event(facts)) == [
        S3Object(
            bucket="depot",
            key="in/red flower+é.jpg",
            event_name="ObjectCreated:Put",
            event_time="2026-01-01T00:00:00.000Z",
            region="eu-west-1",
            size=1024,
            etag="d41d8",
            version_id="096",
            sequencer="0A",
        )
    ]


def test_what_an_event_does_not_have_is_left_to_the_requests_own_default() -> None:
    class Removed(msgspec.Struct):
        key: str
        size: int = -1

    seen: list[Removed] = []

    class Forget(LambdaHandler[Removed, None]):
        """Forgets objects."""

        def handle(self, request: Removed, _invocation: Invocation) -> None:
            seen.append(request)

    s3_handler(Forget)(s3_event({"key": "a", "sequencer": "0B"}, event_name="ObjectRemoved:Delete"))
    assert seen == [Removed("a", -1)]


def test_two_events_of_one_object_are_two_requests_and_some_may_be_left_out() -> None:
    event = s3_event({"key": "a"}, {"key": "a"}, {"key": "b.tmp"})
    seen = stored(event, should_process=lambda record: not record.s3.object.key.endswith(".tmp"))
    assert [each.key for each in seen] == ["a", "a"]


def test_a_key_that_is_no_text_fails_its_event_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnacknowledgedError, match=r"1 of 2 records are not done \(depot/0/\)"):
        stored(s3_event({"key": "%FF"}, {"key": "a"}))
    assert lines(capsys)[0]["message"] == "record failed: RequestError at $.s3.object.key"


def test_an_object_event_with_an_odd_field_fails_alone_and_a_size_as_text_is_read() -> None:
    event = s3_event({"key": "a", "size": "12"}, {"key": None}, {"key": "c", "size": None})
    function = s3_handler(Store)
    with pytest.raises(UnacknowledgedError, match=r"1 of 3 records are not done \(1\)"):
        function(event)
    assert [(each.key, each.size) for each in function.open().seen] == [("a", 12), ("c", None)]  # type: ignore[attr-defined]


SCHEDULED = {
    "version": "0",
    "id": "00000000-0000-4000-8000-00000000e002",
    "detail-type": "Scheduled Event",
    "source": "aws.scheduler",
    "account": "111122223333",
    "time": "2026-01-01T16:03:00Z",
    "region": "eu-west-1",
    "resources": ["arn:aws:scheduler:eu-west-1:111122223333:schedule/default/nightly"],
    "detail": "{}",
}
"""What EventBridge Scheduler sends where nobody gave it an input."""


def test_a_schedules_detail_is_an_object_in_a_text() -> None:
    taken: list[dict[str, Any]] = []

    class Nightly(LambdaHandler[dict[str, Any], None]):
        """Works at night."""

        def handle(self, request: dict[str, Any], _invocation: Invocation) -> None:
            taken.append(request)

    function = eventbridge_handler(Nightly)
    details: list[Any] = ["{}", '{"n": 4}', {}, None]
    for detail in details:
        function({**SCHEDULED, "detail": detail})
    assert taken == [{}, {"n": 4}, {}, {}]


@pytest.mark.parametrize("field", ["id", "time", "account", "region", "resources"])
def test_a_field_of_eventbridge_that_is_null_counts_as_missing(field: str) -> None:
    event = eventbridge_event({"n": 4}, **{field: None})
    assert eventbridge_handler(ParcelHandler.fresh())(event) == {"parcel": 4}


def test_the_detail_is_the_request_and_the_response_is_returned(capsys: pytest.CaptureFixture[str]) -> None:
    assert eventbridge_handler(ParcelHandler.fresh())(eventbridge_event({"n": 4}), Clock()) == {"parcel": 4}
    taken, metrics = lines(capsys)
    assert taken["correlation_id"] == taken["event_id"] == "00000000-0000-4000-8000-00000000e001"
    assert (metrics["records"], metrics["processed"], metrics["failed"], metrics["skipped"]) == (1, 1, 0, 0)


def test_an_event_without_an_id_is_known_by_its_request(capsys: pytest.CaptureFixture[str]) -> None:
    event = {"detail-type": "Parcel Sent", "source": "depot", "detail": {"n": 4}}
    assert eventbridge_handler(ParcelHandler.fresh())(json.dumps(event).encode(), Clock()) == {"parcel": 4}
    assert lines(capsys)[0]["correlation_id"] == "request-1"


def test_a_failure_of_eventbridge_is_the_functions(capsys: pytest.CaptureFixture[str]) -> None:
    function = eventbridge_handler(ParcelHandler.fresh())
    with pytest.raises(HandlerFailedError):
        function(eventbridge_event({"n": 4, "do": "raise"}))
    with pytest.raises(RequestError, match=r"\$\.n"):
        function(eventbridge_event({"n": "4"}))
    metrics = [line for line in lines(capsys) if "_aws" in line]
    assert [(each["failed"], each["failure"]) for each in metrics] == [(1, 1), (1, 1)]


def test_an_event_of_eventbridge_may_be_left_out_or_read_otherwise() -> None:
    handler = ParcelHandler.fresh()
    function = eventbridge_handler(
        handler,
        should_process=lambda event: event.source == "depot.parcels",
        request_of=lambda event: {"n": len(event.resources)},
    )
    assert function(eventbridge_event({})) == {"parcel": 1}
    assert function(eventbridge_event({}, source="elsewhere")) is None


@pytest.mark.parametrize("make", [sns_handler, s3_handler])
@pytest.mark.parametrize(
    ("event", "line"),
    [
        (sqs_event([{}]), "comes from aws:sqs, not from aws:s"),
        (dynamodb_event([{}]), "comes from aws:dynamodb, not from aws:s"),
        (eventbridge_event({}), "no list of Records"),
        ({"Records": 3}, "no list of Records"),
        ([], "a list"),
    ],
)
def test_an_event_of_another_source_is_named(make: Any, event: Any, line: str) -> None:
    with pytest.raises(EventError, match=line):
        make(ParcelHandler.fresh())(event)


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (sqs_event([{}]), r"not of EventBridge \(records from aws:sqs\)"),
        (sns_event([{}]), r"not of EventBridge \(records from aws:sns\)"),
        ({"n": 4}, r"not of EventBridge \(keys n\): check the trigger, or its input transformer"),
        (eventbridge_event([]), r"event: \$\.detail: expected `object`, got `array`"),
        ([], "a list, not an object"),
        (b"", "not JSON"),
    ],
)
def test_what_is_not_of_eventbridge_is_named(event: Any, line: str) -> None:
    with pytest.raises(EventError, match=line):
        eventbridge_handler(ParcelHandler.fresh())(event)
