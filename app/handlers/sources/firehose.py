"""Records that Amazon Data Firehose asks a function to transform, each a request.

The event and the response: https://docs.aws.amazon.com/firehose/latest/dev/data-transformation.html. Each record is
answered by its id:

    Ok                the handler's responses are the record's new data
    Dropped           there is none, or `should_process` left the record out
    ProcessingFailed  the record failed, was not started in time, or its data did not fit the response: Firehose keeps
                      the original below the prefix `processing-failed/` of its S3 bucket

A failure is answered for its record alone: an error of the function would send all of its batch there.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from app.errors import EventError, RequestError
from app.handlers.sources.batch import PROCESSED, SKIPPED, BatchResult, Item, Source, SourceFunction
from app.handlers.sources.envelope import Event, Unread, described, read_each, read_object
from app.stream.outcomes import Quarantine
from app.stream.payload import plain
from app.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.handlers.base import LambdaHandler

OK, DROPPED, UNDONE = "Ok", "Dropped", "ProcessingFailed"
_DATA = ',"data":""'
RESPONSE_BYTES = 6_000_000  # Lambda refuses a response of more than 6 MB, and Firehose then all of its records


class FirehoseOrigin(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The record of a Kinesis stream that Firehose reads."""

    shard_id: str = ""
    partition_key: str = ""
    sequence_number: str = ""
    subsequence_number: str | int = ""


class FirehoseRecord(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A record of Firehose's event.

    Attributes:
        record_id: The id by which it is answered.
        data: Its bytes.
        approximate_arrival_timestamp: The time at which Firehose took it, in milliseconds since 1970.
        kinesis_record_metadata: Its origin, where Firehose reads a Kinesis stream.
    """

    record_id: Annotated[str, msgspec.Meta(min_length=1)]
    data: bytes
    approximate_arrival_timestamp: float = 0.0
    kinesis_record_metadata: FirehoseOrigin | None = None


def firehose_handler(
    handler_class: type[LambdaHandler[Any, Any]],
    *,
    should_process: Callable[[FirehoseRecord], bool] | None = None,
    request_of: Callable[[FirehoseRecord], Any] | None = None,
) -> SourceFunction[FirehoseRecord]:
    """Return a function that transforms each record of a batch, and answers in Firehose's form.

    The response to a record becomes its data: JSON with a line end, or `str` and `bytes` as they are. What a handler
    yields becomes the lines of one record; a handler that returns None drops the record.

    Args:
        handler_class: The class that handles a record.
        should_process: Returns False for a record that is to be dropped.
        request_of: Makes the request of a record, in place of its JSON, which may be compressed.
    """
    source = Source("record_id", _read, _text, _answer, _data)
    return SourceFunction(handler_class, source, should_process, request_of)


def _read(event: Event) -> list[Item[FirehoseRecord]]:
    document = read_object(event)
    items = document.get("records")
    if "deliveryStreamArn" not in document or not isinstance(items, list):
        raise EventError(f"event: not of Firehose ({described(document)}): check the trigger")
    return [
        Item(record.needed("recordId"), record.error) if isinstance(record, Unread) else Item(record.record_id, record)
        for record in read_each(items, FirehoseRecord, "$.records")
    ]


def _text(record: FirehoseRecord) -> bytes:
    """Return a record's text, inflated within the limits of a stream's record."""
    text = plain(record.data)
    if isinstance(text, Quarantine):
        raise RequestError(f"record: {text.message}")
    return text


def _data(handler: LambdaHandler[Any, Any], response: Any) -> bytes | None:  # noqa: ANN401 - the handler's response
    """Return a record's new data; None if there is none."""
    responses = [each for each in (response if handler.yields else [response]) if each is not None]
    return b"".join(_encoded(handler, each) for each in responses) if responses else None


def _encoded(handler: LambdaHandler[Any, Any], response: Any) -> bytes:  # noqa: ANN401 - the handler's response
    if isinstance(response, str | bytes | bytearray):
        return response.encode() if isinstance(response, str) else bytes(response)
    return msgspec.json.encode(handler.encode(response)) + b"\n"


def _answer(outcome: BatchResult) -> dict[str, Any]:
    """Return the result of each record; a record whose data would exceed Lambda's limit fails."""
    without_data = [_result(record_id, UNDONE) for record_id in outcome.results]
    left_bytes = RESPONSE_BYTES - len(msgspec.json.encode({"records": without_data}))
    answers, unfit = [], 0
    for record_id, (count, data) in outcome.results.items():
        answer = _result(record_id, DROPPED if count in {PROCESSED, SKIPPED} else UNDONE)
        if data is not None:
            size = len(_DATA) + 4 * -(-len(data) // 3)  # base64 needs no escapes
            if size <= left_bytes:
                left_bytes -= size
                answer = _result(record_id, OK) | {"data": base64.b64encode(data).decode()}
            else:
                unfit += 1
                answer = _result(record_id, UNDONE)
        answers.append(answer)
    if unfit:
        mend = "the response would be too large; set a smaller BufferSizeInMBs for the Lambda processor"
        logger.error("transformed records are failed: %s", mend, extra={"records": len(answers), "failed": unfit})
    return {"records": answers}


def _result(record_id: str, result: str) -> dict[str, str]:
    return {"recordId": record_id, "result": result}
