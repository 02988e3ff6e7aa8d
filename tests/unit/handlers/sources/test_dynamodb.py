from __future__ import annotations

import base64
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from app.errors import EventError, RequestError
from app.handlers.base import LambdaHandler
from app.handlers.sources.dynamodb import DynamoDbRecord, dynamodb_stream_handler, item_of, value_of
from tests.unit.handlers.sources.sources_for_tests import (
    Clock,
    ParcelHandler,
    dynamodb_event,
    dynamodb_number,
    handed_back,
    lines,
    sqs_event,
)

if TYPE_CHECKING:
    from app.handlers.invocation import Invocation


def image(n: int, do: str = "take") -> dict[str, Any]:
    return {"n": {"N": str(n)}, "do": {"S": do}}


def test_the_new_image_is_the_request_and_of_a_removed_item_the_old_one() -> None:
    handler = ParcelHandler.fresh()
    assert handed_back(dynamodb_stream_handler(handler)(dynamodb_event([image(7), None]))) == []
    assert handler.taken == [7, 1]


def test_the_shard_resumes_at_the_first_failure_and_nothing_behind_it_is_started() -> None:
    handler = ParcelHandler.fresh()
    event = dynamodb_event([image(0), image(1, "raise"), image(2), image(3, "raise")])
    assert handed_back(dynamodb_stream_handler(handler)(event)) == [dynamodb_number(1)]
    assert handler.tried == [0, 1]


def test_without_time_the_shard_resumes_at_the_first_record() -> None:
    event = dynamodb_event([image(0), image(1)])
    assert handed_back(dynamodb_stream_handler(ParcelHandler.fresh())(event, Clock(1))) == [dynamodb_number(0)]


def test_a_change_made_by_dynamodb_itself_can_be_left_out() -> None:
    handler = ParcelHandler.fresh()
    event = dynamodb_event([image(0), image(1)])
    event["Records"][0]["userIdentity"] = {"principalId": "dynamodb.amazonaws.com", "type": "Service"}
    function = dynamodb_stream_handler(handler, should_process=lambda record: record.user_identity is None)
    assert handed_back(function(event)) == []
    assert handler.taken == [1]


def test_another_request_may_be_made_of_a_change() -> None:
    handler = ParcelHandler.fresh()
    function = dynamodb_stream_handler(handler, request_of=lambda record: item_of(record.change.keys))
    assert handed_back(function(dynamodb_event([image(5), None]))) == []
    assert handler.taken == [0, 1]


def test_a_stream_without_images_says_what_to_set(capsys: pytest.CaptureFixture[str]) -> None:
    event = dynamodb_event([None], OldImage=None, StreamViewType="KEYS_ONLY")
    assert handed_back(dynamodb_stream_handler(ParcelHandler.fresh())(event)) == [dynamodb_number(0)]
    first = lines(capsys)[0]
    assert "no OldImage in a stream of view type KEYS_ONLY: set NEW_AND_OLD_IMAGES" in first["message"]
    assert first["sequence_number"] == dynamodb_number(0)


@pytest.mark.parametrize("created", ["2026-01-01T00:00:00Z", "1767225600", 1767225600.0])
def test_a_time_is_read_in_any_form_that_is_clear(created: object) -> None:
    seen: list[float] = []

    def keep(record: DynamoDbRecord) -> bool:
        seen.append(record.change.approximate_creation_date_time)
        return True

    event = dynamodb_event([image(0)], ApproximateCreationDateTime=created)
    assert handed_back(dynamodb_stream_handler(ParcelHandler.fresh(), should_process=keep)(event)) == []
    assert seen == [1767225600.0]


@pytest.mark.parametrize("field", ["Keys", "OldImage", "StreamViewType", "ApproximateCreationDateTime"])
def test_a_field_that_is_null_counts_as_missing(field: str) -> None:
    handler = ParcelHandler.fresh()
    event = dynamodb_event([image(0), image(1)])
    event["Records"][0]["dynamodb"][field] = event["Records"][0]["eventSourceARN"] = None
    assert handed_back(dynamodb_stream_handler(handler)(event)) == []
    assert handler.taken == [0, 1]


@pytest.mark.parametrize(("field", "value"), [("ApproximateCreationDateTime", "soon"), ("NewImage", [])])
def test_at_an_odd_field_the_shard_resumes_and_what_came_before_is_done(field: str, value: object) -> None:
    handler = ParcelHandler.fresh()
    event = dynamodb_event([image(0), image(1), image(2)])
    event["Records"][1]["dynamodb"][field] = value
    assert handed_back(dynamodb_stream_handler(handler)(event)) == [dynamodb_number(1)]
    assert handler.taken == [0]


