"""Reading AWS's events as typed records, or refusing them with one line that says what they are."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias, TypeVar

import msgspec

from app.errors import EventError
from app.handlers.request import UNREADABLE, json_text, refused
from app.text import short_name

Event: TypeAlias = Any
"""An event, parsed by Lambda's client or as bytes."""

RECORDS = "Records"
_TEXT = (bytes, bytearray, memoryview, str)
_SHOWN_KEYS = 5  # of an event that is something else: enough to recognize it


class Sourced(Protocol):
    """A record that names its source."""

    @property
    def source(self) -> str:
        """Return the value of `eventSource`."""


Record = TypeVar("Record", bound=Sourced)
T = TypeVar("T")


def read_records(event: Event, kind: type[Record], source: str) -> list[Record]:
    """Return the records of an event, which may be none.

    Args:
        event: The event, parsed or as bytes.
        kind: The record's type; fields that it does not name are left alone.
        source: The value that `eventSource` must have.

    Raises:
        EventError: The event is not a batch of this source; the message names its own source.
    """
    document = _document(event)
    items = document.get(RECORDS) if isinstance(document, dict) else None
    if not isinstance(items, list):
        raise EventError(f"event: no list of Records ({described(document)}); only events of {source} are processed")
    for item in items:
        found = _source_of(item)
        if found != source:
            raise EventError(f"event: comes from {found}, not from {source}: check the trigger")
    return convert(items, list[kind], f"$.{RECORDS}")  # type: ignore[valid-type]


def read_object(event: Event) -> dict[str, Any]:
    """Return an event that is one JSON object.

    Raises:
        EventError: It is something else.
    """
    document = _document(event)
    if not isinstance(document, dict):
        raise EventError(f"event: {described(document)}, not an object: send the event as Lambda receives it")
    return document


def convert(value: object, kind: type[T], path: str = "$") -> T:
    """Convert parsed JSON to a type; a fault is named by its path, without its value.

    Raises:
        EventError: It does not fit.
    """
    try:
        return msgspec.convert(value, kind)
    except UNREADABLE as error:
        fault = refused(error)
        line = str(fault).replace("$", path, 1) if fault.field else str(fault)
        raise EventError(f"event: {line}") from None


def described(document: object) -> str:
    """Describe a parsed event without its values."""
    if not isinstance(document, dict):
        return f"a {type(document).__name__}"
    if document.get(RECORDS):
        first = document[RECORDS][0] if isinstance(document[RECORDS], list) else document[RECORDS]
        return f"records from {_source_of(first)}"
    if document.get("source"):
        return f"from {short_name(document['source'])}"
    return f"keys {', '.join(map(short_name, list(document)[:_SHOWN_KEYS])) or 'none'}"


def _document(event: Event) -> Any:  # noqa: ANN401 - any JSON
    """Parse an event, if it is not parsed yet."""
    if not isinstance(event, _TEXT):
        return event
    try:
        return msgspec.json.decode(json_text(event))
    except UNREADABLE:
        raise EventError("event: not JSON: send the event as Lambda receives it") from None


def _source_of(item: object) -> str:
    """Return a record's source, in either of AWS's two spellings."""
    found = (item.get("eventSource") or item.get("EventSource")) if isinstance(item, dict) else None
    return short_name(found) if found else "an unnamed source"
