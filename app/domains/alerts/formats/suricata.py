"""Suricata's EVE JSON, the lines whose `event_type` is `alert`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.domains.alerts.alert import CERTIFICATE, HASH, HOST, PORT, PRIORITY, RULE_ID, URL, USER, USER_AGENT
from app.domains.alerts.formats import severity
from app.domains.alerts.formats.format import Format
from app.domains.alerts.formats.mapping import FieldReader, Table

if TYPE_CHECKING:
    from app.domains.alerts.alert import Alert

TABLE = Table(
    digest=(
        "flow_id",
        "timestamp",
        "alert.signature_id",
        "alert.gid",
        "tx_id",
        "src_ip",
        "src_port",
        "dest_ip",
        "dest_port",
        "proto",
    ),
    time=("timestamp",),
    src=("alert.source.ip", "src_ip"),
    dst=("alert.target.ip", "dest_ip"),
    name=("alert.signature", "alert.category"),
    tech=("alert.metadata.mitre_technique_id",),
    tags=("alert.metadata.mitre_attack",),
    tenant=("tenant_id",),
    severity={"alert.severity": severity.SURICATA},
    attributes={
        PORT: ("alert.target.port", "dest_port"),
        PRIORITY: ("alert.severity",),
        URL: ("http.url",),
        USER_AGENT: ("http.http_user_agent",),
        CERTIFICATE: ("tls.fingerprint",),
        HOST: ("http.hostname", "tls.sni", "dns.query.rrname", "dns.queries.rrname", "dns.rrname"),
        USER: ("smb.ntlmssp.user",),
        HASH: ("fileinfo.sha256", "fileinfo.md5", "files.sha256", "files.md5"),
        RULE_ID: ("alert.signature_id",),
    },
    keep=(
        "src_port",
        "src_port=alert.source.port",
        "proto",
        "app_proto",
        "flow_id",
        "alert.category",
        "alert.action",
        "alert.rev",
        "alert.metadata",
        "http.http_method",
        "http.status",
        "fileinfo.filename",
        "sensor=host",
    ),
)


def matches(record: dict[str, Any]) -> bool:
    """Return whether a record is an alert of EVE."""
    return record.get("event_type") == "alert" and type(record.get("alert")) is dict


def read(record: dict[str, Any], tenant: str = "", received: float | None = None) -> Alert:
    """Return a record as an alert; of one that a shipper gave its own time alone, this is the time."""
    if not record.get("timestamp") and "@timestamp" in record:
        record = {**record, "timestamp": record["@timestamp"]}
    return _READER.read(record, tenant, received)


_READER = FieldReader("Suricata EVE", "suricata", TABLE)
FORMAT = Format(
    name="suricata",
    title="Suricata EVE",
    known_by="`event_type` is `alert`, and `alert` is an object",
    matches=matches,
    read=read,
    tables=(("", TABLE),),
    notes=(
        "A flow may raise many alerts, so that `flow_id` is no id: the id is made of all fields that differ by alert.",
        "Where a rule names its target, `alert.source` and `alert.target` are the ends: packets may go the other way.",
        "Without `timestamp`, `@timestamp` is the time.",
        "`host` is the sensor: as an entity it would tie all its alerts together, so it is kept as `sensor`.",
        "`priority` is Suricata's own severity, where 1 is the worst.",
    ),
)
