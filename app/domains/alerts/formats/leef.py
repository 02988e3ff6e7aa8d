"""LEEF, IBM QRadar's format: `LEEF:2.0|vendor|product|version|event id|delimiter|key=value…`, one alert per line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from app.domains.alerts.alert import Alert, AlertFault
from app.domains.alerts.formats.cef import LINES, read_fields
from app.domains.alerts.formats.cef_line import MOST_FIELDS, SYSLOG_TIME, pairs_between
from app.domains.alerts.formats.format import Format
from app.domains.alerts.formats.mapping import FieldReader
from app.domains.alerts.formats.severity import Scale

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = "LEEF:"
_FURTHEST_MARK = 512  # characters: a syslog header is far shorter, and a message may mention LEEF
_HEAD = ("deviceVendor", "deviceProduct", "deviceVersion", "signatureId")
_DELIMITER = re.compile(r"(?:0?x([0-9A-Fa-f]{1,4})|([^\sA-Za-z0-9=]))")
_WRITTEN_TABS = ("\\x09", "\\t", "<tab>", "<009>", "#011")
"""Tabs as syslog daemons and examples in manuals write them."""
_KEY = re.compile(r"(?:^|\s)([A-Za-z0-9_.\-]{1,128})=")
_LETTER = re.compile(r"[A-Za-z]")

LONG_NAMES = {
    "ComputerName": "computerName",
    "accountName": "userName",
    "cat": "cat",
    "devTime": "deviceReceiptTime",
    "domain": "sourceNtDomain",
    "dst": "destinationAddress",
    "dstMAC": "destinationMacAddress",
    "dstPort": "destinationPort",
    "dstPostNAT": "destinationTranslatedAddress",
    "dpt": "destinationPort",
    "duser": "destinationUserName",
    "dvc": "deviceAddress",
    "dvchost": "deviceHostName",
    "identHostName": "sourceHostName",
    "identSrc": "sourceAddressIPv6",
    "msg": "message",
    "proto": "transportProtocol",
    "resource": "deviceHostName",
    "sev": "severity",
    "severity": "severity",
    "src": "sourceAddress",
    "srcMAC": "sourceMacAddress",
    "srcPort": "sourcePort",
    "srcPreNAT": "sourceTranslatedAddress",
    "spt": "sourcePort",
    "shost": "sourceHostName",
    "dhost": "destinationHostName",
    "suser": "sourceUserName",
    "url": "requestUrl",
    "userAgent": "requestClientApplication",
    "usrName": "sourceUserName",
}
"""Names by which CEF fields are known here, for LEEF's keys."""

_NAMES = ("name", "eventName", "ruleName", "eventDesc", "threatName", "signature", "reason", "message")
_SCALE = Scale("LEEF severity", ((0, 1), (3, 39), (4, 40), (6, 69), (7, 70), (8, 89), (9, 90), (10, 100)), " of 10")
"""QRadar takes 1 to 10; its products group them as CEF does: to 3 low, to 6 medium, to 8 high, above very high."""

TABLE = msgspec.structs.replace(
    LINES,
    src=("sourceAddress", "sourceAddressIPv6", "sourceHostName", "sourceTranslatedAddress"),
    dst=("destinationAddress", "destinationHostName", "destinationTranslatedAddress"),
    either=(*LINES.either, "computerName", "sourceUserName", "userName", "destinationUserName"),
    severity={"severity": _SCALE},
)


def matches(line: str) -> bool:
    """Return whether a line has `LEEF:` at its start or after a syslog header."""
    return 0 <= line.find(MARK) <= _FURTHEST_MARK


def fields_of(line: str) -> dict[str, Any]:
    """Return a line's fields by the long names of CEF.

    Raises:
        AlertFault: Its header is incomplete.
    """
    before, _, text = line.partition(MARK)
    parts = text.split("|", len(_HEAD) + 1)
    if len(parts) <= len(_HEAD) + 1:
        raise AlertFault(
            "bad_field",
            f"LEEF line: the header has {len(parts) - 1} of its 5 parts; "
            "it must read `LEEF:1.0|vendor|product|version|event id|`",
        )
    found: dict[str, Any] = dict(zip(_HEAD, (part.strip() for part in parts[1:]), strict=False))
    if stamp := SYSLOG_TIME.match(before):
        found["syslog_time"] = stamp[1]
    delimiter, rest = _delimiter_of(parts[-1])
    for key, value in _pairs(rest, delimiter):
        if value:
            found.setdefault(LONG_NAMES.get(key, key), value)
    if not found.get("name"):
        found["name"] = _name_of(found)
    return found


def read(line: str, tenant: str = "", received: float | None = None) -> Alert:
    """Return a line as an alert."""
    content = line[line.index(MARK) :].strip()
    return read_fields(_READER, fields_of(line), [content], tenant, received)


def _delimiter_of(rest: str) -> tuple[str, str]:
    """Return the delimiter of version 2.0, or a tab, and the attributes."""
    first, bar, behind = rest.partition("|")
    if not bar or "=" in first.strip().removeprefix("="):
        return "\t", rest
    written = _DELIMITER.fullmatch(first.strip(" "))
    if written is None:
        return "\t", behind if not first.strip() or first.strip(" ") in {"\t", *_WRITTEN_TABS} else rest
    code = int(written[1], 16) if written[1] else 0
    return (chr(code) if code else written[2] or "\t"), behind


def _pairs(text: str, delimiter: str) -> Iterator[tuple[str, str]]:
    """Return the attributes; where the delimiter is nowhere, those with a blank before their keys."""
    if delimiter not in text:
        delimiter = next((each for each in _WRITTEN_TABS if each in text), delimiter)
    if delimiter not in text:
        return pairs_between(_KEY, text)
    parts = (part.partition("=") for part in text.split(delimiter)[:MOST_FIELDS])
    return ((key.strip(), value.strip()) for key, mark, value in parts if mark)


def _name_of(found: dict[str, Any]) -> str:
    """Return the first field that names the event; the id of an event is a name if it has letters."""
    event = str(found["signatureId"])
    for name in _NAMES[1:-1]:
        if isinstance(found.get(name), str):
            return str(found[name])
    if _LETTER.search(event):
        return event
    return str(found.get("message") or found.get("cat") or f"{found['deviceProduct']} {event}".strip())


_READER = FieldReader("LEEF line", "leef", TABLE)
FORMAT = Format(
    name="leef",
    title="LEEF lines",
    known_by="a line with `LEEF:` at its beginning, or behind a syslog head",
    matches=matches,
    read=read,
    tables=(("", TABLE),),
    notes=(
        "Versions 1.0 and 2.0. Keys are read by CEF's long names, as in the table: `usrName` is `sourceUserName`.",
        "The delimiter is that of the header, else a tab, also as `\\x09`; a line without any is split at its keys.",
        "The name is a field that names the event, else the event's id if it has letters, else message or category.",
        "The id is made of all from `LEEF:` on. All other fields are kept.",
    ),
)
