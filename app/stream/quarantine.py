"""Set aside records that can never succeed: to a stream, to a location, or, without either, back to the shard.

A quarantined record keeps its raw bytes, so that it can be examined, and put back when its fault is mended.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from app.errors import DeadlineError, MillraceError
from app.stream.outcomes import digest_of
from app.telemetry import logger

if TYPE_CHECKING:
    from concurrent.futures import Future

    from app.storage.objects import Objects
    from app.stream.batch import Batch
    from app.stream.deadline import Deadline
    from app.stream.emit import BatchEmitter, Writer
    from app.stream.outcomes import Quarantine
    from app.stream.tracker import Tracker


MESSAGE_CHARACTERS = 1000  # an exception may quote its whole record, which is kept anyway

_Storing: TypeAlias = "tuple[Future[None], str]"


class RecordSource(msgspec.Struct, frozen=True):
    """The origin of a quarantined record; `arrived_s` is its arrival time, seconds since 1970."""

    stream: str
    shard: str
    sequence_number: str
    sub_sequence_number: int
    partition_key: str
    arrived_s: float = 0.0


class QuarantinedRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A quarantined record.

    Attributes:
        id: The same whenever the record is processed again.
        reason: The code of its fault.
        message: Its fault.
        data: Its raw bytes (base64 in JSON); None in a pointer.
        stage: The pipeline that read it.
        time: Time of the quarantine, ISO 8601, UTC.
        location: In a pointer, the object with the whole record.
        parked_key: The parked state key that the record waits for, as it is in the table.
    """

    id: str
    reason: str
    message: str
    source: RecordSource
    stage: str
    time: str
    data: bytes | None = None
    location: str | None = None
    parked_key: str = ""


def quarantined(batch: Batch[Any], row: int, fault: Quarantine, stage: str, now_s: float) -> QuarantinedRecord:
    """Return the quarantined record of one row of a batch; `now_s` is its time, seconds since 1970."""
    source = RecordSource(
        batch.stream,
        batch.shards[row],
        batch.sequence_numbers[row],
        batch.sub_sequence_numbers[row],
        _sendable(batch.partition_keys[row]),
        batch.arrivals_s[row],
    )
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_s))
    record_id = batch.output_id(row, f"{stage}.{'parked' if fault.parked_key else 'quarantine'}", 0)
    message = _sendable(fault.message)[:MESSAGE_CHARACTERS]
    return QuarantinedRecord(
        record_id, fault.reason, message, source, stage, now, batch.payloads[row], parked_key=fault.parked_key
    )


def _position_of(record: QuarantinedRecord) -> str:
    """Return a record's sequence number, with the sub-sequence number unless that is 0."""
    sub = record.source.sub_sequence_number
    return f"{record.source.sequence_number}.{sub}" if sub else record.source.sequence_number


def _sendable(text: str) -> str:
    """Return a text without lone surrogates, which UTF-8 cannot encode."""
    return text.encode("utf-8", "backslashreplace").decode()


class QuarantineDestination:
    """The destination of quarantined records: `QUARANTINE_STREAM`, `QUARANTINE_LOCATION`, both or neither."""

    def __init__(self, stream: str, objects: Objects | None, *, warns: bool = True) -> None:
        """Warn if there is neither, since such records then block their shard."""
        self.stream = stream
        self.objects = objects
        if warns and not stream and objects is None:
            logger.warning(
                "no quarantine: a record that can never succeed is handed back and blocks its shard; "
                "set QUARANTINE_STREAM or QUARANTINE_LOCATION"
            )

    def takes(self, writer: Writer, key: str, data: bytes) -> bool:
        """Return whether the stream accepts a whole quarantined record."""
        return bool(self.stream) and writer.fits(self.stream, key, data)


@dataclass(slots=True)
class QuarantineBuffer:
    """Quarantined records of one batch: those for the location; those for the stream go with the outputs, unordered."""

    destination: QuarantineDestination
    writer: Writer
    emitter: BatchEmitter
    tracker: Tracker
    _kept: list[tuple[int, QuarantinedRecord]] = field(default_factory=list)

    def add(self, row: int, record: QuarantinedRecord) -> bool:
        """Set one row aside; return False if no destination accepts it, so that it must be handed back."""
        data = msgspec.json.encode(record)
        if self.destination.takes(self.writer, record.source.partition_key, data):
            self._send(row, record, data)
        elif self.destination.objects is not None:
            self.tracker.expect([row])
            self._kept.append((row, record))
            self.emitter.begin_slowly(self._root)
        else:
            return False
        logger.warning(
            "record quarantined",
            extra={"id": record.id, "reason": record.reason, "bytes": len(record.data or b"")},
        )
        return True

    @property
    def _root(self) -> str:
        return self.destination.objects.root if self.destination.objects else ""

    @property
    def refusal(self) -> str:
        """Return the reason code for a record that no destination accepts."""
        return "too_large_for_quarantine" if self.destination.stream else "no_quarantine"

    def begin_store(self) -> _Storing | None:
        """Begin to write the records for the location as one object of JSON lines; return None if there are none.

        The object is named after its first and last record and a digest of all ids, so that a replay of the batch
        writes the same object again, and one with other records, even within an aggregate, another object: this one may
        hold the only copy of a record that is not set aside again.
        """
        objects = self.destination.objects
        if not self._kept or objects is None:
            return None
        first, last = self._kept[0][1], self._kept[-1][1]
        where = f"{first.stage}/{first.source.stream}/{first.source.shard}"
        digest = digest_of("\n".join(record.id for _, record in self._kept).encode())
        name = f"{where}/{_position_of(first)}-{_position_of(last)}-{digest}.jsonl"
        lines = msgspec.json.Encoder().encode_lines([record for _, record in self._kept])
        return self.writer.workers.submit(objects.put, name, lines), f"{objects.root}/{name}"

    def end_store(self, storing: _Storing, deadline: Deadline) -> MillraceError | None:
        """Wait for the object; once it is written, its records are safe, and pointers to them go to the stream.

        Returns:
            The error because of which its records stay unsafe, or None.
        """
        stored, location = storing
        ended = self.writer.workers.wait([stored], deadline.remaining_s())
        self.writer.slow[self._root] = 1  # until it is written
        if not ended or stored.cancelled():  # cancelled: all threads waited for calls that did not end
            return DeadlineError(f"{location}: not written in the time that was left")
        try:
            stored.result()
        except MillraceError as error:
            return error
        self.writer.slow.pop(self._root, None)
        self.tracker.accepted([row for row, _ in self._kept])
        if self.destination.stream:
            for row, record in self._kept:
                pointer = msgspec.structs.replace(record, data=None, location=location)
                self._send(row, record, msgspec.json.encode(pointer))
        return None

    def _send(self, row: int, record: QuarantinedRecord, data: bytes) -> None:
        self.tracker.expect([row])
        key = record.source.partition_key
        self.emitter.add(self.destination.stream, [row], [key], [data], ordered=False)  # `millrace replay` sorts them
