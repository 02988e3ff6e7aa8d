"""Find the alerts in what services, shippers and queues wrap around them.

A few envelopes are known by their keys: the seed's file, answers and events of AWS services, search hits, records that
`alerts-technique` wrote. Any other record that no format recognizes is looked at under the usual keys, and is an
envelope if an alert shows there: an object, a list, JSON or a line in a text, perhaps in base64 and gzip. So
`{"alerts": […]}`, SNS within SQS, Splunk's results, CloudWatch Logs, and events of Kinesis or Firehose need no code of
their own.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import json
import re
import zlib
from typing import TYPE_CHECKING, Any

import msgspec

from app.budgets import MOST_ELEMENTS, is_over_elements
from app.domains.alerts.alert import LARGEST_ALERT_BYTES, AlertFault
from app.domains.alerts.formats import ecs, own, snort, times
from app.domains.alerts.formats.recognise import format_or_none, own_format
from app.text import is_nested_deeper

if TYPE_CHECKING:
    from collections.abc import Iterator


MAX_DEPTH = 64  # of JSON: all formats stay below 20
MAX_ENVELOPES = 24  # steps into one another: an event of Kinesis with CloudWatch Logs of EventBridge's events has 14
NODES = "node_feature"
"""Key of the hosts' features in the seed's file."""
SEVERAL = "put the file under input/, or feed it with `millrace feed --pipeline alerts`, which splits it"
LARGEST_INFLATED_BYTES = 32 * 1024 * 1024  # of one record: CloudWatch Logs sends a megabyte at most, gzip packs tenfold
MOST_PIECES = 50_000
"""Alerts of one record, or other values between them: the largest record, 16 MiB, has 300 bytes for each."""

_LISTS = ("input", "Findings", "findings")
"""Keys with a list of alerts: in the seed's file, answers of AWS services, and details of their events."""
_KEYS = (
    *("alerts", "results", "result", "records", "Records", "logEvents", "awslogs", "kinesis", "Sns", "data", "Data"),
    *(
        "value",
        "items",
        "events",
        "event",
        "detections",
        "incidents",
        "notables",
        "resources",
        "hits",
        "response",
        "payload",
    ),
    *("Message", "Messages", "body", "Body", "alert", "finding", "incident", "_raw", "message", "log", "original"),
)
"""Keys that may hold alerts, those that say so best first. `event` and `original` make Elastic's `event.original`."""
_TEXTS = ("message", "_raw", "log")
_TIMES = ("approximateArrivalTimestamp", "timestamp", "Timestamp", "time", "@timestamp")
"""Keys of the time at which a transport took what it holds."""
_DEEPEST_LOOK = 8  # objects and lists within one another
_LOOKED_AT = 32  # elements of a list: some that are no alerts, as heartbeats, may stand before others
_LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"  # as of `str.splitlines`
_LEAST_BASE64 = 16  # characters: a shorter text is a word


class Wrapped(msgspec.Struct):
    """A record out of its envelopes.

    Attributes:
        record: An object or a line; anything else is no alert.
        received: Its arrival by the innermost envelope that states one, seconds since 1970.
        nodes: Features of hosts of the envelopes that it came in.
        format: Its format, if it was recognized.
        fault: Why it could not be unwrapped.
        is_inflated: Whether it is larger than what it came in.
    """

    record: Any
    received: float | None = None
    nodes: tuple[object, ...] = ()
    format: Any = None
    fault: AlertFault | None = None
    is_inflated: bool = False


_KNOWN = frozenset((*_LISTS, "hits", "_source", "detail", own.ALERT))


def unwrapped(value: object, received: float | None = None) -> Iterator[Wrapped]:
    """Yield the records in a value, in their order; a faulty one harms no others.

    Args:
        value: An object, a list or a text, as parsed JSON.
        received: Arrival, seconds since 1970.

    Yields:
        At most `MOST_PIECES` records, and behind them a fault where there are more.
    """
    found = _unwrapped(Wrapped(value, received), 0, _Budget())
    yield from itertools.islice(found, MOST_PIECES)
    if next(found, None) is not None:
        yield Wrapped(None, fault=too_many(MOST_PIECES, "alerts"))


class _Budget(msgspec.Struct):
    """The budget of one record: bytes to inflate, elements of texts of JSON in it, and values to look at for alerts."""

    inflated_bytes: int = LARGEST_INFLATED_BYTES
    elements: int = 2 * MOST_ELEMENTS  # those of strings are not told apart
    looks: int = 1_000

    def take_text(self, text: str) -> None:
        """Count the elements of a text of JSON within the record.

        Raises:
            AlertFault: All texts together have too many.
        """
        self.elements -= text.count(",") + text.count("[") + text.count("{")
        if self.elements < 0:
            raise too_many(MOST_ELEMENTS, "values")


