"""OCSF's findings: Detection Finding (class 2004) and the others of its category (2001 to 2008)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from app.domains.alerts.alert import (
    CERTIFICATE,
    COMMAND_LINE,
    DESCRIPTION,
    HASH,
    HOST,
    PORT,
    PRIORITY,
    PRODUCT,
    RULE_ID,
    URL,
    USER,
    USER_AGENT,
)
from app.domains.alerts.formats import severity
from app.domains.alerts.formats.attributes import MAX_LIST
from app.domains.alerts.formats.format import Format
from app.domains.alerts.formats.mapping import FieldReader, Table
from app.domains.alerts.formats.values import number

if TYPE_CHECKING:
    from app.domains.alerts.alert import Alert

CLASSES = range(2001, 2009)
INCIDENT_FINDING = 2005
OBSERVED = "observed"
"""Key that a record's observables are put under, by the end that their name states and by their kind."""
_KINDS = {
    1: "host",
    2: "ip",
    4: "user",
    5: "user",
    6: "url",
    8: "hash",
    10: "resource",
    20: "host",
    21: "user",
    23: "url",
}
"""OCSF's `type_id` of an observable."""
_KINDS_BY_NAME = {
    **dict.fromkeys(("hostname", "endpoint"), "host"),
    **dict.fromkeys(("ip address", "ipaddress", "ip"), "ip"),
    **dict.fromkeys(("user name", "username", "user", "email address", "email"), "user"),
    **dict.fromkeys(("hash", "file hash", "fingerprint"), "hash"),
    **dict.fromkeys(("url string", "uniform resource locator", "url"), "url"),
    **dict.fromkeys(("resource uid", "resource"), "resource"),
}
"""Kind of an observable by its `type`, in small letters, where it has no `type_id`."""

_DEVICE = (
    "evidences.device.ip",
    "evidences.device.hostname",
    "device.ip",
    "device.hostname",
    "device.name",
    "resources.hostname",
    "resources.ip",
    "resources.name",
    "resources.uid",
)

_USERS = (
    "evidences.actor.user.name",
    "evidences.user.name",
    "evidences.process.user.name",
    "evidences.actor.process.user.name",
    "actor.user.name",
    "actor.user.email_addr",
    "user.name",
    "user.email_addr",
    "resources.owner.name",
    "observed.user",
)
_ENDED = ("Suppressed", "Resolved", "Archived", "Deleted", "Closed")

_ENDPOINTS = ("evidences.src_endpoint", "evidences.dst_endpoint", "src_endpoint", "dst_endpoint")
_DEVICES = ("evidences.device", "device", "resources")
_NAMES = ("hostname", "name", "instance_uid", "uid")