@pytest.mark.parametrize("number", [None, "", 7])
def test_without_a_sequence_number_the_event_is_refused(number: object) -> None:
    event = dynamodb_event([image(0), image(1)], SequenceNumber=number)
    with pytest.raises(EventError, match=r"\$\.Records\[0\]\.dynamodb\.SequenceNumber"):
        dynamodb_stream_handler(ParcelHandler.fresh())(event)


def test_an_event_of_another_source_is_named() -> None:
    with pytest.raises(EventError, match="comes from aws:sqs, not from aws:dynamodb"):
        dynamodb_stream_handler(ParcelHandler.fresh())(json.dumps(sqs_event([{}])).encode())


DIGITS = "12345678901234567890123456789012345678"


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ({"S": ""}, ""),
        ({"N": DIGITS}, int(DIGITS)),
        ({"N": f"-0.{DIGITS}"}, Decimal(f"-0.{DIGITS}")),
        ({"N": "1E+125"}, 10**125),
        ({"N": "1e-130"}, Decimal("1e-130")),
        ({"N": "5.0"}, 5),
        ({"N": "-0"}, 0),
        ({"B": base64.b64encode(b"\x00\xff").decode()}, b"\x00\xff"),
        ({"BOOL": False}, False),
        ({"NULL": True}, None),
        ({"SS": ["a", "b"]}, ["a", "b"]),
        ({"NS": ["1", "2.5"]}, [1, Decimal("2.5")]),
        ({"BS": [base64.b64encode(b"x").decode()]}, [b"x"]),
        ({"L": [{"S": "a"}, {"NULL": True}, {"L": []}]}, ["a", None, []]),
        ({"M": {"a": {"M": {"b": {"N": "1"}}}}}, {"a": {"b": 1}}),
    ],
)
def test_attribute_values_become_plain_ones_with_nothing_lost(attribute: dict[str, Any], value: object) -> None:
    found = value_of(attribute)
    assert found == value
    assert type(found) is type(value)


def deep(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {"S": "bottom"}
    for _ in range(levels):
        value = {"L": [value]}
    return value


@pytest.mark.parametrize(
    ("attribute", "field"),
    [
        ({}, "$.a"),
        ({"S": "a", "N": "1"}, "$.a"),
        ({"X": "a"}, "$.a"),
        ({"S": 1}, "$.a"),
        ({"N": 1}, "$.a"),
        ({"N": "NaN"}, "$.a"),
        ({"N": "Infinity"}, "$.a"),
        ({"N": "\u0661"}, "$.a"),
        ({"N": "1e999"}, "$.a"),
        ({"N": "1" * 1000}, "$.a"),
        ({"N": ""}, "$.a"),
        ({"B": "?"}, "$.a"),
        ({"B": "\ud800"}, "$.a"),
        ({"BOOL": "true"}, "$.a"),
        ({"NULL": False}, "$.a"),
        ({"SS": "ab"}, "$.a"),
        ({"SS": ["a", 1]}, "$.a[1]"),
        ({"M": {"b": {"L": [{"N": "x"}]}}}, "$.a.b[0]"),
        ("text", "$.a"),
        (deep(40), "$.a" + "[0]" * 33),
    ],
)
def test_what_is_no_attribute_value_is_refused_with_its_path(attribute: Any, field: str) -> None:
    with pytest.raises(RequestError) as refused:
        item_of({"a": attribute})
    assert refused.value.field == field
    assert refused.value.known == "$"  # a map's keys may be anything: they are not logged


class Amounts(msgspec.Struct):
    exact: Decimal
    whole: int
    rough: float
    tags: set[str]
    raw: bytes


def test_the_requests_type_says_what_a_number_becomes() -> None:
    seen: list[Amounts] = []

    class Keep(LambdaHandler[Amounts, None]):
        """Keeps what it is given."""

        def handle(self, request: Amounts, _invocation: Invocation) -> None:
            seen.append(request)

    numbers = {"exact": {"N": f"0.{DIGITS}"}, "whole": {"N": DIGITS}, "rough": {"N": "0.1"}}
    rest = {"tags": {"SS": ["b", "a"]}, "raw": {"B": "AA=="}, "beside": {"NULL": True}}
    assert handed_back(dynamodb_stream_handler(Keep)(dynamodb_event([{**numbers, **rest}]))) == []
    assert seen == [Amounts(Decimal(f"0.{DIGITS}"), int(DIGITS), 0.1, {"a", "b"}, b"\x00")]
