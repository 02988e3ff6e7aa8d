"""Split a record into the rows that it holds, as `RECORD_SPLIT` says.

    none          a record is one row
    lines         each line with something in it is a row
    list          each element of a JSON list is a row; any other record is one row
    log-events    each log event of a CloudWatch Logs subscription is a row, with the `owner`, `logGroup` and
                  `logStream` of its record; any other record is one row
    log-messages  the message of each log event is a row; any other record is one row

A row is decoded like a record of its own, so that a faulty one harms no other. Blank lines and messages are no rows. A
record whose rows would fill the memory is set aside as `split_too_large`.

The format of a subscription's record: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from app.budgets import is_over_elements_at
from app.settings import LINES, LIST, LOG_MESSAGES
from app.stream.outcomes import Quarantine
from app.stream.payload import decode_text, inflated, plain

MAX_ROWS = 100_000  # of a record, as of an aggregate: CloudWatch Logs sends 10,000 at the most
MAX_ROW_BYTES = 32 * 1024 * 1024  # of a record's rows together: twice what a single record may inflate to
MAX_CONTEXT_BYTES = 2048  # the names of a log group and a stream have 512 characters at the most
_CONTROL = "CONTROL_MESSAGE"  # CloudWatch Logs asks with it whether the stream can be reached
_SUBSCRIPTION = b'"messageType"'
_UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)


class Rows(NamedTuple):
    """The rows of a record, and those that are at fault, by index."""

    payloads: list[bytes]
    faults: dict[int, Quarantine]


class _LogEvents(msgspec.Struct, frozen=True, rename="camel"):
    """A record of a CloudWatch Logs subscription."""

    message_type: str
    log_events: list[msgspec.Raw]
    owner: str = ""
    log_group: str = ""
    log_stream: str = ""


class _LogEvent(msgspec.Struct, frozen=True):
    message: str


_log_events = msgspec.json.Decoder(_LogEvents)
_log_event = msgspec.json.Decoder(_LogEvent)
_elements = msgspec.json.Decoder(list[msgspec.Raw])


class _UnsplittableError(Exception):
    """A record cannot be split; it carries the fault, or None where it has too many rows."""

    def __init__(self, fault: Quarantine | None = None) -> None:
        super().__init__()
        self.fault = fault


def rows_of(payload: bytes, how: str) -> Rows:
    """Return the rows of a record; it raises for no payload.

    Args:
        payload: The record's bytes, compressed or not.
        how: A value of `RECORD_SPLIT`.
    """
    text = inflated(payload) if how == LINES else plain(payload)
    if isinstance(text, Quarantine):
        return Rows([payload], {0: text})
    try:
        found = _lines(text) if how == LINES else _list(text) if how == LIST else _logs(text, how)
    except _UnsplittableError as error:
        return too_large(payload) if error.fault is None else Rows([payload], {0: error.fault})
    return Rows([payload], {}) if found is None else found


def too_large(payload: bytes) -> Rows:
    """Return a record as one row that is set aside, since it holds more rows or bytes than the limits."""
    message = f"more than {MAX_ROWS} rows, or {MAX_ROW_BYTES} bytes of rows, in a record of {len(payload)} bytes"
    return Rows([payload], {0: Quarantine("split_too_large", message)})


def _lines(text: bytes) -> Rows | None:
    """Return the lines; None if there are none."""
    if text.count(b"\n") + text.count(b"\r") - text.count(b"\r\n") > MAX_ROWS:
        raise _UnsplittableError
    lines = [line for line in text.splitlines() if line.strip()]
    return Rows(lines, {}) if lines else None


def _list(text: bytes) -> Rows | None:
    """Return the elements of a list; None for any other text."""
    if not text.lstrip().startswith(b"["):
        return None
    if is_over_elements_at(text, 1, MAX_ROWS):
        raise _UnsplittableError
    found = decode_text(text, _elements.decode)
    if isinstance(found, Quarantine):
        raise _UnsplittableError(found)
    return Rows(list(map(bytes, found)), {})


def _logs(text: bytes, how: str) -> Rows | None:
    """Return the log events, or their messages; None if the record is of no subscription."""
    if _SUBSCRIPTION not in text:
        return None
    if is_over_elements_at(text, 2, MAX_ROWS):
        raise _UnsplittableError
    try:
        found = _log_events.decode(text)
    except _UNREADABLE:
        return None
    if found.message_type == _CONTROL:
        return Rows([], {})
    events = list(map(bytes, found.log_events))
    if how == LOG_MESSAGES:
        return _messages(events)
    context = msgspec.json.encode({"owner": found.owner, "logGroup": found.log_group, "logStream": found.log_stream})
    if len(context) > MAX_CONTEXT_BYTES:
        return None
    if len(text) + len(events) * len(context) > MAX_ROW_BYTES:
        raise _UnsplittableError
    return Rows([_joined(event, context) for event in events], {})


def _messages(events: list[bytes]) -> Rows:
    """Return the messages that are not blank; an event without one is at fault."""
    found = Rows([], {})
    for event in events:
        try:
            message = _log_event.decode(event).message
        except _UNREADABLE as error:
            found.faults[len(found.payloads)] = Quarantine("bad_log_event", f"a log event without a message: {error}")
            found.payloads.append(event)
        else:
            if message.strip():
                found.payloads.append(message.encode())
    return found


def _joined(event: bytes, context: bytes) -> bytes:
    """Return a log event with the context's fields behind its own; anything but an object unchanged."""
    if not event.startswith(b"{"):
        return event
    return event[:-1] + (b"," if event[1:-1].strip() else b"") + context[1:]