def _unwrapped(outer: Wrapped, depth: int, budget: _Budget) -> Iterator[Wrapped]:
    while True:  # a step without several values needs no generator of its own
        value, inner = outer.record, _within(outer, depth, budget)
        if inner is None:
            yield outer
            return
        received, nodes = outer.received, outer.nodes
        if type(value) is dict:
            received = next((at for key in _TIMES if (at := times.seconds_or_none(value.get(key), received))), received)
            nodes = (*nodes, value[NODES]) if NODES in value else nodes
        depth += 1
        if len(inner) != 1:
            break
        outer = Wrapped(inner[0], received, nodes, is_inflated=outer.is_inflated)
    for each in inner:
        yield from _unwrapped(Wrapped(each, received, nodes, is_inflated=outer.is_inflated), depth, budget)


def _within(outer: Wrapped, depth: int, budget: _Budget) -> list[Any] | None:
    """Return the values in an envelope; None for a record, and then note its format or its fault."""
    value = outer.record
    try:
        if depth > MAX_ENVELOPES:
            outer.format = format_or_none(value) if type(value) is dict or isinstance(value, str) else None
        elif isinstance(value, str):
            return _of_text(outer, depth, budget)
        elif type(value) is dict:
            return _of_object(outer, budget)
        elif type(value) is list:
            return value
    except AlertFault as fault:
        outer.fault = fault.kept()
    return None


def _of_known(record: dict[str, Any]) -> list[Any] | None:
    """Return what is in an envelope that is known by its keys, or None."""
    if _KNOWN.isdisjoint(record):
        return None
    for key in _LISTS:
        if key in record and type(record[key]) is list:
            return list(record[key])
    hits, source = record.get("hits"), record.get("_source")
    if type(hits) is dict and type(hits.get("hits")) is list:
        return list(hits["hits"])
    if type(source) is dict:
        return [{**source, **{key: record[key] for key in ("_id", "_index") if key in record}}]
    for key, beside in (("detail", "detail-type"), (own.ALERT, own.TECHNIQUES)):
        if type(record.get(key)) is dict and beside in record:
            return [record[key]]
    return None


def _of_object(outer: Wrapped, budget: _Budget) -> list[Any] | None:
    """Return what is in an envelope; None if the record is none, and then note its format."""
    record: dict[str, Any] = outer.record
    outer.format = own_format(record)
    if outer.format is not None:
        return None
    if (known := _of_known(record)) is not None:
        return known
    outer.format = format_or_none(record)
    if outer.format is ecs.FORMAT and not ecs.is_alert(record):
        return _text_in(record, budget)
    if outer.format is None and not _KEYS_SET.isdisjoint(record):
        for key in _KEYS:
            if key in record and (inner := _shown(record[key], 0, budget)) is not None:
                return inner
        return [] if _is_empty(record) else None
    return None


def _is_empty(record: dict[str, Any]) -> bool:
    """Return whether an object is an answer without alerts: `{"alerts": [], "total": 0}`.

    With a text beside it, it may be an alert of an unknown product, which must not be passed over; keys such as
    `@odata.context` are of the envelope.
    """
    empty = {key for key, value in record.items() if value == [] and key in _KEYS_SET}
    return bool(empty) and all(
        key in empty or key.startswith("@") or value is None or isinstance(value, bool | int | float)
        for key, value in record.items()
    )


def _text_in(record: dict[str, Any], budget: _Budget) -> list[Any] | None:
    """Return the text of another format in a document of Elastic's that is no alert by itself."""
    event = record.get("event")
    texts = [record.get(key) for key in _TEXTS] + [event.get("original") if type(event) is dict else None]
    for text in (*texts, record.get("event.original")):
        if isinstance(text, str) and _shows(text, 0, budget):
            return [text]
    return None


def _of_text(outer: Wrapped, depth: int, budget: _Budget) -> list[Any] | None:
    """Return the values in a text: of JSON, of several lines, or within an envelope of base64; None for a line.

    Raises:
        AlertFault: It is broken.
    """
    text = outer.record = outer.record.strip()
    if is_json(text):
        if depth:
            budget.take_text(text)
        try:
            return [json_of(text)]
        except AlertFault as fault:
            if fault.reason != "not_one_alert":
                raise
            return _values_of(text)
    if "\n" in text and len(lines := _lines_of(text)) > 1:
        return lines
    if depth and (decoded := _decoded(text, budget)) is not None:
        outer.is_inflated = True
        return [decoded]
    outer.format = format_or_none(text)
    return None


def _values_of(text: str) -> list[str]:
    """Return the JSON values that follow one another in a text, and the lines of what follows them.

    Raises:
        AlertFault: There are too many.
    """
    values: list[str] = []
    decoder, at = json.JSONDecoder(), 0
    while at < len(text) and text[at] in "{[":
        try:
            _, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        values.append(text[at:end])
        if len(values) > MOST_PIECES:
            raise too_many(MOST_PIECES, "values")
        behind = _BETWEEN.match(text, end)
        at = behind.end() if behind else end
    return [*values, *_lines_of(text[at:])]


