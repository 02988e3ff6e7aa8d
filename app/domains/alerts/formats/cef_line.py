"""CEF as products write it: `CEF:0|vendor|product|version|signature|name|severity|key=value …`, one alert per line."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

from app.domains.alerts.alert import Alert, AlertFault
from app.domains.alerts.formats.cef import LINES, read_fields
from app.domains.alerts.formats.format import Format
from app.domains.alerts.formats.mapping import FieldReader

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = "CEF:"
_FURTHEST_MARK = 512  # characters: a syslog header is far shorter, and a message may mention CEF
_HEAD = ("deviceVendor", "deviceProduct", "deviceVersion", "signatureId", "name", "severity")
MOST_FIELDS = 512  # the dictionary has about 170 keys, and a record may have its own

LONG_NAMES = {
    "act": "deviceAction",
    "app": "applicationProtocol",
    "cnt": "baseEventCount",
    "c6a2": "sourceAddressIPv6",
    "c6a3": "destinationAddressIPv6",
    "dhost": "destinationHostName",
    "dmac": "destinationMacAddress",
    "dntdom": "destinationNtDomain",
    "dpid": "destinationProcessId",
    "dpriv": "destinationUserPrivileges",
    "dproc": "destinationProcessName",
    "dpt": "destinationPort",
    "dst": "destinationAddress",
    "duid": "destinationUserId",
    "duser": "destinationUserName",
    "dvc": "deviceAddress",
    "dvchost": "deviceHostName",
    "end": "endTime",
    "fname": "fileName",
    "fsize": "fileSize",
    "in": "bytesIn",
    "msg": "message",
    "out": "bytesOut",
    "proto": "transportProtocol",
    "request": "requestUrl",
    "rt": "deviceReceiptTime",
    "shost": "sourceHostName",
    "smac": "sourceMacAddress",
    "sntdom": "sourceNtDomain",
    "spid": "sourceProcessId",
    "spriv": "sourceUserPrivileges",
    "sproc": "sourceProcessName",
    "spt": "sourcePort",
    "src": "sourceAddress",
    "start": "startTime",
    "suid": "sourceUserId",
    "suser": "sourceUserName",
}
"""Long names of the dictionary's keys."""

_BAR = re.compile(r"(?<!\\)(?:\\\\)*\|")
_KEY = re.compile(r"(?:^|\s)([A-Za-z0-9_.\-\[\]]{1,128})=")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_MEANT = {"n": "\n", "r": "\r"}
SYSLOG_TIME = re.compile(
    r"(?:<\d{1,3}>)?(?:\d )?\s*(\d{4}-\d\d-\d\dT\S{8,32}|[A-Z][a-z]{2} +\d{1,2} (?:\d{4} )?\d\d:\d\d:\d\d)"
)


def matches(line: str) -> bool:
    """Return whether a line has `CEF:` at its start or after a syslog header."""
    return 0 <= line.find(MARK) <= _FURTHEST_MARK


def fields_of(line: str) -> dict[str, Any]:
    """Return a line's fields by their long names.

    Raises:
        AlertFault: Its header is incomplete.
    """
    before, _, text = line.partition(MARK)
    head, rest = _head_of(text)
    if len(head) <= len(_HEAD):
        raise AlertFault(
            "bad_field",
            f"CEF line: the header has {len(head)} of its 7 parts; "
            "it must read `CEF:0|vendor|product|version|signature id|name|severity|`",
        )
    found: dict[str, Any] = dict(zip(_HEAD, head[1:], strict=True))
    if stamp := SYSLOG_TIME.match(before):
        found["syslog_time"] = stamp[1]
    for key, value in pairs_between(_KEY, rest):
        if unescaped := _unescaped(value):
            found.setdefault(LONG_NAMES.get(key, key), unescaped)
    return found


def pairs_between(key: re.Pattern[str], text: str) -> Iterator[tuple[str, str]]:
    """Return each key that a pattern finds (its group 1), and the text up to the next one."""
    keys = list(itertools.islice(key.finditer(text), MOST_FIELDS))
    for number, each in enumerate(keys, 1):
        end = keys[number].start() if number < len(keys) else len(text)
        yield each[1], text[each.end() : end].strip()


def read(line: str, tenant: str = "", received: float | None = None) -> Alert:
    """Return a line as an alert."""
    content = line[line.index(MARK) :].strip()
    return read_fields(_READER, fields_of(line), [content], tenant, received)


def _head_of(text: str) -> tuple[list[str], str]:
    """Return the header's parts without escapes, and the rest of the line."""
    parts, start = [], 0
    for bar in _BAR.finditer(text):
        parts.append(_unescaped(text[start : bar.end() - 1]).strip())
        start = bar.end()
        if len(parts) == len(_HEAD) + 1:
            return parts, text[start:]
    last = _unescaped(text[start:]).strip()
    return ([*parts, last] if len(parts) == len(_HEAD) and last else parts), ""


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: _MEANT.get(found[1], found[1]), text) if "\\" in text else text


_READER = FieldReader("CEF line", "cef", LINES)
FORMAT = Format(
    name="cef_line",
    title="CEF lines",
    known_by="a line with `CEF:` at its beginning, or behind a syslog head",
    matches=matches,
    read=read,
    tables=(("", LINES),),
    notes=(
        "The dictionary's short keys are read by their long names, which the table shows: `src` is `sourceAddress`.",
        "Without `externalId`, or where it is the number of the alert's type, the id is made of all from `CEF:` on.",
        "Without a time of its own, an event has that of its syslog head, which then is a part of a made id.",
        "`port` is the destination's, always; the source's is `src_port`.",
        "All other fields are kept under their long names.",
    ),
)
