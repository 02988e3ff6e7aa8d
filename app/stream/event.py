"""Read the event that Lambda passes, as raw bytes or a parsed dict, into a Batch.

The usual event is decoded in one pass, including base64. If that fails, a second pass reads record by record. A fault
in a record's data, partition key or arrival time makes that record a Quarantine outcome; the others are processed:

    bad_base64     the data is not strict base64
    bad_envelope   the data, the partition key or the arrival time is missing or of another type

Without a source, a stream, a shard or a sequence number nothing can be acknowledged: then the event is refused.

The format: https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html
"""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Any, NoReturn

import msgspec

from app.budgets import MOST_ELEMENTS, is_over_elements
from app.errors import EventError
from app.stream.batch import Batch
from app.stream.outcomes import Quarantine
from app.text import seconds_of, short_name, without_bom

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
        The records as columns, and a Quarantine for each row with a fault of its own. Such a row's payload is its data
        as the event has it, and its sequence number stands in for a partition key that it lacks.

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
    streams = {stream_of(arn) for arn in {record.stream_arn for record in records}}
    if len(streams) > 1:
        raise EventError(f"event: records of {len(streams)} streams; Lambda delivers one stream at a time")
    stream, stream_arn = streams.pop() if streams else ("", "")
    kinesis = [record.kinesis for record in records]
    keys = [item.partition_key for item in kinesis]
    if "" in keys:
        _replace_empty(keys, kinesis, faults)
    batch: Batch[None] = Batch(
        stream,
        _shards([record.event_id for record in records]),
        [item.sequence_number for item in kinesis],
        [0] * len(records),
        keys,
        [item.approximate_arrival_timestamp for item in kinesis],
        [item.data for item in kinesis],
        [],
        stream_arn,
    )
    _check_names(batch)
    return batch, faults


def _read_slowly(event: bytes | dict[str, Any], faults: dict[int, Quarantine]) -> list[KinesisEventRecord]:
    """Read an event record by record; put faulty base64 into `faults`, refuse all other faults."""
    if isinstance(event, bytes) and is_over_elements(event):
        raise EventError(f"event: more than {MOST_ELEMENTS} values and fields: send less in one")
    try:
        document = msgspec.json.decode(without_bom(event)) if isinstance(event, bytes) else event
    except _UNREADABLE:
        raise EventError("event: not JSON: send the event as Lambda receives it") from None
    items = document.get("Records") if isinstance(document, dict) else None
    if not isinstance(items, list):
        raise EventError(f"event: no list of Records ({_describe(document)}); only Kinesis events are processed")
    return [_read_record(row, item, faults) for row, item in enumerate(items)]


def _read_record(row: int, item: object, faults: dict[int, Quarantine]) -> KinesisEventRecord:
    """Read one record: its identity, which must be there, and the rest as far as it can be read."""
    source = (item.get("eventSource") or item.get("EventSource")) if isinstance(item, dict) else None
    if source != KINESIS or not isinstance(item, dict):
        _refuse(source)
    try:
        return msgspec.convert(item, KinesisEventRecord)
    except _UNREADABLE as error:
        found = item.get("kinesis")
        if not isinstance(found, dict):
            raise EventError(f"event: Records[{row}]: {error}") from None
    identity = {"partitionKey": "", "data": ""}
    if "sequenceNumber" in found:
        identity["sequenceNumber"] = _digits(found["sequenceNumber"])
    try:
        record = msgspec.convert({**item, "kinesis": identity}, KinesisEventRecord)
    except _UNREADABLE as error:
        raise EventError(f"event: Records[{row}]: {error}") from None
    fault = _read_rest(record.kinesis, found)
    if fault is not None:
        faults[row] = fault
    return record


def _read_rest(record: KinesisRecord, found: dict[Any, Any]) -> Quarantine | None:
    """Read the fields that a record can lack without harm to others, and return the fault of one of them."""
    fault = None
    arrived_s = seconds_of(found.get("approximateArrivalTimestamp") or 0.0)
    if arrived_s is None:
        fault = Quarantine("bad_envelope", "kinesis.approximateArrivalTimestamp is not a time")
    record.approximate_arrival_timestamp = arrived_s or 0.0
    key = _digits(found.get("partitionKey"))
    record.partition_key = key if isinstance(key, str) else ""
    data = found.get("data")
    if not isinstance(data, str):
        record.data = b"" if data is None else _encoded(data)
        return Quarantine("bad_envelope", "kinesis.data is not a text")
    try:
        record.data = msgspec.convert(data, bytes)
    except _UNREADABLE:
        record.data = data.encode("utf-8", "surrogatepass")
        return Quarantine("bad_base64", "kinesis.data is not strict base64 (RFC 4648, padded)")
    return fault


def _replace_empty(keys: list[str], records: list[KinesisRecord], faults: dict[int, Quarantine]) -> None:
    """Put the sequence number in place of an empty partition key, which no stream takes, and set the record aside."""
    for row, key in enumerate(keys):
        if not key:
            keys[row] = records[row].sequence_number
            faults.setdefault(row, Quarantine("bad_envelope", "kinesis.partitionKey is not a text with characters"))


def _digits(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return a whole number as text, which `str` refuses to do for a very long one, and any other value unchanged."""
    return format(Decimal(value), "f") if type(value) is int else value


def _encoded(value: object) -> bytes:
    """Return a value of an event as JSON, as far as it can be written."""
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError, RecursionError):
        return b""


def stream_of(arn: str) -> tuple[str, str]:
    """Return the name and the ARN of the stream that an event's ARN leads to.

    The ARN may be the stream's, or that of a consumer with enhanced fan-out:
    `arn:aws:kinesis:REGION:ACCOUNT:stream/NAME`, `…:stream/NAME/consumer/CONSUMER:TIMESTAMP`. An ARN of neither form
    is returned unchanged, with its last part as the name: the test event of Lambda's console has
    `arn:aws:kinesis:EXAMPLE`.
    """
    head, stream, rest = arn.partition(":stream/")
    if not stream:
        return arn.rpartition(":")[2].rpartition("/")[2], arn
    name = rest.partition("/")[0]
    return name, f"{head}{stream}{name}"


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


def _refuse(source: object) -> NoReturn:
    named = short_name(source) if source else "an unnamed source"
    raise EventError(f"event: comes from {named}, not from {KINESIS}: check the trigger")


def _describe(document: object) -> str:
    """Describe an event that is not a batch, without its values."""
    if isinstance(document, dict):
        source = document.get("source") or document.get("eventSource")
        return f"from {short_name(source)}" if source else f"keys {', '.join(map(short_name, list(document)[:5]))}"
    return f"a {type(document).__name__}"