def _lines_of(text: str) -> list[str]:
    """Return the lines of a text that are not blank.

    Raises:
        AlertFault: There are too many.
    """
    if len(text) > MOST_PIECES and sum(map(text.count, _LINE_ENDS)) > MOST_PIECES:
        raise too_many(MOST_PIECES, "lines")
    return [line for line in text.splitlines() if line.strip()]


def is_json(text: str) -> bool:
    """Return whether a text begins like an object or a list, and not like a line of Snort."""
    return text[:1] == "{" or (text[:1] == "[" and not text.startswith(snort.MARK))


def json_of(text: str) -> object:
    """Return the value of a JSON text; halves of surrogate pairs in it are tolerated.

    Raises:
        AlertFault: `not_json`, `not_one_alert` or `too_many_elements`.
    """
    if len(text) > MOST_ELEMENTS and is_over_elements(text.encode("utf-8", "replace")):
        raise too_many(MOST_ELEMENTS, "values")
    try:
        value = msgspec.json.decode(text)
    except RecursionError:
        raise too_deep() from None
    except (msgspec.MsgspecError, ValueError) as error:
        if "trailing characters" in str(error) and _holds_values(text):
            raise AlertFault("not_one_alert", f"the record holds several JSON values; {SEVERAL}") from None
        if "\\ud" not in text and "\\uD" not in text:
            raise AlertFault("not_json", f"{error}; send JSON, or a line of CEF or Snort") from None
        value = _forgiving(text)
    if text.count("[") + text.count("{") > MAX_DEPTH and is_nested_deeper(value, MAX_DEPTH):
        raise too_deep()
    return value


def too_deep() -> AlertFault:
    """Return the fault of JSON that is nested too deep."""
    return AlertFault("not_json", f"nested deeper than {MAX_DEPTH}; send the alert without the objects in it")


def too_large() -> AlertFault:
    """Return the fault of an alert with too many bytes."""
    return AlertFault("alert_too_large", f"more than {LARGEST_ALERT_BYTES} bytes; send the alert without its raw data")


def too_many(most: int, what: str) -> AlertFault:
    """Return the fault of a record with too many alerts or values in it."""
    message = f"more than {most} {what} in one record; send it in parts: as a list, or an alert a line"
    return AlertFault("too_many_elements", message)


def _forgiving(text: str) -> object:
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise too_deep() from None
    except ValueError as error:
        raise AlertFault("not_json", f"{error}; send JSON, or a line of CEF or Snort") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


def _holds_values(text: str) -> bool:
    """Return whether a second JSON object or list follows a first one."""
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return False
    return text[end:].lstrip()[:1] in {"{", "["}


def _shown(value: object, depth: int, budget: _Budget) -> list[Any] | None:
    """Return the elements of a value in which alerts show, or None."""
    elements = value if type(value) is list else [value]
    return list(elements) if any(_shows(each, depth + 1, budget) for each in elements[:_LOOKED_AT]) else None


def _shows(value: object, depth: int, budget: _Budget) -> bool:
    """Return whether a value is an alert, or an envelope in which one shows."""
    budget.looks -= 1
    if depth > _DEEPEST_LOOK or budget.looks < 0:
        return False
    if type(value) is dict:
        if own_format(value) is None and (known := _of_known(value)) is not None:
            return _shown(known, depth, budget) is not None
        return format_or_none(value) is not None or any(
            _shown(value[key], depth, budget) is not None for key in _KEYS if key in value
        )
    if not isinstance(value, str):
        return False
    text = value.lstrip()
    return is_json(text) or format_or_none(text) is not None or _bytes_of(text[:_HEAD_BASE64]) is not None


_KEYS_SET = frozenset(_KEYS)
_HEAD_BASE64 = 64  # characters that are looked at to tell base64 from a word
_COMPRESSED = (b"\x1f\x8b", b"\x78\x9c", b"\x78\x01", b"\x78\xda")
_BETWEEN = re.compile(r"[ \t\r\n,]*+")
_NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f-\xff]")


def _bytes_of(text: str) -> bytes | None:
    """Return the bytes of a text in base64 that begin like a text or a packed one, or None."""
    if len(text) < _LEAST_BASE64 or not text.isascii():
        return None
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    begins = found.startswith(_COMPRESSED) or not _NO_TEXT.search(found[:_LEAST_BASE64])
    return found if begins else None


def _decoded(text: str, budget: _Budget) -> str | None:
    """Return the text in base64, and in gzip or zlib within it; None for another text.

    Raises:
        AlertFault: It is damaged, or too large.
    """
    if _bytes_of(text[:_HEAD_BASE64]) is None or (data := _bytes_of(text)) is None:
        return None
    if data.startswith(_COMPRESSED):
        inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib
        try:
            data = inflater.decompress(data, max(budget.inflated_bytes, 1))
        except zlib.error:
            raise AlertFault("not_json", "damaged gzip in base64; send what is in it") from None
        budget.inflated_bytes -= len(data)
        if not inflater.eof:
            message = f"gzip in base64 breaks off, or has more than {LARGEST_INFLATED_BYTES} bytes; send what is in it"
            raise AlertFault("alert_too_large", message)
    return data.decode("utf-8", "replace")