TABLE = Table(
    id=("finding_info.uid", "finding.uid", "metadata.uid", "metadata.correlation_uid"),
    time=(
        *("time", "time_dt", "finding_info.last_seen_time", "finding_info.created_time", "finding.created_time"),
        *("start_time", "metadata.original_time", "metadata.logged_time", "@timestamp"),
    ),
    src=(
        "evidences.src_endpoint.ip",
        "evidences.src_endpoint.hostname",
        "evidences.src_endpoint.name",
        "src_endpoint.ip",
        "src_endpoint.hostname",
        "observed.source",
        *_DEVICE,
    ),
    dst=(
        "evidences.dst_endpoint.ip",
        "evidences.dst_endpoint.hostname",
        "evidences.dst_endpoint.name",
        "evidences.query.hostname",
        "dst_endpoint.ip",
        "dst_endpoint.hostname",
        "observed.target",
        *_DEVICE,
    ),
    either=("observed.host", "observed.ip", "observed.resource", *_USERS, "cloud.account.uid"),
    name=(
        *("finding_info.title", "finding.title", "message", "finding_info.analytic.name", "finding_info_list.title"),
        *("vulnerabilities.title", "vulnerabilities.cve.title", "vulnerabilities.cve.uid", "compliance.control"),
        *("finding_info.desc", "desc", "class_name"),
    ),
    tech=(
        "finding_info.attacks.sub_technique.uid",
        "finding_info.attacks.technique.uid",
        "attacks.sub_technique.uid",
        "attacks.technique.uid",
        "finding_info_list.attacks.sub_technique.uid",
        "finding_info_list.attacks.technique.uid",
    ),
    tenant=("metadata.tenant_uid",),
    severity={"severity_id": severity.OCSF, "severity": severity.OCSF_WORD},
    closed={
        "status_id": {
            "3": "OCSF status_id 3 (Suppressed)",
            "4": "OCSF status_id 4 (Resolved)",
            "5": "OCSF status_id 5 (Archived)",
            "6": "OCSF status_id 6 (Deleted)",
        },
        "status": {each.lower(): f"OCSF status {each}" for each in _ENDED},
        "activity_id": {"3": "OCSF activity_id 3 (Close)"},
        "compliance.status_id": {"1": "OCSF compliance.status_id 1 (Pass)"},
        "compliance.status": {each: f"OCSF compliance.status {each.capitalize()}" for each in ("pass", "passed")},
    },
    aliases=tuple(
        (tuple(f"{at}.{name}" for name in _NAMES), (f"{at}.ip", f"{at}.network_interfaces.ip"))
        for at in (*_ENDPOINTS, *_DEVICES)
    ),
    attributes={
        PORT: ("evidences.dst_endpoint.port", "dst_endpoint.port"),
        PRIORITY: ("severity_id",),
        URL: ("evidences.url.url_string", "evidences.http_request.url.url_string", "observed.url"),
        USER_AGENT: ("evidences.http_request.user_agent", "http_request.user_agent"),
        CERTIFICATE: ("evidences.tls.certificate.fingerprints.value", "evidences.tls.certificate.serial_number"),
        HOST: ("device.hostname", "evidences.device.hostname", "resources.hostname", "observed.host", "observed.ip"),
        USER: _USERS,
        HASH: (
            "evidences.process.file.hashes.value",
            "evidences.actor.process.file.hashes.value",
            "evidences.file.hashes.value",
            "process.file.hashes.value",
            "malware.files.hashes.value",
            "observed.hash",
        ),
        DESCRIPTION: ("finding_info.desc", "finding.desc", "message", "desc"),
        COMMAND_LINE: ("evidences.process.cmd_line", "evidences.actor.process.cmd_line", "process.cmd_line"),
        RULE_ID: ("finding_info.analytic.uid", "analytic.uid", "finding_info.analytic.name"),
        PRODUCT: ("metadata.product.name",),
    },
    keep=(
        "src_port=evidences.src_endpoint.port",
        "account=cloud.account.uid",
        "severity",
        "status",
        "activity_name",
        "confidence_score",
        "risk_score",
        "finding_info.types",
        "finding_info.analytic.name",
        "evidences.process.name",
        "evidences.file.path",
        "evidences.api.operation",
        "malware.name",
        "resources.type",
        "resources.uid",
        "cloud.region",
        "device.uid",
    ),
)


INCIDENT = msgspec.structs.replace(
    TABLE,
    closed={
        "status_id": {"4": "OCSF status_id 4 (Resolved)", "5": "OCSF status_id 5 (Closed)"},
        "status": TABLE.closed["status"],
        "activity_id": TABLE.closed["activity_id"],
    },
)
"""The table for Incident Finding, whose 3 is On Hold."""


def matches(record: dict[str, Any]) -> bool:
    """Return whether a record is a finding."""
    return number(record.get("class_uid")) in CLASSES


def read(record: dict[str, Any], tenant: str = "", received: float | None = None) -> Alert:
    """Return a finding as an alert."""
    reader = _INCIDENT if number(record["class_uid"]) == INCIDENT_FINDING else _FINDING
    observables = record.get("observables")
    given = {**record, OBSERVED: _observed(observables)} if type(observables) is list else record
    return reader.read(given, tenant, received)


def _observed(observables: list[Any]) -> dict[str, list[str]]:
    """Return the values of observables by the end that their name states, and by their kind."""
    found: dict[str, list[str]] = {}
    for each in observables[:MAX_LIST]:
        value = each.get("value") if type(each) is dict else None
        if not isinstance(value, str):
            continue
        type_id, type_, name = each.get("type_id"), each.get("type"), each.get("name")
        kind = _KINDS.get(int(whole)) if (whole := number(type_id)) else None
        kind = kind or (_KINDS_BY_NAME.get(type_.lower()) if isinstance(type_, str) else None)
        if kind is None:
            continue
        found.setdefault(kind, []).append(value)
        if kind in {"ip", "host"} and isinstance(name, str):
            end = "source" if "src" in name or "source" in name else "target" if "dst" in name or "dest" in name else ""
            if end:
                found.setdefault(end, []).append(value)
    return found


_FINDING, _INCIDENT = (FieldReader("OCSF finding", "ocsf", table) for table in (TABLE, INCIDENT))
FORMAT = Format(
    name="ocsf",
    title="OCSF findings",
    known_by="`class_uid` is 2004 (Detection Finding), or another one of 2001 to 2008",
    matches=matches,
    read=read,
    tables=(("it is no Incident Finding", TABLE), ("it is an Incident Finding (2005)", INCIDENT)),
    notes=(
        "Of several evidences the first that names an end has it; of an end that none names, the device or resource.",
        "Observables are under `observed` by their type; one named `src_endpoint.ip`, say, is also `observed.source`.",
        "`priority` is `severity_id`, 1 to 6, where 6 is the worst.",
    ),
)
