"""Read the records that `feed` puts on a stream: JSON lines or a JSON document, an example, made-up ones."""

from __future__ import annotations

import io
import itertools
import sys
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from app.budgets import MOST_ELEMENTS, MOST_REQUEST_BYTES, is_over_elements, is_over_elements_at
from app.cli.terminal import counted, note
from app.domain import import_named
from app.errors import BudgetError, EventError, LocationError, UnknownPipelineError
from app.registry import PIPELINES, example_record
from app.storage.files import open_named, over_bytes, read_regular
from app.storage.location import STANDARD, read_standard_input
from app.stream.hints import LOOKED_AT_BYTES, OF_WHOLE_FILES, hint_of
from app.stream.payload import MAX_JSON_BYTES
from app.text import without_bom

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONGEST_KEY = 256  # Kinesis's limit on a partition key, in characters

LINES = "write one JSON record a line, with `jq -c '.[]'` say"

Keyed = tuple[str, bytes]
"""A record: its partition key and its data."""


def records_for(
    pipeline: str, path: Path | None, count: int | None, *, key: str | None, key_field: str | None, endless: bool
) -> tuple[Iterator[Keyed], int | None]:
    """Return records for a pipeline, and how many if that is known.

    Args:
        pipeline: The pipeline that will read them.
        path: A file, or `-` for standard input; without it the pipeline's example, or made-up records.
        count: How many; a file of JSON is repeated or cut short to it.
        key: The partition key of every record.
        key_field: The field of each record that holds its partition key.
        endless: Whether made-up records go on until somebody stops.

    Raises:
        LocationError: The file cannot be read.
        BudgetError: It would fill the memory.
        EventError: It holds no records, or one without the key's field.
    """
    spec = PIPELINES.get(pipeline)
    if spec is not None and spec.feed:
        read = import_named(spec.feed, UnknownPipelineError, "reader", "function")
        records: tuple[Iterator[Keyed], int | None] = read(path, count, endless=endless, key=key)
        return records
    payloads: Iterator[bytes]
    if path is not None:
        file = RecordFile(path, key_field)  # read once before the first is put, so that none is if one lacks its key
        total: int | None = count or file.records
        payloads = itertools.islice(itertools.chain.from_iterable(itertools.repeat(file)), total)
    elif endless or count is not None:
        total = count
        payloads = _made_up(pipeline, count or sys.maxsize)
    else:
        total, payloads = 1, iter([example_record(pipeline)])
        key = key or (None if key_field else "1")
    if key_field is not None:
        return ((_field_of(payload, key_field, number), payload) for number, payload in enumerate(payloads, 1)), total
    return ((key or _key_of(payload, number), payload) for number, payload in enumerate(payloads, 1)), total


def _made_up(pipeline: str, count: int) -> Iterator[bytes]:
    """Make up records, or repeat the example of a pipeline that makes up none."""
    spec = PIPELINES.get(pipeline)
    if spec is None or not spec.sample_records:
        return itertools.repeat(example_record(pipeline), count)
    make = import_named(spec.sample_records, UnknownPipelineError, "maker of records", "function")
    made: Iterator[bytes] = make(count)
    return made


def _key_of(payload: bytes, number: int) -> str:
    """Return a record's partition key: its `pred_id`, or its number where it has none."""
    record = _object_in(payload)
    value = None if record is None else record.get("pred_id")
    return str(value)[:LONGEST_KEY] if isinstance(value, (int, str)) and value != "" else str(number)


