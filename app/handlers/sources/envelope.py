"""Reading AWS's events as typed records, or refusing them with one line that says what they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

import msgspec

from app.errors import EventError
from app.handlers.request import UNREADABLE, check_elements, json_text, refused
from app.text import short_name

if TYPE_CHECKING:
    from collections.abc import Callable

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


@dataclass(frozen=True, slots=True)
class Unread:
    """A record of an event that does not fit its type: it fails, and its neighbours go on.

    Attributes:
        error: The fault.
    """

    error: EventError
    _item: object

    def text(self, *path: str) -> str:
        """Return the text at a path of names, or an empty one."""
        found = self._item
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        return found if isinstance(found, str) else ""

    def needed(self, *path: str) -> str:
        """Return the text at a path of names, by which the record is handed back.

        Raises:
            EventError: There is none: the event has to come back as a whole.
        """
        if not (text := self.text(*path)):
            raise self.error
        return text


def read_records(
    event: Event,
    kind: type[Record],
    source: str,
    mended: Callable[[dict[str, Any]], dict[str, Any]] = lambda item: item,
) -> list[Record | Unread]:
    """Return the records of an event, which may be none; one with an odd field is read where its meaning is clear.

    Args:
        event: The event, parsed or as bytes.
        kind: The record's type; fields that it does not name are left alone.
        source: The value that `eventSource` must have.
        mended: Makes a record that does not fit its type more like it.

    Raises:
        EventError: The event is not a batch of this source; the message names its own source.
    """
    document = _document(event)
    items = document.get(RECORDS) if isinstance(document, dict) else None
    if not isinstance(items, list):
        raise EventError(f"event: no list of Records ({described(document)}); only events of {source} are processed")
    for item in items:
        named = _source_of(item)
        if named != source:
            raise EventError(f"event: comes from {named}, not from {source}: check the trigger")
    return read_each(items, kind, f"$.{RECORDS}", mended)


def read_each(
    items: list[Any],
    kind: type[T],
    path: str,
    mended: Callable[[dict[str, Any]], dict[str, Any]] = lambda item: item,
) -> list[T | Unread]:
    """Return the records of a list at a path of an event; see `read_records`."""
    try:
        return msgspec.convert(items, list[kind])  # type: ignore[valid-type]
    except UNREADABLE:
        pass
    found: list[T | Unread] = []
    for row, item in enumerate(items):
        try:
            found.append(convert(item, kind, f"{path}[{row}]"))
        except EventError as error:
            try:
                found.append(msgspec.convert(mended(lenient(item)), kind, strict=False))
            except UNREADABLE:
                found.append(Unread(error, item))
    return found


def lenient(value: Any, levels: int = 2) -> Any:  # noqa: ANN401 - any JSON
    """Return parsed JSON without the fields that are null, so that their defaults hold.

    Args:
        value: The JSON.
        levels: The number of levels that are looked at: those of the envelopes, and not of what is in them.
    """
    if not isinstance(value, dict) or not levels:
        return value
    return {name: lenient(each, levels - 1) for name, each in value.items() if each is not None}


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
    check_elements(text := json_text(event), "event", EventError)
    try:
        return msgspec.json.decode(text)
    except UNREADABLE:
        raise EventError("event: not JSON: send the event as Lambda receives it") from None


def _source_of(item: object) -> str:
    """Return a record's source, in either of AWS's two spellings."""
    found = (item.get("eventSource") or item.get("EventSource")) if isinstance(item, dict) else None
    return short_name(found) if found else "an unnamed source"
