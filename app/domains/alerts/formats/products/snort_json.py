"""Snort 3's alerts as JSON (`alert_json`)."""

from __future__ import annotations

from typing import Any

from app.domains.alerts.alert import HOST, PORT, PRIORITY, RULE_ID, Alert
from app.domains.alerts.formats import snort
from app.domains.alerts.formats.format import Format
from app.domains.alerts.formats.mapping import FieldReader, Table
from app.domains.alerts.formats.marks import AnyOf, Marks, in_words
from app.domains.alerts.formats.severity import SNORT

_WITHOUT_PORTS = ("ICMP", "ICMP6", "ICMPV6", "IGMP")

ALERT = Table(
    digest=(
        "timestamp",
        "seconds",
        "rule",
        "gid",
        "sid",
        "msg",
        "pkt_num",
        "src_addr",
        "src_port",
        "dst_addr",
        "dst_port",
    ),
    time=("seconds", "timestamp"),
    src=("src_addr",),
    dst=("dst_addr",),
    either=("sensor", "iface"),
    name=("msg", "signature"),
    severity={"priority": SNORT},
    attributes={PORT: ("dst_port",), PRIORITY: ("priority",), RULE_ID: ("sid",), HOST: ("http_host",)},
    keep=("src_port", "proto", "service", "classification=class", "gid", "rev", "rule", "action", "dir", "iface"),
    product="Snort",
)


_MARKS = (
    Marks(keys=("rule",), any=("src_ap", "src_addr", "dst_ap", "dst_addr", "pkt_num")),
    Marks(keys=("sid", "gid", "msg"), any=("src_ap", "src_addr", "pkt_num")),
)


def read(record: dict[str, Any], tenant: str = "", received: float | None = None) -> Alert:
    """Return a record as an alert; its ends, rule and time are taken apart."""
    found = dict(record)
    for end in ("src", "dst"):
        both = record.get(f"{end}_ap")
        if isinstance(both, str):
            address, port = snort.end_of(both, ports=True)
            found.setdefault(f"{end}_addr", address)
            found.setdefault(f"{end}_port", port)
    rule, stamp = record.get("rule"), record.get("timestamp")
    if isinstance(rule, str):
        gid, _, rest = rule.partition(":")
        found.setdefault("gid", gid)
        found.setdefault("sid", rest.partition(":")[0])
        found["signature"] = f"Snort rule {rule}"
    if isinstance(stamp, str):
        found["timestamp"] = snort.time_of(stamp, received)
    proto = record.get("proto")
    if isinstance(proto, str) and proto.upper() in _WITHOUT_PORTS:
        found.pop("src_port", None)
        found.pop("dst_port", None)
    return _READER.read(found, tenant, received)


_READER = FieldReader("Snort 3 JSON", "snort_json", ALERT)
FORMAT = Format(
    name="snort_json",
    title="Snort 3 JSON",
    known_by=in_words(_MARKS),
    matches=AnyOf(_MARKS).match,
    read=read,
    tables=(("", ALERT),),
    notes=(
        "By default an alert has no `msg`; it is named by its rule then.",
        "The time is `seconds` where there is one, since a `timestamp` has no year unless Snort runs with `-y`.",
    ),
)