def _object_in(payload: bytes) -> dict[str, Any] | None:
    """Return a record that is a JSON object; None for any other, and for one that would fill the memory."""
    try:
        return None if is_over_elements(payload) else msgspec.json.decode(payload, type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _field_of(payload: bytes, field: str, number: int) -> str:
    """Return the value of a record's field as its partition key.

    Raises:
        EventError: The record has no such field, or its value is no text or whole number that can be a key.
    """
    record = _object_in(payload)
    if record is None or field not in record:
        raise EventError(f"record {number}: has no field {field!r}, which would give its partition key")
    value = record[field]
    if isinstance(value, bool) or not isinstance(value, (int, str)) or not 0 < len(str(value)) <= LONGEST_KEY:
        raise EventError(
            f"record {number}: field {field!r} is no partition key: it must be a whole number, or text of 1 to "
            f"{LONGEST_KEY} characters"
        )
    return str(value)


class RecordFile:
    """The records of a file, read line by line each time, or of standard input, or of one document over several lines.

    Attributes:
        records: How many there are.
    """

    def __init__(self, path: Path, key_field: str | None) -> None:
        """Read all records once.

        Args:
            path: A file, or `-` for standard input.
            key_field: The field that each must have.

        Raises:
            LocationError: The file cannot be read.
            BudgetError: Standard input, a document or a line is too large.
            EventError: It holds no records, something else than text in UTF-8, or a record without the field.
        """
        self._path, self.records = path, 0
        self._held: bytes | None = None  # standard input or another pipe, which cannot be read again
        self._elements: list[bytes] | None = None  # of a document
        if str(path) == STANDARD:
            if sys.stdin.isatty():
                note("reading records from standard input, one a line, until Ctrl-D")
            self._held = read_standard_input(mend="write it to a file, which is read line by line")
        with self._open() as file:
            if not file.seekable():
                self._held = read_regular(path, MOST_REQUEST_BYTES, named=True)
        with self._open() as file:
            if (hint := hint_of(file.read(LOOKED_AT_BYTES))) in OF_WHOLE_FILES:
                raise EventError(f"{path}: {hint}")
        self._count()
        if key_field is not None:
            for number, payload in enumerate(self, 1):
                _field_of(payload, key_field, number)

    def _count(self) -> None:
        """Count the records, and note lines that are not JSON unless they are a document's."""
        unreadable, first, first_line = 0, 0, b""
        for number, line in enumerate(self._lines(), 1):
            self.records = number
            if not _is_json(line):
                unreadable += 1
                first, first_line = first or number, first_line or line
        if not self.records:
            raise EventError(f"{self._path}: has no lines; write one JSON record a line")
        if first == 1 and (document := self._document(first_line)) is not None:
            self._elements, self.records = document, len(document)
        elif unreadable:
            hint = hint_of(first_line)
            note(
                f"{unreadable} of {counted(self.records, 'line')} are not JSON, the first is line {first}"
                f"{f': {hint}' if hint else ''}; a pipeline that reads JSON will set them aside"
            )

    def __iter__(self) -> Iterator[bytes]:
        """Yield the records; this may be called again."""
        return self._lines() if self._elements is None else iter(self._elements)

    def _open(self) -> BinaryIO:
        if self._held is not None:
            return io.BytesIO(self._held)
        try:
            return open_named(self._path)
        except OSError as error:
            raise LocationError(
                f"{self._path}: cannot be read: {error.strerror}; name a file, or - for standard input"
            ) from None

    def _lines(self) -> Iterator[bytes]:
        """Yield the lines with something in them."""
        with self._open() as file:
            number = 0
            while part := file.readline(MAX_JSON_BYTES + 1):
                number += 1
                if len(part) > MAX_JSON_BYTES:
                    raise BudgetError(f"{self._path}, line {number}: more than {MAX_JSON_BYTES} bytes: {LINES}")
                lines = (without_bom(part) if number == 1 else part).splitlines()
                yield from (line for line in lines if line.strip())

    def _document(self, first_line: bytes) -> list[bytes] | None:
        """Return the records of one JSON document: an object, or the elements of a list; None if it is none."""
        with self._open() as file:
            data = without_bom(file.read(MOST_REQUEST_BYTES + 1)).strip()
        if len(data) > MOST_REQUEST_BYTES:
            if not _is_begun_json(first_line):
                return None
            raise over_bytes(str(self._path), MOST_REQUEST_BYTES, LINES)
        if not _is_json(data):
            return None
        if not data.startswith(b"["):
            return [data]
        if is_over_elements_at(data, 1, MOST_ELEMENTS):
            raise BudgetError(f"{self._path}: more than {MOST_ELEMENTS} records in one list: {LINES}")
        return list(map(bytes, msgspec.json.decode(data, type=list[msgspec.Raw])))


def _is_begun_json(line: bytes) -> bool:
    """Return whether a line is the beginning of JSON that goes on."""
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except msgspec.DecodeError as error:
        return "truncated" in str(error)
    except RecursionError:
        pass
    return False


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return True
