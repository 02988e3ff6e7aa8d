"""Suricata's EVE JSON, the lines whose `event_type` is `alert`."""

from __future__ import annotations

from typing import Any

from app.domains.alerts.alert import CERTIFICATE, HASH, HOST, PORT, PRIORITY, RULE_ID, URL, USER, USER_AGENT
from app.domains.alerts.formats import severity
from app.domains.alerts.formats.format import Format
from app.domains.alerts.formats.mapping import FieldReader, Table

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
    src=("src_ip",),
    dst=("dest_ip",),
    name=("alert.signature", "alert.category"),
    tech=("alert.metadata.mitre_technique_id",),
    tags=("alert.metadata.mitre_attack",),
    tenant=("tenant_id",),
    severity={"alert.severity": severity.SURICATA},
    attributes={
        PORT: ("dest_port",),
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


FORMAT = Format(
    name="suricata",
    title="Suricata EVE",
    known_by="`event_type` is `alert`, and `alert` is an object",
    matches=matches,
    read=FieldReader("Suricata EVE", "suricata", TABLE).read,
    tables=(("", TABLE),),
    notes=(
        "A flow may raise many alerts, so that `flow_id` is no id: the id is made of all fields that differ by alert.",
        "`host` is the sensor: as an entity it would tie all its alerts together, so it is kept as `sensor`.",
        "`priority` is Suricata's own severity, where 1 is the worst.",
    ),
)
