"""Rows of Hayabusa's timelines as JSON."""

from __future__ import annotations

import itertools
from typing import Any

from app.domains.alerts.alert import COMMAND_LINE, DESCRIPTION, HASH, HOST, PORT, RULE_ID, USER
from app.domains.alerts.formats.attributes import LONGEST_VALUE, MAX_FEATURES, text
from app.domains.alerts.formats.declared import declared
from app.domains.alerts.formats.mapping import Table
from app.domains.alerts.formats.marks import Marks
from app.domains.alerts.formats.severity import CRITICAL, INFORMATIONAL, MEDIUM, Scale

_SEPARATOR = "¦"
_DETAILS = ("Details", "ExtraFieldInfo", "AllFieldInfo")


def _details(*keys: str) -> tuple[str, ...]:
    """Return the paths of keys in all columns that have details."""
    return tuple(f"{column}.{key}" for key in keys for column in _DETAILS)


_LEVEL = Scale("Hayabusa level", values={"crit": CRITICAL, "emer": 100, "med": MEDIUM, "info": INFORMATIONAL})
"""Hayabusa shortens its levels, but for low and high."""

TIMELINE = Table(
    digest=(
        "Timestamp",
        "RuleTitle",
        "RuleID",
        "Computer",
        "Channel",
        "EventID",
        "RecordID",
        "Details",
        "ExtraFieldInfo",
    ),
    time=("Timestamp", "timestamp"),
    src=(
        *_details("SrcIP", "SrcIp", "IpAddress", "SourceIp", "SrcComp", "WorkstationName", "ClientAddress"),
        "Computer",
    ),
    dst=(*_details("TgtIP", "DstIP", "DestinationIp", "TgtHost", "TgtComp", "DestinationHostname"), "Computer"),
    name=("RuleTitle",),
    tech=("MitreTags",),
    tags=("OtherTags", "Tags"),
    aliases=tuple(
        ((f"{column}.{name}",), (f"{column}.{address}",), ("Computer",))
        for column in _DETAILS
        for name, address in (("SrcComp", "SrcIP"), ("WorkstationName", "IpAddress"))
    ),
    severity={"Level": _LEVEL},
    attributes={
        PORT: _details("TgtPort", "DstPort", "DestinationPort"),
        HOST: ("Computer",),
        USER: _details("TgtUser", "SrcUser", "User", "TargetUserName", "SubjectUserName"),
        HASH: _details("Hashes", "Hash", "SHA256", "MD5"),
        DESCRIPTION: ("details_text", "RecordInformation"),
        COMMAND_LINE: _details("Cmdline", "CommandLine", "ScriptBlock", "ScriptBlockText"),
        RULE_ID: ("RuleID", "RuleFile"),
    },
    keep=(
        "Level",
        "Channel",
        "EventID",
        "RecordID",
        "Provider",
        "MitreTactics",
        "RuleFile",
        "EvtxFile",
        "details=details_text",
    ),
    product="Hayabusa",
)


def _split(record: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its details as objects, whether they came as objects or as `key: value ¦ key: value`."""
    found = dict(record)
    for column in _DETAILS:
        value = record.get(column)
        if isinstance(value, str):
            parts = (part.partition(":") for part in value[:LONGEST_VALUE].split(_SEPARATOR)[:MAX_FEATURES])
            found[column] = {key.strip(): each.strip() for key, mark, each in parts if mark}
            found.setdefault("details_text", value)
        elif type(value) is dict:
            pairs = ((key, text(each)) for key, each in itertools.islice(value.items(), MAX_FEATURES))
            said = f" {_SEPARATOR} ".join(f"{key}: {each}" for key, each in pairs if each)
            found.setdefault("details_text", said[:LONGEST_VALUE])
    for column in ("MitreTags", "OtherTags", "MitreTactics"):
        if isinstance(record.get(column), str):
            found[column] = [part.strip() for part in record[column][:LONGEST_VALUE].split(_SEPARATOR)]
    return found


FORMAT = declared(
    "hayabusa",
    "Hayabusa timeline",
    (Marks(keys=("RuleTitle", "Computer"), any=("Level", "Channel", "EventID")),),
    TIMELINE,
    prepare=_split,
    notes=(
        "JSON, JSON lines, or rows of the CSV as JSON; `Details` and `ExtraFieldInfo` are objects or texts with `¦`.",
        "An end that the event does not name is the computer.",
    ),
)
