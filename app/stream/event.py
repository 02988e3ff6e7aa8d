"""Read the event that Lambda passes, as raw bytes or a parsed dict, into a Batch.

The usual event is decoded in one pass, including base64. If a record's base64 is faulty, or the event is not Kinesis's,
a slower second pass finds the faulty record: it becomes a Quarantine outcome, and the others are processed.

The format: https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html
"""

from __future__ import annotations

import itertools
from typing import Any

import msgspec

from app.errors import EventError
from app.stream.batch import Batch
from app.stream.outcomes import Quarantine
from app.text import short_name

KINESIS = "aws:kinesis"
_UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)  # what a parser may raise for arbitrary bytes


class KinesisRecord(msgspec.Struct, rename="camel", gc=False):
    """A record's data, in base64 in JSON, and its attributes in Kinesis."""

    partition_key: str
    sequence_number: str
    data: bytes
    approximate_arrival_timestamp: float = 0.0


class KinesisEventRecord(msgspec.Struct, gc=False):
    """One record of an event, with its shard in the event id."""

    kinesis: KinesisRecord
    source: str = msgspec.field(name="eventSource")
    event_id: str = msgspec.field(name="eventID")
    stream_arn: str = msgspec.field(name="eventSourceARN")


class KinesisEvent(msgspec.Struct, gc=False):
    """A batch as Lambda passes it."""

    records: list[KinesisEventRecord] = msgspec.field(name="Records")


_event = msgspec.json.Decoder(KinesisEvent)


def read_event(event: bytes | dict[str, Any]) -> tuple[Batch[None], dict[int, Quarantine]]:
    """Read an event.

    Args:
        event: The body as Lambda's runtime received it, or parsed.

    Returns:
        The records as columns, and a Quarantine for each row with faulty base64; such a row's payload is its text.

    Raises:
        EventError: This is not a batch of Kinesis records; the message says what it is.
    """
    faults: dict[int, Quarantine] = {}
    try:
        records = (_event.decode(event) if isinstance(event, bytes) else msgspec.convert(event, KinesisEvent)).records
    except _UNREADABLE:
        records = _read_slowly(event, faults)
    for source in {record.source for record in records} - {KINESIS}:
        _refuse(source)
    arns = {record.stream_arn for record in records}
    if len(arns) > 1:
        raise EventError(f"event: records of {len(arns)} streams; Lambda delivers one stream at a time")
    kinesis = [record.kinesis for record in records]
    batch: Batch[None] = Batch(
        arns.pop().rpartition("/")[2] if arns else "",
        _shards([record.event_id for record in records]),
        [item.sequence_number for item in kinesis],
        [0] * len(records),
        [item.partition_key for item in kinesis],
        [item.approximate_arrival_timestamp for item in kinesis],
        [item.data for item in kinesis],
        [],
    )
    _check_names(batch)
    return batch, faults


def _read_slowly(event: bytes | dict[str, Any], faults: dict[int, Quarantine]) -> list[KinesisEventRecord]:
    """Read an event record by record; put faulty base64 into `faults`, refuse all other faults."""
    try:
        document = msgspec.json.decode(event) if isinstance(event, bytes) else event
    except _UNREADABLE:
        raise EventError("event: not JSON: send the event as Lambda receives it") from None
    items = document.get("Records") if isinstance(document, dict) else None
    if not isinstance(items, list):
        raise EventError(f"event: no list of Records ({_describe(document)}); only Kinesis events are processed")
    return [_read_record(row, item, faults) for row, item in enumerate(items)]


def _read_record(row: int, item: object, faults: dict[int, Quarantine]) -> KinesisEventRecord:
    """Read one record's attributes, and its data if possible."""
    source = (item.get("eventSource") or item.get("EventSource")) if isinstance(item, dict) else None
    if source != KINESIS:
        _refuse(source)
    try:
        return msgspec.convert(item, KinesisEventRecord)
    except _UNREADABLE as error:
        fault = str(error)
    kinesis = item.get("kinesis") if isinstance(item, dict) else None
    text = kinesis.get("data") if isinstance(kinesis, dict) else None
    if not isinstance(item, dict) or not isinstance(kinesis, dict) or not isinstance(text, str):
        raise EventError(f"event: Records[{row}]: {fault}")
    try:
        record = msgspec.convert({**item, "kinesis": {**kinesis, "data": ""}}, KinesisEventRecord)
    except _UNREADABLE as error:
        raise EventError(f"event: Records[{row}]: {error}") from None
    record.kinesis.data = text.encode("utf-8", "surrogatepass")
    faults[row] = Quarantine("bad_base64", "kinesis.data is not strict base64 (RFC 4648, padded)")
    return record


def _shards(event_ids: list[str]) -> list[str]:
    """Return the shard of each event id, `shard:sequence number`; in Lambda all records are of one shard."""
    first = event_ids[0].partition(":")[0] if event_ids else ""
    if all(map(str.startswith, event_ids, itertools.repeat(first + ":"))):
        return [first] * len(event_ids)
    return [event_id.partition(":")[0] for event_id in event_ids]


def _check_names(batch: Batch[None]) -> None:
    """Refuse names that are impossible in an id: Kinesis never sends them, a hand-made event might."""
    for kind, names in (("stream", {batch.stream}), ("shard", set(batch.shards))):
        for name in names:
            if not name.replace("-", "").replace("_", "").replace(".", "").isalnum() and len(batch):
                raise EventError(f"event: {name!r} is not a {kind} name")
    not_digits = "".join(batch.sequence_numbers).encode("utf-8", "replace").translate(None, b"0123456789")
    if len(batch) and ("" in batch.sequence_numbers or not_digits):
        raise EventError("event: a sequence number is not a number")


def _refuse(source: object) -> None:
    named = short_name(source) if source else "an unnamed source"
    raise EventError(f"event: comes from {named}, not from {KINESIS}: check the trigger")


def _describe(document: object) -> str:
    """Describe an event that is not a batch, without its values."""
    if isinstance(document, dict):
        source = document.get("source") or document.get("eventSource")
        return f"from {short_name(source)}" if source else f"keys {', '.join(map(short_name, list(document)[:5]))}"
    return f"a {type(document).__name__}"
