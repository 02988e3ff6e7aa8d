"""CEF mapped to JSON by a forwarder: flat, with the fields' long names."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from app.domains.alerts.alert import (
    COMMAND_LINE,
    DESCRIPTION,
    HASH,
    HOST,
    LONGEST_ID,
    LONGEST_NAME,
    PORT,
    PRIORITY,
    PRODUCT,
    RULE_ID,
    TIME_FROM,
    URL,
    USER,
    USER_AGENT,
    Alert,
)
from app.domains.alerts.formats import severity
from app.domains.alerts.formats.attributes import attributes, text
from app.domains.alerts.formats.format import Format
from app.domains.alerts.formats.mapping import FieldReader, Table, kept
from app.domains.alerts.formats.times import TRANSPORT
from app.domains.alerts.formats.values import stable_id

TABLE = Table(
    id=("externalId", "id"),
    time=("time", "timestamp", "startTime", "endTime", "deviceReceiptTime", "_time", "@timestamp"),
    src=("sourceHostName", "sourceNtHost", "sourceAddress", "sourceTranslatedAddress", "sourceAddressIPv6"),
    dst=(
        "destinationTranslatedAddress",
        "destinationHostName",
        "destinationAddressIPv6",
        "destinationAddress",
        "destinationNtHost",
    ),
    either=("ipAddress", "ip", "clientAddress", "assignedIp", "hostAddr", "computerName"),
    name=("message", "msg", "ruleName", "name", "description"),
    tags=(
        *("cs1", "cs2", "cs3", "cs4", "cs5", "cs6"),
        *(f"deviceCustomString{number}" for number in range(1, 7)),
        *("cat", "tag"),
    ),
    severity=dict.fromkeys(("severityLevel", "severityId", "severity"), severity.CEF),
    aliases=(
        (
            ("sourceHostName", "sourceNtHost"),
            ("sourceAddress", "sourceAddressIPv6"),
            ("destinationHostName", "destinationNtHost"),
        ),
        (("destinationHostName", "destinationNtHost"), ("destinationAddress", "destinationAddressIPv6")),
        (("deviceHostName",), ("deviceAddress",)),
    ),
    attributes={
        PORT: ("destinationPort", "destinationTranslatedPort", "destPublicPort"),
        PRIORITY: ("severityLevel", "severityId", "severity"),
        URL: ("requestURL", "requestUrl"),
        USER_AGENT: ("requestClientApplication",),
        HOST: ("sourceHostName", "sourceAddress", "destinationHostName", "destinationAddress", "computerName"),
        USER: (
            "sourceUserName",
            "destinationUserName",
            "suser",
            "duser",
            "user",
            "userName",
            "targetUserName",
            "subjectUserName",
        ),
        HASH: ("fileHash", "hashCodes"),
        DESCRIPTION: ("description",),
        COMMAND_LINE: ("processCommandLine", "command"),
        RULE_ID: ("signatureId", "ruleId", "deviceEventClassId"),
        PRODUCT: ("deviceProduct", "product"),
    },
    keep=("src_port=sourcePort", "src_port=sourceTranslatedPort", "src_port=sourcePublicPort"),
)

_MARKS = frozenset(
    (
        *("deviceVendor", "deviceProduct", "deviceEventClassId", "_sourceType", "_eventType"),
        *TABLE.src,
        *TABLE.dst,
    )
)
_NOT_SAID = frozenset(("raw", "_raw", "punct", "content", "body", "sourceContent", "destContent"))
"""Fields that repeat the event's bytes: ignored as name and as attribute."""
_USED = _NOT_SAID.union(TABLE.id, ("time", "_time"))
_RESERVED_OF = {path: key for key, paths in TABLE.attributes.items() for path in paths}
"""Reserved key of a field; an unreadable value, such as a severity in words, is kept by the field's name."""
_ENDS_AND_NAME = frozenset(
    (*TABLE.src, *TABLE.dst, *TABLE.either, *TABLE.name, *(kept(each)[1] for each in TABLE.keep))
)
_KINDS = ("eventType", "_eventType", "categoryString", "cat", "sourceType", "_sourceType")
_NUMBERS_TYPES = frozenset(("ATA", "Azure ATP", "Azure Advanced Threat Protection"))
_DIGITS = re.compile(r"\d+")
_WORD = re.compile(r"(?<!\S)[A-Za-z]{2,}(?=[\s.,:;!?]|$)")
_WORDS = 3  # a field with this many words is meant for people


