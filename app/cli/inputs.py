"""Read the records that `feed` puts on a stream: JSON lines or a JSON document, an example, made-up ones."""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING

import msgspec

from app.cli.terminal import counted, note
from app.domain import import_named
from app.errors import EventError, LocationError, UnknownPipelineError
from app.registry import PIPELINES, example_record
from app.stream.hints import OF_WHOLE_FILES, hint_of
from app.text import without_bom

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONGEST_KEY = 256  # Kinesis's limit on a partition key, in characters

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
        EventError: It holds no records, or one without the key's field.
    """
    spec = PIPELINES.get(pipeline)
    if spec is not None and spec.feed:
        read = import_named(spec.feed, UnknownPipelineError, "reader", "function")
        records: tuple[Iterator[Keyed], int | None] = read(path, count, endless=endless, key=key)
        return records
    payloads: Iterator[bytes]
    if path is not None:
        found = _read_records(path)
        if key_field is not None:  # before the first record is put, so that none is put if one lacks it
            for number, payload in enumerate(found, 1):
                _field_of(payload, key_field, number)
        total: int | None = count or len(found)
        payloads = itertools.islice(itertools.cycle(found), total)
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
    try:
        value = msgspec.json.decode(payload).get("pred_id")
    except (msgspec.MsgspecError, ValueError, AttributeError):
        value = None
    return str(value)[:LONGEST_KEY] if isinstance(value, (int, str)) and value != "" else str(number)


def _field_of(payload: bytes, field: str, number: int) -> str:
    """Return the value of a record's field as its partition key.

    Raises:
        EventError: The record has no such field, or its value is no text or whole number that can be a key.
    """
    try:
        record = msgspec.json.decode(payload)
    except (msgspec.MsgspecError, ValueError):
        record = None
    if not isinstance(record, dict) or field not in record:
        raise EventError(f"record {number}: has no field {field!r}, which would give its partition key")
    value = record[field]
    if isinstance(value, bool) or not isinstance(value, (int, str)) or not 0 < len(str(value)) <= LONGEST_KEY:
        raise EventError(
            f"record {number}: field {field!r} is no partition key: it must be a whole number, or text of 1 to "
            f"{LONGEST_KEY} characters"
        )
    return str(value)


def _read_records(path: Path) -> list[bytes]:
    """Read a file of JSON lines, or of one JSON document over several lines: an object, or a list of records.

    Raises:
        LocationError: The file cannot be read.
        EventError: It holds no records, or is something else than text in UTF-8.
    """
    try:
        if str(path) == "-":
            if sys.stdin.isatty():
                note("reading records from standard input, one a line, until Ctrl-D")
            data = sys.stdin.buffer.read()
        else:
            data = path.read_bytes()
    except OSError as error:
        raise LocationError(f"{path}: cannot be read: {error.strerror}; name a file, or - for standard input") from None
    if (hint := hint_of(data)) in OF_WHOLE_FILES:
        raise EventError(f"{path}: {hint}")
    data = without_bom(data).strip()
    lines = [line for line in data.splitlines() if line.strip()]
    if not lines:
        raise EventError(f"{path}: has no lines; write one JSON record a line")
    unreadable = [number for number, line in enumerate(lines) if not _is_json(line)]
    if unreadable and _is_json(data):  # one document over several lines
        return list(map(bytes, msgspec.json.decode(data, type=list[msgspec.Raw]))) if data[0] == ord("[") else [data]
    if unreadable:
        hint = hint_of(lines[unreadable[0]])
        note(
            f"{len(unreadable)} of {counted(len(lines), 'line')} are not JSON, the first is line {unreadable[0] + 1}"
            f"{f': {hint}' if hint else ''}; a pipeline that reads JSON will set them aside"
        )
    return lines


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return True
