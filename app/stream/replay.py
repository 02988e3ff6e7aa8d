"""Quarantined records read back, from the stream, the location or both, in the order in which they came."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

import msgspec

from app.errors import LocationError, MillraceError, QuarantineError, RequestError, SettingsError
from app.storage.location import check_allowed
from app.storage.objects import open_objects
from app.stream.quarantine import QuarantinedRecord
from app.stream.shards import StartingPosition, read_stream
from app.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from app.settings import Settings
    from app.storage.objects import Objects

LARGEST_LINE_BYTES = 64 * 1024 * 1024  # of one record, at most 10 MiB before base64; a longer line is no record
_NUMBER_DIGITS = 64  # a sequence number has 56; as text with leading zeros it sorts as a number
_CREATE = """
    CREATE TABLE records (
        id TEXT PRIMARY KEY, stream TEXT, number TEXT, sub INTEGER, whole INTEGER, line BLOB
    ) WITHOUT ROWID
"""
_INSERT = """
    INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET whole = excluded.whole, line = excluded.line WHERE NOT whole
"""
_SELECT = "SELECT line FROM records ORDER BY stream, number, sub, id"


class QuarantinedRecords:
    """Every quarantined record once, by stream, sequence number and sub-sequence number; a context manager.

    So the records of a partition key are in the order in which they came, also across a reshard, although the
    quarantine has no order. They are sorted in a temporary file, which SQLite removes: memory is bounded by the longest
    line of an object.
    """

    def __init__(self, settings: Settings, parked_key: str = "") -> None:
        """Read all of them; pointers are followed.

        Where `QUARANTINE_LOCATION` or `ALLOWED_LOCATIONS` is set, only those below it are: whoever may put records on
        the stream could name any file. Another one, or one to an object that is gone or cannot be read, is kept as it
        is, with a warning, and the others are read.

        Args:
            settings: Where the quarantine is.
            parked_key: Keep only the records that wait for this key: the others may be more than the disk holds.

        Raises:
            SettingsError: Neither `QUARANTINE_STREAM` nor `QUARANTINE_LOCATION` is set.
        """
        if not settings.quarantine_stream and not settings.quarantine_location:
            raise SettingsError("no quarantine to read: set QUARANTINE_STREAM or QUARANTINE_LOCATION")
        self._parked_key = parked_key
        self._allowed = [each for each in (settings.quarantine_location, *settings.allowed_locations) if each]
        self._rows = sqlite3.connect("", isolation_level=None)
        self._rows.execute(_CREATE)
        for record in _from_location(settings.quarantine_location):
            self._add(record)
        for record in _from_stream(settings.quarantine_stream):
            if record.location is not None and self._keeps(record) and not self._has_whole(record.id):
                self._follow(record.location)
            self._add(record)
        for record in self:
            if record.data is None:
                logger.warning("a pointer to nothing", extra={"id": record.id, "location": record.location})

    def __enter__(self) -> Self:
        """Return this."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the temporary file."""
        self._rows.close()

    def __iter__(self) -> Iterator[QuarantinedRecord]:
        """Return the records in order; this may be called again."""
        for (line,) in self._rows.execute(_SELECT):
            yield msgspec.json.decode(line, type=QuarantinedRecord)

    def find(self, record_id: str) -> QuarantinedRecord:
        """Return the record with an id or a sequence number, or with the only id that begins with it.

        Raises:
            QuarantineError: There is none, or more than one.
        """
        found, count = None, 0
        for record in self:
            if record.id == record_id:
                return record
            if record.id.startswith(record_id) or record.source.sequence_number == record_id:
                found, count = record, count + 1
        if found is None or count > 1:
            raise QuarantineError(
                f"{count or 'no'} quarantined records have an id that begins with {record_id!r}: "
                "`millrace quarantine list` shows the ids"
            )
        return found

    def _follow(self, location: str) -> None:
        """Add all records of an object that a pointer leads to, so that it is read once."""
        try:
            check_allowed(location, self._allowed)
        except RequestError:
            logger.warning("a pointer leads elsewhere than QUARANTINE_LOCATION and ALLOWED_LOCATIONS")
            return
        folder, _, name = location.rpartition("/")
        try:
            for record in _from_object(open_objects(folder), name):
                self._add(record)
        except (MillraceError, ValueError) as error:  # ValueError: no path can have such characters
            logger.warning("a pointer cannot be followed", extra={"exception": type(error).__name__})

    def _has_whole(self, record_id: str) -> bool:
        return self._rows.execute("SELECT 1 FROM records WHERE id = ? AND whole", [record_id]).fetchone() is not None

    def _keeps(self, record: QuarantinedRecord) -> bool:
        return self._parked_key in {"", record.parked_key}

    def _add(self, record: QuarantinedRecord) -> None:
        if not self._keeps(record):
            return
        source = record.source
        number = source.sequence_number if source.sequence_number.isdecimal() else ""
        self._rows.execute(
            _INSERT,
            (
                record.id, source.stream, number.zfill(_NUMBER_DIGITS), source.sub_sequence_number,
                record.data is not None, msgspec.json.encode(record),
            ),
        )  # fmt: skip


def _from_location(location: str) -> Iterator[QuarantinedRecord]:
    objects = open_objects(location) if location else None
    if objects is None:
        return
    for name in objects.names():
        if name.endswith(".jsonl"):
            yield from _from_object(objects, name)


def _from_object(objects: Objects, name: str) -> Iterator[QuarantinedRecord]:
    """Yield the records of an object, line by line: it may have any size, and a line has one record."""
    where, line = f"{objects.root}/{name}", bytearray()
    is_too_long = False
    for block in _blocks(objects, name):
        *ends, last = block.split(b"\n")
        for end in ends:
            line += end
            if not is_too_long:
                yield from _read(bytes(line), where)
            line.clear()
            is_too_long = False
        line += last
        if len(line) > LARGEST_LINE_BYTES:
            logger.warning("not a quarantined record", extra={"where": where, "bytes": len(line)})
            line.clear()
            is_too_long = True
    if not is_too_long:
        yield from _read(bytes(line), where)


def _blocks(objects: Objects, name: str) -> Iterator[bytes]:
    with contextlib.suppress(LocationError):  # it is gone
        yield from objects.blocks(name)


def _from_stream(stream: str) -> Iterator[QuarantinedRecord]:
    if not stream:
        return
    for data in read_stream(stream, StartingPosition()):
        yield from _read(data, f"stream {stream}")


def _read(lines: bytes, where: str) -> list[QuarantinedRecord]:
    """Return the quarantined records in JSON lines; warn of every other line."""
    found = []
    for line in lines.splitlines():
        try:
            found.append(msgspec.json.decode(line, type=QuarantinedRecord))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            logger.warning("not a quarantined record", extra={"where": where, "bytes": len(line)})
    return found