def matches(record: dict[str, Any]) -> bool:
    """Return whether a record has fields with names that only CEF has."""
    return not _MARKS.isdisjoint(record)


def read_fields(
    reader: FieldReader,
    record: dict[str, Any],
    content: list[Any] | None = None,
    tenant: str = "",
    received: float | None = None,
) -> Alert:
    """Return an alert from CEF fields by their long names.

    Args:
        reader: Reader with the table to use.
        record: The fields; those missing in the table are kept under their own names.
        content: Content to derive an id from if there is none; all fields if None.
        tenant: The tenant of a record that names none.
        received: Arrival, seconds since 1970, for times without a year.

    Raises:
        AlertFault: The record cannot be read.
    """
    whole = dict(record)
    derives = not any(record.get(key) for key in TABLE.id) or _is_of_type(record)
    if derives:
        whole[TABLE.id[0]] = "-"  # until the time is known
    if not any(record.get(key) for key in TABLE.name):
        whole["name"] = _name_of(record)
    alert = reader.read(whole, tenant, received)
    read = alert.other_attributes
    if derives:
        parts = content or [[key, record[key]] for key in sorted(record) if record[key] not in (None, "")]
        alert.id = stable_id(reader.prefix, [*parts, alert.time] if read.get(TIME_FROM) == TRANSPORT else parts)
    known = (alert.name, alert.src, alert.dst, read.get("src_port"))
    rest = {
        key: value
        for key, value in record.items()
        if (key not in _USED or (derives and key in TABLE.id))
        and key not in read
        and _RESERVED_OF.get(key) not in read
        and not (key in _ENDS_AND_NAME and value in known)
    }
    alert.other_attributes = attributes({**read, **rest})
    return alert


def read(record: dict[str, Any], tenant: str = "", received: float | None = None) -> Alert:
    """Return a record of mapped fields as an alert."""
    return read_fields(_READER, record, None, tenant, received)


def _is_of_type(record: dict[str, Any]) -> bool:
    """Return whether a record's id is the number of its type, which all alerts of this type share.

    ArcSight's connectors write so: `externalId=4625` with the signature `Microsoft-Windows-Security-Auditing:4625`.
    Microsoft's ATA and Azure ATP give every kind of alert a number of its own.
    """
    if text(record.get("deviceProduct")) in _NUMBERS_TYPES:
        return True
    id_ = text(next((record[key] for key in TABLE.id if record.get(key)), None))
    types = [text(record.get(key)) or "" for key in TABLE.attributes[RULE_ID]]
    return id_ is not None and (id_ in types or any(id_ in _DIGITS.findall(each[:LONGEST_ID]) for each in types))


def _name_of(record: dict[str, Any]) -> str:
    """Return a name for a record without one: the fields of several words, else the kind of event."""
    words = [
        value
        for key, value in record.items()
        if isinstance(value, str) and key not in _NOT_SAID and len(_WORD.findall(value[:LONGEST_NAME])) >= _WORDS
    ]
    kinds = (value for key in _KINDS if isinstance(value := record.get(key), str) and value)
    return "; ".join(dict.fromkeys(words))[:LONGEST_NAME] or next(kinds, "")


_READER = FieldReader("CEF fields", "cef", TABLE)
FORMAT = Format(
    name="cef",
    title="CEF fields",
    known_by="a field that only CEF names so, such as `deviceProduct` or `sourceAddress`",
    matches=matches,
    read=read,
    tables=(("", TABLE),),
    notes=(
        "Without an id, or where it is the number of the alert's type, one is made of all fields.",
        "Without a name, it is made of the fields that hold three words or more, else of the kind of event.",
        "`port` is the destination's, always; the source's is `src_port`.",
        "A severity in words is kept as `severity`.",
        "All other fields that hold something are kept under their own names, but for copies of the raw event.",
    ),
)
LINES = msgspec.structs.replace(
    TABLE,
    time=("deviceReceiptTime", "startTime", "endTime"),
    transport_time=("syslog_time",),
    either=(*TABLE.either, "deviceHostName", "deviceAddress"),
    name=("name", "ruleName", "message", "msg", "description"),
)
"""The table for lines, with the product's name for the event and its time in the header."""
