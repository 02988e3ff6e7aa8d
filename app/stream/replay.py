"""Quarantined records read back, from the stream, the location or both, and put on their streams again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from app.errors import QuarantineError, SettingsError
from app.storage.objects import open_objects
from app.stream.quarantine import QuarantinedRecord
from app.stream.shards import StartingPosition, read_stream
from app.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.settings import Settings


def read_quarantined(settings: Settings) -> list[QuarantinedRecord]:
    """Every quarantined record once, in the order of its stream; pointers are followed to what they point to.

    A pointer to what is not there any more is given as it is, with a warning.

    Raises:
        SettingsError: Neither `QUARANTINE_STREAM` nor `QUARANTINE_LOCATION` is set.
    """
    if not settings.quarantine_stream and not settings.quarantine_location:
        raise SettingsError("no quarantine to read: set QUARANTINE_STREAM or QUARANTINE_LOCATION")
    found: dict[str, QuarantinedRecord] = {}
    for record in _from_location(settings.quarantine_location):
        found[record.id] = record
    for record in _from_stream(settings.quarantine_stream):
        if record.id not in found or found[record.id].data is None:
            found[record.id] = record if record.location is None else _pointed_to(record)
    return sorted(found.values(), key=_place_in_stream)


def find_quarantined(settings: Settings, record_id: str) -> QuarantinedRecord:
    """Return the quarantined record with an id or a sequence number, or with the only id that begins with it.

    Raises:
        QuarantineError: There is none, or more than one.
    """
    matches = [
        record
        for record in read_quarantined(settings)
        if record.id.startswith(record_id) or record.source.sequence_number == record_id
    ]
    exact = [record for record in matches if record.id == record_id] or matches
    if len(exact) != 1:
        raise QuarantineError(
            f"{len(exact) or 'no'} quarantined records have the id {record_id!r}, or one that begins so"
        )
    return exact[0]


def _from_location(location: str) -> Iterator[QuarantinedRecord]:
    objects = open_objects(location) if location else None
    if objects is None:
        return
    for name in objects.names():
        if name.endswith(".jsonl"):
            yield from _read(objects.get(name) or b"", f"{objects.root}/{name}")


def _from_stream(stream: str) -> Iterator[QuarantinedRecord]:
    if not stream:
        return
    for data in read_stream(stream, StartingPosition()):
        yield from _read(data, f"stream {stream}")


def _read(lines: bytes, where: str) -> list[QuarantinedRecord]:
    """Quarantined records from JSON lines; what is not one is passed over and said."""
    found = []
    for line in lines.splitlines():
        try:
            found.append(msgspec.json.decode(line, type=QuarantinedRecord))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            logger.warning("not a quarantined record", extra={"where": where, "bytes": len(line)})
    return found


def _pointed_to(pointer: QuarantinedRecord) -> QuarantinedRecord:
    folder, _, name = (pointer.location or "").rpartition("/")
    data = open_objects(folder).get(name)
    for record in _read(data or b"", pointer.location or ""):
        if record.id == pointer.id:
            return record
    logger.warning("a pointer to nothing", extra={"id": pointer.id, "location": pointer.location})
    return pointer


def _place_in_stream(record: QuarantinedRecord) -> tuple[str, int, int]:
    source = record.source
    number = int(source.sequence_number) if source.sequence_number.isdecimal() else 0
    return source.stream, number, source.sub_sequence_number
